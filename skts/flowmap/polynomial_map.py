r"""A polynomial flow map by least squares.

.. math::

    z_{t+s} = z + \sigma_s W (\varphi(z) \otimes \psi(c))
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skts.flowmap.polynomial import BoxedProducts, Monomials, NormalEquations, best_number, degree_for
from skts.flowmap.steppers import Stepper, Steps

__all__ = ["PolynomialMap"]

_MOST_TERMS = 300  # of state and context each with each; more cost more than a network
_RIDGE = 1e-8
_FOLDS = 5  # every fifth training step is to be foretold by the others
_BLOCK = 4096


class PolynomialMap(Stepper):
    r"""Increments as a polynomial of state and context.

    :math:`\varphi` and :math:`\psi` are products of Chebyshev polynomials, at most 300 with each other,
    :math:`\sigma_s` is the spread of the increments. :math:`\psi` is of the second degree for one control or parameter,
    of the first for several: each term of the state has coefficients of its own for whatever the context may be, so
    that what is learned of one value spoils nothing of another.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    highest : int, default=12
        Highest degree.
    """

    def __init__(self, step: int, n_state: int, n_context: int, highest: int = 12) -> None:
        super().__init__(step, n_state, n_context)
        context_degree = 2 if n_context == 1 else 1
        self.n_beside = Monomials.count(n_context, context_degree) if n_context else 1
        self.of_state = BoxedProducts(n_state, degree_for(n_state, _MOST_TERMS // self.n_beside, highest))
        self.of_context = BoxedProducts(n_context, context_degree) if n_context else None
        self.register_buffer("W", torch.zeros(self.sizes[-1], n_state))
        self.register_buffer("increment", torch.ones(n_state))
        self.register_buffer("rest", torch.ones(n_state))  # spread of what the polynomial leaves
        self.register_buffer("ridge", torch.zeros((), dtype=torch.float64))
        self.register_buffer("n_used", torch.tensor(self.n_beside))

    def start(self, train: Steps, held_out: Steps) -> None:
        """Units, and the degree that is best on steps between those that it has seen, and on held-out ones."""
        self.measure(train)
        folds = [self.equations(tuple(part[k::_FOLDS] for part in train)) for k in range(min(_FOLDS, len(train[0])))]
        beside = self.equations(held_out)
        n = best_number(folds, beside, self.sizes, _RIDGE)
        self.solve(sum(folds[1:], folds[0]).first(n), _RIDGE)
        self.rest.copy_(self._left(train))
        self.unit.copy_(self.rest.square().mean().sqrt())

    def measure(self, train: Steps) -> None:
        """Range of the inputs and unit of the increments; all terms are in use."""
        z, c, after = train
        moved = after - z
        self.of_state.fit(z)
        if self.of_context is not None:
            self.of_context.fit(c)
        self.increment.copy_(moved.std(0, correction=0).clamp_min(1e-6 * z.std(0, correction=0)).clamp_min(1e-12))
        self.n_used.fill_(len(self.W))

    def equations(self, steps: Steps) -> NormalEquations:
        """What least squares have to know of these steps."""
        return NormalEquations.of(self._blocks(steps))

    def solve(self, equations: NormalEquations, ridge: float) -> None:
        """Coefficients of as many terms as the equations have."""
        self.use(equations.solution(ridge))
        self.ridge.fill_(ridge)

    def use(self, coef: Tensor) -> None:  # (number of terms, z)
        """Coefficients of the first terms."""
        self.W.zero_()
        self.W[: len(coef)] = coef.to(self.W.dtype)
        self.n_used.fill_(len(coef))

    def widen(self, train: Steps) -> None:
        """Let the polynomial see as far as new states are, and solve for its coefficients."""
        self.see(train)
        self.solve(self.equations(train), float(self.ridge))

    def _left(self, train: Steps) -> Tensor:
        z, c, after = train
        return (after - self(z, c)).std(0, correction=0).maximum(1e-6 * self.increment)

    def see(self, train: Steps) -> None:
        """Widen the range of the inputs."""
        self.of_state.widen(train[0])
        if self.of_context is not None:
            self.of_context.widen(train[1])

    @property
    def sizes(self) -> list[int]:
        """Number of terms up to each degree of the state."""
        return [self.n_beside * n for n in self.of_state.products.sizes]

    def terms(self, z: Tensor, c: Tensor, n: int) -> Tensor:  # -> (B, n)
        """The first n of them."""
        terms = self.of_state(z, n // self.n_beside)
        return terms if self.of_context is None else (terms[..., None] * self.of_context(c)[:, None]).flatten(1)

    def _blocks(
        self, steps: Steps, hidden: Callable[[Tensor], Tensor] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Terms in use, and what a hidden layer makes of states and context, with scaled increments, in float64."""
        n = int(self.n_used)
        for z, c, after in zip(*(part.split(_BLOCK) for part in steps), strict=True):
            z, c, after = z.double(), c.double(), after.double()
            terms = self.terms(z, c, n)
            terms = terms if hidden is None else torch.cat([terms, hidden(torch.cat([z, c], 1))], 1)
            yield terms, (after - z) / self.increment

    def change(self, z: Tensor, c: Tensor) -> Tensor:
        """What the polynomial adds to a state."""
        n = int(self.n_used)
        return self.increment * (self.terms(z, c, n) @ self.W[:n])

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """From a state outside of the known box it goes on as from its edge, so that none can run away."""
        return self.of_state.nearest(z) + self.change(z, c)
