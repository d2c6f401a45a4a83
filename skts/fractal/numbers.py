"""The numbers of a mixture's components: normal distributions, and both steps of expectation-maximisation on them.

A normal log-density is linear in the moments (1, x_i, x_i x_j) of a row. Where they are few, one product of matrices
gives the log-densities of all components, and another one all expected moments.
"""

import math
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["Numbers"]

_MOST_MOMENTS = 200  # of a row; with more, component by component is faster
_LEAST_VARIANCE = 1e-8  # columns are standardised
_LEAST_SHARE = 1e-8  # of a row in a component, below which it does not count


class Numbers:
    """Rows of standardised numbers.

    Parameters
    ----------
    X : numpy.ndarray of shape (n, d)
        The rows.
    full : bool
        Whether the numbers of a component depend on each other.
    """

    caution = 0.0  # rows for each number, of which the covariance within all components is held to be none

    def __init__(self, X: np.ndarray, full: bool) -> None:
        self.X, self.full = X, full
        self.upper = np.triu_indices(X.shape[1])
        self.moments = self._moments()

    def _moments(self) -> np.ndarray | None:
        """Moments (n, 1 + d + d (d + 1) / 2) of the rows, where they are few."""
        X, (i, j) = self.X, self.upper
        few = self.full and X.shape[1] > 0 and 1 + X.shape[1] + len(i) <= _MOST_MOMENTS
        return np.hstack([np.ones((len(X), 1)), X, X[:, i] * X[:, j]]) if few else None

    # ---- maximisation -------------------------------------------------------------------------------------------

    def maximise(
        self, R: np.ndarray, strength: float, reach: int, before: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means (K, d) and Cholesky factors (K, d, d), or means and deviations (K, d).

        Parameters
        ----------
        R : numpy.ndarray of shape (n, K)
            Responsibilities.
        strength : float
            Rows that the covariance within all components counts for in each; more in many dimensions.
        reach : int
            Numbers before it that a number depends on within a component.
        before : tuple of numpy.ndarray, optional
            What the last step has found; what is missing is expected by it.
        """
        if not self.full:
            mu, squares, n = self._spread(R)
            pooled = squares.sum(0) / n.sum(0) + _LEAST_VARIANCE
            return mu, np.sqrt((squares + strength * pooled) / (n + strength))
        n, d = R.sum(0), self.X.shape[1]
        mu, scatter = self._scatter(R, before)
        pooled = scatter.sum(0) / n.sum()
        pooled *= 1 - self.caution * d / (self.caution * d + n.sum()) * (1 - np.eye(d))
        prior = strength * (d + 8) / 32
        covariance = (scatter + prior * pooled) / (n + prior)[:, None, None]
        covariance[:, np.arange(d), np.arange(d)] += _LEAST_VARIANCE
        return mu, np.linalg.cholesky(covariance) if reach >= d - 1 else _ante_dependent(covariance, reach)

    def _spread(self, R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means, sums of squares about them, and numbers that they are taken over (K, d)."""
        n = np.maximum(R.sum(0), 1e-9)[:, None].repeat(self.X.shape[1], 1)
        mu = (R.T @ self.X) / n
        return mu, np.stack([R[:, k] @ (self.X - m) ** 2 for k, m in enumerate(mu)]), n

    def _scatter(self, R: np.ndarray, before: Any) -> tuple[np.ndarray, np.ndarray]:
        """Means, and sums of squares about them (K, d, d)."""
        if self.moments is not None:
            return self._scatter_by_moments(R)
        mu = (R.T @ self.X) / np.maximum(R.sum(0), 1e-9)[:, None]
        scatter = np.empty((len(mu), *mu.shape[1:] * 2))
        for k, m in enumerate(mu):
            rows = R[:, k] > _LEAST_SHARE
            centred = self.X[rows] - m
            scatter[k] = centred.T @ (centred * R[rows, k, None])
        return mu, scatter

    def _scatter_by_moments(self, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = self.X.shape[1]
        sums = R.T @ self.moments
        mu = sums[:, 1 : d + 1] / np.maximum(sums[:, :1], 1e-9)
        scatter = np.empty((len(mu), d, d))
        i, j = self.upper
        scatter[:, i, j] = scatter[:, j, i] = sums[:, d + 1 :] - sums[:, 1 + i] * mu[:, j]
        return mu, scatter

    # ---- expectation --------------------------------------------------------------------------------------------

    def log_prob(self, mu: np.ndarray, L: np.ndarray) -> np.ndarray:
        """Log-densities (n, K) within the components."""
        log_std = np.log(L.diagonal(axis1=1, axis2=2) if self.full else L).sum(1)
        const = -log_std - 0.5 * mu.shape[1] * math.log(2 * math.pi)
        if self.moments is not None:
            return self.moments @ self._weights(mu, L, const)
        whitened = (
            solve_triangular(s, (self.X - m).T, lower=True) if self.full else (self.X - m).T / s[:, None]
            for m, s in zip(mu, L, strict=True)
        )
        return np.stack([-0.5 * (z**2).sum(0) for z in whitened], 1) + const

    def _weights(self, mu: np.ndarray, L: np.ndarray, const: np.ndarray) -> np.ndarray:
        """What each moment counts for in the log-densities (moments, K)."""
        back = np.linalg.inv(L)
        precision = back.transpose(0, 2, 1) @ back
        slope = np.einsum("kij,kj->ki", precision, mu)
        i, j = self.upper
        curved = -precision[:, i, j] * np.where(i == j, 0.5, 1.0)
        return np.hstack([(const - 0.5 * (slope * mu).sum(1))[:, None], slope, curved]).T


def _ante_dependent(covariance: np.ndarray, reach: int) -> np.ndarray:
    """Cholesky factors (K, d, d) of the nearest covariances in which a number depends on ``reach`` before it alone.

    Row s of the inverse factor holds the regression of number s on those before it, divided by what it leaves over.

    P. J. Bickel, E. Levina: Regularized estimation of large covariance matrices, Annals of Statistics 36, 2008,
    https://doi.org/10.1214/009053607000000758.
    """
    back = np.zeros_like(covariance)
    for s in range(covariance.shape[1]):
        near = slice(max(0, s - reach), s)
        on = covariance[:, near, s]
        slope = np.linalg.solve(covariance[:, near, near], on[..., None])[..., 0]
        std = np.sqrt(np.maximum(covariance[:, s, s] - (slope * on).sum(1), _LEAST_VARIANCE))
        back[:, s, near], back[:, s, s] = -slope / std[:, None], 1 / std
    return np.linalg.inv(back)
