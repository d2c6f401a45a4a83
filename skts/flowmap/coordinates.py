"""Latent coordinates: scaled states as they are, their principal components, or an autoencoder's."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Autoencoder", "Coordinates", "LinearCoordinates", "enough_components"]

_LEFT_OUT = 0.05  # variance that "auto" components may lose in a linear projection


class Coordinates(nn.Module):
    """Base: a scale, and the identity behind it.

    Parameters
    ----------
    n_features : int
        d.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def fit_scale(self, rows: Tensor, common: bool) -> None:
        """Center and scale of the training rows (n, d); one for all features of a field (``common``)."""
        spread = rows.std(correction=0) if common else rows.std(0, correction=0)
        center = rows.mean() if common else rows.mean(0)
        tiny = 1e-9 * rows.abs().max().clamp_min(1e-30)
        self.center.copy_(center.expand_as(self.center))
        self.scale.copy_(torch.where(spread > tiny, spread, torch.ones_like(spread)).expand_as(self.scale))

    def scaled(self, x: Tensor) -> Tensor:
        """States in units of the training data's spread."""
        return (x - self.center) / self.scale

    def encode(self, x: Tensor) -> Tensor:  # (B, d) -> (B, z)
        """Latent coordinates."""
        return self.scaled(x)

    def decode(self, z: Tensor) -> Tensor:  # (B, z) -> (B, d)
        """States of latent coordinates."""
        return z * self.scale + self.center


class LinearCoordinates(Coordinates):
    """Principal components of the scaled states.

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    """

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__(n_features)
        self.register_buffer("basis", torch.eye(n_features, n_components))

    def fit_basis(self, rows: Tensor) -> None:
        """The leading right singular vectors of scaled training rows."""
        z = self.scaled(rows).double()
        _, vectors = torch.linalg.eigh(z.T @ z)
        basis = vectors.flip(1)[:, : self.basis.shape[1]]
        sign = basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()  # the same on every machine
        self.basis.copy_(basis * sign)

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.scaled(x) @ self.basis

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return super().decode(z @ self.basis.T)


class Autoencoder(Coordinates):
    """A multilayer perceptron to the coordinates, and its mirror image back.

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    hidden : sequence of int
        Widths.
    """

    def __init__(self, n_features: int, n_components: int, hidden: tuple[int, ...]) -> None:
        super().__init__(n_features)
        self.encoder = _mlp([n_features, *hidden, n_components])
        self.decoder = _mlp([n_components, *reversed(hidden), n_features])

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.encoder(self.scaled(x))

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return super().decode(self.decoder(z))

    def reconstruction_loss(self, x: Tensor) -> Tensor:  # (B,)
        """Mean squared error in scaled units."""
        scaled = self.scaled(x)
        return (self.decoder(self.encoder(scaled)) - scaled).square().mean(-1)


def _mlp(widths: list[int]) -> nn.Sequential:
    layers: list[Any] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def enough_components(scaled: np.ndarray) -> int:
    """The least number of principal components that leave at most 5 % of the variance of scaled rows, at least 2."""
    variance = np.linalg.eigvalsh(np.cov(scaled.T, ddof=0).reshape(scaled.shape[1], -1))[::-1].clip(0)
    kept = np.cumsum(variance) / max(variance.sum(), 1e-30)
    return min(scaled.shape[1], max(2, int(np.searchsorted(kept, 1 - _LEFT_OUT)) + 1))
