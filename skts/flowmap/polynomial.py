r"""Polynomials of a state and their coefficients by regularised least squares: the closed-form part of flow maps."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["ChebyshevProducts", "Monomials", "NormalEquations", "best_degree", "degree_for", "least_squares"]


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
        self.degree, self.depth = degree, min(n_variables, degree)
        # A product of m factors is one of m - 1 times a factor of a variable that comes later.
        level = [(-1, 0)]  # last variable, degree
        degrees = [0]
        for m in range(1, self.depth + 1):
            steps = [
                (number, k * n_variables + i, (i, done + k))
                for number, (last, done) in enumerate(level)
                for i in range(last + 1, n_variables)
                for k in range(1, degree - done + 1)
            ]
            level = [found for *_, found in steps]
            degrees += [done for _, done in level]
            self.register_buffer(f"parent{m}", torch.tensor([p for p, *_ in steps]), persistent=False)
            self.register_buffer(f"factor{m}", torch.tensor([f for _, f, _ in steps]), persistent=False)
        order = torch.tensor(degrees).argsort(stable=True)
        self.register_buffer("order", order, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, n) -> (B, number of products)
        """Their values."""
        factors = [torch.ones_like(x), x]
        for _ in range(2, self.degree + 1):
            factors.append(2 * x * factors[-1] - factors[-2])
        table, levels = torch.cat(factors, 1), [torch.ones_like(x[:, :1])]
        for m in range(1, self.depth + 1):
            parent, factor = getattr(self, f"parent{m}"), getattr(self, f"factor{m}")
            levels.append(levels[-1].index_select(1, parent) * table.index_select(1, factor))
        return torch.cat(levels, 1).index_select(1, self.order)


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


def best_degree(
    folds: Sequence[NormalEquations], held_out: NormalEquations, n_variables: int, highest: int, ridge: float
) -> int:
    """The degree whose polynomials say most of folds, and of held-out rows, that they have not seen.

    Errors are compared by their logarithms: a held-out trajectory of a kind that no other one shows would else decide
    alone, and for a low degree.
    """
    everything = functools.reduce(NormalEquations.__add__, folds)

    def error(degree: int) -> float:
        n = Monomials.count(n_variables, degree)
        errors = [held_out.first(n).error(everything.first(n).solution(ridge))]
        for k, fold in enumerate(folds if len(folds) > 1 else ()):
            others = functools.reduce(NormalEquations.__add__, [f for j, f in enumerate(folds) if j != k])
            errors.append(fold.first(n).error(others.first(n).solution(ridge)))
        return sum(map(math.log, errors))

    return min(range(highest + 1), key=error)
