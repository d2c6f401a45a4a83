r"""Polynomials of a state and their coefficients by regularised least squares: the closed-form part of flow maps."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Monomials", "degree_for", "least_squares"]


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


def degree_for(n_variables: int, most_terms: int, highest: int) -> int:
    """The highest degree of at most ``most_terms`` monomials, at least 1."""
    return max(k for k in range(1, highest + 1) if k == 1 or Monomials.count(n_variables, k) <= most_terms)


def least_squares(rows: Iterable[tuple[Tensor, Tensor]], ridge: float) -> Tensor:
    """Coefficients (n_terms, n_targets) of regularised least squares from blocks of (terms, targets), in float64.

    Terms are brought to unit size first, so that ``ridge`` shrinks them alike.
    """
    gram: Tensor | None = None
    moment: Tensor | None = None
    for terms, targets in rows:
        terms, targets = terms.double(), targets.double()
        gram = terms.T @ terms if gram is None else gram.addmm_(terms.T, terms)
        moment = terms.T @ targets if moment is None else moment.addmm_(terms.T, targets)
    assert gram is not None, "the caller passes at least one block"
    assert moment is not None
    scale = gram.diagonal().clamp_min(1e-300).sqrt()
    scaled = gram / scale[:, None] / scale
    scaled.diagonal().add_(ridge)
    # A solution of least norm where terms repeat each other: Cholesky would fail, elimination would give nonsense.
    return torch.linalg.lstsq(scaled, moment / scale[:, None], driver="gelsd").solution / scale[:, None]
