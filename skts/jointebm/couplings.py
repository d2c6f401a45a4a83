r"""Couplings c(y): what the labels of a set say about each other, the same for every x."""

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Cardinality", "Coupling", "LowRank", "Pairwise", "Uncoupled"]

# Couplings have to grow to 5 or 10 where labels exclude each other, potentials seldom do: with this gain one learning
# rate suits both.
_GAIN = 4.0


class Coupling(nn.Module):
    """Base: a function of label sets."""

    from_pseudo_likelihood = True  # whether the pseudo-likelihood is a good start

    def forward(self, Y: Tensor) -> Tensor:  # (..., k) -> (...)
        """c(y)."""
        raise NotImplementedError

    def conditional(self, Y: Tensor) -> Tensor:  # (n, k) -> (n, k)
        """c(y with label i) - c(y without label i): what the other labels add to the log-odds of each."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """Ridge on the couplings."""
        raise NotImplementedError

    def start(self, residual: Tensor) -> None:
        """Start from the residuals (n, k) of labels that were predicted alone."""

    @property
    def matrix(self) -> Tensor | None:
        """U of a coupling y' U y / 2, (k, k); None where the coupling is of another kind."""
        return None


class Uncoupled(Coupling):
    """Labels are independent given x."""

    def forward(self, Y: Tensor) -> Tensor:  # noqa: D102
        return torch.zeros(Y.shape[:-1], device=Y.device)

    def conditional(self, Y: Tensor) -> Tensor:  # noqa: D102
        return torch.zeros_like(Y)

    def penalty(self) -> Tensor:  # noqa: D102
        return torch.zeros(())


class Cardinality(Coupling):
    """A potential for each number of labels.

    Parameters
    ----------
    k : int
        Number of labels.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(k + 1))

    @property
    def potentials(self) -> Tensor:  # (k + 1,)
        """C by the number of labels."""
        return _GAIN * self.weight

    def forward(self, Y: Tensor) -> Tensor:  # noqa: D102
        return self._at(Y.sum(-1))

    def conditional(self, Y: Tensor) -> Tensor:  # noqa: D102
        others = Y.sum(-1, keepdim=True) - Y
        return self._at(others + 1) - self._at(others)

    def _at(self, size: Tensor) -> Tensor:
        """The potential of a number of labels, between whole ones where labels are expectations."""
        below = size.long().clamp(0, len(self.weight) - 1)
        above = (below + 1).clamp_max(len(self.weight) - 1)
        return torch.lerp(self.potentials[below], self.potentials[above], (size - below).to(self.weight.dtype))

    def penalty(self) -> Tensor:
        """Curvature alone: a constant changes nothing, a slope belongs to the labels' own log-odds."""
        return self.potentials.diff(n=2).square().sum()


class Pairwise(Coupling):
    """A symmetric matrix with zero diagonal: y' U y / 2.

    Parameters
    ----------
    k : int
        Number of labels.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(k, k))
        self.weight.no_weight_decay = True  # type: ignore[assignment]

    @property
    def matrix(self) -> Tensor:  # (k, k)
        """U."""
        upper = (_GAIN * self.weight).triu(1)
        return upper + upper.T

    def forward(self, Y: Tensor) -> Tensor:  # noqa: D102
        Y = Y.to(self.weight.dtype)
        return 0.5 * ((Y @ self.matrix) * Y).sum(-1)

    def conditional(self, Y: Tensor) -> Tensor:  # noqa: D102
        return Y @ self.matrix

    def penalty(self) -> Tensor:  # noqa: D102
        return (_GAIN * self.weight).triu(1).square().sum()


class LowRank(Coupling):
    r"""A pairwise coupling of low rank, U = V V' less its diagonal.

    By the Gaussian integral (Hubbard 1959, Stratonovich 1957) it is the same as r latent factors z that push the
    labels: :math:`e^{|V'y|^2 / 2} = \mathbb E_{z \sim N(0, I)} e^{\langle V z, y \rangle}`. Positive semidefinite is no
    loss: the diagonal is free, since y is 0 or 1.

    Parameters
    ----------
    k : int
        Number of labels.
    rank : int
        r.
    """

    def __init__(self, k: int, rank: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(k, min(rank, k)))
        self.weight.no_weight_decay = True  # type: ignore[assignment]

    # A few strong factors fit each label given the others, and give sets that nobody has seen most of the probability.
    from_pseudo_likelihood = False

    @property
    def factors(self) -> Tensor:  # (k, r)
        """V."""
        return _GAIN * self.weight

    @property
    def matrix(self) -> Tensor:  # (k, k)
        """U."""
        U = self.factors @ self.factors.T
        return U - torch.diag(U.diagonal())

    def forward(self, Y: Tensor) -> Tensor:  # noqa: D102
        Y = Y.to(self.weight.dtype)
        return 0.5 * ((Y @ self.factors).square().sum(-1) - Y @ self.factors.square().sum(1))

    def conditional(self, Y: Tensor) -> Tensor:  # noqa: D102
        return (Y @ self.factors) @ self.factors.T - Y * self.factors.square().sum(1)

    def penalty(self) -> Tensor:  # noqa: D102
        return self.factors.square().sum()

    def start(self, residual: Tensor) -> None:
        """The inverse of the residuals' covariance, in its strongest directions above what noise alone would give.

        To first order in the couplings U is minus the inverse covariance off its diagonal (H. J. Kappen, F. B.
        Rodriguez, "Efficient Learning in Boltzmann Machines Using Linear Response Theory", 1998).
        """
        n, k = residual.shape
        spread = residual.std(0, correction=0).clamp_min(0.05)
        value, basis = torch.linalg.eigh((residual / spread).T @ (residual / spread) / n)
        value, basis = value.flip(0)[: self.weight.shape[1]], basis.flip(1)[:, : self.weight.shape[1]]
        noise = (1 + math.sqrt(k / n)) ** 2  # largest eigenvalue of uncorrelated residuals (Marchenko, Pastur 1967)
        signal = (value - noise).clamp_min(0.05)
        with torch.no_grad():
            self.weight.copy_(basis * (signal / (1 + signal)).sqrt() / spread[:, None] / _GAIN)


def make_coupling(name: str, k: int, rank: int) -> Coupling:
    """A coupling by its name."""
    makers: dict[str, Any] = {
        "cardinality": lambda: Cardinality(k),
        "pairwise": lambda: Pairwise(k),
        "lowrank": lambda: LowRank(k, rank),
    }
    return makers.get(name, Uncoupled)()
