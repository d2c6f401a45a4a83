"""Questions that need the joint distribution: draws, best sets, evidence, events, and why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skts.engine import draw_seed
from skts.errors import InputError
from skts.jointebm.answers import JointAnswers
from skts.jointebm.best import draws_by_row, k_best
from skts.jointebm.inference import Enumeration
from skts.jointebm.own import Listed

__all__ = ["JointQueries"]


class JointQueries(JointAnswers):
    """What a fitted joint model can be asked; see :class:`~skts.jointebm.JointEBMClassifier`."""

    n_outputs_: int
    subset_size_: int

    def sample(self, X: Any, n: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw outputs from p(y | x).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        n : int, default=1
            Draws for each row.
        random_state : int, RandomState or None, default=None
            Seed; None takes the estimator's.

        Returns
        -------
        ndarray of shape (n_samples, n) or (n_samples, n, k)
            Independent draws; where nothing is exact, resampled by their importance weights.
        """
        check_is_fitted(self)
        if not isinstance(n, int | np.integer) or n < 1:
            raise InputError("n of at least 1", f"{n!r}", "Pass a whole number.")
        seed = draw_seed(self.random_state if random_state is None else random_state)
        generator = torch.Generator(self.module_.encoder.bias.device).manual_seed(seed)
        return self._target.decode(self._ask(X, lambda m, t: m.inference.draw(t, n, generator)).numpy())

    def top_k(self, X: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k most probable outputs and their log-probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        k : int
            How many; fewer where there are not so many outputs.

        Returns
        -------
        outputs : ndarray of shape (n_samples, k, ...)
            The most probable first.
        log_prob : ndarray of shape (n_samples, k)
            Nats. Exact where outputs can be enumerated or labels are independent; elsewhere the best of many draws, the
            mode and its neighbours, so that a better one may be missing.

        Raises
        ------
        InputError
            If k is no whole number of at least 1, or only p / q is known.
        """
        check_is_fitted(self)
        if not isinstance(k, int | np.integer) or k < 1:
            raise InputError("k of at least 1", f"{k!r}", "Pass a whole number.")
        if self.contract_ == "reference":
            raise InputError("a model with probabilities", "a reference without log_prob", "Rank what sample draws.")
        seen = torch.from_numpy(self.labelsets_)
        joined = self._ask(X, lambda m, theta: k_best(m, theta, int(k), seen), double=True)
        codes, log_prob = joined[..., :-1].round().long(), joined[..., -1]
        return self._target.decode(codes.numpy()), log_prob.numpy()

    def conditional(self, X: Any, evidence: Any) -> np.ndarray:
        """Probabilities of the parts when some of them are known, p(y_i | x, y_known).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        evidence : dict or array-like of shape (k,) or (n_samples, k)
            A dict from label (name or number) to its value, the same for all rows; or values, -1 where nothing is
            known. For rankings, ranks, with 0 or -1 where nothing is known.

        Returns
        -------
        ndarray of shape (n_samples, k), (n_samples, k, k) for rankings
            As :meth:`predict_proba` and :meth:`predict_rank_proba` give, with the evidence in.

        Raises
        ------
        InputError
            If the evidence does not fit the outputs, or the output space has no parts.
        """
        check_is_fitted(self)
        if self.output_ not in ("multilabel", "subset", "ranking"):
            raise InputError("outputs with parts to know", self.output_, "Ask predict_proba.")
        inference = self.module_.inference
        if self.output_ == "ranking" and not inference.exact:
            raise InputError("rankings with an exact route", f"{self.n_outputs_} items", "Rank fewer items.")
        given = self._evidence(evidence, X.shape[0] if hasattr(X, "shape") else len(X))
        found = self._ask(X, lambda m, t, g: m.inference.marginals(t, g), extra=given, double=True).numpy()
        impossible = np.flatnonzero(np.isnan(found.reshape(len(found), -1)).any(1))
        if len(impossible):
            got = f"{len(impossible)} rows without one, first {impossible[:3].tolist()}"
            raise InputError("evidence of positive probability", got, "Correct evidence, or the rules.")
        return found

    def _evidence(self, evidence: Any, n: int) -> np.ndarray:
        k, ranking = self.n_outputs_, self.output_ == "ranking"
        if isinstance(evidence, dict):
            values = np.full(k, -1.0)
            for name, value in evidence.items():
                values[self._position(name)] = value
            evidence = values
        values = np.asarray(evidence)
        top = k if ranking else 1
        if values.shape not in ((k,), (n, k)) or not np.isin(values, np.arange(-1, top + 1)).all():
            raise InputError(
                f"evidence of shape ({k},) or ({n}, {k}) with values up to {top}, -1 where unknown",
                f"shape {values.shape}",
                "Correct evidence.",
            )
        values = np.broadcast_to(values, (n, k)).astype(np.int64)
        values = np.where(values <= 0, -1, values - 1) if ranking else values
        rows = np.sort(values, 1)
        twice = ranking and ((rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] >= 0)).any()
        if twice or (self.output_ == "subset" and not self._possible(values).all()):
            raise InputError("evidence that some output agrees with", "one that none does", "Correct evidence.")
        return values

    def _possible(self, values: np.ndarray) -> np.ndarray:
        present = (values == 1).sum(1)
        return (present <= self.subset_size_) & (present + (values < 0).sum(1) >= self.subset_size_)

    def _position(self, name: Any) -> int:
        found = np.flatnonzero(self.classes_ == name)
        if not len(found) and isinstance(name, int | np.integer) and 0 <= name < self.n_outputs_:
            return int(name)
        if not len(found):
            raise InputError(f"a label among {self.classes_.tolist()[:10]}", f"{name!r}", "Check its name.")
        return int(found[0])

    def event_probability(
        self, X: Any, event: Callable[[np.ndarray], Any], n_draws: int = 2000, random_state: Any = 0
    ) -> np.ndarray:
        """Probability that the output is one of those for which ``event`` holds.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        event : callable
            ``event(y)`` for outputs (m,) or (m, k) gives m values of True or False, for instance
            ``lambda y: y.sum(1) >= 3``.
        n_draws : int, default=2000
            Draws for each row where outputs cannot be enumerated.
        random_state : int, RandomState or None, default=0
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n_samples,)
            Exact where outputs can be enumerated; else with a standard error of at most 0.5 / sqrt(n_draws).
        """
        check_is_fitted(self)
        if not isinstance(n_draws, int | np.integer) or n_draws < 1:
            raise InputError("n_draws of at least 1", f"{n_draws!r}", "Pass a whole number.")
        inference = self.module_.inference
        if isinstance(inference, Enumeration):
            holds = self._holds(event, inference.states.cpu().numpy()).astype(np.float64)
            weights = torch.from_numpy(holds).to(inference.states.device)
            return self._ask(X, lambda m, t: m.inference.probabilities(t) @ weights, double=True).numpy()
        if isinstance(inference, Listed):
            return self._ask(X, lambda m, t: self._listed_event(m.inference, t, event), double=True).numpy()
        seed = draw_seed(random_state)

        def part(module: Any, theta: Tensor) -> Tensor:
            Y = draws_by_row(module.inference, theta, n_draws, seed)
            holds = self._holds(event, Y.flatten(0, 1).cpu().numpy())
            return torch.from_numpy(holds.reshape(Y.shape[:2]).mean(1))

        return self._ask(X, part).numpy()

    def _listed_event(self, inference: Listed, theta: Tensor, event: Callable[[np.ndarray], Any]) -> Tensor:
        codes, log_p = inference.listed(theta)
        holds = self._holds(event, codes.clamp_min(0).flatten(0, 1).cpu().numpy()).reshape(log_p.shape)
        return (log_p.exp() * torch.from_numpy(holds).to(log_p)).sum(1)

    def _holds(self, event: Callable[[np.ndarray], Any], codes: np.ndarray) -> np.ndarray:
        found = np.asarray(event(self._target.decode(codes)))
        if found.shape != (len(codes),):
            raise InputError(
                f"one value of True or False for each of {len(codes)} outputs", f"{found.shape}", "Use y.sum(1)."
            )
        return found.astype(bool)

    # ---- why ----------------------------------------------------------------------------------------------------

    def coupling_matrix(self) -> np.ndarray:
        """What each pair of labels adds to the log-probability when both are present.

        Returns
        -------
        ndarray of shape (k, k)
            Symmetric with zero diagonal: positive for labels that go together beyond x, negative for those that exclude
            each other; zero without a pairwise coupling.
        """
        check_is_fitted(self)
        matrix = getattr(self.module_.inference.coupling, "matrix", None)
        k = self.n_outputs_
        return np.zeros((k, k), dtype=np.float32) if matrix is None else matrix.detach().cpu().numpy()

    def explain(self, X: Any, labels: Any) -> np.ndarray:
        """Which features moved the probability that all of some labels are present.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        labels : label, or sequence of labels
            Names or numbers; one label, a pair, or more.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Log-probability as it is, less that with the feature at its mean in the training data: positive where the
            feature spoke for the labels. With interactions the parts do not add up to the whole.

        Raises
        ------
        InputError
            If the estimator was not fitted on label sets.
        """
        check_is_fitted(self)
        if self.output_ not in ("multilabel", "subset") or self.contract_ is not None:
            raise InputError("an estimator of label sets", f"one of {self.output_}", "Ask one of label sets.")
        names = list(labels) if isinstance(labels, list | tuple | np.ndarray) else [labels]
        given = torch.full((1, self.n_outputs_), -1)
        given[0, [self._position(name) for name in names]] = 1
        return self._ask(X, lambda m, theta, rows: _occlusion(m, rows, given), rows_too=True).numpy()


def _occlusion(module: Any, X: Tensor, given: Tensor) -> Tensor:  # (B, d) -> (B, d)
    """Change of the log-probability of ``given`` when one feature after the other is set to its mean."""

    def log_p(rows: Tensor) -> Tensor:
        theta = module.potentials(rows)
        known = given.to(rows.device).expand(len(rows), -1)
        return module.inference.log_partition(theta, known) - module.inference.log_partition(theta)

    whole, found = log_p(X), []
    for j in range(X.shape[1]):
        rows = X.clone()
        rows[:, j] = module.encoder.mean[j]
        found.append(whole - log_p(rows))
    return torch.stack(found, 1)
