"""Expectation-maximisation of the mixture on one set of rows.

The codes of a row become one sparse row of indicators (slot, parent's value, value). With it both steps are products of
matrices: log-likelihoods of all components are ``A @ log_table``, expected counts are ``A.T @ responsibilities``. The
same for the numbers of a row is in :mod:`skts.fractal.numbers`; how many components and how much restraint there are
is chosen in :mod:`skts.fractal.search`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings

from skts.fractal.incomplete import IncompleteNumbers, numbers_of
from skts.fractal.numbers import Numbers

__all__ = ["EM", "Restraint", "Shape"]

_PRECISE = 1e-4  # nats for each slot: less gain than that ends the iterations


@dataclass(frozen=True)
class Restraint:
    """What keeps a component from learning its rows by heart.

    Parameters
    ----------
    strength : float
        Rows that the prior of a component counts for.
    reach : int
        Numbers before it that a number depends on within a component.
    """

    strength: float
    reach: int


@dataclass(frozen=True)
class Shape:
    """What a mixture is over; see :class:`~skts.fractal.mixture.Mixture`.

    Parameters
    ----------
    n_values : list of int
        Codes of each slot, 0 for a number.
    n_classes : int
        C.
    parents : list of int
        For each code the one that it depends on within a component, or -1.
    ordinal : numpy.ndarray of bool (codes,)
        Codes whose neighbouring values are alike.
    full : bool
        Whether the numbers of a component depend on each other.
    """

    n_values: list[int]
    n_classes: int
    parents: list[int]
    ordinal: np.ndarray
    full: bool


class EM:
    """One set of rows, and the two steps on it.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, D)
        Codes and numbers, NaN where missing.
    label : numpy.ndarray of shape (n,)
        Classes, C for none.
    weight : numpy.ndarray of shape (n,)
        Weights of the rows.
    shape : Shape
        What the mixture is over.
    """

    def __init__(self, x: np.ndarray, label: np.ndarray, weight: np.ndarray, shape: Shape) -> None:
        n_values = shape.n_values
        self.codes = np.array([s for s, v in enumerate(n_values) if v], dtype=int)
        self.numbers = np.array([s for s, v in enumerate(n_values) if not v], dtype=int)
        self.V = max(1, *n_values)
        self.legal = np.array([[v < n_values[s] for v in range(self.V)] for s in self.codes]).reshape(
            len(self.codes), self.V
        )
        self.parent = np.asarray(shape.parents, dtype=int)
        self.P = self.V + 1 if (self.parent >= 0).any() else 1
        self.n_classes, self.ordinal, self.full = shape.n_classes, shape.ordinal, shape.full
        self.x, self.label, self.weight = x, label, weight
        self.A, self.numeric = self.rows(x)
        self.marginal, _ = self._of_all(self.weight)

    # ---- rows ---------------------------------------------------------------------------------------------------

    def rows(self, x: np.ndarray) -> tuple[sparse.csr_matrix, Numbers]:
        """Indicators of the codes, and the numbers."""
        value = x[:, self.codes]
        seen = np.isfinite(value)
        context = np.full(value.shape, self.P - 1)
        if self.P > 1:
            of = value[:, np.maximum(self.parent, 0)]
            known = np.isfinite(of) & (self.parent >= 0)
            context[known] = of[known]
        row, slot = np.nonzero(seen)
        column = (slot * self.P + context[row, slot]) * self.V + value[row, slot].astype(int)
        shape = (len(x), len(self.codes) * self.P * self.V)
        A = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape)
        return A, numbers_of(x[:, self.numbers].astype(np.float64), self.full)

    def _of_all(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tables of all rows together: of the values (codes, V), and of them given the parent's (codes, P, V)."""
        counts = np.asarray(self.A.T @ weight).reshape(len(self.codes), self.P, self.V)
        marginal = _spread(counts.sum(1) + 0.0, self.ordinal) + 0.5
        marginal = np.where(self.legal, marginal, 0.0)
        marginal = marginal / np.maximum(marginal.sum(-1, keepdims=True), 1e-300)
        table = counts + 2.0 * marginal[:, None]
        table[:, -1] = marginal
        return marginal, table / np.maximum(table.sum(-1, keepdims=True), 1e-300)

    # ---- the two steps ------------------------------------------------------------------------------------------

    def first(self, K: int, rng: np.random.Generator) -> np.ndarray:
        """Responsibilities (n, K) to start from."""
        if K == 1:
            return np.ones((len(self.x), 1))
        simple = self.x - np.nanmean(self.x, axis=0)
        simple = np.nan_to_num(simple / (np.nanstd(self.x, axis=0) + 1e-6))
        kmeans = MiniBatchKMeans(K, n_init=1, batch_size=1024, random_state=int(rng.integers(2**31)))
        cluster = ignore_warnings(category=ConvergenceWarning)(kmeans.fit_predict)(simple)
        R = np.full((len(self.x), K), 0.1 / K)
        R[np.arange(len(R)), cluster] += 0.9
        return R

    def alternate(
        self, R: np.ndarray, restraint: Restraint, n_iterations: int, weight: np.ndarray | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Both steps by turns until the likelihood stands still.

        Parameters
        ----------
        R : numpy.ndarray of shape (n, K)
            Responsibilities to start from.
        restraint : Restraint
            What keeps a component from learning its rows by heart.
        n_iterations : int
            At the most.
        weight : numpy.ndarray of shape (n,), optional
            Other weights of the rows.

        Returns
        -------
        dict of str to numpy.ndarray
            log_prior, log_table, mu, L.
        numpy.ndarray of shape (n, K)
            Responsibilities.
        """
        weight = self.weight if weight is None else weight
        before, of_all, found = -math.inf, self._of_all(weight), None
        once = R.shape[1] == 1 and not isinstance(self.numeric, IncompleteNumbers)
        for _ in range(1 if once else n_iterations):
            found = self._maximise(R * weight[:, None], restraint, of_all, found)
            log_joint = self._log_joint((self.A, self.numeric), self.label, found)
            most = log_joint.max(1)
            R = np.exp(log_joint - most[:, None])
            total = R.sum(1)
            R /= total[:, None]
            log_prob = most + np.log(total)
            now = float(np.average(log_prob, weights=weight)) / self.x.shape[1] if weight.any() else before
            if now - before < _PRECISE:
                break
            before = now
        return found, R

    def _maximise(
        self, R: np.ndarray, restraint: Restraint, of_all: Any, before: dict[str, np.ndarray] | None
    ) -> dict[str, np.ndarray]:
        n = R.sum(0)
        by_class = np.stack([R[self.label == c].sum(0) for c in range(self.n_classes)] or [n * 0])[: self.n_classes]
        prior = np.vstack([by_class + n / n.sum(), n[None]]) + 1e-3
        last = None if before is None else (before["mu"], before["L"])
        mu, L = self.numeric.maximise(R, restraint.strength, restraint.reach, last)
        return {
            "log_prior": np.log(prior / prior.sum(1, keepdims=True)),
            "log_table": self._tables(R, restraint.strength, *of_all),
            "mu": mu,
            "L": L,
        }

    def _tables(self, R: np.ndarray, strength: float, marginal: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Tables (codes, P, K, V): counts, drawn to what the parent and the component say independently."""
        K = R.shape[1]
        counts = np.asarray(self.A.T @ R).reshape(len(self.codes), self.P, self.V, K).transpose(0, 1, 3, 2)
        own = _spread(counts.sum(1), self.ordinal) + strength * marginal[:, None]
        own = own / np.maximum(own.sum(-1, keepdims=True), 1e-300)  # (codes, K, V)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(marginal > 0, 1 / marginal, 0.0)
        back = given[:, :, None] * (own * ratio[:, None])[:, None]
        back = back / np.maximum(back.sum(-1, keepdims=True), 1e-300)
        table = counts + strength * back
        table[:, -1] = own
        table = table / np.maximum(table.sum(-1, keepdims=True), 1e-300)
        with np.errstate(divide="ignore"):
            return np.log(np.where(self.legal[:, None, None], table, 0.0))

    def score(self, rows: Any, label: np.ndarray, found: dict[str, np.ndarray]) -> float:
        """Mean log-likelihood of other :meth:`rows`, nats."""
        return float(logsumexp(self._log_joint(rows, label, found), axis=1).mean())

    def _log_joint(self, rows: Any, label: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
        """Log p(k, x | y) of all rows (n, K)."""
        A, numbers = rows
        out = found["log_prior"][label]
        if len(self.codes):
            table = np.maximum(found["log_table"], -1e3).transpose(0, 1, 3, 2)
            out = out + A @ table.reshape(A.shape[1], -1)
        return out + numbers.log_prob(found["mu"], found["L"]) if len(self.numbers) else out


def _spread(counts: np.ndarray, ordinal: np.ndarray) -> np.ndarray:
    """Counts of ordinals with a part of each given to its neighbours (codes first, values last)."""
    if not ordinal.any() or counts.shape[-1] < 4:
        return counts
    padded = np.concatenate([counts[..., :1], counts, counts[..., -1:]], -1)
    smooth = 0.25 * padded[..., :-2] + 0.5 * padded[..., 1:-1] + 0.25 * padded[..., 2:]
    return np.where(ordinal.reshape(-1, *[1] * (counts.ndim - 1)), smooth, counts)
