"""Trajectories as users have them, and windows of them as steppers learn from: no window crosses a join."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from skts.errors import InputError, InputTypeError

__all__ = ["StepWindows", "as_inputs", "as_trajectories", "split_at_gaps", "split_trajectories"]


def as_trajectories(X: Any, n_features: int | None = None) -> list[np.ndarray]:
    """A list of arrays (n_times_i, d) in float64; NaN may stand where a trajectory is interrupted.

    Parameters
    ----------
    X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
        Two dimensions are one trajectory.
    n_features : int, optional
        d of the fit.

    Returns
    -------
    list of ndarray
        One for each trajectory.

    Raises
    ------
    InputError, InputTypeError
        If it is empty, not numeric, infinite, or of another number of features.
    """
    parts = list(X) if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) == 2 else None
    if parts is None:
        array = np.asarray(X)
        if array.ndim not in (2, 3):
            got = f"shape {array.shape}"
            raise InputError(
                "trajectories (n_traj, n_times, d), a list of (n_times, d), or one (n_times, d)", got, "Reshape X."
            )
        parts = list(array) if array.ndim == 3 else [array]
    arrays = [np.asarray(part) for part in parts]
    for number, array in enumerate(arrays):
        got = f"trajectory {number} of shape {array.shape} and dtype {array.dtype}"
        if array.dtype.kind not in "fiub":
            raise InputTypeError("real numbers", got, "Encode or drop what is no number.")
        if array.ndim != 2 or not array.size or array.shape[1] != (n_features or arrays[0].shape[1]):
            raise InputError(f"trajectories of shape (n_times, {n_features or arrays[0].shape[1]})", got, "Correct X.")
        if np.isinf(array).any():
            raise InputError(
                "finite numbers, or NaN where a record is interrupted", f"{got} with infinity", "Cut it out."
            )
    return [array.astype(np.float64) for array in arrays]


def as_inputs(values: Any, trajectories: Sequence[np.ndarray], name: str) -> list[np.ndarray] | None:
    """Controls (n_times, du) or constant parameters (dp,) of each trajectory, as rows beside its states.

    Raises
    ------
    InputError
        If their numbers or lengths differ from those of the trajectories.
    """
    if values is None:
        return None
    one = len(trajectories) == 1 and np.ndim(values) < 3 and not isinstance(values, list)
    parts = [values] if one else list(values)
    if len(parts) != len(trajectories):
        raise InputError(f"{name} of {len(trajectories)} trajectories", f"{len(parts)}", f"Pass one {name} for each.")
    rows = []
    for number, (part, states) in enumerate(zip(parts, trajectories, strict=True)):
        array = np.asarray(part, dtype=np.float64)
        if array.ndim == (1 if name == "u" else 0):
            array = array[:, None] if name == "u" else array[None]
        if name == "params":
            array = np.broadcast_to(array, (len(states), array.shape[-1]))
        if array.ndim != 2 or len(array) != len(states) or not np.isfinite(array).all():
            got = f"shape {np.shape(part)} for trajectory {number} of {len(states)} time points"
            raise InputError(
                f"finite {name}, a row for each time point of u, one row of params", got, f"Correct {name}."
            )
        rows.append(array)
    return rows


def split_at_gaps(states: np.ndarray, *beside: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Pieces of a trajectory between its NaN rows, with the same rows of what stands beside it."""
    whole = ~np.isnan(states).any(1)
    edges = np.flatnonzero(np.diff(np.r_[False, whole, False]))
    return [
        tuple(a[start:stop] for a in (states, *beside)) for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]


def split_trajectories(pieces: list[Any], fraction: float, generator: torch.Generator) -> tuple[list[Any], list[Any]]:
    """Training and held-out pieces: whole ones where there are several, else the last part of the only one."""
    if fraction <= 0:
        return pieces, []
    if len(pieces) > 1:
        order = torch.randperm(len(pieces), generator=generator).tolist()
        n_valid = min(max(1, round(len(pieces) * fraction)), len(pieces) - 1)
        return [pieces[i] for i in sorted(order[n_valid:])], [pieces[i] for i in sorted(order[:n_valid])]
    (states, context) = pieces[0]
    cut = len(states) - max(1, round(len(states) * fraction))
    return ([(states[:cut], context[:cut])], [(states[cut:], context[cut:])]) if cut > 1 else (pieces, [])


@dataclass(frozen=True)
class StepWindows:
    """Windows (z_t, z_{t+s}, ..., z_{t+ms}) of many trajectories, with the mean context of every step.

    Parameters
    ----------
    states : Tensor of shape (n_rows, z)
        All trajectories one after another.
    context_sum : Tensor of shape (n_rows + 1, c)
        Cumulative sums of controls and parameters.
    starts : Tensor of shape (n_windows,)
        First rows.
    step, n_forward : int
        s and m.
    n_drawn : int or None
        Windows of an epoch, drawn at random; None takes every window once.
    """

    states: Tensor
    context_sum: Tensor
    starts: Tensor
    step: int
    n_forward: int
    n_drawn: int | None = None

    @classmethod
    def of(cls, pieces: list[tuple[Tensor, Tensor]], step: int, n_forward: int, n_drawn: int | None = None) -> Self:
        """All windows of pieces (states, context)."""
        offset, starts = 0, []
        for states, _ in pieces:
            starts.append(torch.arange(offset, offset + max(0, len(states) - step * n_forward)))
            offset += len(states)
        context = torch.cat([c for _, c in pieces])
        summed = torch.cat([torch.zeros(1, context.shape[1]), context.double().cumsum(0)])
        return cls(torch.cat([z for z, _ in pieces]), summed, torch.cat(starts), step, n_forward, n_drawn)

    def __len__(self) -> int:
        """Windows of an epoch."""
        return len(self.starts) if self.n_drawn is None else self.n_drawn

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, m + 1, z) and contexts (B, m, c)."""
        if self.n_drawn is not None:
            index = torch.randint(len(self.starts), (len(index),))
        at = self.starts[index][:, None] + self.step * torch.arange(self.n_forward + 1)
        sums = self.context_sum[at]
        context = (sums[:, 1:] - sums[:, :-1]) / self.step
        return self.states[at], context.to(self.states.dtype)

    def weights(self, index: Tensor) -> None:
        """Windows weigh the same."""

    def to(self, device: torch.device) -> Self:
        """Windows are cut on the CPU and move batch by batch."""
        return self

    def thinned(self, n: int) -> Self:
        """At most n windows, evenly spread, always the same."""
        keep = torch.linspace(0, len(self.starts) - 1, min(n, len(self.starts))).long()
        return replace(self, starts=self.starts[keep], n_drawn=None)
