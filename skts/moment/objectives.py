"""What training makes small: errors of hidden patches, confusion of two views of a series, or errors of a target."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.moment.module import MomentNet
from skts.moment.packing import Group, Pack
from skts.moment.preparation import PATCH
from skts.moment.readout import Readout
from skts.moment.revin import EPSILON, standardise
from skts.moment.sequences import Picked

__all__ = ["Contrast", "Masking", "Probe", "Supervision", "contrastive_loss", "masked_loss", "supervised_loss"]


class Masking:
    """Hides a share of the patches of each sequence; the network sees the others, normalised by themselves.

    Parameters
    ----------
    ratio : float
        Share of the patches that are hidden, at least one and never all; a single patch is shown, and is the target.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def __call__(self, picked: Picked, series: Tensor, generator: torch.Generator | None) -> tuple[Any, ...]:
        """The pack as the network sees it, and what the squared error of each step (K, 8) counts."""
        pack, owner = picked.pack, picked.pack.owners
        hidden = torch.cat([self._hidden(group, generator).flatten() for group in pack.groups])
        n = len(picked.place)
        count, alone = torch.zeros(n), torch.ones(n, dtype=torch.bool)
        visible = picked.steps & ~hidden[:, None]
        count.index_add_(0, owner, visible.sum(1).float()).clamp_min_(1)
        values = torch.where(visible, pack.patches, 0)
        mean = (torch.zeros(n).index_add_(0, owner, values.sum(1)) / count)[owner, None]
        square = torch.where(visible, (pack.patches - mean).square(), 0)
        scale = ((torch.zeros(n).index_add_(0, owner, square.sum(1)) / count).sqrt() + EPSILON)[owner, None]
        alone[owner[hidden]] = False
        counted = picked.steps & (hidden | alone[owner])[:, None]
        seen = Pack((pack.patches - mean) / scale, pack.shown & ~hidden, pack.positions, pack.groups)
        # An error in units of the whole series: a series that shows only what is flat would weigh without bound.
        return seen, counted * scale.square() / counted.sum().clamp_min(1)

    def _hidden(self, group: Group, generator: torch.Generator | None) -> Tensor:
        keys = torch.ones(group.n_rows, group.length, dtype=torch.bool) if group.keys is None else group.keys
        n_keys = keys.sum(1)
        n_hidden = torch.minimum((n_keys * self.ratio).long().clamp_min(1), n_keys - 1)
        rank = torch.rand(keys.shape, generator=generator).masked_fill(~keys, 2).argsort(1).argsort(1)
        return rank < n_hidden[:, None]


def masked_loss(net: MomentNet, pack: Pack, factor: Tensor) -> Tensor:
    """Mean squared error of the hidden steps, in units of the variance of their series."""
    return (factor * (net.reconstruct(pack).float() - pack.patches).square()).sum()


class Contrast:
    """Two views of each sequence: crops of equal length, with noise.

    Parameters
    ----------
    late : bool
        Whether short sequences keep the last positions.
    shortest : float, default=0.5
        Share of a sequence that a crop keeps at least.
    noise : float, default=0.1
        In standard deviations of the series.
    """

    def __init__(self, late: bool, shortest: float = 0.5, noise: float = 0.1) -> None:
        self.late, self.shortest, self.noise = late, shortest, noise

    def __call__(self, picked: Picked, series: Tensor, generator: torch.Generator | None) -> tuple[Any, ...]:
        """Two packs with the same sequences in the same order."""
        views: tuple[list[Pack], list[Pack]] = ([], [])
        start = 0
        for group in picked.pack.groups:
            stop = start + group.n_rows * group.length
            share = self.shortest + (1 - self.shortest) * float(torch.rand(1, generator=generator))
            n_patches = max(1, math.ceil(group.length * share))
            for packs in views:
                packs.append(self._crop(picked, group, slice(start, stop), n_patches, generator))
            start = stop
        return Pack.joined(views[0]), Pack.joined(views[1])

    def _crop(
        self, picked: Picked, group: Group, tokens: slice, n_patches: int, generator: torch.Generator | None
    ) -> Pack:
        rows, steps = group.n_rows, n_patches * PATCH
        x = picked.pack.patches[tokens].reshape(rows, -1)
        seen = picked.steps[tokens].reshape(rows, -1)
        begin = (torch.rand(rows, 1, generator=generator) * (x.shape[1] - steps + 1)).long()
        at = begin + torch.arange(steps)
        x, seen = x.gather(1, at), seen.gather(1, at)
        seen = seen | ~seen.any(1, keepdim=True)  # a crop of a gap is what the gap was filled with
        z, _, _ = standardise(x + self.noise * torch.randn(x.shape, generator=generator), seen)
        keys = seen.view(rows, n_patches, PATCH).any(2)
        positions = picked.pack.positions[tokens].view(rows, -1)
        positions = positions[:, -n_patches:] if self.late else positions[:, :n_patches]
        whole = Group(rows, n_patches, None if bool(keys.all()) else keys)
        return Pack(z.view(-1, PATCH), keys.flatten(), positions.flatten(), (whole,))


def contrastive_loss(probe: "Probe", one: Pack, other: Pack, temperature: float = 0.1) -> Tensor:
    """Cross entropy of finding the other view of a sequence among those of all (InfoNCE)."""
    a, b = (F.normalize(probe.head(probe.pooled(pack)).float(), dim=1) for pack in (one, other))
    logits = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class Supervision:
    """The target of each series beside its sequences.

    Parameters
    ----------
    target : Tensor
        Of all series, first axis = series.
    """

    def __init__(self, target: Tensor) -> None:
        self.target = target

    def __call__(self, picked: Picked, series: Tensor, generator: torch.Generator | None) -> tuple[Any, ...]:
        """Pack, the place and weight of its sequences, and the target."""
        return picked.pack, picked.place, picked.weight, self.target[series]


class Probe(nn.Module):
    """The network with a head on the features that a user will see.

    Parameters
    ----------
    net : MomentNet
        Trained in place.
    readout : Readout
        From tokens to features of a sequence.
    head : nn.Module
        On them.
    n_channels : int
        C.
    concat : bool
        Channels side by side, or their mean.
    """

    def __init__(self, net: MomentNet, readout: Readout, head: nn.Module, n_channels: int, concat: bool) -> None:
        super().__init__()
        self.net, self.readout, self.head = net, readout, head
        self.n_channels, self.concat = n_channels, concat

    def pooled(self, pack: Pack) -> Tensor:
        """Features (S, W) of all sequences of a pack."""
        return self.readout.pool(self.net(pack, self.readout.layers), pack.groups, pack.positions)

    def features(self, pack: Pack, place: Tensor, weight: Tensor, n_series: int) -> Tensor:
        """Features (B, W), or (B, C * W), of series: what ``transform`` gives, without what stands beside it."""
        pooled = self.pooled(pack)
        total = pooled.new_zeros(n_series * self.n_channels).index_add(0, place, weight)
        mean = pooled.new_zeros(len(total), pooled.shape[1]).index_add(0, place, pooled * weight[:, None])
        mean = (mean / total.clamp_min(1e-9)[:, None]).view(n_series, self.n_channels, -1)
        if self.concat:
            return mean.flatten(1)
        seen = (total > 0).view(n_series, -1, 1)
        return (mean * seen).sum(1) / seen.sum(1).clamp_min(1)

    def forward(self, pack: Pack, place: Tensor, weight: Tensor, n_series: int) -> Tensor:
        """Outputs of the head."""
        return self.head(self.features(pack, place, weight, n_series))


def supervised_loss(probe: Probe, pack: Pack, place: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of classes, or squared error of numbers."""
    found = probe(pack, place, weight, len(target)).float()
    if target.ndim == 1:
        return F.cross_entropy(found, target, reduction="none")
    return (found - target).square().mean(1)
