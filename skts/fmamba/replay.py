"""Which windows an update learns from, and on which ones it is judged: new rows, and old ones beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skts.engine import cut_last_part

__all__ = ["Replay"]


@dataclass(frozen=True)
class Replay:
    """First rows of windows, in all series one after another.

    Parameters
    ----------
    old, new : Tensor
        To learn from. New windows foresee new rows alone; what they see before may be old.
    old_held_out, new_held_out : Tensor
        To judge by: the last part of the old rows and of the new ones.
    """

    old: Tensor
    new: Tensor
    old_held_out: Tensor
    new_held_out: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], n_new: Sequence[int], context: int, horizon: int, held_out: float) -> "Replay":
        """Of series with so many rows each, the last ``n_new`` of which are new."""
        parts: list[list[Tensor]] = [[], [], [], []]
        offset = 0
        for n, new in zip(lengths, n_new, strict=True):
            seen = n - new
            cuts = [0, cut_last_part(seen, held_out, horizon), seen, seen + cut_last_part(new, held_out, horizon), n]
            for part, first, last in zip((0, 2, 1, 3), cuts[:-1], cuts[1:], strict=True):
                # The forecast begins at ``first`` or later, and ends at ``last``.
                start = max(0, first - context)
                parts[part].append(offset + torch.arange(start, max(start, last - context - horizon + 1)))
            offset += n
        return cls(*(torch.cat(found) for found in parts))

    def enough(self) -> bool:
        """Whether every part has a window."""
        return all(len(part) for part in vars(self).values())

    def mixed(self, at_most: int, generator: torch.Generator) -> Tensor:
        """New windows and as many old ones."""
        half = max(1, at_most // 2)
        new = _some(self.new, half, generator)
        return torch.cat([new, _some(self.old, len(new), generator)])


def _some(starts: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """At most ``n`` of them, drawn at random."""
    return starts[torch.randperm(len(starts), generator=generator)[:n].sort().values]
