"""The error that decides: rollouts from held-out states, clipped, as far as anything can be foreseen."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from skts.flowmap.module import FlowMap
from skts.flowmap.simulation import Simulation
from skts.flowmap.trajectories import StepWindows

__all__ = ["Judge", "best_of"]

_WINDOWS = 48
_HORIZON = 40  # of the longest steps
_MOST_MULTIPLES = 200  # of a step, where it is judged by itself
_FORESEEN = 0.5  # error at which a state is no longer foreseen; twice as far is judged


class Judge:
    """Simulates from held-out states and compares with what followed.

    Parameters
    ----------
    pieces : list of (Tensor, Tensor)
        Held-out states (n_times, d) and context (n_times, c).
    longest_step : int
        Of all step sizes.
    """

    def __init__(self, pieces: list[tuple[Tensor, Tensor]], longest_step: int) -> None:
        longest = max(len(states) for states, _ in pieces)
        self.horizon = max(1, min(3 * (longest - 1) // 4, _HORIZON * longest_step))
        windows = StepWindows.of(pieces, 1, self.horizon).thinned(_WINDOWS)
        self.can_judge = len(windows) > 0
        if self.can_judge:
            self.states, context = windows.take(torch.arange(len(windows)))
            self.summed = torch.cat([torch.zeros_like(context[:, :1]), context.cumsum(1)], 1)
            rows = torch.cat([x for x, _ in pieces])
            self.unit = rows.std(0, correction=0).square().mean().sqrt().clamp_min(1e-12)

    @torch.no_grad()
    def curve(self, module: FlowMap, steps: Sequence[int], every: int | None = None) -> Tensor:  # -> (horizon + 1,)
        """Mean over the windows of the normalised error after each time, or a few hundred multiples, clipped at 1."""
        last = self.horizon if every is None else min(self.horizon, _MOST_MULTIPLES * every)
        simulation, wanted = Simulation(module.eval(), steps, "clip", None), torch.arange(0, last + 1, every or 1)
        found, _ = simulation.run(self.states[:, 0], wanted, self.summed)
        gap = (found - self.states[:, wanted]).square().mean(-1).sqrt() / self.unit
        return torch.nan_to_num(gap, 1.0).clamp_max(1.0).mean(0)

    def error(self, module: FlowMap, steps: Sequence[int], every: int | None = None) -> float:
        """Mean of the curve."""
        return float(self.curve(module, steps, every).mean())

    def shorten(self, module: FlowMap, sets: Sequence[Sequence[int]]) -> None:
        """Judge no further than twice the time at which the best of these sets no longer foresees anything."""
        far = 0
        for steps in sets:
            lost = (self.curve(module, steps) > _FORESEEN).nonzero()
            far = max(far, int(lost[0]) if len(lost) else self.horizon)
        self.horizon = max(1, min(self.horizon, 2 * far))
        self.states, self.summed = self.states[:, : self.horizon + 1], self.summed[:, : self.horizon + 1]


def best_of(tried: Sequence[Any], pieces: list[tuple[Tensor, Tensor]]) -> Any:
    """The best of (model, ..., training), all judged over one horizon: each training has shortened its own."""
    judge = Judge(pieces, max(max(training.steps) for *_, training in tried))
    if len(tried) == 1 or not judge.can_judge:
        return tried[0]
    return min(tried, key=lambda row: judge.error(row[0], row[-1].selected))
