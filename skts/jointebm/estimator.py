"""JointEBMClassifier: the joint model of :mod:`skts.jointebm.module` as a scikit-learn classifier."""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches, FitRun, draw_seed
from skts.errors import InputError
from skts.jointebm.baselines import baselines_for
from skts.jointebm.choices import Choices, choose, rare_settings
from skts.jointebm.decoding import DECODERS
from skts.jointebm.experts import fit_experts
from skts.jointebm.module import JointEBM
from skts.jointebm.own import OwnDraws, draw_by_content, list_own
from skts.jointebm.pseudo import start_near_optimum
from skts.jointebm.queries import JointQueries
from skts.jointebm.targets import Target, as_outputs, check_lengths, check_mask
from skts.jointebm.trust import MOST_ROWS, calibrate, check_normaliser
from skts.validation import check_table, check_weights

__all__ = ["JointEBMClassifier"]


class JointEBMClassifier(JointQueries, ClassifierMixin, TorchEstimatorMixin, BaseEstimator):
    r"""Joint probabilities over label sets, classes and rankings: an energy learned together with its log-partition.

    Use it when the parts of an answer depend on each other and a probability of the whole answer is wanted: of a set of
    labels that was never seen, of "at least three", of the rest when a part is known. Where no exact normaliser exists
    a second function learns it, and ``normalization_error_`` says how well.

    Parameters
    ----------
    output : {"auto", "multiclass", "multilabel", "subset", "ranking"} or OutputSpace, default="auto"
        What y is. "auto" takes 1-D y as classes and 2-D y of 0 and 1 as label sets. "subset": sets of one size.
        "ranking": (n, k) rank vectors, 1 = best. Or a space of your own, see
        :class:`~skts.jointebm.spaces.OutputSpace`.
    coupling : {"auto", "unary", "cardinality", "pairwise", "lowrank", "permutahedron", "birkhoff"}, default="auto"
        What the parts of y say about each other, beyond x. For label sets "auto" is "pairwise" up to 14 labels, where
        all sets can be enumerated, and "lowrank" beyond; for rankings it is "permutahedron" (a score for each item),
        "birkhoff" has a potential for each item at each position.
    loss : {"logistic", "sparsemax", "entmax"}, default="logistic"
        Divergence of the objective: maximum likelihood, or losses under which most outputs get no probability at all.
    tau : {"auto", "exact", "structured", "net", "per_sample", "constant"}, default="auto"
        What stands for the log-partition in training and, where nothing is exact, in answers. "auto" is "exact" where
        there is an exact route and ``proposal="auto"``, else "structured": an estimate by a few hundred fixed draws of
        the proposal plus a small learned correction ("net" for the other losses). "net" is the paper's: a function of
        x.
    proposal : {"auto", "enumerate", "prior", "marginal", "meanfield"} or object, default="auto"
        Where training draws outputs. "auto" draws nothing where an exact route exists, latent factors for "lowrank",
        and else takes "meanfield", a mixture of mean fields from several starts. "prior" is uniform, as in the paper.
        Or candidates of your own: an object with ``sample`` or ``candidates``, see :mod:`skts.jointebm.own`.
    n_samples : int, default=32
        Draws for each row and step; more lower the variance.
    decode : {"map", "f1", "marginal", "hamming", "seen", "kendall"}, default="map"
        What ``predict`` maximises: probability of the whole; expected F1; each label alone (for rankings: item by
        position for "hamming", mean rank for "marginal" and "kendall"); probability among outputs seen in training.
    alpha : float >= 1, default=1.5
        Parameter of ``loss="entmax"``: 1 is "logistic", 2 is "sparsemax".
    gamma : float > 0, default=1.0
        Temperature of "sparsemax" and "entmax": lower is more peaked. Without effect on "logistic".
    encoder : {"stack", "forest", "kernel", "linear", "mlp"}, default="stack"
        From x to potentials. "forest" and "kernel" learn how far to trust the held-out predictions of a forest or of
        a kernel ridge regression, "stack" of both; "linear" and "mlp" learn weights of the features.
    module_kwargs : dict or None, default=None
        Rare settings: C (ridge of "linear" and "mlp" as in LogisticRegression, 0.1), hidden (256), dropout (0.2),
        n_trees (200), n_landmarks (1000), rank (of "lowrank", 4), coupling_ridge (0.3), n_starts (of the mean field,
        6), n_draws (of answers that are not exact, 512), defensive (part of a proposal's mixture, 0.25).
    max_epochs : int, default=30
        Passes over the training rows at the most, after a start at the optimum of the pseudo-likelihood.
    batch_size : int, default=64
        Rows of one step.
    lr : float, default=0.005
        Highest learning rate.
    validation_fraction : float in [0, 1), default=0.1
        Part of the rows that is held out for early stopping (by likelihood, never by the objective) and for the check
        of the normaliser; 0 trains on all rows and checks on some of them.
    patience : int or None, default=5
        Epochs without a better validation likelihood before training stops.
    max_time : float or None, default=None
        Wall seconds after which training stops, with a warning; the experts of the encoder are always fitted whole.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    random_state : int, RandomState or None, default=None
        Seed of experts, weights, batches and draws.
    verbose : int, default=0
        1 prints a line for each epoch.
    warm_start : bool, default=False
        Start ``fit`` from the weights of the last one.
    callbacks : list or None, default=None
        skorch callbacks; they are cloned.
    net_kwargs : dict or None, default=None
        Rare settings of the training: optimizer, weight_decay, schedule, clip_norm, precision; see
        :class:`~skts.engine.TrainSettings`.

    Attributes
    ----------
    output_ : str
        The output space in use; "own" for one of yours.
    coupling_, tau_, proposal_ : str
        What "auto" became.
    contract_ : str or None
        What a proposal of your own is: "proposal", "reference" or "list".
    classes_ : numpy.ndarray
        Classes; for label sets and rankings the names of the columns, or their numbers.
    n_outputs_ : int
        Columns of y; 1 for classes.
    normalization_error_ : float
        Mean of abs(tau - reference) on held-out rows, nats; 0 where the exact normaliser is used.
    normalizer_ : dict
        The whole check, see :class:`~skts.jointebm.trust.Trust`; ``normalizer_["ok"]`` is its answer.
    ess_ : float
        Mean effective number of draws of the check, of 1,600; infinite where the reference is exact.
    n_overflows_ : int
        How often an exponent of the objective was too large for exp.
    labelsets_ : numpy.ndarray of shape (n_distinct, k)
        Codes of the outputs seen in training, the most frequent first.
    labelset_counts_ : numpy.ndarray of shape (n_distinct,)
        How often.
    module_ : JointEBM
        The model.
    history_ : list of dict
        One row for each epoch.
    n_iter_ : int
        Number of epochs.
    stopped_by_ : str
        "max_epochs", "patience", "max_time", "callback", "interrupt" or "divergence".
    device_ : str
        Where it was trained.
    cost_ : dict
        fit_seconds, cpu_seconds, peak_memory_mb, n_parameters.
    n_features_in_ : int
        Features of x.
    feature_names_in_ : numpy.ndarray
        Their names, where X had some.

    Notes
    -----
    With potentials :math:`\theta(x)`, features :math:`\varphi(y)` and a coupling c, :math:`\log p(y \mid x) = \langle
    \theta(x), \varphi(y) \rangle + c(y) - \tau(x)`. Training minimises over both functions

    .. math::

        \tau(x) + \mathbb E_{y' \sim r}\, e^{\langle \theta(x), \varphi(y') \rangle + c(y') - \tau(x) - \log r(y')} - 1
        - \langle \theta(x), \varphi(y) \rangle - c(y),

    an upper bound of the negative log-likelihood that is tight where tau is the log-partition, with unbiased gradients
    from any number of draws (the training then bounds a step's norm; ``net_kwargs={"clip_norm": None}`` does not).
    Where the log-partition is known exactly the bound is the likelihood, and no draws are needed.

    Here and not in the paper: reference distributions with the training frequencies, a start at the optimum of the
    pseudo-likelihood, mixtures of mean fields and latent factors as proposals, the structured tau, exact routes, the
    check of the normaliser on held-out rows, and encoders that stand on experts' held-out predictions. x is scaled
    inside and clipped at 10 standard deviations.

    References
    ----------
    M. E. Sander, V. Roulet, T. Liu, M. Blondel: Joint Learning of Energy-based Models and their Partition Function,
    ICML 2025, https://arxiv.org/abs/2501.18528.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> X, y = make_multilabel(n_samples=200, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 4)
    >>> sets, log_prob = model.top_k(X[:2], 3)  # the three most probable label sets
    >>> sets.shape, log_prob.shape
    ((2, 3, 4), (2, 3))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "output": [
            StrOptions({"auto", "multiclass", "multilabel", "subset", "ranking"}),
            HasMethods(["check", "features"]),
        ],
        "coupling": [StrOptions({"auto", "unary", "cardinality", "pairwise", "lowrank", "permutahedron", "birkhoff"})],
        "loss": [StrOptions({"logistic", "sparsemax", "entmax"})],
        "tau": [StrOptions({"auto", "exact", "structured", "net", "per_sample", "constant"})],
        "proposal": [
            StrOptions({"auto", "enumerate", "prior", "marginal", "meanfield"}),
            HasMethods(["sample"]),
            HasMethods(["candidates"]),
        ],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "decode": [StrOptions(set(DECODERS))],
        "alpha": [Interval(Real, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "encoder": [StrOptions({"stack", "forest", "kernel", "linear", "mlp"})],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        output: Any = "auto",
        coupling: str = "auto",
        loss: str = "logistic",
        tau: str = "auto",
        proposal: Any = "auto",
        n_samples: int = 32,
        decode: str = "map",
        alpha: float = 1.5,
        gamma: float = 1.0,
        encoder: str = "stack",
        module_kwargs: dict[str, Any] | None = None,
        max_epochs: int = 30,
        batch_size: int = 64,
        lr: float = 5e-3,
        validation_fraction: float = 0.1,
        patience: int | None = 5,
        max_time: float | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.output = output
        self.coupling = coupling
        self.loss = loss
        self.tau = tau
        self.proposal = proposal
        self.n_samples = n_samples
        self.decode = decode
        self.alpha = alpha
        self.gamma = gamma
        self.encoder = encoder
        self.module_kwargs = module_kwargs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_time = max_time
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_kwargs = net_kwargs

    def fit(self, X: Any, y: Any, sample_weight: Any = None, label_mask: Any = None) -> Self:
        """Learn the energy and its log-partition.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs; sparse rows become dense a batch at a time, except in the kernel's landmarks.
        y : array-like or sparse matrix of shape (n_samples,) or (n_samples, k)
            Classes, label sets of 0 and 1, or ranks.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.
        label_mask : array-like of shape (n_samples, k), optional
            For label sets: True where a label was observed. What stands in y elsewhere is ignored.

        Returns
        -------
        JointEBMClassifier
            The estimator itself.

        Raises
        ------
        InputError
            If y is not in the output space, or the data cannot be used.
        ParameterError
            If parameters contradict each other or the output space.
        """
        return self._fit_torch(X, y, sample_weight, label_mask)

    def baselines(self) -> dict[str, Any]:
        """The simple estimators to hold this one against.

        Returns
        -------
        dict of str to estimator
            Unfitted, by name.
        """
        return baselines_for(self.output)

    _n_stages = None  # a tau that learns has a stage of its own

    # ---- describe, build, train, finalise -----------------------------------------------------------------------

    def _describe(self, X: Any, y: Any, sample_weight: Any, label_mask: Any) -> ArrayBatches:
        y, names = as_outputs(y)
        X = check_table(self, X, accept_sparse="csr")
        check_lengths(y, X)
        known, weight = check_mask(label_mask, y), check_weights(sample_weight, X)
        if weight is not None and not weight.all():  # rows without weight are no rows
            kept = weight > 0
            X, y, weight = X[kept], y[kept], weight[kept]
            known = None if known is None else known[kept]
        target = Target.of(self.output, y if known is None else np.where(known, y, 0), names)
        if known is not None and (target.kind != "multilabel" or self.loss != "logistic"):
            got = f"one for {target.kind} with loss={self.loss!r}"
            raise InputError(
                "label_mask for label sets and the logistic loss", got, "Drop the rows that lack something."
            )
        Y = target.encode(y if known is None else np.where(known, y, 0))
        choices = choose(target, self.coupling, self.loss, self.tau, self.proposal, self.alpha)
        self._remember(target, choices, Y if known is None or not known.all(1).any() else Y[known.all(1)], Y.shape[1])
        space, seed = choices.space(target), draw_seed(self.random_state)
        self._fresh = fit_experts(self.encoder, X, space, Y, known, weight, rare_settings(self.module_kwargs), seed)
        mass = np.ones(Y.shape) if known is None else known.astype(float)
        base = space.reference(Y, mass if weight is None else mass * weight[:, None])
        self.module_config_ = {
            "n_in": X.shape[1],
            "n_rows": X.shape[0],
            "base": base.tolist(),
            "experts": self._fresh.sizes,
        }
        given = np.where(known, Y, -1) if known is not None else np.zeros((len(Y), 0), dtype=np.int64)
        self._own = OwnDraws(self.own_proposal_, X, self.n_samples, seed) if choices.contract else None
        listed = self._listed(X, Y)
        return ArrayBatches.of(X, self._fresh.held_out, Y, np.arange(len(Y)), given, listed, sample_weight=weight)

    def _remember(self, target: Target, choices: Choices, Y: np.ndarray, n_outputs: int) -> None:
        """Plain fitted attributes: a saved file holds them, and they rebuild target and space."""
        before = getattr(self, "classes_", None)
        if self.warm_start and before is not None and not np.array_equal(before, target.classes):
            got = f"{target.classes[:5].tolist()} after {before[:5].tolist()}"
            raise InputError("the classes or labels of the fit that warm_start continues", got, "Set warm_start=False.")
        self.output_, self.classes_, self.subset_size_ = target.kind, target.classes, target.size
        self.coupling_, self.tau_, self.proposal_ = choices.coupling, choices.tau, choices.proposal
        self.contract_, self.alpha_ = choices.contract, choices.alpha
        self.n_outputs_ = n_outputs
        self.own_proposal_ = None if choices.contract is None else clone(self.proposal, safe=False)
        sets, counts = np.unique(Y, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        self.labelsets_, self.labelset_counts_ = sets[order], counts[order]

    def _build(self, **config: Any) -> nn.Module:
        return JointEBM(
            self._choices.space(self._target),
            self.coupling_,
            self.encoder,
            **config,
            proposal=self.proposal_,
            tau=self.tau_,
            alpha=self.alpha_,
            gamma=self.gamma,
            n_samples=self.n_samples,
            rare=rare_settings(self.module_kwargs),
            listed=self.contract_ if self.contract_ in ("list", "reference") else None,
        )

    def _loss(
        self, module: nn.Module, X: Tensor, features: Tensor, Y: Tensor, rows: Tensor, given: Tensor, listed: Tensor
    ) -> Tensor:
        theta = module.potentials(X, features, listed)
        known = given if given.shape[1] else None
        if not module.training:
            return module.negative_log_likelihood(theta, Y, known)
        return module.objective(theta, Y, rows, known, self._own_draws(module, rows)) + module.penalty()

    def _tau_loss(
        self, module: nn.Module, X: Tensor, features: Tensor, Y: Tensor, rows: Tensor, given: Tensor, listed: Tensor
    ) -> Tensor:
        with torch.no_grad():
            theta = module.potentials(X, features, listed)
        if not module.training:
            return module.excess(theta, rows)
        return module.tau_objective(theta, rows, self._own_draws(module, rows))

    def _own_draws(self, module: JointEBM, rows: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.proposal_ != "own":
            return None
        return self._own.draw(rows, self._target, module.broad, rare_settings(self.module_kwargs)["defensive"])

    def _train(self, run: FitRun, module: nn.Module, batches: ArrayBatches) -> None:
        module.load_state_dict(self._fresh.buffers, strict=False)
        train, valid = batches.split(self.validation_fraction, torch.Generator().manual_seed(run.settings.seed))
        device = run.settings.device
        if not (self.warm_start and hasattr(self, "module_")) and self.contract_ != "reference":
            start_near_optimum(module, train, device, run.settings.deadline)
        held = valid or train
        some = torch.randperm(len(held), generator=torch.Generator().manual_seed(0))[:MOST_ROWS]
        X, features, Y, _, given, listed = (t.to(device) for t in held.take(some))
        with torch.no_grad():
            calibrate(module.eval(), module.potentials(X, features, listed))
        try:
            run.train(module, train, self._loss, valid=valid, keep_start=True)
            going_on = run.stopped_by in ("max_epochs", "patience")
            if going_on and self.tau_ in ("structured", "net", "constant"):
                # The weights that are kept have the best likelihood, which tau has no part in: it may lag behind.
                run.train(module, train, self._tau_loss, valid=valid, keep_start=True, stage="tau")
        finally:
            with torch.no_grad():
                theta = module.eval().potentials(X, features, listed)
                half = max(1, len(theta) // 2)
                calibrate(module, theta[:half])
                if given.shape[1]:  # what was not observed is drawn from the model
                    Y = module.inference.draw(theta, 1, torch.Generator(device).manual_seed(0), given)[:, 0]
                self._trust = check_normaliser(module, theta[-half:], Y[-half:])

    def _finalise(self, run: FitRun, module: nn.Module, *args: Any) -> None:
        super()._finalise(run, module, *args)
        trust = self.__dict__.pop("_trust")
        for name in ("_fresh", "_own"):
            self.__dict__.pop(name)
        self.normalizer_, self.normalization_error_, self.ess_ = trust.as_dict(), trust.error, trust.ess
        self.n_overflows_ = int(module.n_overflows)
        if not trust.ok and not module.inference.exact:
            warnings.warn(trust.warning(), ConvergenceWarning, stacklevel=2)

    # ---- what it needs ------------------------------------------------------------------------------------------

    @property
    def _target(self) -> Target:
        k = len(self.classes_) if self.output_ == "multiclass" else self.n_outputs_
        own = None if isinstance(self.output, str) else self.output
        return Target(self.output_, k, self.classes_, self.subset_size_, own)

    @property
    def _choices(self) -> Choices:
        return Choices(self.coupling_, self.tau_, self.proposal_, self.alpha_, self.contract_)

    def _listed(self, X: Any, observed: np.ndarray | None = None) -> np.ndarray:
        """The user's candidates of each row as codes (n, m * k), draws of the user's reference; else nothing."""
        if self.contract_ == "list":
            return list_own(self.own_proposal_, X, self._target, observed).reshape(X.shape[0], -1)
        if self.contract_ == "reference":
            n = rare_settings(self.module_kwargs)["n_draws"]
            return draw_by_content(self.own_proposal_, X, n, self._target)
        return np.zeros((X.shape[0], 0), dtype=np.int64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags
