"""Trajectories sampled at times of their own, brought to an even step by cubic splines; wide gaps split them."""

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from skts.errors import InputError

__all__ = ["as_times", "resampled"]

_GAP = 4.0  # a gap of more steps, of the trajectory's usual or of dt, is not bridged
_TOO_FINE = 4.0  # dt may not be this much finer than the samples: a spline would invent what lies between


def as_times(times: Any, trajectories: list[np.ndarray]) -> list[np.ndarray] | None:
    """One increasing array of times for each trajectory; a single one serves for all.

    Raises
    ------
    InputError
        If numbers or lengths differ, or times do not increase.
    """
    if times is None:
        return None
    one = (not isinstance(times, list | tuple) and np.ndim(times) == 1) or np.ndim(times[0]) == 0
    parts = [times] * len(trajectories) if one else list(times)
    if len(parts) != len(trajectories):
        got = f"{len(parts)} for {len(trajectories)} trajectories"
        raise InputError("times for each trajectory, or one array for all", got, "Pass one array for each.")
    arrays = [np.asarray(part, dtype=np.float64) for part in parts]
    for number, (array, states) in enumerate(zip(arrays, trajectories, strict=True)):
        if array.shape != (len(states),) or not np.isfinite(array).all() or (np.diff(array) <= 0).any():
            got = f"times of shape {array.shape} for trajectory {number} of {len(states)} samples"
            raise InputError("finite, increasing times, one for each sample", f"{got}", "Sort and count them.")
    return arrays


def resampled(states: np.ndarray, beside: np.ndarray, times: np.ndarray, dt: float) -> list[tuple[np.ndarray, ...]]:
    """Pieces (states, beside) at multiples of ``dt`` from their first time on.

    Parameters
    ----------
    states : ndarray of shape (n_times, d)
        Samples; rows with NaN are left out.
    beside : ndarray of shape (n_times, c)
        What is constant from one sample to the next.
    times : ndarray of shape (n_times,)
        When they were taken.
    dt : float
        The even step.

    Raises
    ------
    InputError
        If ``dt`` is much finer than the samples.
    """
    whole = ~np.isnan(states).any(1)
    states, beside, times = states[whole], beside[whole], times[whole]
    if len(times) < 2:
        return []
    usual = float(np.median(np.diff(times)))
    if usual > _TOO_FINE * dt:
        got = f"samples {usual:g} apart for dt={dt:g}"
        raise InputError(
            f"samples at most {_TOO_FINE:g} dt apart", got, f"Set dt={usual:g}, or check the unit of times."
        )
    cuts = np.flatnonzero(np.diff(times) > _GAP * max(usual, dt)) + 1
    pieces = []
    for part in np.split(np.arange(len(times)), cuts):
        if len(part) < 2 or times[part[-1]] - times[part[0]] < dt:
            continue
        t, even = times[part], np.arange(times[part[0]], times[part[-1]] + 1e-9 * dt, dt)
        held = np.searchsorted(t, even + 1e-9 * dt, side="right") - 1
        pieces.append((CubicSpline(t, states[part])(even), beside[part][held]))
    return pieces
