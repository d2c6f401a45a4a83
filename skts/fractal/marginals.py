"""Densities of incomplete rows of codes as sums over all that the missing ones may be."""

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["log_marginal", "n_completions"]

_MOST_AT_ONCE = 32_768  # completed rows


def _inner(codes: np.ndarray, in_order: bool) -> np.ndarray:
    """What is missing and matters (n, D): in order, what comes after all that is given adds up to one."""
    missing = np.isnan(codes)
    if not in_order:
        return missing
    given_later = np.cumsum(~missing[:, ::-1], axis=1)[:, ::-1] > 0
    return missing & given_later


def n_completions(codes: np.ndarray, n_values: Sequence[int], in_order: bool) -> np.ndarray:
    """In how many ways the gaps of each row can be filled (n,): 0 without one, infinite where a number is missing.

    Parameters
    ----------
    codes : numpy.ndarray of shape (n, D)
        Codes and numbers, NaN where missing.
    n_values : sequence of int
        Codes of each slot, 0 for a number.
    in_order : bool
        Whether every slot is foreseen from those before it alone.
    """
    ways = np.array([v or np.inf for v in n_values])
    inner = _inner(codes, in_order)
    return np.where(inner.any(1), np.where(inner, ways, 1.0).prod(1), 0.0)


def log_marginal(
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray],
    codes: np.ndarray,
    label: np.ndarray,
    n_values: Sequence[int],
    in_order: bool,
) -> np.ndarray:
    """Log-probability (n,) of what is given, nats.

    Parameters
    ----------
    log_prob : callable
        Of complete rows and their classes.
    codes, n_values, in_order
        See :func:`n_completions`, which has to be finite and not 0.
    label : numpy.ndarray of shape (n,)
        Classes.
    """
    counts = n_completions(codes, n_values, in_order).astype(int)
    parts = np.array_split(np.arange(len(codes)), -(-counts.sum() // _MOST_AT_ONCE))
    return np.concatenate([_summed(log_prob, codes[p], label[p], counts[p], n_values, in_order) for p in parts])


def _summed(
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray],
    codes: np.ndarray,
    label: np.ndarray,
    counts: np.ndarray,
    n_values: Sequence[int],
    in_order: bool,
) -> np.ndarray:
    rows = np.repeat(np.arange(len(codes)), counts)
    starts = np.cumsum(counts) - counts
    which, completed = np.arange(len(rows)) - starts[rows], codes[rows]
    inner = _inner(codes, in_order)[rows]
    for slot, V in enumerate(n_values):  # the digits of a number in mixed bases
        if V:
            at = inner[:, slot]
            completed[at, slot] = which[at] % V
            which[at] //= V
    return np.logaddexp.reduceat(log_prob(completed, label[rows]), starts)
