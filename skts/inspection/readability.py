"""The measures of a latent space and of its map, with intervals that allow for windows that hang together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from skts.inspection.windows import Windows
from skts.metrics.embedding import (
    cluster_agreement,
    continuity,
    distance_consistency,
    local_continuity,
    neighborhood_hit,
    neighborhood_overlap,
    path_smoothness,
)
from skts.metrics.probes import block_folds, is_factor, probe_predictions

__all__ = ["MEASURES", "Measured", "measure_map", "measure_space"]

_RESAMPLES = 400
_LEVEL = (2.5, 97.5)
_GROUPS = 8  # parts of the series that are left out in turn


class Measured(NamedTuple):
    """A value with its interval.

    Parameters
    ----------
    measure : str
        Which.
    value, low, high : float
        What it is, and the ends of its 95 % interval.
    """

    measure: str
    value: float
    low: float
    high: float


# What a reader should know: which way is better, and what the number says.
MEASURES = {
    "trustworthiness": (
        "higher",
        "Neighbours on the map are neighbours in the embedding. 1 is perfect, chance is 0.5.",
    ),
    "continuity": ("higher", "Neighbours in the embedding stay neighbours on the map. 1 is perfect, chance is 0.5."),
    "local continuity": ("higher", "Share of neighbours that the map keeps, beyond chance. Chance is 0."),
    "neighbourhood hit": ("higher", "Share of a window's neighbours with its label; overlapping windows do not count."),
    "distance consistency": ("higher", "Share of windows that lie nearest to the centre of their own label."),
    "silhouette": ("higher", "How far labels lie apart: 1 apart, 0 on top of each other, below 0 mixed."),
    "Davies-Bouldin": ("lower", "Width of the labels' clouds against their distance. 0 is best."),
    "probe accuracy": ("higher", "Labels that a linear model reads from held-out stretches of the series."),
    "probe R2": ("higher", "Share of the factor's variance that a linear model reads from held-out stretches."),
    "cluster agreement": ("higher", "Whether clusters found without labels are the labels. 1 the same, 0 by chance."),
    "path smoothness": (
        "lower",
        "Step from a window to the next against the distance of any two. 0 smooth, 1 erratic.",
    ),
    "seed stability": ("higher", "Share of neighbours that maps of different seeds have in common."),
}


@dataclass(frozen=True)
class _Scene:
    """What all measures of one set of windows need."""

    windows: Windows
    y: np.ndarray | None
    n_neighbors: int

    @property
    def k(self) -> int:
        """Neighbours: never more than a quarter of the windows."""
        return max(1, min(self.n_neighbors, (len(self.windows) - 1) // 4))

    @property
    def blocks(self) -> np.ndarray:
        """Stretches (n,) of the series whose windows are drawn together."""
        if self.windows.window is None:
            return np.arange(len(self.windows))
        return self.windows.starts // (2 * self.windows.window)

    @property
    def labels(self) -> np.ndarray | None:
        """Labels, where y is one of several and not a factor."""
        if self.y is None or is_factor(self.y) or len(np.unique(self.y)) < 2:
            return None
        return self.y


def measure_space(Z: np.ndarray, windows: Windows, y: np.ndarray | None, n_neighbors: int) -> Iterator[Measured]:
    """Measures of standardised features (n, d)."""
    scene = _Scene(windows, y, n_neighbors)
    yield from _labelled([Z], scene)
    if y is not None and len(np.unique(y)) > 1:
        yield _probe(Z, scene)
    yield from _path([Z], scene)


def measure_map(
    Z: np.ndarray, maps: list[np.ndarray], windows: Windows, y: np.ndarray | None, n_neighbors: int
) -> Iterator[Measured]:
    """Measures of maps (n, 2) of the same features, one for each seed."""
    scene = _Scene(windows, y, n_neighbors)
    k, blocks = scene.k, scene.blocks
    for name, each in (
        ("trustworthiness", lambda m: continuity(m, Z, k, per_sample=True)),  # the same with both swapped
        ("continuity", lambda m: continuity(Z, m, k, per_sample=True)),
        ("local continuity", lambda m: local_continuity(Z, m, k, per_sample=True)),
    ):
        yield _mean_of(name, [each(m) for m in maps], blocks)
    yield from _labelled(maps, scene)
    yield from _path(maps, scene)
    if len(maps) > 1:
        pairs = [neighborhood_overlap(a, b, k, per_sample=True) for a, b in combinations(maps, 2)]
        yield _mean_of("seed stability", pairs, blocks)


def _labelled(spaces: list[np.ndarray], scene: _Scene) -> Iterator[Measured]:
    from sklearn.metrics import davies_bouldin_score, silhouette_samples

    y, blocks = scene.labels, scene.blocks
    if y is None:
        return
    series = {} if scene.windows.window is None else {"starts": scene.windows.starts, "window": scene.windows.window}
    hits = [neighborhood_hit(m, y, scene.k, **series, per_sample=True) for m in spaces]
    yield _mean_of("neighbourhood hit", hits, blocks)
    yield _mean_of("distance consistency", [distance_consistency(m, y, per_sample=True) for m in spaces], blocks)
    if len(np.unique(y)) < len(y):
        yield _mean_of("silhouette", [silhouette_samples(m, y) for m in spaces], blocks)
        yield _left_out("Davies-Bouldin", davies_bouldin_score, spaces, y, blocks, (0.0, np.inf))
    yield _left_out("cluster agreement", cluster_agreement, spaces, y, blocks, (-0.5, 1.0))


def _path(spaces: list[np.ndarray], scene: _Scene) -> Iterator[Measured]:
    if scene.windows.window is not None:
        steps = [path_smoothness(m, per_sample=True) for m in spaces]
        yield _mean_of("path smoothness", steps, scene.blocks[:-1])


def _probe(Z: np.ndarray, scene: _Scene) -> Measured:
    windows, y = scene.windows, scene.y
    cv = 5 if windows.window is None else block_folds(windows.starts, windows.window)
    if is_factor(y):
        error, spread = np.square(y - probe_predictions(Z, y, cv=cv)), np.square(y - y.mean())
        value, low, high = _interval(error, scene.blocks, spread)
        return Measured("probe R2", 1 - value, 1 - high, 1 - low)
    right = (probe_predictions(Z, y, cv=cv) == y).astype(np.float64)
    return Measured("probe accuracy", *_interval(right, scene.blocks))


def _mean_of(name: str, values: list[np.ndarray], blocks: np.ndarray) -> Measured:
    return Measured(name, *_interval(np.mean(values, axis=0), blocks))


def _interval(values: np.ndarray, blocks: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float, float]:
    """Sum of values over sum of weights, and its bootstrap interval: whole blocks are drawn."""
    weights = np.ones_like(values) if weights is None else weights
    known = np.isfinite(values)
    code = np.unique(blocks, return_inverse=True)[1]
    above = np.bincount(code, np.where(known, values, 0))
    below = np.bincount(code, np.where(known, weights, 0))
    draws = np.random.default_rng(0).integers(len(above), size=(_RESAMPLES, len(above)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = above[draws].sum(1) / below[draws].sum(1)
        value = float(above.sum() / below.sum())
    low, high = np.nanpercentile(ratios, _LEVEL) if np.isfinite(ratios).any() else (np.nan, np.nan)
    return value, float(low), float(high)


def _left_out(
    name: str,
    score: Callable[[np.ndarray, np.ndarray], float],
    spaces: list[np.ndarray],
    y: np.ndarray,
    blocks: np.ndarray,
    bounds: tuple[float, float],
) -> Measured:
    """A score that is no mean, with a jackknife interval: one part of the blocks is left out at a time."""

    def mean(rows: np.ndarray) -> float:
        return float(np.mean([score(m[rows], y[rows]) for m in spaces]))

    value = mean(np.ones(len(y), dtype=bool))
    code = np.unique(blocks, return_inverse=True)[1]
    part = code * _GROUPS // (code.max() + 1)
    kept = [part != p for p in np.unique(part)]
    rest = np.array([mean(rows) for rows in kept if 1 < len(np.unique(y[rows])) < rows.sum()])
    if len(rest) < 2:
        return Measured(name, value, np.nan, np.nan)
    error = np.sqrt((len(rest) - 1) / len(rest) * np.square(rest - rest.mean()).sum())
    return Measured(name, value, *np.clip([value - 1.96 * error, value + 1.96 * error], *bounds).tolist())
