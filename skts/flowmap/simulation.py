"""One simulation: a hierarchy of steps under watch, with something to do when a state is no longer known."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skts.errors import DivergenceError
from skts.flowmap.fallback import Fallback
from skts.flowmap.hierarchy import compose, hermite
from skts.flowmap.module import FlowMap
from skts.flowmap.solving import drift

__all__ = ["POLICIES", "Simulation", "Watch"]

POLICIES = ("raise", "warn", "clip", "reproject", "fallback", "nan")
_ONLY_SAY_SO = ("raise", "warn")
_BLOCK = 1024  # states that are decoded at a time: what lies between stays in the cache


@dataclass
class Watch:
    """What the monitors saw of each trajectory.

    Parameters
    ----------
    n_flagged : Tensor of shape (n_traj,)
        Steps whose result was not known.
    first : Tensor of shape (n_traj,)
        Sample of the first of them; -1 where there is none.
    worst : Tensor of shape (n_traj,)
        Largest distance from the training data, over the largest that was known.
    disagreement : Tensor of shape (n_traj,)
        Largest gap between one long step and two of half its size, over the long one's increment; NaN where it was not
        looked for, or no two steps are in that ratio.
    drift : Tensor of shape (n_traj,)
        Largest change of the user's invariant, over the largest that training has shown; NaN without one.
    """

    n_flagged: Tensor
    first: Tensor
    worst: Tensor
    disagreement: Tensor
    drift: Tensor


class Simulation:
    """Advances latent states of many trajectories, and watches them.

    Parameters
    ----------
    module : FlowMap
        The fitted model, in float32 or float64.
    steps : sequence of int
        Step sizes to use.
    on_divergence : str
        One of :data:`POLICIES`.
    solver : callable or None
        ``solver(x, dt, n_steps)`` for states (n, d) gives (n, n_steps + 1, d).
    member : int or None, default=None
        One member of an ensemble alone.
    invariant : callable or None, default=None
        ``invariant(states (n, d))``: a number of each state that a trajectory keeps.
    dtype : dtype or None, default=None
        Of the states that come out where that saves a conversion; None is that of the starts.
    """

    def __init__(
        self,
        module: FlowMap,
        steps: Sequence[int],
        on_divergence: str,
        solver: Callable[..., Any] | None,
        member: int | None = None,
        invariant: Callable[..., Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.module, self.steps, self.policy, self.solver = module, sorted(steps), on_divergence, solver
        self.member, self.invariant, self.dtype = member, invariant, dtype

    def run(
        self, x0: Tensor, wanted: Tensor, context_sum: Tensor, compare_scales: bool = False
    ) -> tuple[Tensor, dict[str, np.ndarray]]:
        """States (B, k, d) at the wanted samples (k,), and what was seen on the way.

        ``context_sum`` (B, n + 1, c) holds cumulative sums of controls and parameters. Scales are compared on demand:
        it takes the shorter steps twice.
        """
        B, n = len(x0), int(np.ceil(float(wanted.max())))
        z0 = self.module.coordinates.encode(x0)
        start = self.module.cycle_error(x0)
        self.watch = Watch(
            n_flagged=torch.zeros(B, dtype=torch.long),
            first=torch.full((B,), -1),
            worst=torch.maximum(self.module.distance(z0), start),
            disagreement=torch.full((B,), torch.nan, dtype=x0.dtype),
            drift=torch.full((B,), torch.nan, dtype=x0.dtype),
        )
        unknown = self.module.unknown(x0)
        self._note(unknown, torch.zeros(B, dtype=torch.long))
        self._context, self.fallback = context_sum, None
        if self.policy == "fallback":
            assert self.solver is not None, "checked by the estimator"
            self.fallback = Fallback(self.module, self.solver, x0, unknown, n + max(self.steps) + 1)
        times, states = compose(z0, self.steps, n, self._advance)
        if self.policy in _ONLY_SAY_SO:
            self._watch(times, states)
        if compare_scales:
            self._compare_scales(times, states)
        x = self._interpolated(times, states, wanted)
        if wanted[0] == 0:
            x[:, 0] = x0  # the start is known: not what coordinates make of it
        if self.invariant is not None:
            self._check_invariant(x, wanted)
        self._report(n)
        return x, self._info(times, wanted)

    def _interpolated(self, times: Tensor, states: Tensor, wanted: Tensor) -> Tensor:  # (B, m, z) -> (B, k, d)
        """States at the wanted samples; between those of a solver, which come at every sample, no wider than that."""
        times = times.to(states.device)
        if self.fallback is None or not bool(self.fallback.made.any()):
            return self._between(times, states, wanted)
        dense = torch.arange(int(wanted.max().ceil()) + 1, device=states.device)
        return hermite(dense, self.fallback.fill_in(self._between(times, states, dense.to(wanted))), wanted)

    def _between(self, times: Tensor, states: Tensor, wanted: Tensor) -> Tensor:  # (B, m, z) -> (B, k, d)
        """Decoded states; those between computed ones are interpolated before or after, whichever costs less."""
        if self.module.coordinates.cheap:
            return self._decoded(hermite(times, states, wanted), self.dtype)
        left = torch.searchsorted(times.to(wanted), wanted, right=True) - 1
        near = torch.unique((left[:, None] + torch.arange(-1, 3, device=left.device)).clamp(0, len(times) - 1))
        return hermite(times[near], self._decoded(states[:, near]), wanted)

    def _decoded(self, states: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # (B, m, z) -> (B, m, d)
        rows = states.flatten(0, 1)
        x = rows.new_empty(len(rows), len(self.module.coordinates.center), dtype=dtype)
        for start in range(0, len(rows), _BLOCK):
            x[start : start + _BLOCK] = self.module.coordinates.decode(rows[start : start + _BLOCK])
        return x.unflatten(0, states.shape[:2])

    def _mean_context(self, at: list[int], step: int) -> Tensor:  # -> (B * m, c)
        if not self._context.shape[2]:
            return self._context.new_zeros(len(self._context) * len(at), 0)
        last = self._context.shape[1] - 1
        before = torch.tensor(at, device=self._context.device)
        after, before = (before + step).clamp_max(last), before.clamp_max(last)
        length = (after - before).clamp_min(1)[:, None]
        return ((self._context[:, after] - self._context[:, before]) / length).flatten(0, 1)

    def _advance(self, step: int, z: Tensor, start: list[int]) -> Tensor:
        moved = self.module.step(step, z, self._mean_context(start, step).to(z.dtype), self.member)
        if self.policy in _ONLY_SAY_SO:
            return moved
        distance = self.module.distance(moved)
        unknown = ~(distance <= 1)  # NaN is unknown too
        if self.fallback is None and not bool(unknown.any()):
            return moved
        B = len(self.watch.first)
        rows = torch.arange(B, device=z.device).repeat_interleave(len(start))
        at = torch.tensor(start, device=z.device).repeat(B)
        if bool(unknown.any()):
            self._note_rows(rows[unknown], (at + step)[unknown], distance[unknown])
            moved = self._answer(moved, unknown)
        if self.fallback is not None:
            # Whatever a step makes of a state that coordinates do not hold: the solver has it as it is.
            ask = unknown | self.fallback.unknown[rows, at]
            moved = self.fallback.step(step, z, moved, rows, at, ask)
        return moved

    def _answer(self, moved: Tensor, unknown: Tensor) -> Tensor:
        """What the policy makes of states that are not known."""
        moved = moved.clone()
        if self.policy == "nan":
            moved[unknown] = torch.nan
        elif self.policy == "clip":
            moved[unknown] = self.module.pulled_back(torch.nan_to_num(moved[unknown], 0.0, 1e9, -1e9))
        elif self.policy == "reproject":
            x = self.module.coordinates.decode(torch.nan_to_num(moved[unknown]))
            moved[unknown] = self.module.coordinates.encode(x)
        return moved

    def _watch(self, times: Tensor, states: Tensor) -> None:  # (m,), (B, m, z)
        """Note what is not known, for all steps at once, where nothing is to be done about it."""
        distance = self.module.distance(states[:, 1:]).cpu()
        rows, at = (~(distance <= 1)).nonzero(as_tuple=True)
        self._note_rows(rows, times[1:][at], distance[rows, at])

    # ---- books --------------------------------------------------------------------------------------------------

    def _note(self, flagged: Tensor, at: Tensor) -> None:
        rows = flagged.nonzero()[:, 0].cpu()
        self._note_rows(rows, at[rows], self.watch.worst[rows])

    def _note_rows(self, rows: Tensor, at: Tensor, distance: Tensor) -> None:
        w = self.watch
        rows, at = rows.cpu(), at.cpu()
        w.n_flagged.index_add_(0, rows, torch.ones_like(rows))
        earliest = torch.where(w.first < 0, torch.iinfo(torch.long).max, w.first).scatter_reduce(0, rows, at, "amin")
        w.first = torch.where(earliest == torch.iinfo(torch.long).max, -1, earliest)
        seen = torch.nan_to_num(distance.cpu().to(w.worst.dtype), torch.inf)
        w.worst = w.worst.cpu().scatter_reduce(0, rows, seen, "amax")

    def _compare_scales(self, times: Tensor, states: Tensor) -> None:
        """The largest disagreement of one long step with two of half its size, in units of the long one's increment."""
        place = {int(t): i for i, t in enumerate(times)}
        for half, double in [(s, 2 * s) for s in self.steps if 2 * s in self.steps]:
            starts = [t for t in place if t % double == 0 and t + double in place and t + half in place]
            if not starts:
                continue
            middle = states[:, [place[t + half] for t in starts]].flatten(0, 1)
            context = self._mean_context([t + half for t in starts], half).to(middle.dtype)
            twice = self.module.step(half, middle, context, self.member).view(len(states), len(starts), -1)
            once = states[:, [place[t + double] for t in starts]]
            unit = (once - states[:, [place[t] for t in starts]]).norm(dim=-1).mean().clamp_min(1e-12)
            gap = ((twice - once).norm(dim=-1) / unit).amax(1).cpu()
            self.watch.disagreement = torch.fmax(self.watch.disagreement.cpu(), torch.nan_to_num(gap, torch.inf))

    def _check_invariant(self, x: Tensor, wanted: Tensor) -> None:
        assert self.invariant is not None, "the caller asks"
        change = torch.from_numpy(drift(self.invariant, x.double().cpu().numpy()))
        ratio = torch.nan_to_num(change / self.module.worst_drift.double().cpu(), torch.inf)
        self.watch.drift = ratio.amax(1)
        rows, at = (ratio > 1).nonzero(as_tuple=True)
        self._note_rows(rows, wanted.cpu()[at].floor().long(), torch.zeros(len(rows)))
        if self.policy == "nan":
            gone = (ratio > 1).to(torch.int8).cummax(1).values.bool()
            x[gone.to(x.device)] = torch.nan

    def _report(self, n: int) -> None:
        flagged = int((self.watch.n_flagged > 0).sum())
        if not flagged or self.policy not in ("raise", "warn"):
            return
        first = int(self.watch.first[self.watch.first >= 0].min())
        if self.policy == "raise":
            raise DivergenceError(
                "states within what training has shown",
                f"{flagged} of {len(self.watch.first)} trajectories beyond it, the first at step {first} of {n}",
                "Simulate less far, fit on more data, or pass on_divergence='clip' or 'fallback' with a solver.",
            )
        warnings.warn(
            f"{flagged} of {len(self.watch.first)} trajectories left what training has shown, the first at step "
            f"{first}: do not trust them from there on. on_divergence='clip' or 'fallback' acts on it.",
            stacklevel=4,
        )

    def _info(self, times: Tensor, wanted: Tensor) -> dict[str, np.ndarray]:
        w = self.watch
        none = torch.zeros(len(w.first), len(wanted), dtype=torch.bool)
        return {
            "status": np.where(w.n_flagged.numpy() > 0, "left", "ok"),
            "first_flagged": w.first.numpy(),
            "n_flagged": w.n_flagged.numpy(),
            "range": w.worst.cpu().numpy(),
            "scale_disagreement": w.disagreement.cpu().numpy(),
            "invariant_drift": w.drift.cpu().numpy(),
            "by_solver": (none if self.fallback is None else self.fallback.by_solver(wanted)).cpu().numpy(),
            "computed_steps": times.numpy(),
        }
