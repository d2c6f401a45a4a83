"""What a fitted FractalSampler answers: densities, surprise, samples, classes."""

import math
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skts.engine import draw_seed
from skts.errors import InputError, ParameterError
from skts.fractal.conditional import Conditioned, log_evidence
from skts.fractal.marginals import log_marginal, n_completions
from skts.fractal.samples import as_given, as_samples
from skts.fractal.walk import RowSampler

__all__ = ["FractalQueries"]

_FEW_COMPLETIONS = 256  # of an incomplete row, that its density is summed over
_CHUNK = 1024  # rows that are drawn together


def _log_prob(module: Any, *rows: Any) -> Any:
    return module.log_prob(*rows)


def _by_slot(module: Any, *rows: Any) -> Any:
    return module.by_slot(*rows)


def _has_classes(estimator: Any) -> bool:
    if not hasattr(estimator, "module_") or estimator._knows_classes:
        return True
    raise AttributeError("predict_proba and predict need classes: pass y to fit")


class FractalQueries(Conditioned):
    """The verbs beside ``fit``."""

    # ---- densities ----------------------------------------------------------------------------------------------

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Log-density of each sample: log-probability where all slots are discrete.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples. NaN is missing: the density is that of what is observed.
        y : array-like of shape (n_samples,), optional
            Classes of a sampler that was fitted with classes: then log p(x given y). Without them the classes are
            summed out by their frequencies in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats.

        Raises
        ------
        InputError
            If X has another shape than in fit, or holds values that fit has not seen, or y holds other classes.
        """
        codes, left_out = self._codes(X)
        left_out = left_out.sum(1)
        if y is not None:
            return self._log_prob(codes, self._labels(y, len(codes))) + left_out
        if not self._knows_classes:
            return self._log_prob(codes, self._no_class(len(codes))) + left_out
        return logsumexp(self._log_joint(codes), axis=1) + left_out

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, NaN where missing.
        y : ignored
            For scikit-learn's searches.

        Returns
        -------
        float
            Nats; higher is better.
        """
        return float(np.mean(self.score_samples(X)))

    def bits_per_dim(self, X: Any) -> float:
        """Negative mean log-density in bits for each number; for discrete data the length of the best code.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, NaN where missing.

        Returns
        -------
        float
            Bits; lower is better.
        """
        return -self.score(X) / (self.n_features_in_ * math.log(2))

    def score_slots(self, X: Any) -> np.ndarray:
        """How surprising each number of a sample is, given those before it in the tree.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Negative log-densities, nats; 0 where missing. With one order of the children they add up to
            ``-score_samples(X)``.
        """
        codes, left_out = self._codes(X)
        if not self._knows_classes:
            log_prob = self._log_prob_slots(codes, self._no_class(len(codes)))
        else:
            classes = range(len(self.classes_))
            by_class = [self._log_prob_slots(codes, np.full(len(codes), c, dtype=np.int64)) for c in classes]
            # log p(x_1 .. x_s) with the classes summed out, and what each slot adds to it.
            total = logsumexp(np.cumsum(by_class, axis=2) + np.log(self.class_prior_)[:, None, None], axis=0)
            log_prob = np.diff(total, axis=1, prepend=0.0)
        return self._layout.restore(-(log_prob + left_out))

    def _codes(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        samples = as_samples(self, X, self.container_, reset=False)
        return self._columns.encode(self._layout.flatten(samples))

    def _labels(self, y: Any, n: int) -> np.ndarray:
        if not hasattr(self, "classes_"):
            raise InputError("y=None for a sampler that was fitted without classes", "classes", "Pass y to fit.")
        y = np.broadcast_to(np.asarray(y).ravel() if np.ndim(y) else np.asarray(y), (n,))
        place = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[place] != y
        if unknown.any():
            got = f"{np.unique(y[unknown])[:5].tolist()}"
            raise InputError(f"classes of fit: {self.classes_[:20].tolist()}", got, "Fit with data of that class.")
        return place.astype(np.int64)

    def _log_prob(self, codes: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Log p(x given y) (n,) in codes and standardised numbers.

        Of an incomplete row: the sum over its completions where these are few, else what training with missing values
        has learned, else an estimate by particles. Values that were missing in fit itself are not summed over: there,
        that a value is missing may tell something.
        """
        if not np.isnan(codes).any():
            return self._pass(codes, label)
        self._refuse_gaps_if_released()
        n_values, in_order = self._columns.n_values, self.module_.n_orders == 1
        completions = n_completions(codes, n_values, in_order)
        most = _FEW_COMPLETIONS if self.mask_rate or not self.knows_missing_ else 0
        summed = (completions > 0) & (completions <= most)
        estimated = (completions > most) & (not self.knows_missing_) & (not self.module_.sees_through_gaps)
        found = np.empty(len(codes))
        if summed.any():
            found[summed] = log_marginal(self._pass, codes[summed], label[summed], n_values, in_order)
        if estimated.any():
            found[estimated] = log_evidence(self._double(), codes[estimated], label[estimated])
        if (rest := ~summed & ~estimated).any():
            found[rest] = self._pass(codes[rest], label[rest])
        return found

    def _pass(self, codes: np.ndarray, label: np.ndarray) -> np.ndarray:
        return self._forward(codes, label, call=_log_prob).numpy()

    def _log_prob_slots(self, codes: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The same for each slot (n, D)."""
        return self._forward(codes, label, call=_by_slot).numpy()

    @property
    def _knows_classes(self) -> bool:
        """Whether there are classes with frequencies, so that they can be drawn and summed out."""
        return hasattr(self, "class_prior_")

    def _no_class(self, n: int) -> np.ndarray:
        return np.full(n, self.module_.no_class, dtype=np.int64)

    def _log_joint(self, codes: np.ndarray) -> np.ndarray:
        """Log p(x, y) (n, classes)."""
        by_class = [self._log_prob(codes, np.full(len(codes), c, dtype=np.int64)) for c in range(len(self.classes_))]
        return np.stack(by_class, 1) + np.log(self.class_prior_)

    # ---- classes ------------------------------------------------------------------------------------------------

    @available_if(_has_classes)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, by Bayes' rule from the densities within each.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, NaN where missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns as in ``classes_``.
        """
        joint = self._log_joint(self._codes(X)[0])
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    @available_if(_has_classes)
    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, NaN where missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.
        """
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    # ---- samples ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        *,
        cfg: float = 1.0,
        temperature: float = 1.0,
        random_state: Any = None,
        return_y: bool = False,
        return_log_prob: bool = False,
    ) -> Any:
        """Draw new samples.

        With ``cfg`` and ``temperature`` at 1 they follow the density of ``score_samples``; otherwise they do not.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        y : scalar or array-like of shape (n_samples,), optional
            Classes to draw from; without it they are drawn by their frequencies in fit.
        cfg : float >= 0, default=1.0
            Classifier-free guidance: above 1 samples become more typical of their class.
        temperature : float > 0, default=1.0
            Below 1 samples become more likely and less diverse.
        random_state : int, RandomState or None, default=None
            The first rows of a longer call with the same seed are the same.
        return_y : bool, default=False
            Also return the classes.
        return_log_prob : bool, default=False
            Also return the log-density of each sample given its class (and its order), nats.

        Returns
        -------
        X : array or DataFrame of shape (n_samples, ...)
            Rank, dtype and columns are those of fit.
        y : ndarray of shape (n_samples,)
            With ``return_y``.
        log_prob : ndarray of shape (n_samples,)
            With ``return_log_prob``.

        Raises
        ------
        InputError
            If y holds a class that fit has not seen.
        ParameterError
            If ``cfg`` is set for a sampler without classes.
        """
        check_is_fitted(self)
        _check_draws(n_samples, temperature, cfg)
        if cfg != 1 and not hasattr(self, "classes_"):
            raise ParameterError("cfg=1 for a sampler without classes", f"cfg={cfg:g}", "Pass y to fit.")
        layout, net = self._layout, self._double()
        # The numbers of a row come one after another, so that a shorter call draws the same rows.
        uniforms = np.random.default_rng(draw_seed(random_state)).random((n_samples, 3 * layout.n_slots + 2))
        label = self._drawn_labels(y, uniforms[:, -1])
        order = (uniforms[:, -2] * net.n_orders).astype(int)
        uniforms = uniforms[:, :-2].reshape(n_samples, layout.n_slots, 3)
        codes, log_prob = np.empty(uniforms.shape[:2]), np.empty(uniforms.shape[:2])
        sampler = None if self.weights is not None else RowSampler(net, temperature, cfg)
        for r in range(net.n_orders):
            same = np.flatnonzero(order == r)
            for rows in np.split(same, range(_CHUNK, len(same), _CHUNK)):
                if len(rows):
                    draws = torch.from_numpy(label[rows]), torch.from_numpy(uniforms[rows, :, :2])
                    drawn = net.draw(*draws, temperature, cfg) if sampler is None else sampler(*draws, order=r)
                    codes[rows], log_prob[rows] = (t.numpy() for t in drawn)
        rows = self._columns.decode(codes, uniforms[..., 2])
        X = as_given(layout.restore(rows), self.container_)
        found = [X]
        if return_y:
            found.append(self.classes_[label] if y is not None or self._knows_classes else None)
        if return_log_prob:
            found.append((log_prob + self._columns.encode(rows)[1]).sum(1))
        return tuple(found) if len(found) > 1 else X

    def _drawn_labels(self, y: Any, uniforms: np.ndarray) -> np.ndarray:
        if y is not None:
            return self._labels(y, len(uniforms))
        if not self._knows_classes:
            return self._no_class(len(uniforms))
        edges = np.cumsum(self.class_prior_)
        return np.minimum(np.searchsorted(edges, uniforms, side="right"), len(edges) - 1)


def _check_draws(n_samples: Any, temperature: float, cfg: float) -> None:
    if not isinstance(n_samples, int | np.integer) or n_samples < 1:
        raise ParameterError("n_samples as a whole number of at least 1", repr(n_samples), "Change n_samples.")
    if not temperature > 0 or not cfg >= 0:
        got = f"temperature={temperature}, cfg={cfg}"
        raise ParameterError("temperature > 0 and cfg >= 0", got, "Change them.")
