r"""A polynomial flow map, and a residual network for what it leaves.

.. math::

    z_{t+s} = z + \sigma_s W (\varphi(z) \otimes \psi(c)) + \sigma_r g(z, c)
"""

import copy

import torch
from torch import Tensor, nn

from skts.flowmap.correction import correction
from skts.flowmap.polynomial import least_squares
from skts.flowmap.polynomial_map import PolynomialMap
from skts.flowmap.steppers import Steps

__all__ = ["ResMLP"]

# Beyond two variables high degrees run away between the trajectories of a measured pendulum.
_HIGHEST_DEGREE = {1: 12, 2: 12}
_USUAL_DEGREE = 5
_RIDGE = 1e-8


class ResMLP(PolynomialMap):
    r"""Polynomial by least squares, and a network for what it leaves.

    :math:`\sigma_r` is the spread of what the polynomial leaves.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    hidden : sequence of int
        Widths of g.
    """

    def __init__(self, step: int, n_state: int, n_context: int, hidden: tuple[int, ...]) -> None:
        n = n_state + n_context
        super().__init__(step, n_state, n_context, _HIGHEST_DEGREE.get(n_state, _USUAL_DEGREE))
        # SiLU is so close to a parabola around zero that it learns nothing of what a cubic polynomial leaves.
        self.g = correction([n, *hidden, n_state], nn.GELU)
        self.register_buffer("center", torch.zeros(n))
        self.register_buffer("spread", torch.ones(n))

    def start(self, train: Steps, held_out: Steps) -> None:
        """The polynomial, and units of the network's inputs."""
        nn.init.zeros_(self.g[-1].weight)
        super().start(train, held_out)
        inputs = torch.cat(train[:2], 1)
        spread = inputs.std(0, correction=0)
        self.center.copy_(inputs.mean(0))
        self.spread.copy_(torch.where(spread > 1e-6 * inputs.abs().amax(0), spread, torch.ones_like(spread)))

    def finish(self, train: Steps) -> None:
        """Polynomial and last layer together by least squares: gradients stop short of what these features can do."""
        n, body = int(self.n_used), copy.deepcopy(self.g[:-1]).double()
        coef = least_squares(self._blocks(train, lambda x: body((x - self.center) / self.spread)), _RIDGE)
        self.W[:n] = coef[:n].to(self.W.dtype)
        self.g[-1].weight.copy_((coef[n:] * (self.increment / self.rest)).T)
        self.g[-1].bias.zero_()  # the polynomial has a constant

    def widen(self, train: Steps) -> None:
        """Let the polynomial see as far as new states are, and solve for its coefficients and the last layer."""
        self.see(train)
        self.finish(train)
        rest = self._left(train).maximum(self.rest)
        self.g[-1].weight.mul_((self.rest / rest)[:, None])  # the same map in the units of what is left to learn
        self.rest.copy_(rest)
        self.unit.copy_(rest.square().mean().sqrt())

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        z = self.of_state.nearest(z)
        x = (torch.cat([z, c], -1) - self.center) / self.spread
        return z + self.change(z, c) + self.rest * self.g(x)
