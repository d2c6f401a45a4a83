"""From tokens to features: pooling over patches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skts.moment.packing import Group

__all__ = ["POOLINGS", "Readout"]

POOLINGS = ("mean", "max", "mean+std", "patches")


@dataclass(frozen=True)
class Readout:
    """What is read of a sequence.

    Parameters
    ----------
    layers : tuple of int
        Blocks, increasing from 0.
    pooling : {"mean", "max", "mean+std", "patches"}
        Over the observed patches; "patches" puts all of them side by side, 0 where one was not observed.
    d_model, n_patches : int
        D, and patches of a full-length series.
    """

    layers: tuple[int, ...]
    pooling: str
    d_model: int
    n_patches: int

    @property
    def width(self) -> int:
        """Features of a sequence."""
        times = {"mean+std": 2, "patches": self.n_patches}.get(self.pooling, 1)
        return len(self.layers) * times * self.d_model

    def names(self) -> list[str]:
        """Names of the features."""
        kinds = {
            "mean+std": ["mean", "std"],
            "patches": [f"patch{i}" for i in range(self.n_patches)],
        }.get(self.pooling, [self.pooling])
        return [f"layer{i}_{kind}_{j}" for i in self.layers for kind in kinds for j in range(self.d_model)]

    def pool(self, tokens: Sequence[Tensor], groups: Sequence[Group], positions: Tensor) -> Tensor:
        """Features (S, width) of the sequences of a pack, in its order, from tokens (K, D) of each layer."""
        return torch.cat([self._pool_layer(h.float(), groups, positions) for h in tokens], 1)

    def _pool_layer(self, h: Tensor, groups: Sequence[Group], positions: Tensor) -> Tensor:
        start, parts = 0, []
        for group in groups:
            stop = start + group.n_rows * group.length
            rows = h[start:stop].view(group.n_rows, group.length, -1)
            parts.append(self._pool_rows(rows, group.keys, positions[start:stop].view(group.n_rows, -1)))
            start = stop
        return torch.cat(parts)

    def _pool_rows(self, h: Tensor, keys: Tensor | None, positions: Tensor) -> Tensor:
        """Features of sequences (R, n, D)."""
        seen = torch.ones(h.shape[:2], dtype=torch.bool, device=h.device) if keys is None else keys
        seen = seen[..., None]
        if self.pooling == "max":
            return h.masked_fill(~seen, -torch.inf).amax(1)
        h = h.masked_fill(~seen, 0)
        if self.pooling == "patches":
            wide = h.new_zeros(len(h), self.n_patches, h.shape[2])
            return wide.scatter(1, positions[..., None].expand_as(h), h).flatten(1)
        count = seen.sum(1)
        mean = h.sum(1) / count
        if self.pooling == "mean":
            return mean
        spread = (h - mean[:, None]).masked_fill(~seen, 0).square().sum(1) / count
        return torch.cat([mean, spread.sqrt()], 1)
