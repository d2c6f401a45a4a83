r"""Polynomials of a state and their coefficients by regularised least squares: the closed-form part of flow maps."""

import functools
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "BoxedProducts",
    "ChebyshevProducts",
    "Monomials",
    "NormalEquations",
    "best_number",
    "degree_for",
    "least_squares",
]

_AFAR = 1e30
_BEYOND = 1.1  # how far outside of its training range a variable may enter a polynomial, which knows no bounds


class Monomials(nn.Module):
    """All products of up to ``degree`` variables: 1, x_i, x_i x_j with i <= j, ...

    Parameters
    ----------
    n_variables, degree : int
        n and highest number of factors, at least 1.
    """

    def __init__(self, n_variables: int, degree: int) -> None:
        super().__init__()
        self.degree = degree
        # A monomial is one of a degree less times a variable that comes no earlier than its own last one.
        last = np.arange(n_variables)
        for k in range(2, degree + 1):
            parent = np.repeat(np.arange(len(last)), n_variables - last)
            last = np.concatenate([np.arange(i, n_variables) for i in last])
            self.register_buffer(f"parent{k}", torch.from_numpy(parent), persistent=False)
            self.register_buffer(f"factor{k}", torch.from_numpy(last), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B, number of monomials)
        """Their values."""
        powers = [torch.ones_like(x[:, :1]), x]
        for k in range(2, self.degree + 1):
            parent, factor = getattr(self, f"parent{k}"), getattr(self, f"factor{k}")
            powers.append(powers[-1].index_select(1, parent) * x.index_select(1, factor))
        return torch.cat(powers, 1)

    @staticmethod
    def count(n_variables: int, degree: int) -> int:
        """How many there are."""
        return math.comb(n_variables + degree, degree)


class ChebyshevProducts(nn.Module):
    r"""The same polynomials by another basis: products :math:`T_{k_1}(x_1) T_{k_2}(x_2) \cdots` on [-1, 1].

    Monomials of a high degree are so alike that float32 loses their differences; these are not. A lower degree's come
    first.

    Parameters
    ----------
    n_variables, degree : int
        n and highest sum of the k, at least 1.
    """

    def __init__(self, n_variables: int, degree: int) -> None:
        super().__init__()
        depth = min(n_variables, degree)
        # A product of m factors is one of m - 1 times a factor of a variable that comes later.
        level: list[list[tuple[int, int]]] = [[]]  # (variable, k) of each factor
        products = list(level)
        for _ in range(depth):
            level = [
                [*factors, (i, k)]
                for factors in level
                for i in range(factors[-1][0] + 1 if factors else 0, n_variables)
                for k in range(1, degree - sum(k for _, k in factors) + 1)
            ]
            products += level
        products.sort(key=lambda factors: sum(k for _, k in factors))
        # Rows of a table of T_k(x_i), the lower k first; T_0 fills up what has fewer factors.
        rows = [[k * n_variables + i for i, k in factors] for factors in products]
        table = torch.tensor([row + [0] * (depth - len(row)) for row in rows])
        self.register_buffer("factors", table.T.contiguous(), persistent=False)  # (depth, number of products)
        # How many products there are up to each degree.
        self.sizes = [Monomials.count(n_variables, k) for k in range(degree + 1)]

    def forward(self, x: Tensor, n: int | None = None) -> Tensor:  # (B, n_variables) -> (B, number of products)
        """Their values, or those of the first n."""
        x = x.T.contiguous()  # many states lie side by side: a factor is one stretch of memory
        powers, twice = [torch.ones_like(x), x], 2 * x
        for _ in range(2, 1 + bisect_left(self.sizes, n or self.sizes[-1])):
            powers.append((twice * powers[-1]).sub_(powers[-2]))
        table = torch.cat(powers)
        found, *others = (table.index_select(0, rows) for rows in self.factors[:, :n])
        for factor in others:
            found *= factor
        return found.T


class BoxedProducts(nn.Module):
    """Products of Chebyshev polynomials in the box that is filled by data; outside they stay what they are at its edge.

    Parameters
    ----------
    n_variables, degree : int
        n and highest sum of degrees, at least 1.
    """

    def __init__(self, n_variables: int, degree: int) -> None:
        super().__init__()
        self.products = ChebyshevProducts(n_variables, degree)
        self.register_buffer("low", -torch.ones(n_variables))
        self.register_buffer("high", torch.ones(n_variables))
        self.register_buffer("middle", torch.zeros(n_variables))
        self.register_buffer("reach", torch.ones(n_variables))  # half of the width

    def fit(self, x: Tensor) -> None:
        """A box a tenth wider than rows (m, n)."""
        self._span(*_edges(x))

    def widen(self, x: Tensor) -> None:
        """Let rows (m, n) into the box as well."""
        low, high = _edges(x)
        self._span(low.minimum(self.low), high.maximum(self.high))

    def _span(self, low: Tensor, high: Tensor) -> None:
        self.low.copy_(low)
        self.high.copy_(high)
        reach = (high - low) / 2
        # All terms of a variable that never changes are 1: it can say nothing, whatever comes in its place later.
        varies = reach > 1e-6 * high.abs()
        self.middle.copy_(torch.where(varies, (low + high) / 2, -_AFAR))
        self.reach.copy_(torch.where(varies, reach, _AFAR))

    def nearest(self, x: Tensor) -> Tensor:  # (B, n_variables) -> (B, n_variables)
        """The points of the box that lie nearest."""
        return x.clamp(self.low, self.high)

    def forward(self, x: Tensor, n: int | None = None) -> Tensor:  # (B, n_variables) -> (B, number of products)
        """Values of all products, or of the first n."""
        return self.products(((x - self.middle) / self.reach).clamp(-1, 1), n)


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Where rows (m, n) begin and end, and a tenth more."""
    center = x.mean(0)
    return center + _BEYOND * (x.amin(0) - center), center + _BEYOND * (x.amax(0) - center)


def degree_for(n_variables: int, most_terms: int, highest: int) -> int:
    """The highest degree of at most ``most_terms`` monomials, at least 1."""
    return max(k for k in range(1, highest + 1) if k == 1 or Monomials.count(n_variables, k) <= most_terms)


@dataclass(frozen=True)
class NormalEquations:
    """All that least squares have to know of terms and targets.

    Parameters
    ----------
    gram : Tensor of shape (n_terms, n_terms)
        Products of the terms with each other.
    moment : Tensor of shape (n_terms, n_targets)
        Products of the terms with the targets.
    power : float
        Sum of the targets' squares.
    """

    gram: Tensor
    moment: Tensor
    power: float

    @classmethod
    def of(cls, rows: Iterable[tuple[Tensor, Tensor]]) -> Self:
        """Of blocks of (terms, targets), in float64."""
        blocks = ((terms.double(), targets.double()) for terms, targets in rows)
        parts = (cls(x.T @ x, x.T @ y, float(y.square().sum())) for x, y in blocks)
        return functools.reduce(cls.__add__, parts)

    def __add__(self, other: Self) -> Self:
        """Of the rows of both."""
        return type(self)(self.gram + other.gram, self.moment + other.moment, self.power + other.power)

    def first(self, n: int) -> Self:
        """Of the first n terms alone."""
        return type(self)(self.gram[:n, :n], self.moment[:n], self.power)

    def solution(self, ridge: float) -> Tensor:
        """Coefficients (n_terms, n_targets); terms are of unit size first, so that ``ridge`` shrinks them alike."""
        scale = self.gram.diagonal().clamp_min(1e-300).sqrt()
        scaled = self.gram / scale[:, None] / scale
        scaled.diagonal().add_(ridge)
        # A solution of least norm where terms repeat each other: Cholesky would fail, elimination would give nonsense.
        return torch.linalg.lstsq(scaled, self.moment / scale[:, None], driver="gelsd").solution / scale[:, None]

    def error(self, coef: Tensor) -> float:
        """Sum of squares that coefficients leave, at least what rounding leaves of it."""
        left = self.power - 2 * float((coef * self.moment).sum()) + float((coef * (self.gram @ coef)).sum())
        return max(left, 1e-12 * self.power, 1e-300)


def least_squares(rows: Iterable[tuple[Tensor, Tensor]], ridge: float) -> Tensor:
    """Coefficients (n_terms, n_targets) of regularised least squares from blocks of (terms, targets), in float64."""
    return NormalEquations.of(rows).solution(ridge)


def best_number(
    folds: Sequence[NormalEquations], held_out: NormalEquations | None, n_terms: Sequence[int], ridge: float
) -> int:
    """The n_terms whose polynomials say most of folds, and of held-out rows if there are any, that they have not seen.

    Errors are compared by their logarithms: a held-out trajectory of a kind that no other one shows would else decide
    alone, and for a low degree.
    """
    everything = functools.reduce(NormalEquations.__add__, folds)

    def error(n: int) -> float:
        errors = [] if held_out is None else [held_out.first(n).error(everything.first(n).solution(ridge))]
        for k, fold in enumerate(folds if len(folds) > 1 else ()):
            others = functools.reduce(NormalEquations.__add__, [f for j, f in enumerate(folds) if j != k])
            errors.append(fold.first(n).error(others.first(n).solution(ridge)))
        return sum(map(math.log, errors))

    return min(n_terms, key=error)
