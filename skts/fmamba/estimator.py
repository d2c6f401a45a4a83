"""FMambaForecaster: the network of :mod:`skts.fmamba.module` as an sktime forecaster."""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import FitRun, TrainingInterrupted, WindowBatches
from skts.errors import InputError, ParameterError
from skts.fmamba.attention import KERNELS, NORMS
from skts.fmamba.baselines import LinearForecaster
from skts.fmamba.guard import NETWORK, Guard, choose
from skts.fmamba.linear import KINDS, linear_forecast
from skts.fmamba.module import PRESETS, FMambaNet
from skts.fmamba.scaling import training_scale
from skts.interop import WindowForecaster
from skts.validation import check_options

__all__ = ["FMambaForecaster"]


class FMambaForecaster(TorchEstimatorMixin, WindowForecaster):
    r"""Forecast many series at once: fast attention across variates, then a selective state space (Mamba).

    Use it for multivariate series whose variates tell something about each other; its cost grows linearly with their
    number. One network serves all variates and all series of a panel. Beside it stand closed-form linear maps and the
    last value, and by default each variate gets whichever did best on validation data.

    Parameters
    ----------
    context_length : int, default=96
        Steps that the network sees; tune it first. Shorter where the series are short.
    d_model : int, default=128
        Width of a variate's token; a multiple of the number of heads (8).
    n_layers : int, default=2
        Repetitions of attention, state space and MLP block.
    attention : {"auto", "gauss", "relu", "favor+", "softmax"} or None, default="auto"
        Kernel of the attention across variates. "auto" is exact softmax while that is cheaper and FAVOR+ beyond; None
        leaves attention out.
    mamba : {"bi", "uni"} or None, default="bi"
        Directions of the state space across variates; None leaves it out.
    variant : {"auto", "arxiv", "tai"}, default="auto"
        "auto" takes ``attention`` and ``mamba`` as they are given. The others set them: "arxiv" as in the first paper
        (literal Gaussian kernel, one direction), "tai" as in the journal version (FAVOR+, gate, two directions).
    guard : {"validation"} or None, default="validation"
        Choose between network, closed-form linear maps and last value by validation error, variate by variate; see
        ``selected_``. None is the bare network.
    horizon : int or None, default=None
        Steps that the network forecasts at once. None takes the largest step of ``fh`` in ``fit``, or 24 without one.
        Longer forecasts continue from their own values.
    module_kwargs : dict or None, default=None
        Rare settings of the network: d_ff, n_heads, n_features, attention_norm, gated, d_state, d_conv, expand,
        pos_embed, instance_norm, mlp_embed, dropout, norm; see :class:`~skts.fmamba.module.FMambaNet`.
    max_epochs : int, default=10
        Passes over the training windows at the most.
    batch_size : int, default=32
        Windows of one step.
    lr : float, default=2e-4
        Highest learning rate.
    validation_fraction : float in [0, 1), default=0.2
        Last part in time of each series that is held out for early stopping and the guard; 0 switches both off.
    patience : int or None, default=3
        Epochs without a better validation error before training stops.
    max_time : float or None, default=None
        Wall seconds after which training stops, with a warning.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    random_state : int, RandomState or None, default=None
        Seed of weights and batches.
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
    selected_ : dict of column to str
        The candidate that forecasts each variate: "network", "linear", "linear per variate" or "last value".
    guard_errors_ : dict of str to numpy.ndarray of shape (n_variates,)
        Validation mean squared error of each candidate in standardised units; empty without guard.
    context_ : pandas.DataFrame
        The last ``context_length_`` rows of every series.
    context_length_, horizon_, n_variates_ : int
        Lengths and number of variates in use.
    center_, scale_ : numpy.ndarray of shape (n_variates,)
        Standardisation, from the training part.
    module_ : FMambaNet
        The network.
    history_ : list of dict
        One row for each epoch.
    n_iter_ : int
        Number of epochs.
    stopped_by_ : str
        "max_epochs", "patience", "max_time", "callback", "interrupt", "divergence", or "pretrained" where the series
        are too short to improve on pretrained weights.
    device_ : str
        Where it was trained.
    cost_ : dict
        fit_seconds, cpu_seconds, peak_memory_mb, n_parameters.
    pretrained_ : dict
        What ``pretrain`` has learned.

    Notes
    -----
    The wiring is written down in :mod:`skts.fmamba.module`. The paper's code and hyper-parameters are not public; what
    its abstract and reviews say (order of the blocks, Gaussian kernel, direction) is in the presets, widths and
    learning rate are ours. Here scores are row-normalised by default, so that weights sum to one for any number of
    variates, where the paper divides by the head's width alone (``variant="arxiv"``). Windows are forecast relative to
    their own mean and standard deviation (``instance_norm``).

    ``attention=None`` gives S-Mamba, ``mamba=None`` with ``attention="softmax"`` gives iTransformer, and both None an
    MLP without mixing: compare them within one estimator.

    References
    ----------
    S. Ma, Y. Kang, P. Bai, Y.-B. Zhao: FMamba: Mamba based on Fast-attention for Multivariate Time-series Forecasting,
    2024, https://arxiv.org/abs/2407.14814.

    Examples
    --------
    >>> from skts import FMambaForecaster
    >>> from skts.datasets import load_us_change
    >>> y = load_us_change()
    >>> forecaster = FMambaForecaster(context_length=24, d_model=16, max_epochs=2, random_state=0)
    >>> forecaster.fit(y, fh=[1, 2, 3, 4]).predict().shape
    (4, 5)
    """

    _tags: ClassVar[dict[str, Any]] = {
        "python_dependencies": ["torch", "skorch"],
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "context_length": [Interval(Integral, 1, None, closed="left")],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, 1000, closed="both")],
        "attention": [StrOptions({"auto", *KERNELS}), None],
        "mamba": [StrOptions({"bi", "uni"}), None],
        "variant": [StrOptions(set(PRESETS))],
        "guard": [StrOptions({"validation"}), None],
        "horizon": [Interval(Integral, 1, None, closed="left"), None],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        context_length: int = 96,
        d_model: int = 128,
        n_layers: int = 2,
        attention: str | None = "auto",
        mamba: str | None = "bi",
        variant: str = "auto",
        guard: str | None = "validation",
        horizon: int | None = None,
        module_kwargs: dict[str, Any] | None = None,
        max_epochs: int = 10,
        batch_size: int = 32,
        lr: float = 2e-4,
        validation_fraction: float = 0.2,
        patience: int | None = 3,
        max_time: float | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.context_length = context_length
        self.d_model = d_model
        self.n_layers = n_layers
        self.attention = attention
        self.mamba = mamba
        self.variant = variant
        self.guard = guard
        self.horizon = horizon
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
        super().__init__()

    def fit(self, y: Any, X: Any = None, fh: Any = None) -> Self:  # noqa: D102
        if self.warm_start and hasattr(self, "module_"):
            self._start_from = self.module_.state_dict()
        try:
            return super().fit(y, X=X, fh=fh)
        except TrainingInterrupted:
            self._state = "fitted"
            raise
        finally:
            self.__dict__.pop("_start_from", None)

    fit.__doc__ = WindowForecaster.fit.__doc__

    def baselines(self) -> dict[str, LinearForecaster]:
        """The simple forecasters to hold this one against.

        Returns
        -------
        dict of str to LinearForecaster
            Unfitted, by name.
        """
        return {kind: LinearForecaster(kind, self.context_length, self.horizon) for kind in KINDS}

    # ---- describe, build, train, finalise -----------------------------------------------------------------------

    def _fit_windows(self, series: list[np.ndarray]) -> None:
        pretrained = getattr(self, "pretrained_", {})
        self._fit_torch(series, start_from=pretrained.get("weights", self.__dict__.get("_start_from")))

    def _describe(self, series: list[np.ndarray]) -> WindowBatches:
        self.center_, self.scale_ = training_scale(series, self.validation_fraction, self.horizon_)
        scaled = [((s - self.center_) / self.scale_).astype(np.float32) for s in series]
        lengths = {"context_length": self.context_length_, "horizon": self.horizon_}
        pretrained = getattr(self, "pretrained_", {})
        self.module_config_ = pretrained.get("config", {**lengths, "n_variates": self.n_variates_})
        return WindowBatches.of(scaled, self.context_length_, self.horizon_)

    def _build(self, **config: Any) -> nn.Module:
        return FMambaNet(**config, d_model=self.d_model, n_layers=self.n_layers, **self._wiring())

    def _loss(self, module: nn.Module, contexts: Tensor, targets: Tensor) -> Tensor:
        return (module(contexts) - targets).square().mean((1, 2))

    def _train(self, run: FitRun, module: nn.Module, batches: WindowBatches) -> None:
        pretrained = getattr(self, "pretrained_", None)
        self._guard = Guard([NETWORK] * self.n_variates_, {}, np.empty(0))
        train, valid = batches.split(self.validation_fraction, torch.Generator().manual_seed(run.settings.seed))
        if pretrained is not None and valid is None:
            # Nothing to hold a fine-tuned network against: the pretrained one stands.
            run.stopped_by = "pretrained"
            self._guard = _fitting(pretrained["guard"], self.n_variates_) or self._guard
            return
        if valid is None and self.validation_fraction > 0:
            warnings.warn(
                f"The longest series has {max(batches.lengths)} time points, too few for a validation part: neither "
                "early stopping nor the guard can work. A LinearForecaster may do better.",
                UserWarning,
                stacklevel=2,
            )
        run.train(module, train, self._loss, valid=valid, keep_start=pretrained is not None)
        if self.guard is not None and valid is not None:
            self._guard = choose(train, valid, self._validation_errors(run, module, valid))

    def _finalise(self, *args: Any) -> None:
        super()._finalise(*args)
        guard = self.__dict__.pop("_guard")
        self.selected_ = dict(zip(self.context_.columns, guard.selected, strict=True))
        self.guard_errors_, self.guard_coef_ = guard.errors, guard.coef

    def _validation_errors(self, run: FitRun, module: nn.Module, valid: WindowBatches) -> Tensor:
        """Mean squared error of the network for each variate."""
        device, module = run.settings.device, module.eval()
        total = torch.zeros(self.n_variates_, dtype=torch.float64)
        with torch.no_grad():
            for index in torch.arange(len(valid)).split(self.batch_size * 4):
                contexts, targets = (t.to(device) for t in valid.take(index))
                total += (module(contexts) - targets).square().mean(1).sum(0).double().cpu()
        return total / len(valid)

    def _forecast(self, contexts: np.ndarray) -> np.ndarray:
        scaled = (contexts - self.center_) / self.scale_
        if np.abs(scaled).max() > _FARTHEST:
            raise InputError(
                f"windows within {_FARTHEST:g} standard deviations of the training data",
                f"{np.abs(scaled).max():g}",
                "Check their unit and the order of the variates.",
            )
        by_network = np.asarray([name == NETWORK for name in self.selected_.values()])
        if by_network.any():
            forecast = self._forward(scaled.astype(np.float32)).double().numpy()
        else:
            forecast = np.empty((len(scaled), self.horizon_, self.n_variates_))
        if not by_network.all():
            forecast[..., ~by_network] = linear_forecast(scaled[..., ~by_network], self.guard_coef_[~by_network])
        return forecast * self.scale_ + self.center_

    def _get_pretrained(self) -> dict[str, Any]:
        weights = {name: value.cpu() for name, value in self.module_.state_dict().items()}
        guard = {
            "selected": list(self.selected_.values()),
            "errors": self.guard_errors_,
            "coef": self.guard_coef_,
        }
        return {"weights": weights, "config": self.module_config_, "guard": guard, "history": self.history_}

    # ---- what it needs ------------------------------------------------------------------------------------------

    def _wiring(self) -> dict[str, Any]:
        """The network's keywords from ``attention``, ``mamba``, ``variant`` and ``module_kwargs``."""
        rare = check_options(self.module_kwargs, _RARE, "module_kwargs")
        heads = rare.get("n_heads", 8)
        if self.d_model % heads:
            raise ParameterError(
                "d_model to be a multiple of the number of attention heads",
                f"d_model={self.d_model} with n_heads={heads}",
                "Change d_model, or pass module_kwargs={'n_heads': ...}.",
            )
        return {"attention": self.attention, "mamba": self.mamba, **PRESETS[self.variant], **rare}

    @property
    def _tied_to_variates(self) -> bool:
        return (self.module_kwargs or {}).get("pos_embed") == "variate"

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small settings for sktime's suite."""
        small = {"d_model": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0}
        heads = {"n_heads": 2, "d_state": 2}
        return [
            {**small, "context_length": 6, "module_kwargs": heads},
            {
                **small,
                "context_length": 4,
                "horizon": 2,
                "variant": "arxiv",
                "guard": None,
                "module_kwargs": heads,
            },
        ]


_FARTHEST = 1e12  # beyond it, the variance of a window leaves float32
_COUNT = [Interval(Integral, 1, None, closed="left")]
# What module_kwargs may set.
_RARE: dict[str, list[Any]] = {
    "d_ff": [*_COUNT, None],
    "n_heads": _COUNT,
    "n_features": [*_COUNT, None],
    "attention_norm": [StrOptions(set(NORMS))],
    "gated": ["boolean"],
    "d_state": _COUNT,
    "d_conv": _COUNT,
    "expand": _COUNT,
    "pos_embed": [StrOptions({"none", "time", "variate"})],
    "instance_norm": ["boolean"],
    "mlp_embed": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "norm": [StrOptions({"post", "pre"})],
}


def _fitting(guard: dict[str, Any], n_variates: int) -> Guard | None:
    """A pretrained guard's choice, where it was made for the same number of variates."""
    return Guard(**guard) if len(guard["selected"]) == n_variates else None
