"""Latent coordinates: scaled states as they are, their principal components, an autoencoder's, or the user's own."""

from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from skts.errors import ParameterError
from skts.flowmap.correction import correction
from skts.flowmap.polynomial import BoxedProducts, Monomials, NormalEquations, best_number, degree_for

__all__ = ["Autoencoder", "Coordinates", "LinearCoordinates", "Manifold", "OwnCoordinates", "enough_components"]

_MOST_TERMS, _HIGHEST_DEGREE = 300, 12  # of a manifold's polynomial
_MOST_REST = 24  # principal components that it gives
_RIDGE = 1e-9
_FOLDS, _BLOCK = 5, 4096
_LEFT_OUT = 0.05  # variance that "auto" components may lose in a linear projection


class Coordinates(nn.Module):
    """Base: a scale, and the identity behind it.

    Parameters
    ----------
    n_features : int
        d.
    """

    cheap = True  # whether a decoded state costs no more than one that is interpolated between decoded ones

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def start(self, rows: Tensor, n_fields: int) -> None:
        """Center and scale of the training rows (n, d), one for all features of each field; closed forms."""
        fields = rows.unflatten(1, (n_fields, -1))
        spread, center = fields.std((0, 2), correction=0), fields.mean((0, 2))
        tiny = 1e-9 * rows.abs().max().clamp_min(1e-30)
        size = fields.shape[2]
        self.center.copy_(center.repeat_interleave(size))
        self.scale.copy_(torch.where(spread > tiny, spread, torch.ones_like(spread)).repeat_interleave(size))

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
    """Principal components of the scaled states, around their mean.

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    """

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__(n_features)
        self.register_buffer("basis", torch.eye(n_features, n_components))

    def start(self, rows: Tensor, n_fields: int) -> None:
        """The leading right singular vectors of scaled training rows."""
        super().start(rows, n_fields)
        self.center.copy_(rows.mean(0))
        self.basis.copy_(self.directions(rows)[:, : self.basis.shape[1]])

    def directions(self, rows: Tensor) -> Tensor:
        """All right singular vectors of scaled rows, the leading first."""
        z = self.scaled(rows).double()
        vectors = torch.linalg.eigh(z.T @ z)[1].flip(1)
        return vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()  # the same on every machine

    def encode(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.scaled(x) @ self.basis

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        return super().decode(z @ self.basis.T)


class Manifold(LinearCoordinates):
    r"""Leading principal components, and what they leave as a polynomial of them.

    .. math::

        x = \mu + \sigma (V z + \bar V W \varphi(z))

    :math:`\bar V` are the next principal components. A linear projection knows where a state is on a curved surface,
    but not the surface; of a system whose other directions soon follow a few slow ones, a polynomial does.

    R. Geelen, S. Wright, K. Willcox: Operator inference for non-intrusive model reduction with quadratic manifolds,
    Computer Methods in Applied Mechanics and Engineering 403, 2023, https://arxiv.org/abs/2205.02304 (there of degree
    two).

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    """

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__(n_features, n_components)
        degree = degree_for(n_components, _MOST_TERMS, _HIGHEST_DEGREE)
        n_rest = min(_MOST_REST, n_features - n_components)
        self.terms = BoxedProducts(n_components, degree)
        self.register_buffer("rest_basis", torch.zeros(n_features, n_rest))
        self.register_buffer("W", torch.zeros(Monomials.count(n_components, degree), n_rest))
        self.register_buffer("n_used", torch.ones((), dtype=torch.long))

    def start(self, rows: Tensor, n_fields: int) -> None:
        """The polynomial of the degree that says most of every fifth row from the others."""
        super().start(rows, n_fields)
        n_components, n_rest = self.basis.shape[1], self.W.shape[1]
        self.rest_basis.copy_(self.directions(rows)[:, n_components : n_components + n_rest])
        scaled = self.scaled(rows)
        z, rest = scaled @ self.basis, scaled @ self.rest_basis
        self.terms.fit(z)
        folds = [self._equations(z[k::_FOLDS], rest[k::_FOLDS]) for k in range(min(_FOLDS, len(rows)))]
        n = best_number(folds, None, self.terms.products.sizes, _RIDGE)
        self.W.zero_()
        self.W[:n] = sum(folds[1:], folds[0]).first(n).solution(_RIDGE).to(self.W.dtype)
        self.n_used.fill_(n)

    def _equations(self, z: Tensor, rest: Tensor) -> NormalEquations:
        blocks = zip(z.split(_BLOCK), rest.split(_BLOCK), strict=True)
        return NormalEquations.of((self.terms(some.double()), left) for some, left in blocks)

    def decode(self, z: Tensor) -> Tensor:  # noqa: D102
        n = int(self.n_used)
        rest = self.terms(z, n) @ self.W[:n]
        basis = torch.cat([self.basis, self.rest_basis], 1) * self.scale[:, None]
        return torch.addmm(self.center, torch.cat([z, rest], 1), basis.T)


class Autoencoder(LinearCoordinates):
    """Principal components, and networks that correct them on both ways; untrained it is the projection.

    Parameters
    ----------
    n_features, n_components : int
        d and z.
    hidden : sequence of int
        Widths.
    """

    cheap = False

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

    cheap = False

    def __init__(self, n_features: int, transformer: Any) -> None:
        super().__init__(n_features)
        self.transformer = clone(transformer)

    def start(self, rows: Tensor, n_fields: int) -> None:
        """Fit the transformer."""
        super().start(rows, n_fields)
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
