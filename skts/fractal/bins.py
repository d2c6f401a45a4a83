"""Bins of a continuous column as categories, each with a density of its own inside: the whole integrates to 1."""

from itertools import pairwise

import numpy as np

__all__ = ["bin_codes", "bin_log_density", "bin_values", "make_bins"]


def make_bins(column: np.ndarray, n_bins: int) -> np.ndarray:
    """Bins (K, 3) of about equal mass: lower edge, upper edge, scale of an exponential tail.

    The scale is positive for the tail that runs to the right from its lower edge, negative for the one that runs to the
    left from its upper edge, and 0 for a bin between two edges, in which the density is flat. A value that holds at
    least the mass of a bin is an atom, a bin whose edges are equal: its density is its probability.

    Parameters
    ----------
    column : numpy.ndarray of shape (n,)
        Finite values.
    n_bins : int
        Bins that are not atoms, at the most; the first and the last are the tails.
    """
    values, counts = np.unique(column, return_counts=True)
    atoms = values[(counts >= max(2, len(column) / n_bins))]
    rest = np.sort(column[~np.isin(column, atoms)])
    bins = [(a, a, 0.0) for a in atoms]
    if len(np.unique(rest)) >= 2:
        edges = np.unique(np.quantile(rest, np.linspace(0, 1, min(n_bins, len(rest)) + 1)[1:-1]))
        if not len(edges):
            edges = np.array([np.median(rest)])
        spread = float(rest[-1] - rest[0])
        below, above = edges[0] - rest[rest < edges[0]], rest[rest >= edges[-1]] - edges[-1]
        left = max(float(below.mean()) if len(below) else 0.0, 1e-3 * spread)
        right = max(float(above.mean()) if len(above) else 0.0, 1e-3 * spread)
        bins += [(-np.inf, edges[0], -left)]
        bins += [(a, b, 0.0) for a, b in pairwise(edges)]
        bins += [(edges[-1], np.inf, right)]
    else:
        # Too little is left for a density: one wide bin on either side keeps every value possible.
        centre, scale = float(np.median(column)), float(np.std(column)) or 1.0
        bins += [(-np.inf, centre, -scale), (centre, np.inf, scale)]
    return np.asarray(bins, dtype=np.float64)


def bin_codes(bins: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bin of each value."""
    atom = bins[:, 0] == bins[:, 1]
    where = np.flatnonzero(~atom)
    codes = where[np.searchsorted(bins[where[1:], 0], column, side="right")]
    for k in np.flatnonzero(atom):
        codes[column == bins[k, 0]] = k
    return codes


def bin_log_density(bins: np.ndarray, codes: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Log-density of each value within its bin, nats."""
    lower, upper, tail = bins[codes].T
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = -np.log(upper - lower)
        edge = np.where(tail > 0, lower, upper)
        falling = -np.abs(column - edge) / np.abs(tail) - np.log(np.abs(tail))
    return np.where(lower == upper, 0.0, np.where(tail == 0, flat, falling))


def bin_values(bins: np.ndarray, codes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Values drawn within given bins."""
    lower, upper, tail = bins[codes].T
    away = -np.log1p(-uniforms)
    with np.errstate(invalid="ignore"):
        inside = lower + uniforms * (upper - lower)
        falling = np.where(tail > 0, lower, upper) + tail * away
    return np.where(tail == 0, inside, falling)
