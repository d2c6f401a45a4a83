"""Where each number of a sample stands in the tree: a permutation of its slots and the arities of the levels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skts.errors import ParameterError

__all__ = ["Layout", "lay_out"]

_MOST_CHILDREN = 64  # of a node: beyond, attention among children costs more than another level


@dataclass(frozen=True)
class Layout:
    """A k-ary tree over the D slots of a sample.

    Parameters
    ----------
    kind : {"table", "series", "image"}
        What the samples are.
    shape : tuple of int
        Shape of one sample.
    arities : tuple of int
        Children of a node, level by level; their product N is at least D.
    order : tuple of int
        Length D: the slots (indices into a flattened sample) as the tree visits them.
    places : tuple of int
        Length D: the leaf, of N, at which each of them stands. Leaves that nothing stands at are never visited.
    repeats : int
        Leaves after which the meaning of a leaf repeats: 1 where all slots are alike (an image with one channel), the
        number of channels where they alternate, N where each slot is a column of its own.
    """

    kind: str
    shape: tuple[int, ...]
    arities: tuple[int, ...]
    order: tuple[int, ...]
    places: tuple[int, ...]
    repeats: int

    @property
    def n_slots(self) -> int:
        """D."""
        return len(self.order)

    @property
    def n_leaves(self) -> int:
        """N."""
        return math.prod(self.arities)

    @property
    def opening_levels(self) -> np.ndarray:
        """For each slot the highest level of which it opens a node (D,): 0 for the children of the root."""
        sizes = np.cumprod(self.arities[::-1])[::-1] // np.asarray(self.arities)
        places = np.asarray(self.places)
        level = np.full(len(places), len(sizes) - 1)
        for i, size in reversed(list(enumerate(sizes))):
            _, first = np.unique(places // size, return_index=True)
            level[first] = i
        return level

    @property
    def blocks(self) -> np.ndarray:
        """For each number of a sample the child of the root that it stands under (*shape), as they are visited."""
        child = np.asarray(self.places) // math.prod(self.arities[1:])
        _, number = np.unique(child, return_inverse=True)  # children under which nothing stands do not count
        return self.restore(number[None])[0]

    def flatten(self, X: np.ndarray) -> np.ndarray:
        """Samples (n, *shape) as rows (n, D) in the tree's order."""
        return X.reshape(len(X), -1)[:, np.asarray(self.order)]

    def restore(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, D) in the tree's order as samples (n, *shape)."""
        out = np.empty_like(rows)
        out[:, np.asarray(self.order)] = rows
        return out.reshape(len(rows), *self.shape)


def lay_out(kind: str, shape: Sequence[int], order: Sequence[int] | None = None, splits: Any = "auto") -> Layout:
    """The tree for samples of a kind and shape.

    Parameters
    ----------
    kind : {"table", "series", "image"}
        What the samples are.
    shape : sequence of int
        (d,), (T, C), (H, W) or (H, W, C).
    order : sequence of int, optional
        Order of the columns of a table.
    splits : "auto" or sequence of int, default="auto"
        Children of a node, level by level. For a series they split time, for an image each is the side of a square of
        children; channels are always the last level.

    Raises
    ------
    ParameterError
        If the splits do not give every slot a leaf.
    """
    shape = tuple(int(s) for s in shape)
    if kind == "image":
        return _image(shape, splits)
    if kind == "series":
        n_times, n_channels = shape
        times = _checked(splits, n_times) if splits != "auto" else _even_splits(n_times)
        arities = (*times, *(_even_splits(n_channels) if n_channels > 1 else ()))
        wide = math.prod(arities) // math.prod(times)
        places = (np.arange(n_times)[:, None] * wide + np.arange(n_channels)).ravel()
        return _layout(kind, shape, arities, np.arange(places.size), places, wide)
    d = shape[0]
    arities = _checked(splits, d) if splits != "auto" else _even_splits(d)
    order = np.arange(d) if order is None else np.asarray(order)
    return _layout(kind, shape, arities, order, np.arange(d), math.prod(arities))


def _layout(kind: str, shape: Any, arities: Any, order: np.ndarray, places: np.ndarray, repeats: int) -> Layout:
    return Layout(kind, shape, tuple(arities), tuple(order.tolist()), tuple(places.tolist()), repeats)


def _even_splits(size: int) -> tuple[int, ...]:
    """Arities of about equal size, as few levels as nodes of at most 16 children allow."""
    levels = max(1, math.ceil(math.log(size, 16) - 1e-9)) if size > 1 else 1
    arities = []
    for left in range(levels, 0, -1):
        k = _nearest_divisor(size, size ** (1 / left))
        arities.append(k)
        size = math.ceil(size / k)
    return tuple(sorted(arities, reverse=True))


def _nearest_divisor(size: int, wanted: float) -> int:
    """A divisor within a third of what is wanted, so that no leaf is empty; else what is wanted, rounded up."""
    near = [k for k in range(1, size + 1) if size % k == 0 and abs(k - wanted) <= wanted / 3]
    return min(near, key=lambda k: abs(k - wanted)) if near else max(1, math.ceil(wanted - 1e-9))


def _checked(splits: Any, size: int) -> tuple[int, ...]:
    arities = tuple(int(k) for k in splits)
    if not arities or min(arities) < 1 or math.prod(arities) < size:
        raise ParameterError(
            f"splits whose product is at least {size}",
            f"splits={list(splits)} with product {math.prod(arities)}",
            "Add a level, raise an entry, or leave splits='auto'.",
        )
    return arities


def _image(shape: tuple[int, ...], splits: Any) -> Layout:
    """Squares within squares, row by row; a side that does not divide is padded on the right and at the bottom."""
    height, width = shape[:2]
    n_channels = shape[2] if len(shape) == 3 else 1
    grids = _grids(height, width) if splits == "auto" else [(int(k), int(k)) for k in splits]
    sides = [math.prod(g[axis] for g in grids) for axis in (0, 1)]
    _checked([sides[0]], height)
    _checked([sides[1]], width)
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    place, rows_left, columns_left = np.zeros_like(row), sides[0], sides[1]
    for high, wide in grids:
        rows_left, columns_left = rows_left // high, columns_left // wide
        child = (row // rows_left) * wide + column // columns_left
        row, column = row % rows_left, column % columns_left
        place = place * (high * wide) + child
    arities = tuple(high * wide for high, wide in grids)
    channels = _even_splits(n_channels) if n_channels > 1 else ()
    deep = math.prod(channels)
    places = (place[..., None] * deep + np.arange(n_channels)).ravel()
    visit = np.argsort(places, kind="stable")
    return _layout("image", shape, (*arities, *channels), visit, places[visit], deep)


def _grids(height: int, width: int) -> list[tuple[int, int]]:
    """Children of a node as rows x columns: small patches of pixels, and squares of patches above them."""
    patch = 2 if max(height, width) <= 8 else 4
    patch_rows, patch_columns = min(patch, height), min(patch, width)
    grids = [(patch_rows, patch_columns)]
    high, wide = math.ceil(height / patch_rows), math.ceil(width / patch_columns)
    while high * wide > _MOST_CHILDREN:
        grids.insert(0, (min(4, high), min(4, wide)))
        high, wide = math.ceil(high / 4), math.ceil(wide / 4)
    return [(high, wide), *grids] if high * wide > 1 else grids
