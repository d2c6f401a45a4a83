"""Decisions and probabilities: what every classifier answers, for whole outputs as well as for their parts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skts.errors import InputError, ParameterError
from skts.jointebm.decoding import DECODERS
from skts.jointebm.own import Listed
from skts.jointebm.targets import Target
from skts.metrics import kendall_tau_score
from skts.validation import check_table

__all__ = ["JointAnswers"]

_LEAST = 1e-6  # marginals of labels stay this far from 0 and 1


class JointAnswers:
    """What a fitted joint model answers; see :class:`~skts.jointebm.JointEBMClassifier`."""

    module_: Any
    output_: str
    contract_: str | None
    alpha_: float
    labelsets_: np.ndarray
    classes_: np.ndarray
    decode: str
    random_state: Any
    _target: Target
    _listed: Callable[..., np.ndarray]
    _forward: Callable[..., Tensor]

    # ---- decisions ----------------------------------------------------------------------------------------------

    def predict(self, X: Any, decode: str | None = None) -> np.ndarray:
        """The answer for each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        decode : str, optional
            Instead of the constructor's ``decode``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, k)
            Classes, label sets of 0 and 1, or ranks.

        Raises
        ------
        ParameterError
            If there is no such decoder for the output space.
        """
        check_is_fitted(self)
        name = self.decode if decode is None else decode
        legal = self._decoders()
        if name not in legal:
            raise ParameterError(f"decode among {legal}", f"{name!r} for {self.output_}", "Pass decode='map'.")
        seen = torch.from_numpy(self.labelsets_)
        codes = self._ask(X, lambda m, theta: DECODERS[name](m.inference, theta, seen))
        return self._target.decode(codes.numpy())

    def _decoders(self) -> list[str]:
        """What ``decode`` may be: some losses have no meaning in some output spaces."""
        if self.output_ == "own" or self.contract_ == "reference":
            return ["map", "seen"] if self.contract_ is None else ["map"]
        names = [name for name in DECODERS if name != "f1" or self.output_ in ("multilabel", "subset")]
        return [name for name in names if self.contract_ != "list" or name != "seen"]

    def predict_with_rejection(
        self, X: Any, threshold: float, decode: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answers, and which of them are probable enough to be given without a person.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        threshold : float in [0, 1]
            Least joint probability of the whole answer.
        decode : str, optional
            See :meth:`predict`.

        Returns
        -------
        y : ndarray
            As :meth:`predict` gives.
        accepted : ndarray of shape (n_samples,) of bool
            False where a person should decide.
        """
        y = self.predict(X, decode)
        return y, np.exp(self.score_samples(X, y)) >= threshold

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Part of the rows that are right as a whole; Kendall's tau for rankings.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        y : array-like
            True outputs.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
            Higher is better.
        """
        if self.output_ == "ranking":
            return float(kendall_tau_score(y, self.predict(X), sample_weight=sample_weight))
        right = (self._target.encode(y) == self._target.encode(self.predict(X))).all(1)
        return float(np.average(right, weights=sample_weight))

    # ---- probabilities ------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the parts.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, k)
            Of the classes; of each label; of each item to be first in a ranking (:meth:`predict_rank_proba` has all
            positions).

        Raises
        ------
        InputError
            For a space of your own, whose parts are yours.
        """
        check_is_fitted(self)
        if self.output_ == "ranking":
            return self.predict_rank_proba(X)[:, :, 0]
        if self.output_ == "own":
            raise InputError("outputs whose parts are known", "a space of your own", "Ask score_samples or sample.")
        p = self._ask(X, lambda m, theta: m.inference.marginals(theta)).numpy()
        return p if self.output_ == "multiclass" or self.contract_ == "list" else p.clip(_LEAST, 1 - _LEAST)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, k)
            Nats.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict_rank_proba(self, X: Any) -> np.ndarray:
        """Probability of each item at each position, for rankings.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, k, k)
            Item x position, first position first.

        Raises
        ------
        InputError
            If the estimator was not fitted on rankings.
        """
        check_is_fitted(self)
        if self.output_ != "ranking":
            raise InputError("an estimator of rankings", f"one of {self.output_}", "Ask predict_proba.")
        return self._ask(X, lambda m, theta: m.inference.marginals(theta)).numpy()

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-odds of each label or class; for rankings how many items each is expected to beat.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, k), or (n_samples,) for two classes
            Higher is more probable.
        """
        check_is_fitted(self)
        if self.output_ == "ranking":
            p = self.predict_rank_proba(X)
            return p @ np.arange(p.shape[2] - 1, -1, -1, dtype=p.dtype)
        p = self.predict_proba(X)
        if self.output_ == "multiclass":
            scores = np.log(p.clip(1e-30))
            return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores
        p = p.clip(_LEAST, 1 - _LEAST)
        return np.log(p) - np.log1p(-p)

    def score_samples(self, X: Any, y: Any = None, relative: bool = False) -> np.ndarray:
        """Log-probability of whole outputs, log p(y | x).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, k), optional
            One output for each row; it need not have been seen in training. None takes what ``predict`` answers, and so
            gives the confidence in it.
        relative : bool, default=False
            Log of p / q, where the reference q is a sampler of yours whose probabilities nobody knows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats, -inf where the model excludes the output.

        Raises
        ------
        InputError
            If y is not in the output space, or only relative answers exist.
        """
        check_is_fitted(self)
        if relative != (self.contract_ == "reference"):
            expected = "relative=True" if self.contract_ == "reference" else "relative=False"
            why = "a reference without log_prob" if self.contract_ == "reference" else "a model with probabilities"
            raise InputError(expected, f"relative={relative} for {why}", "Change relative, or add log_prob.")
        return self._ask(X, self._log_prob, y=self.predict(X) if y is None else y, double=True).numpy()

    @staticmethod
    def _log_prob(module: Any, theta: Tensor, Y: Tensor) -> Tensor:
        inference = module.inference
        if inference.exact or isinstance(inference, Listed) or module.tau.kind == "per_sample":
            return inference.log_prob(theta, Y[:, None])[:, 0]
        return inference.score(theta, Y[:, None])[:, 0] - module.log_partition(theta)

    def energy(self, X: Any, y: Any) -> np.ndarray:
        """Minus the affinity of whole outputs: log p(y | x) = -energy(x, y) - log_partition(x) for the logistic loss.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, k)
            One output for each row.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats; lower is more probable.
        """
        check_is_fitted(self)
        return -self._ask(X, lambda m, t, Y: m.inference.score(t, Y[:, None])[:, 0], y=y, double=True).numpy()

    def log_partition(self, X: Any, method: str = "auto") -> np.ndarray:
        """Logarithm of the sum of exp(-energy) over all outputs.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        method : {"auto", "tau", "exact", "importance"}, default="auto"
            "tau" is the learned function; "exact" needs an exact route; "importance" draws where there is none. "auto"
            is "exact" where there is a route, else "tau".

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats.

        Raises
        ------
        ParameterError
            If there is no such method, or no exact route.
        """
        check_is_fitted(self)
        exact = self.module_.inference.exact
        if method not in ("auto", "tau", "exact", "importance") or (method == "exact" and not exact):
            legal = "method among 'auto', 'tau', 'importance'" + (", 'exact'" if exact else "; nothing is exact here")
            raise ParameterError(legal, f"{method!r}", "Pass method='auto'.")
        learned = (
            self.contract_ != "reference" and self.tau_ != "per_sample"
        )  # a training row's says nothing of a new one
        tau = method == "tau" or (method == "auto" and not exact and learned)
        return self._ask(
            X, lambda m, theta: m.log_partition(theta) if tau else m.inference.log_partition(theta), double=True
        ).numpy()

    def _ask(
        self,
        X: Any,
        call: Callable[..., Tensor],
        *,
        y: Any = None,
        extra: np.ndarray | None = None,
        double: bool = False,
        rows_too: bool = False,
    ) -> Tensor:
        """``call(module, theta, ...)`` of all rows, in batches; ``...``: codes of y, something extra, or the rows."""
        X = check_table(self, X, reset=False, accept_sparse="csr")
        more = [] if extra is None else [extra]
        if y is not None:
            codes = self._target.encode(y)
            if len(codes) != X.shape[0]:
                raise InputError("as many outputs as rows of X", f"{len(codes)} for {X.shape[0]}", "Check the lengths.")
            more.append(codes)

        def run(module: Any, X: Tensor, listed: Tensor, *rest: Tensor) -> Tensor:
            theta = module.potentials(X, None, listed)
            return call(module, theta, *rest, *([X] if rows_too else []))

        return self._forward(X, self._listed(X), *more, call=run, double=double)
