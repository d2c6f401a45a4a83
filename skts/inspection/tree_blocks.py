"""Which child of a tree's root each number of a sample belongs to, from what a fitted model says of its tree."""

import math
from typing import Any

import numpy as np

__all__ = ["root_blocks"]


def root_blocks(estimator: Any) -> np.ndarray:
    """Index (*shape) of the root's child, in the order of the visit.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``layout_``, ``shape_``, ``splits_`` and ``ordering_``, such as FractalSampler.
    """
    shape, splits = tuple(estimator.shape_), list(estimator.splits_)
    if estimator.layout_ == "table":
        place = np.empty(shape[0], dtype=int)
        place[np.asarray(estimator.ordering_)] = np.arange(shape[0])
        return place // math.prod(splits[1:])
    n_channels = shape[-1] if estimator.layout_ == "series" or len(shape) == 3 else 1
    splits = _without_channels(splits, n_channels)
    inner = math.prod(splits[1:])
    if estimator.layout_ == "series":
        return np.broadcast_to((np.arange(shape[0]) // inner)[:, None], shape)
    high, wide = _block_sides(shape[0], shape[1], splits[0], inner)
    row, column = np.meshgrid(np.arange(shape[0]) // high, np.arange(shape[1]) // wide, indexing="ij")
    block = row * (column.max() + 1) + column
    return np.broadcast_to(block.reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape)


def _without_channels(splits: list[int], n_channels: int) -> list[int]:
    """The channels are the last levels: as few as have a leaf for each."""
    deep = 1
    while deep < n_channels:
        deep *= splits[-1]
        splits = splits[:-1]
    return splits


def _block_sides(height: int, width: int, n_blocks: int, area: int) -> tuple[int, int]:
    """Sides of a block, the squarest that cover the image with so many blocks."""
    sides = [(h, area // h) for h in range(1, area + 1) if area % h == 0]
    fits = [(h, w) for h, w in sides if math.ceil(height / h) * math.ceil(width / w) == n_blocks]
    return min(fits or sides, key=lambda side: abs(math.log(side[0] / side[1])))
