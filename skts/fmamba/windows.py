"""Windows that know where in the cycle their forecast begins, all of them or a fresh sample in each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from skts.engine import WindowBatches

__all__ = ["DatedWindows", "ToldWindows"]


@dataclass(frozen=True)
class DatedWindows:
    """Contexts, horizons, and the angle of the first step of each horizon.

    Parameters
    ----------
    windows : WindowBatches
        The windows.
    angles : Tensor of shape (n_rows,)
        Angle in the cycle of every row of all series; NaN where it is unknown.
    stride : int
        Consecutive windows of which one pass takes one.
    sampler : torch.Generator or None
        Draws which; None takes the first.
    """

    windows: WindowBatches
    angles: Tensor
    stride: int = 1
    sampler: torch.Generator | None = None

    @classmethod
    def of(cls, series: Sequence[Any], angles: Sequence[Any], context: int, horizon: int) -> Self:
        """All windows of a list of series (n_rows_i, n_variates) with the angles (n_rows_i,) of their rows."""
        windows = WindowBatches.of(series, context, horizon)
        return cls(windows, torch.cat([torch.as_tensor(a, dtype=torch.float32) for a in angles]))

    def __len__(self) -> int:
        """Number of windows that one pass takes."""
        return -(-len(self.windows) // self.stride)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts (B, L, N), horizons (B, H, N) and angles (B,)."""
        index = index.cpu() * self.stride
        if self.sampler is not None:
            index = index + torch.randint(self.stride, index.shape, generator=self.sampler)
        index = index.clamp_max(len(self.windows) - 1)
        first = self.windows.starts[index] + self.windows.context
        return *self.windows.take(index), self.angles[first.to(self.angles.device)]

    def weights(self, index: Tensor) -> None:
        """Windows weigh the same."""

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self | None]:
        """Hold out the last part in time of each series; see :meth:`~skts.engine.WindowBatches.split`."""
        train, valid = self.windows.split(fraction, generator)
        return replace(self, windows=train), None if valid is None else replace(self, windows=valid)

    def sampled(self, at_most: int, seed: int | None = None) -> Self:
        """About ``at_most`` windows, spread evenly over time; with a seed they are drawn anew in each pass.

        Neighbouring windows share all but one of their steps: a pass over one in four teaches nearly as much.
        """
        stride = max(1, round(len(self.windows) / at_most))
        drawn = stride > 1 and seed is not None
        return replace(self, stride=stride, sampler=torch.Generator().manual_seed(seed) if drawn else None)

    def told_by(self, clock: Any) -> "ToldWindows":
        """The same windows with what a clock reads off them."""
        return ToldWindows(self.windows, self.angles, self.stride, self.sampler, clock)

    def variates(self, columns: slice) -> Self:
        """The same windows of some of the variates."""
        return replace(self, windows=replace(self.windows, rows=self.windows.rows[:, columns]))

    def to(self, device: torch.device) -> Self:
        """The same windows, with their rows resident on ``device`` where they fit."""
        return replace(self, windows=self.windows.to(device))


@dataclass(frozen=True)
class ToldWindows(DatedWindows):
    """Windows without times: the time in the cycle is read off their contexts.

    Parameters
    ----------
    windows, angles, stride, sampler : object
        See :class:`DatedWindows`; the angles are not looked at.
    clock : WindowClock
        ``harmonics(contexts)`` reads.
    """

    clock: Any = None

    def take(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts (B, L, N), horizons (B, H, N) and expected harmonics (B, 2m) of the angles."""
        contexts, targets, _ = super().take(index)
        return contexts, targets, torch.from_numpy(self.clock.harmonics(contexts.cpu().numpy()))
