"""All that is given for a series: the embedding, that of its differences, and statistics."""

from dataclasses import dataclass

import numpy as np

from skts.moment.batching import Runner
from skts.moment.panel import Panel
from skts.moment.readout import Readout
from skts.moment.statistics import quantile_statistics, statistic_names

__all__ = ["Features", "mean_of_channels"]


@dataclass(frozen=True)
class Features:
    """All that is given for a series.

    Parameters
    ----------
    readout : Readout
        Of the network.
    channels : {"mean", "concat", "separate"}
        What becomes of the channels.
    scale, differences : bool
        Statistics of the series, and the embedding of its differences, beside the embedding.
    """

    readout: Readout
    channels: str
    scale: bool
    differences: bool

    def of(self, panel: Panel, runner: Runner) -> np.ndarray:
        """Features (n, W), or (n, C, W) of separate channels."""
        features, seen = runner.embed(panel, self.readout)  # (n, C, W), (n, C)
        beside = []
        if self.differences:
            beside.append(runner.embed(panel.mapped(_differences), self.readout)[0])
        if self.scale:
            beside.append(_in_order(panel, [quantile_statistics(part) for part in panel.parts]))
        if beside:
            features = np.concatenate([features, *beside], 2)
        if self.channels == "separate":
            return features
        if self.channels == "concat":
            return features.reshape(len(features), -1)
        return mean_of_channels(features, seen)

    def names(self, n_channels: int) -> list[str]:
        """Names of the features."""
        names = self.readout.names()
        if self.differences:
            names += [f"diff_{name}" for name in names]
        if self.scale:
            names += list(statistic_names())
        if self.channels == "concat":
            names = [f"channel{c}_{name}" for c in range(n_channels) for name in names]
        return names


def mean_of_channels(features: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Features (n, W) of the channels (n, C, W) that are ``seen`` (n, C)."""
    return (features * seen[..., None]).sum(1) / np.maximum(seen.sum(1, keepdims=True), 1).astype(np.float32)


def _differences(x: np.ndarray) -> np.ndarray:
    """From each step to the next, of the same length; the first is 0."""
    return np.diff(x.astype(np.float64), axis=-1, prepend=x[..., :1])


def _in_order(panel: Panel, parts: list[np.ndarray]) -> np.ndarray:
    """Rows of all parts in the order of the input."""
    whole = np.empty((panel.n_series, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for rows, part in zip(panel.rows, parts, strict=True):
        whole[rows] = part
    return whole
