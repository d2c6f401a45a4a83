r"""Operator inference: a quadratic differential equation by least squares.

.. math::

    \dot z = a + A z + H (z \otimes z) + B c

B. Peherstorfer, K. Willcox: Data-driven operator inference for nonintrusive projection-based model reduction, Computer
Methods in Applied Mechanics and Engineering 306, 2016, https://doi.org/10.1016/j.cma.2016.03.025.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from skts.flowmap.polynomial import Monomials, least_squares
from skts.flowmap.steppers import Stepper

__all__ = ["QuadraticODE"]

_SUBSTEPS = 4  # of Runge-Kutta for each sample: fields have modes that decay much faster than they are sampled
_DIFFERENCES = (-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0)  # over 60 dt: central differences of sixth order


class QuadraticODE(Stepper):
    """Integrated by Runge-Kutta over the step.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    dt : float
        Time between samples.
    """

    def __init__(self, step: int, n_state: int, n_context: int, dt: float) -> None:
        super().__init__(step, n_state, n_context)
        self.dt = dt
        self.monomials = Monomials(n_state, 2)
        n_terms = Monomials.count(n_state, 2) + n_context
        self.register_buffer("coef", torch.zeros(n_terms, n_state, dtype=torch.float64))

    def terms(self, z: Tensor, c: Tensor) -> Tensor:  # (B, z), (B, c) -> (B, number of terms)
        """1, z, products of z, c."""
        return torch.cat([self.monomials(z), c], 1)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        kind, z, c = z.dtype, z.double(), c.double()
        h, coef = self.dt / _SUBSTEPS, self.coef.double()
        for _ in range(self.step * _SUBSTEPS):
            k1 = self.terms(z, c) @ coef
            k2 = self.terms(z + h / 2 * k1, c) @ coef
            k3 = self.terms(z + h / 2 * k2, c) @ coef
            k4 = self.terms(z + h * k3, c) @ coef
            z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return z.to(kind)

    def fit(self, pieces: list[tuple[Tensor, Tensor]], ridge: float) -> None:
        """Regularised least squares on the differences of pieces (states, context) of at least eight samples."""
        weights = torch.tensor(_DIFFERENCES, dtype=torch.float64) / (60 * self.dt)

        def blocks() -> Iterator[tuple[Tensor, Tensor]]:
            for states, context in pieces:
                if len(states) >= 8:
                    z = states.double()
                    slope = sum(w * z[k : len(z) - 6 + k] for k, w in enumerate(weights))
                    yield self.terms(z[3:-3], context[3:-3].double()), slope

        if any(len(states) >= 8 for states, _ in pieces):
            self.coef.copy_(least_squares(blocks(), ridge))
