"""Statistics of scale and shape beside the embedding: quantiles of halves, quarters, ... of three views of a series."""

from collections.abc import Iterator

import numpy as np

from skts.moment.preparation import fill_gaps

__all__ = ["quantile_statistics", "statistic_names"]

_VIEWS = ("value", "step", "spectrum")
_DEPTH = 4  # halvings
_MOST = 16  # quantiles of an interval


def _intervals() -> Iterator[tuple[float, float, int]]:
    """Start and stop as shares of the length, and how many quantiles; shorter intervals have fewer.

    Beside the 2, 4, ... parts of a halving stand those that are shifted by half a part, so that no event lies on a
    border of all.
    """
    for depth in range(_DEPTH + 1):
        n = 2**depth
        count = min(_MOST, 2 ** (_DEPTH + 1 - depth))
        for shift in (0.0, 0.5):
            yield from (((i + shift) / n, (i + 1 + shift) / n, count) for i in range(n if not shift else n - 1))


_INTERVALS = tuple(_intervals())


def quantile_statistics(x: np.ndarray) -> np.ndarray:
    """Quantiles (m, C, W) of series (m, C, T), W = 726 for every T.

    The views are the series as it is, and the steps from one value to the next and the logarithm of the amplitude
    spectrum of the series with mean 0 and standard deviation 1. Gaps are interpolated. A channel without an observed
    value has zeros.
    """
    x = fill_gaps(x.astype(np.float64))
    mean = x.mean(-1, keepdims=True)
    spread = x.std(-1, keepdims=True) + 1e-7 * np.abs(x).max(-1, keepdims=True)  # no noise out of a constant
    z = np.where(spread > 0, (x - mean) / np.where(spread > 0, spread, 1), 0)
    length = x.shape[-1]
    spectrum = np.log1p(np.abs(np.fft.rfft(z, axis=-1)) / np.sqrt(length))
    steps = np.diff(z) if length > 1 else z
    views = (x, steps, spectrum)
    return np.concatenate([_quantiles(view) for view in views], -1).astype(np.float32)


def statistic_names() -> Iterator[str]:
    """Names of the columns of :func:`quantile_statistics`."""
    for view in _VIEWS:
        for start, stop, count in _INTERVALS:
            yield from (f"{view}_{start:g}-{stop:g}_q{100 * q:.3g}" for q in np.linspace(0, 1, count))


def _quantiles(view: np.ndarray) -> np.ndarray:
    length, found = view.shape[-1], []
    for start, stop, count in _INTERVALS:
        first = int(start * length)
        last = max(first + 1, int(np.ceil(stop * length)))
        ordered = np.sort(view[..., first:last], axis=-1)
        at = np.linspace(0, ordered.shape[-1] - 1, count)
        left = np.minimum(at.astype(int), max(ordered.shape[-1] - 2, 0))
        right = np.minimum(left + 1, ordered.shape[-1] - 1)
        found.append(ordered[..., left] + (at - left) * (ordered[..., right] - ordered[..., left]))
    return np.concatenate(found, -1)
