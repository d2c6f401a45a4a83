"""Latent coordinates: scaled states as they are, their principal components, an autoencoder's, or the user's own."""

from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from skts.errors import ParameterError
from skts.flowmap.correction import correction

__all__ = ["Autoencoder", "Coordinates", "LinearCoordinates", "OwnCoordinates", "enough_components"]

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

    def start(self, rows: Tensor, common: bool) -> None:
        """Center and scale of the training rows (n, d), one for all features of a field (``common``); closed forms."""
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

    def start(self, rows: Tensor, common: bool) -> None:
        """The leading right singular vectors of scaled training rows."""
        super().start(rows, common)
        z = self.scaled(rows).double()
        _, vectors = torch.linalg.eigh(z.T @ z)
        basis = vectors.flip(1)[:, : self.basis.shape[1]]
        sign = basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()  # the same on every machine
        self.basis.copy_(basis * sign)

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.scaled(x) @ self.basis

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return super().decode(z @ self.basis.T)


class Autoencoder(LinearCoordinates):
    """Principal components, and networks that correct them on both ways; untrained it is the projection.

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    hidden : sequence of int
        Widths.
    """

    def __init__(self, n_features: int, n_components: int, hidden: tuple[int, ...]) -> None:
        super().__init__(n_features, n_components)
        self.encoder = correction([n_features, *hidden, n_components], nn.SiLU)
        self.decoder = correction([n_components, *reversed(hidden), n_features], nn.SiLU)

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().encode(x) + self.encoder(self.scaled(x))

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return super().decode(z) + self.scale * self.decoder(z)

    def reconstruction_loss(self, x: Tensor) -> Tensor:  # (B, d) -> (B,)
        """Mean squared error in scaled units."""
        return ((self.decode(self.encode(x)) - x) / self.scale).square().mean(-1)


class OwnCoordinates(Coordinates):
    """A scikit-learn transformer with ``inverse_transform``, cloned and fitted on the states as they are.

    Parameters
    ----------
    n_features : int
        d.
    transformer : object
        The user's.
    """

    def __init__(self, n_features: int, transformer: Any) -> None:
        super().__init__(n_features)
        self.transformer = clone(transformer)

    def start(self, rows: Tensor, common: bool) -> None:
        """Fit the transformer."""
        super().start(rows, common)
        self.transformer.fit(rows.double().cpu().numpy())

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return self._through(self.transformer.transform, x)

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return self._through(self.transformer.inverse_transform, z)

    @staticmethod
    def _through(call: Any, rows: Tensor) -> Tensor:
        found = np.asarray(call(rows.detach().double().cpu().numpy()))
        if found.ndim != 2 or len(found) != len(rows):
            got = f"shape {found.shape} from {call.__qualname__} for {len(rows)} rows"
            raise ParameterError("coordinates that map (n, d) to (n, z) and back", got, "Correct the transformer.")
        return torch.from_numpy(found).to(rows)


def enough_components(scaled: np.ndarray) -> int:
    """The least number of principal components that leave at most 5 % of the variance of scaled rows, at least 2."""
    variance = np.linalg.eigvalsh(np.cov(scaled.T, ddof=0).reshape(scaled.shape[1], -1))[::-1].clip(0)
    kept = np.cumsum(variance) / max(variance.sum(), 1e-30)
    return min(scaled.shape[1], max(2, int(np.searchsorted(kept, 1 - _LEFT_OUT)) + 1))
