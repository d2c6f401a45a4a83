"""Standardisation of variates by the part of the data that training may see."""

from collections.abc import Sequence

import numpy as np

from skts.engine import cut_last_part

__all__ = ["training_scale"]


def training_scale(series: Sequence[np.ndarray], held_out: float, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each variate over all series less their last part.

    Parameters
    ----------
    series : sequence of arrays (n_timepoints_i, n_variates)
        Raw values.
    held_out : float
        Fraction of each series that validation holds out at its end.
    horizon : int
        Rows that it holds out at least.

    Returns
    -------
    center, scale : arrays of shape (n_variates,)
        A constant variate has scale 1; so has one without a known value, at center 0. NaN is left out.
    """
    rows = np.concatenate([s[: max(1, cut_last_part(len(s), held_out, horizon))] for s in series])
    if np.isnan(rows).any():
        return _of_known(rows)
    scale = rows.std(axis=0)
    return rows.mean(axis=0), np.where(scale > 1e-12 * np.abs(rows).max(axis=0), scale, 1.0)


def _of_known(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(rows)
    counts = np.maximum(known.sum(0), 1)
    center = np.where(known, rows, 0.0).sum(0) / counts
    scale = np.sqrt((np.where(known, rows - center, 0.0) ** 2).sum(0) / counts)
    return center, np.where(scale > 1e-12 * np.abs(np.where(known, rows, 0.0)).max(axis=0), scale, 1.0)
