"""An order of columns in which what depends on each other stands close together."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

__all__ = ["binned", "dependent_order", "mutual_information"]

_MOST_ROWS = 5000
_MOST_CELLS = 4096  # columns x bins of the table of pairs


def binned(rows: np.ndarray, n_bins: int) -> np.ndarray:
    """Codes (n, d) of at most ``n_bins`` values: ranks cut at quantiles; a missing value is a value of its own (0)."""
    codes = np.zeros(rows.shape, dtype=np.int64)
    for j, column in enumerate(rows.T):
        seen = np.isfinite(column)
        values = np.unique(column[seen])
        if len(values) > n_bins:
            values = np.unique(np.quantile(column[seen], np.linspace(0, 1, n_bins + 1)[:-1], method="lower"))
        codes[seen, j] = np.searchsorted(values, column[seen], side="right")
    return codes


def mutual_information(rows: np.ndarray, n_bins: int = 8, seed: int = 0) -> np.ndarray:
    """Mutual information (d, d) of all pairs of columns, nats, from counts of binned values.

    Parameters
    ----------
    rows : numpy.ndarray of shape (n, d)
        NaN where missing. A few thousand rows, drawn at random, are enough.
    n_bins : int, default=8
        Values of a column; fewer where there are hundreds of columns.
    seed : int, default=0
        Seed of the rows that are used.
    """
    n, d = rows.shape
    if n > _MOST_ROWS:
        rows = rows[np.random.default_rng(seed).choice(n, _MOST_ROWS, replace=False)]
    codes = binned(rows, max(2, min(n_bins, _MOST_CELLS // d)))
    width = int(codes.max()) + 1
    one_hot = np.zeros((len(codes), d * width), dtype=np.float32)
    np.put_along_axis(one_hot, codes + np.arange(d) * width, 1, axis=1)
    joint = (one_hot.T @ one_hot).astype(np.float64).reshape(d, width, d, width).transpose(0, 2, 1, 3) / len(codes)
    # Mutual information of few rows is biased upward by about (cells - 1)^2 / 2n: what chance alone gives is taken off.
    used = (np.einsum("iivv->iv", joint) > 0).sum(1) - 1
    chance = np.outer(used, used) / (2 * len(codes))
    outer = np.einsum("iivv->iv", joint)
    expected = outer[:, None, :, None] * outer[None, :, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0, joint * np.log(joint / expected), 0.0)
    return np.maximum(terms.sum((2, 3)) - chance, 0.0)


def dependent_order(information: np.ndarray) -> np.ndarray:
    """Columns along the leaves of a clustering by mutual information (average linkage, optimal leaf order).

    Z. Bar-Joseph, D. K. Gifford, T. S. Jaakkola: Fast optimal leaf ordering for hierarchical clustering, Bioinformatics
    17, 2001, https://doi.org/10.1093/bioinformatics/17.suppl_1.S22.
    """
    d = len(information)
    if d < 3:
        return np.arange(d)
    entropy = np.sqrt(np.outer(np.diag(information), np.diag(information))) + 1e-12
    distance = np.clip(1 - information / entropy, 0, 1)
    np.fill_diagonal(distance, 0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    tree = linkage(condensed, "average")
    return leaves_list(optimal_leaf_ordering(tree, condensed) if d <= 512 else tree)
