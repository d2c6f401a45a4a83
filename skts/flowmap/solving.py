"""What the user knows of the system, asked on states: a solver as a step, and a number that trajectories keep."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skts.errors import InputError

__all__ = ["drift", "solved", "solver_path"]


def solver_path(solver: Callable[..., Any], x: Tensor, dt: float, n: int) -> Tensor:
    """States (B, n, d) after states (B, d), by ``solver(x, dt, n)`` giving (B, n + 1, d).

    Raises
    ------
    InputError
        If the solver gives another shape.
    """
    found = np.asarray(solver(x.double().cpu().numpy(), dt, n))
    expected = (len(x), n + 1, x.shape[1])
    if found.shape != expected or found.dtype.kind not in "fiu":
        got = f"shape {found.shape} and dtype {found.dtype}"
        raise InputError(
            f"solver(x, dt, n) of real numbers of shape {expected}", got, "Return x and n states after it."
        )
    return torch.from_numpy(found[:, 1:].astype(np.float64)).to(x)


def solved(solver: Callable[..., Any], coordinates: Any, x: Tensor, dt: float, n: int) -> Tensor:
    """Latent states (B, z) ``n`` samples after states (B, d)."""
    return coordinates.encode(solver_path(solver, x, dt, n)[:, -1])


def drift(invariant: Callable[..., Any], states: np.ndarray) -> np.ndarray:
    """What ``invariant(states (n, d)) -> (n,)`` changes by from the start of each trajectory (B, n_times, d).

    Raises
    ------
    InputError
        If it gives another number of values.
    """
    B, T, d = states.shape
    value = np.asarray(invariant(states.reshape(-1, d)), dtype=float)
    if value.shape != (B * T,):
        raise InputError(f"invariant(states) of shape {(B * T,)}", f"{value.shape}", "Return one number a state.")
    value = value.reshape(B, T)
    # Rounding of the states is no drift.
    return np.abs(value - value[:, :1]) + 1e-5 * np.abs(value).max()
