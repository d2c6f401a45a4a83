"""How readable a latent space is: whether a map keeps its neighbours, and whether what is known can be read from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skts.errors import InputError
from skts.metrics.neighbors import (
    check_labelled,
    check_neighbors,
    check_pair,
    check_points,
    distances_between,
    neighbors_in_order,
    overlapping,
)

__all__ = [
    "cluster_agreement",
    "continuity",
    "distance_consistency",
    "local_continuity",
    "neighborhood_hit",
    "neighborhood_overlap",
    "path_smoothness",
]


def continuity(X: Any, Z: Any, n_neighbors: int = 10, *, per_sample: bool = False) -> Any:
    r"""Whether points that are close in a space are close on its map as well.

    Use it beside :func:`sklearn.manifold.trustworthiness`, which is the same with the roles of space and map swapped:
    a map that tears groups apart loses continuity, one that throws strangers together loses trustworthiness.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The space.
    Z : array-like of shape (n_samples, n_components)
        The map.
    n_neighbors : int, default=10
        Size k of a neighbourhood, at least 1 and below ``n_samples / 2``.
    per_sample : bool, default=False
        One value for each sample, whose mean is the measure.

    Returns
    -------
    float or ndarray of shape (n_samples,)
        1 where every neighbour was kept; about 0.5 for a random map; at least 0 (the mean).

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or k is out of its range.

    Notes
    -----
    .. math:: C(k) = 1 - \frac{2}{n k (2 n - 3 k - 1)} \sum_i \sum_{j \in N_k(x_i)} \max(0, r_Z(i, j) - k),

    where :math:`r_Z(i, j)` is the rank of j among the neighbours of i on the map, from 1.

    References
    ----------
    J. Venna, S. Kaski, "Local multidimensional scaling", Neural Networks 19 (6-7), 889-899, 2006.
    https://doi.org/10.1016/j.neunet.2006.05.014

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import continuity
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> continuity(X, 2 * X, n_neighbors=5)
    1.0
    """
    X, Z = check_pair(X, Z)
    n, k = len(X), check_neighbors(n_neighbors, len(X))
    near = neighbors_in_order(X)[:, :k]
    ranks = np.empty((n, n), dtype=np.int64)
    np.put_along_axis(ranks, neighbors_in_order(Z), np.arange(1, n + 1)[None, :], 1)
    excess = np.maximum(np.take_along_axis(ranks, near, 1) - k, 0).sum(1)
    return _mean(1 - excess * 2 / (k * (2 * n - 3 * k - 1)), per_sample)


def local_continuity(X: Any, Z: Any, n_neighbors: int = 10, *, per_sample: bool = False) -> Any:
    r"""Share of neighbours in a space that are neighbours on its map, less what chance would keep (LCMC).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The space.
    Z : array-like of shape (n_samples, n_components)
        The map.
    n_neighbors : int, default=10
        Size k of a neighbourhood, at least 1 and below ``n_samples / 2``.
    per_sample : bool, default=False
        One value for each sample, whose mean is the measure.

    Returns
    -------
    float or ndarray of shape (n_samples,)
        :math:`1 - k / (n - 1)` at best, about 0 for a random map.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or k is out of its range.

    References
    ----------
    L. Chen, A. Buja, "Local Multidimensional Scaling for Nonlinear Dimension Reduction, Graph Drawing, and Proximity
    Analysis", Journal of the American Statistical Association 104 (485), 209-219, 2009.
    https://doi.org/10.1198/jasa.2009.0111

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import local_continuity
    >>> X = np.random.default_rng(0).normal(size=(51, 3))
    >>> round(local_continuity(X, X, n_neighbors=10), 3)
    0.8
    """
    X, Z = check_pair(X, Z)
    k = check_neighbors(n_neighbors, len(X))
    return _mean(_shared(X, Z, k) - k / (len(X) - 1), per_sample)


def neighborhood_overlap(Z_a: Any, Z_b: Any, n_neighbors: int = 10, *, per_sample: bool = False) -> Any:
    """Mean share of neighbours that two maps of the same samples have in common.

    Use it for the stability of t-SNE or UMAP over seeds: what changes from seed to seed is not in the data.

    Parameters
    ----------
    Z_a : array-like of shape (n_samples, n_components)
        A map.
    Z_b : array-like of shape (n_samples, n_components)
        Another one.
    n_neighbors : int, default=10
        Size of a neighbourhood, at least 1 and below ``n_samples / 2``.
    per_sample : bool, default=False
        One value for each sample, whose mean is the measure.

    Returns
    -------
    float or ndarray of shape (n_samples,)
        From 0 to 1; two random maps have ``n_neighbors / (n_samples - 1)``.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or ``n_neighbors`` is out of its range.
    """
    Z_a, Z_b = check_pair(Z_a, Z_b)
    return _mean(_shared(Z_a, Z_b, check_neighbors(n_neighbors, len(Z_a))), per_sample)


def neighborhood_hit(
    Z: Any,
    y: Any,
    n_neighbors: int = 10,
    *,
    starts: Any = None,
    window: int | None = None,
    per_sample: bool = False,
) -> Any:
    """Mean share of a sample's neighbours that have its label.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        A map or an embedding.
    y : array-like of shape (n_samples,)
        Labels.
    n_neighbors : int, default=10
        Size of a neighbourhood, at least 1 and below ``n_samples / 2``.
    starts : array-like of shape (n_samples,), optional
        First step of each window of a series. Windows that overlap share most of their values and mostly their label,
        so they do not count as neighbours; a sample has fewer neighbours where not enough others are left.
    window : int, optional
        Steps of a window; needed with ``starts``.
    per_sample : bool, default=False
        One value for each sample, whose mean is the measure; NaN for a sample without a neighbour.

    Returns
    -------
    float or ndarray of shape (n_samples,)
        From 0 to 1; without any structure the probability that two samples have the same label.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or a number is out of its range.

    References
    ----------
    F. V. Paulovich, L. G. Nonato, R. Minghim, H. Levkowitz, "Least Square Projection: A Fast High-Precision
    Multidimensional Projection Technique and Its Application to Document Mapping", IEEE Transactions on Visualization
    and Computer Graphics 14 (3), 564-575, 2008. https://doi.org/10.1109/TVCG.2007.70443

    Examples
    --------
    >>> from skts.metrics import neighborhood_hit
    >>> Z, y = [[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], [0, 0, 0, 1, 1, 1]
    >>> neighborhood_hit(Z, y, n_neighbors=2)
    1.0
    """
    Z, y = check_labelled(Z, y)
    k = check_neighbors(n_neighbors, len(Z))
    distances = distances_between(Z)
    if starts is not None:
        distances[overlapping(starts, window, len(Z))] = np.inf
    near = np.argsort(distances, axis=1, kind="stable")[:, :k]
    counted = np.isfinite(np.take_along_axis(distances, near, 1))
    with np.errstate(invalid="ignore"):
        hits = ((y[near] == y[:, None]) & counted).sum(1) / counted.sum(1)
    return hits if per_sample else float(np.nanmean(hits))


def distance_consistency(Z: Any, y: Any, *, per_sample: bool = False) -> Any:
    """Share of samples whose nearest class centre is that of their own class (DSC).

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        A map or an embedding.
    y : array-like of shape (n_samples,)
        Labels.
    per_sample : bool, default=False
        1 or 0 for each sample.

    Returns
    -------
    float or ndarray of shape (n_samples,)
        From 0 to 1.

    Raises
    ------
    InputError
        If the shapes do not fit or a value is not finite.

    References
    ----------
    M. Sips, B. Neubert, J. P. Lewis, P. Hanrahan, "Selecting good views of high-dimensional data using class
    consistency", Computer Graphics Forum 28 (3), 831-838, 2009. https://doi.org/10.1111/j.1467-8659.2009.01467.x

    Examples
    --------
    >>> from skts.metrics import distance_consistency
    >>> distance_consistency([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    1.0
    """
    Z, y = check_labelled(Z, y)
    classes, code = np.unique(y, return_inverse=True)
    centres = np.stack([Z[code == c].mean(0) for c in range(len(classes))])
    squared = np.square(Z[:, None] - centres).sum(-1)
    return _mean((squared.argmin(1) == code).astype(np.float64), per_sample)


def path_smoothness(Z: Any, *, per_sample: bool = False) -> Any:
    """Length of a mean step from one window to the next, in units of the mean distance of two windows.

    Use it to see whether the windows of a series, joined in the order of time, draw a line that can be followed.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        A map or an embedding, in the order of time.
    per_sample : bool, default=False
        One value for each step from a sample to the next, whose mean is the measure.

    Returns
    -------
    float or ndarray of shape (n_samples - 1,)
        Near 0 for a smooth path, about 1 for an order that means nothing.

    Raises
    ------
    InputError
        If there are fewer than two samples, they are all the same, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import path_smoothness
    >>> round(path_smoothness(np.arange(100.0)[:, None]), 2)
    0.03
    """
    Z = check_points(Z, "Z")
    typical = distances_between(Z, own=0.0).sum() / max(len(Z) * (len(Z) - 1), 1)
    if not typical > 0:
        raise InputError("two different samples at least", f"{len(Z)}, all the same", "Pass the whole path.")
    return _mean(np.linalg.norm(np.diff(Z, axis=0), axis=1) / typical, per_sample)


def cluster_agreement(Z: Any, y: Any, *, min_cluster_size: int | None = None) -> float:
    """Adjusted Rand index of labels and the clusters that HDBSCAN finds without them.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        A map or an embedding.
    y : array-like of shape (n_samples,)
        Labels.
    min_cluster_size : int, optional
        Smallest cluster, at least 2; a twentieth of the samples by default, at least 5. What belongs to no cluster
        counts as one more.

    Returns
    -------
    float
        1 for the same partition, about 0 for an unrelated one; never below -0.5.

    Raises
    ------
    InputError
        If the shapes do not fit or a value is not finite.

    References
    ----------
    R. J. G. B. Campello, D. Moulavi, J. Sander, "Density-Based Clustering Based on Hierarchical Density Estimates",
    PAKDD 2013. https://doi.org/10.1007/978-3-642-37456-2_14
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.metrics import adjusted_rand_score

    Z, y = check_labelled(Z, y)
    smallest = max(5, len(Z) // 20) if min_cluster_size is None else min_cluster_size
    smallest = min(smallest, len(Z))
    found = HDBSCAN(min_cluster_size=smallest, metric="precomputed", copy=False)
    return float(adjusted_rand_score(y, found.fit_predict(distances_between(Z, own=0.0))))


def _shared(X: np.ndarray, Z: np.ndarray, k: int) -> np.ndarray:
    """(n,) shares of k neighbours that are the same."""
    flags = np.zeros((2, len(X), len(X)), dtype=bool)
    for flag, values in zip(flags, (X, Z), strict=True):
        np.put_along_axis(flag, neighbors_in_order(values)[:, :k], True, 1)
    return (flags[0] & flags[1]).sum(1) / k


def _mean(values: Sequence[float] | np.ndarray, per_sample: bool) -> Any:
    return values if per_sample else float(np.mean(values))
