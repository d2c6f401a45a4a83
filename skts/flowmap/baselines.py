"""What is to be beaten: nothing changes, and a linear map."""

import torch
from torch import Tensor

from skts.flowmap.polynomial import Monomials, least_squares
from skts.flowmap.steppers import Stepper, Steps

__all__ = ["LastState", "LinearMap"]

_RIDGE = 1e-9


class LastState(Stepper):
    """Persistence: the state stays as it is.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    """

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        return z


class LinearMap(Stepper):
    """Dynamic mode decomposition: the linear map of least squares from a state to the state a step later.

    P. J. Schmid: Dynamic mode decomposition of numerical and experimental data, Journal of Fluid Mechanics 656, 2010,
    https://doi.org/10.1017/S0022112010001217.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    """

    def __init__(self, step: int, n_state: int, n_context: int) -> None:
        super().__init__(step, n_state, n_context)
        self.terms = Monomials(n_state + n_context, 1)
        self.register_buffer("W", torch.eye(1 + n_state + n_context, n_state))

    def start(self, train: Steps, held_out: Steps) -> None:
        """The map."""
        z, c, after = train
        self.W.copy_(least_squares([(self.terms(torch.cat([z, c], 1).double()), after)], _RIDGE))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        return self.terms(torch.cat([z, c], 1)) @ self.W
