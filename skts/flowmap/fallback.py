"""The user's solver makes the steps that flow maps cannot, until its state is one that they know again."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skts.flowmap.module import FlowMap
from skts.flowmap.solving import solver_path

__all__ = ["Fallback"]


class Fallback:
    """What the solver has made so far.

    States are kept whole: coordinates lose what lies off the surface that they describe.

    Parameters
    ----------
    module : FlowMap
        The fitted model.
    solver : callable
        ``solver(x, dt, n)`` for states (k, d) gives (k, n + 1, d).
    x0 : Tensor of shape (n_traj, d)
        Starts.
    unknown : Tensor of shape (n_traj,)
        Which of them coordinates and flow maps do not know.
    n_samples : int
        Times that a step may reach.
    """

    def __init__(
        self, module: FlowMap, solver: Callable[..., Any], x0: Tensor, unknown: Tensor, n_samples: int
    ) -> None:
        self.module, self.solver = module, solver
        self.made = torch.zeros(len(x0), n_samples, dtype=torch.bool, device=x0.device)
        self.unknown = torch.zeros_like(self.made)
        self.unknown[:, 0] = unknown
        self.x0 = x0
        self._whole: Tensor | None = None  # (n_traj, n_samples, d), once the solver has been asked

    def step(self, size: int, z: Tensor, moved: Tensor, rows: Tensor, at: Tensor, ask: Tensor) -> Tensor:
        """Latent states ``moved`` one step after z, by the solver where ``ask`` is true or it has been there already.

        ``rows`` and ``at`` (k,) are the trajectory and the sample of each of the states z (k, z).
        """
        after = at + size
        self._solve(size, z, rows, at, ask & ~self.made[rows, after])
        known = self.made[rows, after]
        if not bool(known.any()):
            return moved
        assert self._whole is not None, "the solver has made some"
        moved = moved.clone()
        moved[known] = self.module.coordinates.encode(self._whole[rows[known], after[known]])
        return moved

    def _solve(self, size: int, z: Tensor, rows: Tensor, at: Tensor, ask: Tensor) -> None:
        if not bool(ask.any()):
            return
        if self._whole is None:
            self._whole = self.x0.new_zeros(*self.made.shape, self.x0.shape[1])
            self._whole[:, 0] = self.x0
        rows, at = rows[ask], at[ask]
        has_whole = (self.made[rows, at] | (at == 0))[:, None]
        start = torch.where(has_whole, self._whole[rows, at], self.module.coordinates.decode(z[ask]))
        path = solver_path(self.solver, start, self.module.dt, size)
        where = rows[:, None], at[:, None] + torch.arange(1, size + 1, device=at.device)
        self._whole[where], self.made[where] = path, True
        self.unknown[where] = self.module.unknown(path.flatten(0, 1)).view(len(rows), size)

    def fill_in(self, x: Tensor) -> Tensor:  # (n_traj, n + 1, d) -> (n_traj, n + 1, d)
        """States at all samples, the starts and those of the solver in their places."""
        assert self._whole is not None, "the caller asks whether the solver has made some"
        n = x.shape[1]
        found = torch.where(self.made[:, :n, None], self._whole[:, :n], x)
        found[:, 0] = self.x0
        return found

    def by_solver(self, wanted: Tensor) -> Tensor:  # (k,) -> (n_traj, k)
        """Whether the solver has made the state at each wanted sample, or at the next one after it."""
        return self.made[:, wanted.ceil().long()]
