"""Fitting the mixture by expectation-maximisation, with the number of components chosen on held-out rows.

The codes of a row become one sparse row of indicators (slot, parent's value, value). With it both steps are products of
matrices: log-likelihoods of all components are ``A @ log_table``, expected counts are ``A.T @ responsibilities``. The
same for the numbers of a row is in :mod:`skts.fractal.numbers`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings

from skts.fractal.numbers import Numbers

__all__ = ["FittedMixture", "choose_mixture", "parents_of"]

_MOST_ROWS = 20_000  # more rows make the mixture slower, hardly better
_MOST_COVARIANCES = 20_000_000  # entries of all covariances
_MOST_CELLS = 1_000_000  # probabilities that are computed for a row
_MOST_CODES = 4_000_000  # in all of them
_MOST_CONTEXTS = 32  # values of a code that others may depend on
_COMPONENTS = (1, 4, 12, 30, 60, 100)
_STRENGTH = 8.0  # rows that the prior of a component counts for, to begin with
_WEAKER = (0.5, 0.01, 0.0002)
_STRONGER = (32.0,)
_REACHES = (32, 16, 8)  # numbers before it that a number depends on
_ITERATIONS = 25
_LAST_ITERATIONS = 75
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


@dataclass
class FittedMixture:
    """Numbers of a fitted mixture, as :class:`~skts.fractal.mixture.Mixture` has them, and how well it does.

    Parameters
    ----------
    buffers : dict of str to numpy.ndarray
        log_prior, log_table, mu, L.
    score : float
        Mean log-likelihood of the held-out rows, nats.
    restraint : Restraint
        With which it was fitted.
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
    restraint: Restraint
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
    honest: bool = True,
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
    honest : bool, default=True
        Whether it is also fitted without a part of the rows each.
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
    best = em.search(ladder, judged, rng, _WEAKER if held_out.any() else ())
    with np.errstate(divide="ignore"):
        log_marginal = np.log(em.marginal)
    return replace(_cross_fitted(em, best, fit, len(x), rng, honest), log_marginal=log_marginal)


def _cross_fitted(
    em: "_EM", best: FittedMixture, fit: np.ndarray, n: int, rng: np.random.Generator, honest: bool
) -> FittedMixture:
    """The mixture once more without a part of the rows, for each part."""
    folds = _FOLDS if honest and len(fit) >= 2 * _FOLDS else 0
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

    def rows(self, x: np.ndarray) -> tuple[sparse.csr_matrix, Numbers]:
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
        return A, Numbers(np.nan_to_num(x[:, self.numbers].astype(np.float64)), self.full)

    def _of_all(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tables of all rows together: of the values (codes, V), and of them given the parent's (codes, P, V)."""
        counts = np.asarray(self.A.T @ weight).reshape(len(self.codes), self.P, self.V)
        marginal = _spread(counts.sum(1) + 0.0, self.ordinal) + 0.5
        marginal = np.where(self.legal, marginal, 0.0)
        marginal = marginal / np.maximum(marginal.sum(-1, keepdims=True), 1e-300)
        table = counts + 2.0 * marginal[:, None]
        table[:, -1] = marginal
        return marginal, table / np.maximum(table.sum(-1, keepdims=True), 1e-300)

    # ---- how many components, how much restraint ----------------------------------------------------------------

    def search(
        self, ladder: tuple[int, ...], judged: Any, rng: np.random.Generator, weaker: tuple[float, ...]
    ) -> FittedMixture:
        """One choice after another by the likelihood of the judged rows; fits of as many components start alike."""
        free = len(self.numbers) if self.full else 0
        best, tried = None, Restraint(_STRENGTH, free)
        for k in ladder:
            first = self._first(k, rng)
            found = self.fit(first, tried, judged)
            if best is not None and found.score <= best.score:
                break
            best, start = found, first
        nearer = [self.fit(start, replace(tried, reach=r), judged) for r in _REACHES if r < free - 1]
        best = max([best, *nearer], key=lambda found: found.score)
        for way in (weaker, _STRONGER):
            for strength in way:
                found = self.fit(start, replace(best.restraint, strength=strength), judged)
                if found.score <= best.score:
                    break
                best = found
            if best.restraint.strength < _STRENGTH:
                break
        longer = self.fit(best.responsibilities, best.restraint, judged, _LAST_ITERATIONS)
        return longer if longer.score > best.score else best

    # ---- the two steps ------------------------------------------------------------------------------------------

    def fit(self, R: np.ndarray, restraint: Restraint, judged: Any, n_iterations: int = _ITERATIONS) -> FittedMixture:
        """Alternate from responsibilities (n, K) until the likelihood stands still."""
        found, R = self._alternate(R, self.weight, restraint, n_iterations)
        rows, label = judged
        score = float(logsumexp(self._log_joint(rows, label, found), axis=1).mean())
        return FittedMixture(found, score, restraint, R)

    def without(self, rows: np.ndarray, best: FittedMixture, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The mixture from the other rows alone.

        The network moves the components of a number, so there they have to correspond to those of all rows, and
        start from their responsibilities. For codes it sees what the mixture says as a whole, and a fresh start
        remembers nothing of the rows that are left out.
        """
        weight = np.where(rows, 0.0, self.weight)
        first = best.responsibilities if len(self.numbers) else self._first(best.n_components, rng)
        return self._alternate(first, weight, best.restraint, _ITERATIONS)[0]

    def _alternate(
        self, R: np.ndarray, weight: np.ndarray, restraint: Restraint, n_iterations: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        before, of_all = -math.inf, self._of_all(weight)
        for _ in range(n_iterations if R.shape[1] > 1 else 1):
            found = self._maximise(R * weight[:, None], restraint, of_all)
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

    def _first(self, K: int, rng: np.random.Generator) -> np.ndarray:
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

    def _maximise(self, R: np.ndarray, restraint: Restraint, of_all: Any) -> dict[str, np.ndarray]:
        n = R.sum(0)
        by_class = np.stack([R[self.label == c].sum(0) for c in range(self.n_classes)] or [n * 0])[: self.n_classes]
        prior = np.vstack([by_class + n / n.sum(), n[None]]) + 1e-3
        mu, L = self.numeric.maximise(R, restraint.strength, restraint.reach)
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
