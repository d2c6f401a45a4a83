"""Which mixture: how many components, and how much restraint, by the likelihood of held-out rows."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from skts.fractal.em import EM, Restraint, Shape

__all__ = ["FittedMixture", "MixtureSearch", "parents_of"]

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
_LENT = 10  # where no row is held out, one of so many judges the choice and is fitted afterwards


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


class MixtureSearch:
    """The search for one way to write the rows.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, D)
        Codes and numbers, NaN where missing.
    left_out : numpy.ndarray of shape (n, D)
        What they leave out of the log-density, nats.
    label : numpy.ndarray of shape (n,)
        Classes, C for none.
    weight : numpy.ndarray of shape (n,) or None
        Weights of the rows.
    shape : Shape
        What the mixture is over.
    held_out : numpy.ndarray of bool (n,)
        Rows that judge and are not fitted.
    seed : int
        Seed of the first responsibilities.
    """

    def __init__(
        self,
        x: np.ndarray,
        left_out: np.ndarray,
        label: np.ndarray,
        weight: np.ndarray | None,
        shape: Shape,
        held_out: np.ndarray,
        seed: int,
    ) -> None:
        self.x, self.label, self.shape = x, label, shape
        self.weight = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=np.float64)
        self.rng = np.random.default_rng(seed)
        most = min(_MOST_ROWS, max(1000, _MOST_CODES // x.shape[1]))
        fit, judge = np.flatnonzero(~held_out), np.flatnonzero(held_out)[:most]
        if len(fit) > most:
            fit = np.sort(self.rng.choice(fit, most, replace=False))
        self.fit, self.lent = fit, np.empty(0, dtype=int)
        if not len(judge) and len(fit) >= 2 * _LENT:
            judge = self.lent = np.sort(self.rng.choice(fit, len(fit) // _LENT, replace=False))
        self.judge, self.honest = (judge, True) if len(judge) else (fit, False)
        self.left_out = float(left_out[self.judge].sum(1).mean())

    def best(self, n_components: int | str) -> FittedMixture:
        """One choice after another; with "auto" components are added as long as they help."""
        em = self._em(np.setdiff1d(self.fit, self.lent)) if len(self.lent) else self._all
        judged = em.rows(self.x[self.judge]), self.label[self.judge]
        found = self._climb(em, self._ladder(em, n_components), judged)
        if len(self.lent):
            em = self._all
            first = em.first(found.n_components, self.rng)
            buffers, R = em.alternate(first, found.restraint, _LAST_ITERATIONS)
            found = replace(found, buffers=buffers, responsibilities=R)
        with np.errstate(divide="ignore"):
            log_marginal = np.log(em.marginal)
        fold = np.zeros(len(self.x), dtype=int)
        return replace(found, score=found.score + self.left_out, fold=fold, log_marginal=log_marginal)

    @cached_property
    def _all(self) -> EM:
        return self._em(self.fit)

    def _em(self, rows: np.ndarray) -> EM:
        return EM(self.x[rows], self.label[rows], self.weight[rows], self.shape)

    def _ladder(self, em: EM, n_components: int | str) -> tuple[int, ...]:
        n = len(em.x)
        if n_components != "auto":
            return (min(int(n_components), n),)
        numbers, cells = max(1, len(em.numbers)), max(1, len(em.codes)) * em.V
        most = min(n // 8, _MOST_COVARIANCES // numbers**2, _MOST_CELLS // cells)
        return tuple(k for k in _COMPONENTS if k <= max(1, most))

    def _climb(self, em: EM, ladder: tuple[int, ...], judged: Any) -> FittedMixture:
        """Components, then reach, then strength, each by the judged rows; fits of as many components start alike."""
        free = len(em.numbers) if em.full else 0
        best, tried = None, Restraint(_STRENGTH, free)
        for k in ladder:
            first = em.first(k, self.rng)
            found = _fitted(em, first, tried, judged)
            if best is not None and found.score <= best.score:
                break
            best, start = found, first
        nearer = [_fitted(em, start, replace(tried, reach=r), judged) for r in _REACHES if r < free - 1]
        best = max([best, *nearer], key=lambda found: found.score)
        for way in (_WEAKER, _STRONGER) if self.honest else (_STRONGER,):  # rows like no restraint on themselves
            for strength in way:
                found = _fitted(em, start, replace(best.restraint, strength=strength), judged)
                if found.score <= best.score:
                    break
                best = found
            if best.restraint.strength < _STRENGTH:
                break
        longer = _fitted(em, best.responsibilities, best.restraint, judged, _LAST_ITERATIONS)
        return longer if longer.score > best.score else best

    def cross_fitted(self, best: FittedMixture) -> FittedMixture:
        """The mixture once more without a part of the rows, for each part."""
        em, n = self._all, len(self.fit)
        folds = _FOLDS if n >= 2 * _FOLDS else 0
        of_row = self.rng.permutation(np.arange(n) % max(1, folds))
        held_out = tuple(self._without(em, of_row == f, best) for f in range(folds))
        fold = np.full(len(self.x), folds)
        fold[self.fit] = of_row if folds else 0
        return replace(best, held_out_buffers=held_out, fold=fold)

    def _without(self, em: EM, rows: np.ndarray, best: FittedMixture) -> dict[str, np.ndarray]:
        """The mixture from the other rows alone.

        The network moves the components of a number, so there they have to correspond to those of all rows, and
        start from their responsibilities. For codes it sees what the mixture says as a whole, and a fresh start
        remembers nothing of the rows that are left out.
        """
        first = best.responsibilities if len(em.numbers) else em.first(best.n_components, self.rng)
        return em.alternate(first, best.restraint, _ITERATIONS, np.where(rows, 0.0, em.weight))[0]


def _fitted(em: EM, R: np.ndarray, restraint: Restraint, judged: Any, n_iterations: int = _ITERATIONS) -> FittedMixture:
    buffers, R = em.alternate(R, restraint, n_iterations)
    return FittedMixture(buffers, em.score(*judged, buffers), restraint, R)
