"""Samples for densities to be tried on: a table of mixed columns with gaps, and windows of sensors with faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skts.datasets.checks import check_count, check_number
from skts.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_mixed_table", "make_sensor_windows"]

_PRODUCTS = ("bolt", "gear", "shaft")
_SHORTEST = 12  # steps of a window
_LATE = 5  # steps


def make_mixed_table(
    n_samples: int = 500,
    missing: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
    return_complete: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """Generate a table of words, counts and real numbers that depend on each other, with gaps.

    Use it to try what scores, fills in or draws rows of mixed columns.

    Parameters
    ----------
    n_samples : int, default=500
        Rows, at least 1.
    missing : float, default=0.1
        Part of the cells that are missing, from 0 to below 1, each independently of everything.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same data each time. None draws from numpy's global generator.
    return_complete : bool, default=False
        Whether to give the table without gaps as well.

    Returns
    -------
    X : pandas.DataFrame of shape (n_samples, 6)
        Jobs of a workshop. "product" ("bolt", "gear", "shaft") and "shift" ("day", "night") are words, NaN where
        missing; "batch" counts pieces; "minutes" of work per piece, "wear" of the tool (mm) and "force" (kN) are real.
        With gaps "batch" is float64, else int64.
    complete : pandas.DataFrame of shape (n_samples, 6)
        Only if ``return_complete``.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The product decides how many pieces are made and how long one takes; the night takes longer. The tool wears with the
    pieces and minutes, and the force grows with the wear, for a shaft faster than for a bolt: force is not linear in
    the columns.

    Examples
    --------
    >>> from skts.datasets import make_mixed_table
    >>> make_mixed_table(3, missing=0, random_state=0).dtypes.astype(str).tolist()[2:]
    ['int64', 'float64', 'float64', 'float64']
    """
    check_count("n_samples", n_samples)
    check_number("missing", missing, positive=False)
    if missing >= 1:
        raise InputError("missing to be below 1", repr(missing), "Pass missing=0.1.")
    import pandas as pd
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    product = rng.choice(3, size=n_samples, p=[0.5, 0.3, 0.2])
    night = rng.uniform(size=n_samples) < np.array([0.5, 0.3, 0.1])[product]
    batch = 1 + rng.poisson(np.array([40, 18, 6])[product])
    minutes = np.array([0.5, 2.0, 6.0])[product] * (1 + 0.3 * night) * rng.lognormal(sigma=0.15, size=n_samples)
    wear = 0.002 * batch * minutes + 0.03 * rng.gamma(2.0, size=n_samples)
    force = np.array([1.0, 2.0, 4.0])[product] * (1 + 5 * wear) * rng.lognormal(sigma=0.05, size=n_samples)
    complete = pd.DataFrame(
        {
            "product": np.array(_PRODUCTS)[product],
            "shift": np.where(night, "night", "day"),
            "batch": batch.astype(np.int64),
            "minutes": minutes,
            "wear": wear,
            "force": force,
        }
    )
    gaps = rng.uniform(size=complete.shape) < missing
    X = complete.mask(gaps) if gaps.any() else complete.copy()
    return (X, complete) if return_complete else X


def make_sensor_windows(
    n_windows: int = 400,
    n_timepoints: int = 24,
    faulty: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate windows of four sensors of a pump, some with one sensor that fails for a while.

    Use it to see whether a model of windows finds not only that something is wrong, but which sensor and when.

    Parameters
    ----------
    n_windows : int, default=400
        Number of windows, at least 1.
    n_timepoints : int, default=24
        Steps of each, at least 12.
    faulty : float, default=0.0
        Part of the windows with a fault, from 0 to 1.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same windows each time. None draws from numpy's global generator.

    Returns
    -------
    X : ndarray of shape (n_windows, n_timepoints, 4), float64
        Speed (1/min), flow (l/s), pressure (bar), temperature (degrees Celsius).
    is_fault : ndarray of shape (n_windows, n_timepoints, 4), bool
        Which values are wrong.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The speed swings with random level, height, phase and frequency; a valve is open or half closed, window by window.
    Flow follows speed, pressure the square of speed, by two different curves for the two states of the valve;
    temperature follows the recent mean of speed. All have noise. A fault lasts a quarter of the window: one sensor
    shifts towards its mean, holds its value, or is five steps late. Faulty values hardly leave the range of that
    sensor, so that a threshold on single values cannot find them.

    Examples
    --------
    >>> from skts.datasets import make_sensor_windows
    >>> X, is_fault = make_sensor_windows(50, faulty=0.2, random_state=0)
    >>> X.shape, int(is_fault.any((1, 2)).sum())
    ((50, 24, 4), 10)
    """
    check_count("n_windows", n_windows)
    check_count("n_timepoints", n_timepoints, _SHORTEST)
    check_number("faulty", faulty, positive=False)
    if faulty > 1:
        raise InputError("faulty to be at most 1", repr(faulty), "Pass faulty=0.1.")
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    X = _pump(n_windows, n_timepoints, rng)
    is_fault = np.zeros(X.shape, dtype=bool)
    for number, window in enumerate(rng.permutation(n_windows)[: round(faulty * n_windows)]):
        length, sensor = n_timepoints // 4, rng.randint(X.shape[2])
        start = rng.randint(_LATE, n_timepoints - length + 1)
        part = slice(start, start + length)
        X[window, part, sensor] = _wrong(X[window, :, sensor], part, X[:, :, sensor].std(), number % 3, rng)
        is_fault[window, part, sensor] = True
    return X, is_fault


def _pump(n: int, n_timepoints: int, rng: np.random.RandomState) -> np.ndarray:
    t = np.arange(-8, n_timepoints)  # eight steps before, for what depends on the past
    phase, height = rng.uniform(0, 2 * np.pi, (n, 1)), rng.uniform(100, 300, (n, 1))
    level, frequency = rng.uniform(1200, 1600, (n, 1)), rng.uniform(0.3, 0.8, (n, 1))
    valve = np.where(rng.uniform(size=(n, 1)) < 0.5, 1.0, 0.7)
    speed = level + height * np.sin(frequency * t + phase) + rng.normal(scale=10, size=(n, len(t)))
    flow = valve * speed / 100 + rng.normal(scale=0.15, size=speed.shape)
    pressure = 0.02 * (speed / 100) ** 2 / valve + rng.normal(scale=0.05, size=speed.shape)
    recent = np.lib.stride_tricks.sliding_window_view(speed, 9, axis=1).mean(2)
    temperature = 20 + recent / 50 + rng.normal(scale=0.2, size=recent.shape)
    return np.stack([speed[:, 8:], flow[:, 8:], pressure[:, 8:], temperature], axis=2)  # (n, T, 4)


def _wrong(values: np.ndarray, part: slice, spread: float, kind: int, rng: np.random.RandomState) -> np.ndarray:
    """What a failing sensor shows in place of ``values[part]``: shifted towards its mean, held, or late."""
    length = part.stop - part.start
    if kind == 0:
        away = -np.sign(values[part].mean() - values.mean()) or 1.0
        return values[part] + away * spread
    if kind == 1:
        noise = np.abs(np.diff(values)).min()
        return values[part.start - 1] + rng.normal(scale=noise, size=length)
    return values[part.start - _LATE : part.stop - _LATE]
