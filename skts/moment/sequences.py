"""All sequences of a panel in one row of tokens, from which training batches are cut without padding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from skts.moment.packing import Group, Pack, pack_spans
from skts.moment.panel import Panel
from skts.moment.preparation import Recipe

__all__ = ["Picked", "Sequences", "SeriesBatches"]


@dataclass(frozen=True)
class Picked:
    """The sequences of some series.

    Parameters
    ----------
    pack : Pack
        Their tokens, shortest sequences first.
    steps : Tensor of bool (K, 8)
        Steps that were observed.
    place : Tensor of int64 (S,)
        Of each sequence: the number of its series among those picked, times C, plus its channel.
    weight : Tensor of shape (S,)
        Of each sequence among those of its series and channel: the windows of a long series.
    """

    pack: Pack
    steps: Tensor
    place: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Sequences:
    """One sequence for each channel and window of each series, sorted by series.

    Parameters
    ----------
    patches : Tensor of shape (K, 8)
        Normalised values of all tokens.
    steps : Tensor of bool (K, 8)
        Steps that were observed.
    keys : Tensor of bool (K,)
        Patches that others may attend to.
    positions : Tensor of int64 (K,)
        Place of each patch in a full-length series.
    start, length : Tensor of int64 (S,)
        The tokens of each sequence.
    place : Tensor of int64 (S,)
        Number of the series times C plus the channel.
    weight : Tensor of shape (S,)
        See :class:`Picked`.
    first : Tensor of int64 (n + 1,)
        The first sequence of each series.
    n_channels : int
        C.
    """

    patches: Tensor
    steps: Tensor
    keys: Tensor
    positions: Tensor
    start: Tensor
    length: Tensor
    place: Tensor
    weight: Tensor
    first: Tensor
    n_channels: int

    @classmethod
    def of(cls, panel: Panel, recipe: Recipe) -> Self:
        """Every series of the panel, prepared as for its embedding."""
        tokens: list[tuple[Tensor, ...]] = []
        sequences: list[tuple[Tensor, ...]] = []
        channels = np.arange(panel.n_channels)
        for part, series in zip(panel.parts, panel.rows, strict=True):
            places = torch.from_numpy((series[:, None] * panel.n_channels + channels).ravel())
            for window in recipe.for_embedding(part):
                pack, rows, columns = pack_spans(window.patches, window.shown, window.keys, window.first)
                tokens.append((pack.patches, window.steps[rows, columns], window.keys[rows, columns], pack.positions))
                which, length = torch.unique_consecutive(rows, return_counts=True)
                sequences.append((length, places[which], torch.full((len(which),), window.weight)))
        patches, steps, keys, positions = (torch.cat(parts) for parts in zip(*tokens, strict=True))
        length, place, weight = (torch.cat(parts) for parts in zip(*sequences, strict=True))
        start, order = length.cumsum(0) - length, place.argsort(stable=True)
        start, length, place, weight = start[order], length[order], place[order], weight[order]
        first = torch.searchsorted(place, torch.arange(panel.n_series + 1) * panel.n_channels)
        return cls(patches, steps, keys, positions, start, length, place, weight, first, panel.n_channels)

    def pick(self, series: Tensor) -> Picked:
        """The sequences of ``series``."""
        which, owner = _ranges(self.first[series], self.first[series + 1] - self.first[series])
        place = owner * self.n_channels + self.place[which] % self.n_channels
        tokens, _ = _ranges(self.start[which], self.length[which])
        whole = torch.ones(len(which), dtype=torch.long)
        whole.scatter_reduce_(0, _owners(self.length[which]), self.keys[tokens].long(), "amin")
        kind = self.length[which] * 2 + whole
        order = kind.argsort(stable=True)
        which, place, kind = which[order], place[order], kind[order]
        tokens, _ = _ranges(self.start[which], self.length[which])
        groups, stop, keys = [], 0, self.keys[tokens]
        for key, count in zip(*(t.tolist() for t in torch.unique_consecutive(kind, return_counts=True)), strict=True):
            length, unbroken = divmod(key, 2)
            begin, stop = stop, stop + count * length
            groups.append(Group(count, length, None if unbroken else keys[begin:stop].view(count, length)))
        pack = Pack(self.patches[tokens], keys, self.positions[tokens], tuple(groups))
        return Picked(pack, self.steps[tokens], place, self.weight[which])


@dataclass(frozen=True)
class SeriesBatches:
    """Training samples for the engine: whole series, as an objective wants to see them.

    Parameters
    ----------
    sequences : Sequences
        Of all series.
    series : Tensor of int64
        The series that count.
    view : callable
        ``view(picked, series, generator)``: the tensors of a batch.
    seed : int or None
        With a seed, the view of a batch is the same at each pass, as validation needs it.
    """

    sequences: Sequences
    series: Tensor
    view: Callable[[Picked, Tensor, torch.Generator | None], tuple[Any, ...]]
    seed: int | None = None

    def __len__(self) -> int:
        """Number of series."""
        return len(self.series)

    def take(self, index: Tensor) -> tuple[Any, ...]:
        """The batch of the series ``index``."""
        series = self.series[index]
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed + int(index[0]))
        return self.view(self.sequences.pick(series), series, generator)

    def weights(self, index: Tensor) -> None:
        """Series weigh the same."""

    def to(self, device: torch.device) -> Self:
        """Batches move one by one."""
        return self


def _ranges(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers from each start on, and which range each belongs to."""
    owner = _owners(length)
    return torch.arange(len(owner)) + (start - (length.cumsum(0) - length))[owner], owner


def _owners(length: Tensor) -> Tensor:
    return torch.arange(len(length)).repeat_interleave(length)
