"""Tokens of many sequences one after another: padding is never computed, and every patch keeps its position."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

__all__ = ["Group", "Pack", "pack_dense", "pack_spans"]


@dataclass(frozen=True)
class Group:
    """Consecutive sequences of equal length.

    Parameters
    ----------
    n_rows, length : int
        Sequences, and patches of each.
    keys : Tensor of bool (n_rows, length), optional
        Patches that others may attend to; all where None.
    """

    n_rows: int
    length: int
    keys: Tensor | None = None


@dataclass(frozen=True)
class Pack:
    """One batch of the network: K tokens in groups of sequences of equal length.

    Parameters
    ----------
    patches : Tensor of shape (K, P)
        Normalised values.
    shown : Tensor of bool (K,)
        Patches whose values the network sees; the others carry the mask token.
    positions : Tensor of int64 (K,)
        Place of each patch among the patches of a full-length series.
    groups : tuple of Group
        How the tokens fall into sequences.
    """

    patches: Tensor
    shown: Tensor
    positions: Tensor
    groups: tuple[Group, ...]

    @property
    def owners(self) -> Tensor:
        """The sequence of each token, (K,)."""
        lengths = torch.tensor([g.length for g in self.groups], device=self.positions.device)
        lengths = lengths.repeat_interleave(torch.tensor([g.n_rows for g in self.groups], device=lengths.device))
        return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """The same on ``device``."""
        if self.patches.device == device:
            return self
        groups = tuple(g if g.keys is None else replace(g, keys=g.keys.to(device)) for g in self.groups)
        return replace(
            self,
            patches=self.patches.to(device),
            shown=self.shown.to(device),
            positions=self.positions.to(device),
            groups=groups,
        )

    @classmethod
    def joined(cls, packs: Sequence["Pack"]) -> "Pack":
        """All tokens of several packs."""
        if len(packs) == 1:
            return packs[0]
        return cls(
            torch.cat([p.patches for p in packs]),
            torch.cat([p.shown for p in packs]),
            torch.cat([p.positions for p in packs]),
            tuple(group for p in packs for group in p.groups),
        )


def pack_dense(patches: Tensor, shown: Tensor, keys: Tensor, first: int = 0) -> Pack:
    """One group of all sequences, padding included: what the network would compute without packing.

    Parameters
    ----------
    patches : Tensor of shape (S, N, P)
        Normalised values.
    shown, keys : Tensor of bool (S, N)
        See :class:`Pack` and :class:`Group`.
    first : int, default=0
        Position of the first patch.
    """
    n_rows, length, _ = patches.shape
    positions = torch.arange(first, first + length, device=patches.device).repeat(n_rows)
    group = Group(n_rows, length, None if bool(keys.all()) else keys)
    return Pack(patches.flatten(0, 1), shown.flatten(), positions, (group,))


def pack_spans(patches: Tensor, shown: Tensor, keys: Tensor, first: int = 0) -> tuple[Pack, Tensor, Tensor]:
    """Drop what no patch may attend to before the first and after the last key of each sequence.

    A masked key has weight 0 in every attention, so the other tokens do not change. Gaps inside of a sequence stay,
    masked.

    Parameters
    ----------
    patches : Tensor of shape (S, N, P)
        Normalised values.
    shown, keys : Tensor of bool (S, N)
        See :class:`Pack` and :class:`Group`.
    first : int, default=0
        Position of the first patch.

    Returns
    -------
    pack : Pack
        The sequences that have a key, shortest span first.
    rows : Tensor of int64 (K,)
        The sequence of each token.
    columns : Tensor of int64 (K,)
        The patch of each token, from 0.
    """
    length = keys.shape[1]
    start = keys.int().argmax(1)
    stop = length - keys.flip(1).int().argmax(1)
    spans = torch.where(keys.any(1), stop - start, 0)
    whole = spans == keys.sum(1)
    parts: list[tuple[Tensor, Tensor]] = []
    groups: list[Group] = []
    for span in torch.unique(spans).tolist():
        for unbroken in (True, False):
            members = torch.nonzero((spans == span) & (whole == unbroken)).squeeze(1)
            if span == 0 or not len(members):
                continue
            columns = start[members, None] + torch.arange(span)
            rows = members[:, None].expand_as(columns)
            groups.append(Group(len(members), span, None if unbroken else keys[rows, columns]))
            parts.append((rows.flatten(), columns.flatten()))
    empty = torch.empty(0, dtype=torch.long)
    rows = torch.cat([r for r, _ in parts]) if parts else empty
    columns = torch.cat([c for _, c in parts]) if parts else empty
    return Pack(patches[rows, columns], shown[rows, columns], columns + first, tuple(groups)), rows, columns
