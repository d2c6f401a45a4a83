"""The usual course of each variate through the cycle: its forecast where nothing else is known of it."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from skts.fmamba.periodic import harmonics

__all__ = ["angles_ahead", "course_at", "fit_course"]

_PENALTY = 1e-6


def fit_course(rows: Sequence[np.ndarray], angles: Sequence[np.ndarray], n_harmonics: int) -> np.ndarray:
    """Mean and first harmonics of each variate, by least squares on what is known of it.

    Parameters
    ----------
    rows : sequence of arrays (n_rows_i, n_variates)
        Standardised series; NaN is a missing value.
    angles : sequence of arrays (n_rows_i,)
        Where in the cycle each row lies.
    n_harmonics : int
        How many; 0 leaves the mean of zero.

    Returns
    -------
    array of shape (2 * n_harmonics, n_variates)
        Coefficients of cosine and sine in turn.
    """
    y, a = np.concatenate(rows), np.concatenate(angles)
    waves = _waves(a, n_harmonics)
    found = np.zeros((waves.shape[1], y.shape[1]))
    for column, values in enumerate(y.T):
        f, known = waves[~np.isnan(values)], values[~np.isnan(values)]
        ridge = _PENALTY * (1 + len(f)) * np.eye(f.shape[1])
        found[:, column] = np.linalg.solve(f.T @ f + ridge, f.T @ known)
    return found


def course_at(angles: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """The course at angles (...,) as (..., n_variates); the mean, zero, where the angle is NaN."""
    return (_waves(angles.ravel(), len(coef) // 2) @ coef).reshape(*angles.shape, coef.shape[1])


def angles_ahead(first: np.ndarray, n_steps: int, period: float) -> np.ndarray:
    """Angles (n, n_steps) of steps that begin at angles (n,), of a cycle of so many steps."""
    return first[:, None] + 2 * math.pi * np.arange(n_steps) / period


def _waves(angles: np.ndarray, n_harmonics: int) -> np.ndarray:
    return harmonics(torch.from_numpy(np.asarray(angles, dtype=np.float64)), n_harmonics).numpy()
