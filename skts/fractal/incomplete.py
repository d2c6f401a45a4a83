"""Normal distributions and both steps of expectation-maximisation where numbers are missing.

With the covariance S of a component and the numbers o that a row has, what is missing is expected at
mu + S_.o S_oo^-1 (x_o - mu_o), and S - S_.o S_oo^-1 S_o. is left of the covariance. S_oo^-1 is the same for all rows in
which the same numbers are missing.

Z. Ghahramani, M. I. Jordan: Supervised learning from incomplete data via an EM approach, NIPS 6, 1993,
https://proceedings.neurips.cc/paper/1993/hash/f2201f5191c4e92cc5af043eebfd0946-Abstract.html.
"""

import math

import numpy as np

from skts.fractal.numbers import Numbers

__all__ = ["IncompleteNumbers", "numbers_of"]

_MOST_WORK = 1_000_000_000  # patterns of missing numbers x d^3: beyond, a missing number counts as the mean


def numbers_of(X: np.ndarray, full: bool) -> Numbers:
    """Rows (n, d) of standardised numbers, NaN where missing."""
    gaps = IncompleteNumbers(X, full) if np.isnan(X).any() else None
    affordable = gaps is not None and (not full or len(gaps.patterns) * X.shape[1] ** 3 <= _MOST_WORK)
    return gaps if affordable else Numbers(np.nan_to_num(X), full)


class IncompleteNumbers(Numbers):
    """Rows of standardised numbers of which some are missing.

    Parameters
    ----------
    X : numpy.ndarray of shape (n, d)
        The rows, NaN where missing.
    full : bool
        Whether the numbers of a component depend on each other.
    """

    caution = 0.3  # fewer rows know how two numbers depend on each other

    def __init__(self, X: np.ndarray, full: bool) -> None:
        super().__init__(np.nan_to_num(X), full)
        self.seen = np.isfinite(X)
        self.patterns, pattern_of = np.unique(self.seen, axis=0, return_inverse=True)
        self.pattern_of = pattern_of.ravel()

    def _moments(self) -> None:
        """Those of incomplete rows change from step to step."""

    def _spread(self, R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = np.maximum(R.T @ self.seen, 1e-9)
        mu = (R.T @ self.X) / n
        squares = np.stack([R[:, k] @ np.where(self.seen, self.X - m, 0.0) ** 2 for k, m in enumerate(mu)])
        return mu, squares, n

    def _scatter(self, R: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        K, d = R.shape[1], self.X.shape[1]
        mu, L = before if before is not None else (np.zeros((K, d)), np.eye(d)[None].repeat(K, 0))
        mean, scatter = np.empty((K, d)), np.empty((K, d, d))
        for k in range(K):
            S = L[k] @ L[k].T
            gain = S @ self._inverse(S)[0]
            centred = np.where(self.seen, self.X - mu[k], 0.0)
            x = mu[k] + np.einsum("nij,nj->ni", gain[self.pattern_of], centred)
            mean[k] = R[:, k] @ x / max(R[:, k].sum(), 1e-9)
            rows = np.bincount(self.pattern_of, weights=R[:, k], minlength=len(self.patterns))
            left = R[:, k].sum() * S - np.einsum("u,uij->ij", rows, gain) @ S
            scatter[k] = (x - mean[k]).T @ ((x - mean[k]) * R[:, k, None]) + (left + left.T) / 2
        return mean, scatter

    def log_prob(self, mu: np.ndarray, L: np.ndarray) -> np.ndarray:
        """Log-densities (n, K) of what is there within the components."""
        const = -0.5 * math.log(2 * math.pi) * self.seen.sum(1)
        out = np.empty((len(self.X), len(mu)))
        for k in range(len(mu)):
            centred = np.where(self.seen, self.X - mu[k], 0.0)
            if not self.full:
                out[:, k] = const - self.seen @ np.log(L[k]) - 0.5 * ((centred / L[k]) ** 2).sum(1)
                continue
            precision, log_det = self._inverse(L[k] @ L[k].T)
            square = np.einsum("ni,nij,nj->n", centred, precision[self.pattern_of], centred, optimize=True)
            out[:, k] = const - 0.5 * (log_det[self.pattern_of] + square)
        return out

    def _inverse(self, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each pattern the inverse of S among what is there (U, d, d), 0 elsewhere, and its log-determinant."""
        both = self.patterns[:, :, None] & self.patterns[:, None]
        alone = np.eye(len(S)) * ~self.patterns[:, None]
        among = np.where(both, S, alone)
        return np.linalg.inv(among) - alone, np.linalg.slogdet(among)[1]
