"""Which series judge the training: whole groups, blocks of windows that share no step with the others, or a draw."""

from typing import Any

import numpy as np

from skts.errors import InputError
from skts.moment.panel import Panel

__all__ = ["held_out", "overlap"]

_BLOCKS = 5  # held-out stretches of a series, so that they see more than its end
_PAIRS = 8  # neighbours that are looked at before series count as windows


def held_out(
    panel: Panel, fraction: float, rng: np.random.Generator, labels: np.ndarray | None = None, groups: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation series; no validation series where there are too few.

    Parameters
    ----------
    panel : Panel
        All series.
    fraction : float
        Share that is held out, about.
    rng : numpy.random.Generator
        For the draw.
    labels : ndarray of shape (n,), optional
        Classes, of each of which a share is held out.
    groups : array-like of shape (n,), optional
        Series of one group are on one side.

    Returns
    -------
    train, valid : ndarray of int
        Numbers of series. Windows of one series that overlap, in their order, are held out in up to five blocks, and
        the windows that share a step with a block are in neither part.
    """
    n = panel.n_series
    if groups is not None:
        valid = _some_groups(_checked(groups, n), fraction, rng)
    elif fraction > 0 and (shared := overlap(panel)):
        return _blocks(n, fraction, shared)
    else:
        valid = _drawn(n, fraction, rng, labels)
    if fraction <= 0 or valid.all():
        valid[:] = False
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def overlap(panel: Panel) -> int:
    """How many of the following series share a step with one, where they are windows of one series; else 0."""
    if len(panel.parts) > 1 or panel.n_series < 3:
        return 0
    x = panel.parts[0]
    at = np.unique(np.linspace(0, len(x) - 2, _PAIRS).astype(int))
    still = (x[at, :, 1:] == x[at, :, :-1]) | np.isnan(x[at, :, 1:])
    at = at[~still.all((1, 2))]  # what is constant looks like any window of itself
    if not len(at):
        return 0
    before, after = x[at], x[at + 1]
    length = x.shape[2]
    for stride in range(1, length):
        if np.array_equal(before[:, :, stride:], after[:, :, :-stride], equal_nan=True):
            return -(-length // stride) - 1
    return 0


def _blocks(n: int, fraction: float, shared: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks at the ends of equal stretches; each is at least as long as what is lost on one side of it."""
    n_blocks = max(1, min(_BLOCKS, int(n * fraction / (shared + 1))))
    valid, lost = np.zeros(n, bool), np.zeros(n, bool)
    for i in range(n_blocks):
        stop = (i + 1) * n // n_blocks
        start = stop - max(1, round(n * fraction / n_blocks))
        valid[start:stop] = True
        lost[max(0, start - shared) : stop + shared] = True
    if lost.all():
        return np.arange(n), np.arange(0)
    return np.flatnonzero(~lost), np.flatnonzero(valid)


def _drawn(n: int, fraction: float, rng: np.random.Generator, labels: np.ndarray | None) -> np.ndarray:
    valid = np.zeros(n, bool)
    labels = np.zeros(n) if labels is None else labels
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        valid[members[: round(len(members) * fraction)]] = True
    if not valid.any():
        valid[rng.integers(n)] = True
    return valid


def _some_groups(groups: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Whole groups in random order, until they have their share."""
    names, members = np.unique(groups, return_inverse=True)
    order = rng.permutation(len(names))
    sizes = np.bincount(members)[order]
    taken = order[: max(1, int(np.searchsorted(sizes.cumsum(), len(groups) * fraction)))]
    return np.isin(members, taken)


def _checked(groups: Any, n: int) -> np.ndarray:
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise InputError(f"one group for each of {n} series", f"shape {groups.shape}", "Correct groups.")
    return groups
