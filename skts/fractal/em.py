"""Fitting the mixture by expectation-maximisation, with the number of components chosen on held-out rows.

The codes of a row become one sparse row of indicators (slot, parent's value, value). With it both steps are products of
matrices: log-likelihoods of all components are ``A @ log_table``, expected counts are ``A.T @ responsibilities``.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings

__all__ = ["FittedMixture", "choose_mixture", "parents_of"]

_MOST_ROWS = 20_000  # more rows make the mixture slower, hardly better
_MOST_COVARIANCES = 20_000_000  # entries of all covariances
_MOST_CELLS = 1_000_000  # probabilities that are computed for a row
_MOST_CODES = 4_000_000  # in all of them
_MOST_CONTEXTS = 32  # values of a code that others may depend on
_COMPONENTS = (1, 4, 12, 30, 60, 100)
_STRENGTHS = (0.125, 0.5, 2.0, 8.0, 32.0)  # rows that the prior of a component counts for
_ITERATIONS = 25
_FOLDS = 5
_PRECISE = 1e-4  # nats for each slot: less gain than that ends the iterations


def parents_of(information: np.ndarray, n_values: list[int]) -> list[int]:
    """For each code the code before it that tells most about it, -1 for none; both in the order of the codes.

    C. Chow, C. Liu: Approximating discrete probability distributions with dependence trees, IEEE Transactions on
    Information Theory 14, 1968, https://doi.org/10.1109/TIT.1968.1054142. Here a parent has to stand before its child.
    """
    codes = [s for s, v in enumerate(n_values) if v]
    if not codes or max(n_values) > _MOST_CONTEXTS:
        return [-1] * len(codes)
    parents = []
    for i, slot in enumerate(codes):
        best = int(np.argmax(information[slot, codes[:i]])) if i else -1
        parents.append(best if best >= 0 and information[slot, codes[best]] > 0 else -1)
    return parents


@dataclass
class FittedMixture:
    """Numbers of a fitted mixture, as :class:`~skts.fractal.mixture.Mixture` has them, and how well it does.

    Parameters
    ----------
    buffers : dict of str to numpy.ndarray
        log_prior, log_table, mu, L.
    score : float
        Mean log-likelihood of the held-out rows, nats.
    strength : float
        Rows that the prior of a component counts for.
    responsibilities : numpy.ndarray of shape (rows of the fit, K)
        Probabilities of the components.
    held_out_buffers : tuple of dict
        The same mixture without a part of the rows each: what it says of those rows is not learned by heart.
    fold : numpy.ndarray of shape (n,)
        Which of them has not seen a row; their number where none has.
    log_marginal : numpy.ndarray of shape (codes, V)
        Frequencies of the values of all rows.
    """

    buffers: dict[str, np.ndarray]
    score: float
    strength: float
    responsibilities: np.ndarray
    held_out_buffers: tuple[dict[str, np.ndarray], ...] = ()
    fold: np.ndarray | None = None
    log_marginal: np.ndarray | None = None

    @property
    def n_components(self) -> int:
        """K."""
        return self.buffers["log_prior"].shape[1]


def choose_mixture(
    x: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray | None,
    n_values: list[int],
    n_classes: int,
    parents: list[int],
    ordinal: np.ndarray,
    n_components: int | str,
    full: bool,
    held_out: np.ndarray,
    seed: int,
) -> FittedMixture:
    """The mixture with the best held-out likelihood; components are added as long as they help.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, D)
        Codes and numbers, NaN where missing.
    label : numpy.ndarray of shape (n,)
        Classes, C for none.
    weight : numpy.ndarray of shape (n,) or None
        Weights of the rows.
    n_values, n_classes, parents
        See :class:`~skts.fractal.mixture.Mixture`.
    ordinal : numpy.ndarray of shape (codes,)
        Codes whose neighbouring values are alike.
    n_components : int or "auto"
        K.
    full : bool
        Whether the numbers of a component depend on each other.
    held_out : numpy.ndarray of bool (n,)
        Rows that judge and are not fitted.
    seed : int
        Seed of the first responsibilities.
    """
    rng = np.random.default_rng(seed)
    fit = np.flatnonzero(~held_out)
    most = min(_MOST_ROWS, max(1000, _MOST_CODES // x.shape[1]))
    if len(fit) > most:
        fit = np.sort(rng.choice(fit, most, replace=False))
    judge = np.flatnonzero(held_out)[:most] if held_out.any() else fit
    em = _EM(x[fit], label[fit], None if weight is None else weight[fit], n_values, n_classes, parents, ordinal, full)
    judged = em.rows(x[judge]), label[judge]
    if n_components != "auto":
        ladder: tuple[int, ...] = (min(int(n_components), len(fit)),)
    else:
        numbers, cells = max(1, len(em.numbers)), max(1, len(em.codes)) * em.V
        most = min(len(fit) // 8, _MOST_COVARIANCES // numbers**2, _MOST_CELLS // cells)
        ladder = tuple(k for k in _COMPONENTS if k <= max(1, most))
    best = None
    for k in ladder:
        found = em.fit(k, _STRENGTHS[-2], judged, rng)
        if best is not None and found.score <= best.score:
            break
        best = found
    for way in (_STRENGTHS[-3::-1], _STRENGTHS[-1:]):  # weaker as long as that helps, else stronger
        for strength in way:
            found = em.fit(best.n_components, strength, judged, rng)
            if found.score <= best.score:
                break
            best = found
        if best.strength < _STRENGTHS[-2]:
            break
    with np.errstate(divide="ignore"):
        log_marginal = np.log(em.marginal)
    return replace(_cross_fitted(em, best, fit, len(x), rng), log_marginal=log_marginal)


def _cross_fitted(em: "_EM", best: FittedMixture, fit: np.ndarray, n: int, rng: np.random.Generator) -> FittedMixture:
    """The mixture once more without a part of the rows, for each part."""
    folds = _FOLDS if len(fit) >= 2 * _FOLDS else 0
    of_row = rng.permutation(np.arange(len(fit)) % max(1, folds))
    held_out = tuple(em.without(of_row == f, best, rng) for f in range(folds))
    fold = np.full(n, folds)
    fold[fit] = of_row if folds else 0
    return replace(best, held_out_buffers=held_out, fold=fold)


class _EM:
    """One set of rows, and the two steps on it."""

    def __init__(
        self,
        x: np.ndarray,
        label: np.ndarray,
        weight: np.ndarray | None,
        n_values: list[int],
        n_classes: int,
        parents: list[int],
        ordinal: np.ndarray,
        full: bool,
    ) -> None:
        self.codes = np.array([s for s, v in enumerate(n_values) if v], dtype=int)
        self.numbers = np.array([s for s, v in enumerate(n_values) if not v], dtype=int)
        self.V = max(1, *n_values)
        self.legal = np.array([[v < n_values[s] for v in range(self.V)] for s in self.codes]).reshape(
            len(self.codes), self.V
        )
        self.parent = np.asarray(parents, dtype=int)
        self.P = self.V + 1 if (self.parent >= 0).any() else 1
        self.n_classes, self.ordinal, self.full = n_classes, ordinal, full
        self.weight = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=np.float64)
        self.label = label
        self.x = x
        self.A, self.numeric = self.rows(x)
        self.marginal, _ = self._of_all(self.weight)

    # ---- rows ---------------------------------------------------------------------------------------------------

    def rows(self, x: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Indicators of the codes, and the numbers with their means where missing."""
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
        return A, np.nan_to_num(x[:, self.numbers].astype(np.float64))

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

    def fit(self, K: int, strength: float, judged: Any, rng: np.random.Generator) -> FittedMixture:
        """Alternate until the likelihood stands still."""
        found, R = self._alternate(self._first(K, rng), self.weight, strength, _ITERATIONS)
        rows, label = judged
        score = float(logsumexp(self._log_joint(rows, label, found), axis=1).mean())
        return FittedMixture(found, score, strength, R)

    def without(self, rows: np.ndarray, best: FittedMixture, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The mixture from the other rows alone.

        The network moves the components of a number, so there they have to correspond to those of all rows, and
        start from their responsibilities. For codes it sees what the mixture says as a whole, and a fresh start
        remembers nothing of the rows that are left out.
        """
        weight = np.where(rows, 0.0, self.weight)
        first = best.responsibilities if len(self.numbers) else self._first(best.n_components, rng)
        return self._alternate(first, weight, best.strength, _ITERATIONS)[0]

    def _alternate(
        self, R: np.ndarray, weight: np.ndarray, strength: float, n_iterations: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        before, of_all = -math.inf, self._of_all(weight)
        for _ in range(n_iterations if R.shape[1] > 1 else 1):
            found = self._maximise(R * weight[:, None], strength, of_all)
            log_joint = self._log_joint((self.A, self.numeric), self.label, found)
            total = logsumexp(log_joint, axis=1, keepdims=True)
            R = np.exp(log_joint - total)
            now = float(np.average(total[:, 0], weights=weight)) / self.x.shape[1] if weight.any() else before
            if now - before < _PRECISE:
                break
            before = now
        return found, R

    def _first(self, K: int, rng: np.random.Generator) -> np.ndarray:
        if K == 1:
            return np.ones((len(self.x), 1))
        simple = self.x - np.nanmean(self.x, axis=0)
        simple = np.nan_to_num(simple / (np.nanstd(self.x, axis=0) + 1e-6))
        kmeans = MiniBatchKMeans(K, n_init=1, batch_size=1024, random_state=int(rng.integers(2**31)))
        cluster = ignore_warnings(category=ConvergenceWarning)(kmeans.fit_predict)(simple)
        R = np.full((len(self.x), K), 0.1 / K)
        R[np.arange(len(R)), cluster] += 0.9
        return R

    def _maximise(self, R: np.ndarray, strength: float, of_all: Any) -> dict[str, np.ndarray]:
        n = R.sum(0)
        by_class = np.stack([R[self.label == c].sum(0) for c in range(self.n_classes)] or [n * 0])[: self.n_classes]
        prior = np.vstack([by_class + n / n.sum(), n[None]]) + 1e-3
        mu, L = self._gaussians(R, n, strength)
        return {
            "log_prior": np.log(prior / prior.sum(1, keepdims=True)),
            "log_table": self._tables(R, strength, *of_all),
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

    def _gaussians(self, R: np.ndarray, n: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Means and Cholesky factors; covariances are drawn to the one within all components."""
        X, d, K = self.numeric, len(self.numbers), R.shape[1]
        mu = (R.T @ X) / np.maximum(n, 1e-9)[:, None]
        if not self.full:
            squares = np.stack([R[:, k] @ (X - mu[k]) ** 2 for k in range(K)])
            pooled = squares.sum(0) / n.sum() + 1e-6
            return mu, np.sqrt((squares + strength * pooled) / (n + strength)[:, None])
        scatter = np.empty((K, d, d))
        for k in range(K):
            centred = X - mu[k]
            scatter[k] = centred.T @ (centred * R[:, k, None])
        pooled = scatter.sum(0) / n.sum()
        pooled[np.diag_indices(d)] += 1e-6 + 1e-4 * np.diag(pooled)
        prior = strength * (1 + d / 8)
        covariance = (scatter + prior * pooled) / (n + prior)[:, None, None]
        return mu, np.linalg.cholesky(covariance)

    def _log_joint(self, rows: Any, label: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
        """Log p(k, x | y) of all rows (n, K)."""
        A, X = rows
        K = found["log_prior"].shape[1]
        table = np.maximum(found["log_table"], -1e3).transpose(0, 1, 3, 2).reshape(A.shape[1], K)
        out = found["log_prior"][label] + (A @ table if A.shape[1] else 0.0)
        for k, (mu, L) in enumerate(zip(found["mu"], found["L"], strict=True)):
            if len(mu):
                z = solve_triangular(L, (X - mu).T, lower=True) if self.full else (X - mu).T / L[:, None]
                log_std = np.log(np.diag(L) if self.full else L)
                out[:, k] -= 0.5 * (z**2).sum(0) + log_std.sum() + 0.5 * len(mu) * math.log(2 * math.pi)
        return out


def _spread(counts: np.ndarray, ordinal: np.ndarray) -> np.ndarray:
    """Counts of ordinals with a part of each given to its neighbours (codes first, values last)."""
    if not ordinal.any() or counts.shape[-1] < 4:
        return counts
    padded = np.concatenate([counts[..., :1], counts, counts[..., -1:]], -1)
    smooth = 0.25 * padded[..., :-2] + 0.5 * padded[..., 1:-1] + 0.25 * padded[..., 2:]
    return np.where(ordinal.reshape(-1, *[1] * (counts.ndim - 1)), smooth, counts)
