"""Distances and neighbours of the samples of a map, windows that overlap, and the checks of both."""

from numbers import Integral
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = [
    "check_labelled",
    "check_neighbors",
    "check_pair",
    "check_points",
    "check_starts",
    "distances_between",
    "neighbors_in_order",
    "overlapping",
]


def distances_between(Z: np.ndarray, own: float = np.inf) -> np.ndarray:
    """(n, n) Euclidean distances, ``own`` on the diagonal."""
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(Z))
    np.fill_diagonal(distances, own)
    return distances


def neighbors_in_order(Z: np.ndarray) -> np.ndarray:
    """(n, n) samples from the nearest on; a sample itself is the last of its row."""
    return np.argsort(distances_between(Z), axis=1, kind="stable")


def overlapping(starts: Any, window: Any, n: int) -> np.ndarray:
    """(n, n) whether two windows share a step."""
    starts = check_starts(starts, window)
    if len(starts) != n:
        raise InputError(f"starts of {n} windows", f"{len(starts)}", "Pass one for each sample.")
    return np.abs(starts[:, None] - starts) < window


def check_starts(starts: Any, window: Any) -> np.ndarray:
    """First steps of windows (n_samples,) as ints."""
    starts = np.asarray(starts)
    if starts.ndim != 1 or not len(starts) or starts.dtype.kind not in "iu":
        got = f"shape {starts.shape}, dtype {starts.dtype}"
        raise InputError("starts as ints of shape (n_samples,)", got, "Pass the first step of each window.")
    if isinstance(window, bool) or not isinstance(window, Integral) or window < 1:
        raise InputError("window as an int of at least 1", f"{window!r}", "Pass the steps of a window.")
    return starts.astype(np.int64)


def check_neighbors(n_neighbors: Any, n: int) -> int:
    """A size of neighbourhoods below half of the samples."""
    whole = isinstance(n_neighbors, Integral) and not isinstance(n_neighbors, bool)
    if not whole or not 1 <= n_neighbors < n / 2:
        expected = f"n_neighbors of at least 1 and below half of the {n} samples"
        raise InputError(expected, f"{n_neighbors!r}", "Lower n_neighbors, or pass more samples.")
    return int(n_neighbors)


def check_points(Z: Any, name: str) -> np.ndarray:
    """Finite points (n_samples, n_features) in float64."""
    Z = np.asarray(Z, dtype=np.float64)
    if Z.ndim != 2 or not len(Z) or not np.isfinite(Z).all():
        got = f"shape {Z.shape}" if Z.ndim != 2 or not len(Z) else f"{(~np.isfinite(Z)).sum()} others"
        raise InputError(f"{name} as finite numbers of shape (n_samples, n_features)", got, "Drop those samples.")
    return Z


def check_pair(X: Any, Z: Any) -> tuple[np.ndarray, np.ndarray]:
    """A space and a map of the same samples."""
    X, Z = check_points(X, "the space"), check_points(Z, "the map")
    if len(X) != len(Z):
        raise InputError("as many samples on both sides", f"{len(X)} and {len(Z)}", "Pass the same samples.")
    return X, Z


def check_labelled(Z: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points and a label for each of them."""
    Z, y = check_points(Z, "Z"), np.asarray(y)
    if y.shape != (len(Z),):
        raise InputError(f"y of shape ({len(Z)},)", f"shape {y.shape}", "Pass one label for each sample.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError("finite y", f"{(~np.isfinite(y)).sum()} others", "Drop samples without a label.")
    return Z, y
