"""FMambaForecaster: the network of :mod:`skts.fmamba.module` as an sktime forecaster."""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import FitRun, TrainingInterrupted, cut_last_part
from skts.errors import InputError, ParameterError
from skts.fmamba.attention import KERNELS, NORMS
from skts.fmamba.baselines import LinearForecaster
from skts.fmamba.clock import WindowClock
from skts.fmamba.closed_forms import ClosedForms, fit_closed_forms, without_validation
from skts.fmamba.cycle import Cycle
from skts.fmamba.defaults import WIDE, carried, defaults
from skts.fmamba.evidence import NETWORK, judge
from skts.fmamba.guard import Guard, choose
from skts.fmamba.linear import KINDS, linear_forecast
from skts.fmamba.module import PRESETS, FMambaNet
from skts.fmamba.scaling import training_scale
from skts.fmamba.windows import DatedWindows
from skts.interop import WindowForecaster
from skts.validation import check_options

__all__ = ["FMambaForecaster"]


class FMambaForecaster(TorchEstimatorMixin, WindowForecaster):
    r"""Forecast many series at once: fast attention across variates, then a selective state space (Mamba).

    Use it for multivariate series whose variates tell something about each other; its cost grows linearly with their
    number. One network serves all variates and all series of a panel. It starts from a closed-form map of the window,
    which knows the time of day where the index tells it, and learns what that map leaves over; by default the forecast
    is a blend of the network, closed forms and the last value, of which only those take part that validation data vouch
    for.

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
        "auto" takes ``attention`` and ``mamba`` as they are given, and puts the closed form, offsets of variates and
        time of day, gates and loss around them that the notes describe. The others are a paper's network alone, trained
        by squared errors: "arxiv" the first paper's (literal Gaussian kernel, one direction), "tai" the journal
        version's (FAVOR+, gate, two directions).
    guard : {"validation"} or None, default="validation"
        Blend network, closed-form linear maps and last value by their validation errors, variate by variate; see
        ``guard_weights_``. None is the bare network.
    period : "auto", float or None, default="auto"
        Steps of the cycle that the series go through. "auto" is a day for series finer than daily, a week for daily
        ones and a year for coarser ones; without times, the first clear peak of the autocorrelation of a single series.
        None is no cycle.
    horizon : int or None, default=None
        Steps that the network forecasts at once. None takes the largest step of ``fh`` in ``fit``, or 24 without one.
        Longer forecasts continue from their own values.
    module_kwargs : dict or None, default=None
        Rare settings of the network: d_ff, n_heads, n_features, attention_norm, gated, d_state, d_conv, expand,
        pos_embed, instance_norm, mlp_embed, dropout, norm, mix_gate, phase_embed, skip; see
        :class:`~skts.fmamba.module.FMambaNet`. Two concern the training: loss ("auto", "l1" or "mse"; what is kept is
        always chosen by squared errors) and windows_per_epoch (int; by default at most 8192 of them, fewer for more
        variates: neighbouring windows teach nearly the same).
    max_epochs : int, default=10
        Passes over the training windows at the most.
    batch_size : int, default=32
        Windows of one step.
    lr : float, default=2e-4
        Highest learning rate. The network of 50 variates or more starts from nothing, not from a closed form, and
        takes five times as much.
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
        The candidate with the lowest validation error for each variate: "network", "periodic", "linear", "linear per
        variate" or "last value".
    guard_weights_ : dict of str to numpy.ndarray of shape (n_variates,)
        Share of each candidate in the forecast of each variate, all together 1. Zero for those that do not beat the
        better of "linear" and "last value" by more than luck (:mod:`skts.fmamba.evidence`).
    guard_coef_ : numpy.ndarray of shape (n_variates, n_features, horizon)
        The closed forms' part of the blend, one linear map.
    undated_ : dict of str to numpy.ndarray
        How windows without times are forecast: the maps that read the time of day off a window, and the weights and the
        map of the blend where it is read; empty without a cycle.
    cycle_ : tuple or None
        Length of the cycle, step of the index, and whether both are in seconds, else in rows.
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

    Around that wiring, ``variant="auto"`` puts (``module_kwargs`` switches each of them off):

    * the closed form of :mod:`skts.fmamba.periodic`, or the linear map where the periodic one is not clearly better, as
      a frozen skip of the network, whose projector starts at zero (``skip``; not from 50 variates on, where mixing them
      is the point);
    * an offset of each variate (``pos_embed``), carried to other data by column name, and the first harmonics of the
      time of day (``phase_embed``), added to the tokens;
    * for 50 variates or more, two stages: attention first, then the state space, kept only if validation gains by it;
    * gates of attention and state space that start at zero (``mix_gate``; from 50 variates on, of the latter alone);
    * absolute errors as training loss, which a few wild stretches do not lead (squared ones from 50 variates on).

    With ``pos_embed="variate"`` given by the user, the network refuses other variates than those it was pretrained on.

    References
    ----------
    S. Ma, Y. Kang, P. Bai, Y.-B. Zhao: FMamba: Mamba based on Fast-attention for Multivariate Time-series Forecasting,
    2024, https://arxiv.org/abs/2407.14814.

    W. Toner, L. Darlow: An Analysis of Linear Time Series Forecasting Models, ICML 2024,
    https://arxiv.org/abs/2403.14587.

    Examples
    --------
    >>> from skts import FMambaForecaster
    >>> from skts.datasets import load_us_change
    >>> y = load_us_change()
    >>> forecaster = FMambaForecaster(context_length=24, d_model=16, max_epochs=2, random_state=0)
    >>> forecaster.fit(y, fh=[1, 2, 3, 4]).predict().shape
    (4, 5)
    """

    _uses_times: ClassVar[bool] = True
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
        "period": [Interval(Real, 1, None, closed="neither"), StrOptions({"auto"}), None],
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
        period: float | str | None = "auto",
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
        self.period = period
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
            self._start_from = {"weights": self.module_.state_dict(), "columns": list(self.context_.columns)}
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

    def _fit_windows(self, series: list[np.ndarray], times: list[pd.Index]) -> None:
        source = getattr(self, "pretrained_", self.__dict__.get("_start_from"))
        start = None if source is None else carried(source["weights"], source["columns"], list(self.context_.columns))
        self._fit_torch(series, times, start_from=start)

    def _describe(self, series: list[np.ndarray], times: list[pd.Index]) -> DatedWindows:
        self.center_, self.scale_ = training_scale(series, self.validation_fraction, self.horizon_)
        scaled = [((s - self.center_) / self.scale_).astype(np.float32) for s in series]
        self.cycle_ = Cycle.of(max(times, key=len), self.period, scaled)
        lengths = {"context_length": self.context_length_, "horizon": self.horizon_, "n_variates": self.n_variates_}
        rows = sum(cut_last_part(len(s), self.validation_fraction, self.horizon_) for s in series)
        made_for = defaults(self.n_variates_, self.context_length_, rows, self.cycle_)
        made_for = {**made_for, **getattr(self, "pretrained_", {}).get("config", {})}
        self.module_config_ = {**made_for, **lengths}
        angles = [self._angles_at(index) for index in times]
        return DatedWindows.of(scaled, angles, self.context_length_, self.horizon_)

    def _build(self, **config: Any) -> nn.Module:
        return FMambaNet(**{**config, "d_model": self.d_model, "n_layers": self.n_layers, **self._wiring()})

    def _loss(self, module: nn.Module, contexts: Tensor, targets: Tensor, angles: Tensor) -> Tensor:
        error = module(contexts, angles) - targets
        # Absolute errors teach, squared errors judge: the weights that are kept have the lowest mean squared error.
        absolute = module.training and self._training_loss() == "l1"
        return (error.abs() if absolute else error.square()).mean((1, 2))

    def _train(self, run: FitRun, module: nn.Module, batches: DatedWindows) -> None:
        pretrained = getattr(self, "pretrained_", None)
        self._guard = self._guard_undated = Guard.network_alone(self.n_variates_)
        self._clock = None
        train, valid = batches.split(self.validation_fraction, torch.Generator().manual_seed(run.settings.seed))
        if pretrained is not None and valid is None:
            # Nothing to hold a fine-tuned network against: the pretrained one stands.
            run.stopped_by = "pretrained"
            self._guard = self._guard_undated = _fitting(pretrained["guard"], self.n_variates_) or self._guard
            return
        if valid is None and self.validation_fraction > 0:
            warnings.warn(
                f"The longest series has {max(batches.windows.lengths)} time points, too few for a validation part: "
                "neither early stopping nor the guard can work. A LinearForecaster may do better.",
                UserWarning,
                stacklevel=2,
            )
        assert isinstance(module, FMambaNet)
        fresh = pretrained is None and "_start_from" not in self.__dict__
        self._clock = WindowClock.fit(train) if self.cycle_ is not None and len(train) else None
        forms, skip = self._closed_forms(run, module, train, valid, fresh)
        per_epoch = check_options(self.module_kwargs, _RARE, "module_kwargs").get("windows_per_epoch")
        per_epoch = per_epoch or max(_FEWEST, min(_MOST, _TOKENS // self.n_variates_))
        judged = None if valid is None else valid.sampled(per_epoch)
        drawn = train.sampled(per_epoch, run.settings.seed)
        rate = run.settings.lr * (_FROM_NOTHING if fresh and self._from_nothing else 1)
        how: dict[str, Any] = {"valid": judged, "lr": rate}
        scans = [layer for layer in module.layers if layer.gate is not None] if fresh and self._from_nothing else []
        if scans and self.attention is not None:
            # Attention first; the scan, which knows no order of the variates to go by, stays only if it helps.
            for layer in scans:
                layer.closed = True
            run.train(module, drawn, self._loss, stage="attention", **how)
            for layer in scans:
                layer.closed = False
            run.train(module, drawn, self._loss, stage="scan", keep_start=True, **how)
        else:
            run.train(module, drawn, self._loss, keep_start=pretrained is not None, **how)
        if self.guard is not None and valid is not None:
            assert forms is not None
            about = (self._sizes, run.settings.device, module.eval())
            self._guard = choose(judge(forms.maps, valid, *about), forms.final)
            if self._clock is not None:
                self._guard_undated = choose(judge(forms.maps, valid.told_by(self._clock), *about), forms.final)
        if forms is not None and module.skip is not None and fresh:
            module.skip.set(forms.final[skip])

    def _closed_forms(
        self, run: FitRun, module: FMambaNet, train: DatedWindows, valid: DatedWindows | None, fresh: bool
    ) -> tuple[ClosedForms | None, str]:
        """The closed forms where anything needs them, and the name of the one that is the network's skip."""
        skip = module.skip if fresh else None
        if skip is not None and valid is None:
            skip.set(without_validation(train))
        if valid is None or (self.guard is None and skip is None):
            return None, ""
        forms = fit_closed_forms(train, valid, *self._sizes)
        if skip is None:
            return forms, ""
        best = judge(forms.maps, valid, self._sizes, run.settings.device).best_map()
        skip.set(forms.maps[best])
        return forms, best

    @property
    def _from_nothing(self) -> bool:
        """Whether no closed form stands beside the network by default: for many sensors."""
        return self.variant == "auto" and not self.module_config_["skip"]

    @property
    def _n_stages(self) -> int | None:  # type: ignore[override]
        return None if self._from_nothing else 1

    @property
    def _sizes(self) -> tuple[int, int]:
        """Harmonics and modulations of the periodic closed form."""
        return self.module_config_["n_harmonics"], self.module_config_["n_modulations"]

    def _finalise(self, *args: Any) -> None:
        super()._finalise(*args)
        guard = self.__dict__.pop("_guard")
        self.selected_ = dict(zip(self.context_.columns, guard.selected, strict=True))
        self.guard_weights_, self.guard_errors_, self.guard_coef_ = guard.weights, guard.errors, guard.coef
        undated, clock = self.__dict__.pop("_guard_undated"), self.__dict__.pop("_clock")
        self.undated_ = {}
        if clock is not None:
            self.undated_ = {"weights": undated.weights, "coef": undated.coef, "own": clock.own, "joint": clock.joint}

    # ---- forecast -----------------------------------------------------------------------------------------------

    def _forecast(self, contexts: np.ndarray, cutoffs: pd.Index, ahead: int = 0) -> np.ndarray:
        scaled = (contexts - self.center_) / self.scale_
        if np.abs(scaled).max() > _FARTHEST:
            raise InputError(
                f"windows within {_FARTHEST:g} standard deviations of the training data",
                f"{np.abs(scaled).max():g}",
                "Check their unit and the order of the variates.",
            )
        angles = self._angles_at(cutoffs, ahead + 1)
        forecast = np.empty((len(scaled), self.horizon_, self.n_variates_))
        unknown = np.isnan(angles) & bool(self.undated_)
        if not unknown.all():
            known = ~unknown
            forecast[known] = self._blended(scaled[known], angles[known], self.guard_weights_, self.guard_coef_)
        if unknown.any():
            told = self.undated_
            angles = WindowClock(told["own"], told["joint"]).angles(scaled[unknown])
            forecast[unknown] = self._blended(scaled[unknown], angles, told["weights"], told["coef"])
        return forecast * self.scale_ + self.center_

    def _blended(
        self, scaled: np.ndarray, angles: np.ndarray, weights: dict[str, np.ndarray], coef: np.ndarray
    ) -> np.ndarray:
        """The network's share of the forecast and the closed forms', in standardised units."""
        share = weights[NETWORK]
        forecast = np.zeros((len(scaled), self.horizon_, self.n_variates_))
        if share.any():
            forecast += self._forward(scaled.astype(np.float32), angles).double().numpy() * share
        if not (share == 1).all():
            linear = linear_forecast(scaled, coef, angles, *self._sizes)
            forecast += linear - share * scaled.mean(1, keepdims=True)
        return forecast

    def _angles_at(self, times: pd.Index, ahead: int = 0) -> np.ndarray:
        """Angles in the cycle; NaN without a cycle."""
        if self.cycle_ is None:
            return np.full(len(times), np.nan, dtype=np.float32)
        cycle = Cycle(*self.cycle_)
        if not cycle.fits(times):
            hint = "Pass times of the kind of the index in fit."
            raise InputError("times" if cycle.dated else "row numbers", f"an index of {times.dtype}", hint)
        return cycle.angles(times, ahead)

    def _get_pretrained(self) -> dict[str, Any]:
        weights = {name: value.cpu() for name, value in self.module_.state_dict().items()}
        guard = {"weights": self.guard_weights_, "errors": self.guard_errors_, "coef": self.guard_coef_}
        columns = list(self.context_.columns)
        return {
            "weights": weights,
            "columns": columns,
            "config": self.module_config_,
            "guard": guard,
            "history": self.history_,
        }

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
        rare = {key: value for key, value in rare.items() if key not in _OF_TRAINING}
        return {"attention": self.attention, "mamba": self.mamba, **PRESETS[self.variant], **rare}

    def _training_loss(self) -> str:
        """Absolute errors, which a few wild stretches do not lead; squared ones for many sensors and the papers."""
        chosen = (self.module_kwargs or {}).get("loss", "auto")
        if chosen != "auto":
            return str(chosen)
        return "mse" if self.variant != "auto" or self.n_variates_ >= WIDE else "l1"

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
    "mix_gate": ["boolean", StrOptions({"mamba"})],
    "phase_embed": [Interval(Integral, 0, None, closed="left")],
    "skip": ["boolean"],
    "loss": [StrOptions({"auto", "l1", "mse"})],
    "windows_per_epoch": [*_COUNT, None],
}
_FROM_NOTHING = 5.0  # times the learning rate
_OF_TRAINING = ("loss", "windows_per_epoch")
# Windows that an epoch draws: so many variates in all, within bounds.
_FEWEST, _MOST, _TOKENS = 1024, 8192, 120_000


def _fitting(guard: dict[str, Any], n_variates: int) -> Guard | None:
    """A pretrained guard's choice, where it was made for the same number of variates."""
    return Guard(**guard) if len(guard["weights"][NETWORK]) == n_variates else None
