"""FMambaForecaster: the network of :mod:`skts.fmamba.module` as an sktime forecaster."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions

from skts.engine import TrainingInterrupted
from skts.errors import InputError
from skts.fmamba.attention import KERNELS
from skts.fmamba.baselines import LinearForecaster
from skts.fmamba.blend import blended
from skts.fmamba.clock import WindowClock
from skts.fmamba.complexity import ComplexityMixin
from skts.fmamba.conformal import conformal_offsets, widths
from skts.fmamba.exogenous import TakesExogenous
from skts.fmamba.explain import ExplanationMixin
from skts.fmamba.fitting import ForecasterFitting
from skts.fmamba.learning_on import LearningOn
from skts.fmamba.linear import KINDS
from skts.fmamba.missing import MissingValues, filled_array
from skts.fmamba.module import PRESETS
from skts.fmamba.monitor import MonitorMixin
from skts.interop import WindowForecaster, WindowQuantiles

__all__ = ["FMambaForecaster"]


class FMambaForecaster(
    MonitorMixin,
    ExplanationMixin,
    ComplexityMixin,
    ForecasterFitting,
    MissingValues,
    TakesExogenous,
    LearningOn,
    WindowQuantiles,
    WindowForecaster,
):
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
        variates: neighbouring windows teach nearly the same). One concerns the data: missing_sentinel
        (float), a number that stands for a missing value, as NaN does.
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
        How windows without times are forecast: the classifier that reads the time of day off a window, and the weights
        and the map of the blend where it is read; empty without a cycle.
    course_ : numpy.ndarray of shape (2 * n_harmonics, n_variates)
        The usual course through the cycle, standardised: the forecast of a variate of which a window knows nothing.
    cycle_ : tuple or None
        Length of the cycle, step of the index, and whether both are in seconds, else in rows.
    guard_errors_ : dict of str to numpy.ndarray of shape (n_variates,)
        Validation mean squared error of each candidate in standardised units; empty without guard.
    feature_importances_ : numpy.ndarray of shape (n_variates,)
        Share of each variate's course in the variance of the network's forecasts of all variates, on up to 64 windows
        of the validation part; all together 1, or all 0 where the forecasts do not depend on it. See
        :mod:`skts.fmamba.attribution`.
    monitor_ : dict of str to numpy.ndarray
        Errors of one-step forecasts "at_fit", on held-out rows, and "since" then; see ``health``.
    references_ : numpy.ndarray of shape (n_references, context_length, n_variates)
        Standardised courses of some of these windows: what ``attributions`` compares with.
    context_ : pandas.DataFrame
        The last ``context_length_`` rows of every series, less the effect of X.
    effects_ : dict of str to array or int
        What X adds: a regression of the variates on its columns (:mod:`skts.fmamba.effects`), as far as held-out rows
        vouch for it; empty without X. ``exogenous_effect`` shows it.
    exogenous_ : pandas.DataFrame
        The last rows of X of every series that matter for the next forecast.
    residuals_ : numpy.ndarray of shape (n_windows, horizon, n_variates)
        What the truth was above the forecasts of held-out windows, by the width of the window, at most 1000 of them,
        evenly spread; ``update`` adds those of new rows. Intervals are made of them (:mod:`skts.fmamba.conformal`).
        Where nothing is held out they are the training part's, and intervals too narrow.
    replay_ : pandas.DataFrame
        The last 4096 rows of every series, or two windows, to learn on and to measure errors with in ``update``.
    unlearned_ : numpy.ndarray of shape (n_series,)
        Rows at the end of each series that ``update`` has brought and the network not been trained on.
    updates_ : list of dict
        One for each time that ``update`` has trained the network on: "step" (how far it went towards the new weights;
        0 is not at all), "old" and "new" (held-out mean squared errors before and after, of earlier and of new rows, by
        the widths of the windows; those of the shortest step tried where none was taken).
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
    complexity_ : dict
        n_parameters, multiply_accumulates of one window, by_part, and growth with the number of variates: see
        :mod:`skts.fmamba.complexity`.
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
      a frozen skip of the network, whose projector starts at zero (``skip``; not at first from 50 variates on, where
      mixing them is the point);
    * beside it, a linear map across variates where validation gains by it clearly (:mod:`skts.fmamba.across`; goes with
      ``skip``);
    * an offset of each variate (``pos_embed``), carried to other data by column name, and the first harmonics of the
      time of day (``phase_embed``), added to the tokens;
    * for 50 variates or more, two stages: attention first, then the state space, kept only if validation gains by it;
      and a third one from the closed forms, if these alone are better on validation than the network;
    * gates of attention and state space that start at zero (``mix_gate``; from 50 variates on, of the latter alone);
    * absolute errors as training loss, which a few wild stretches do not lead (squared ones from 50 variates on).

    Exogenous data ``X`` are what is known ahead (prices, holidays, weather forecasts); what is known up to now alone
    belongs into ``y`` as one more variate. Their effect is learned first, as an additive regression with lags and
    bends, and only as far as held-out rows vouch for it; all else sees ``y`` less this effect, and forecasts get that
    of the coming rows back. ``fit`` with X needs it in ``predict``, ``update`` and ``predict_windows`` too.

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
        "capability:feature_importance": True,
        "capability:pred_int": True,
        "capability:missing_values": True,
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

    # ---- forecast -----------------------------------------------------------------------------------------------

    def _forecast(self, contexts: np.ndarray, cutoffs: pd.Index, ahead: int = 0) -> np.ndarray:
        scaled, there = filled_array((contexts - self.center_) / self.scale_)
        if np.abs(scaled).max() > _FARTHEST:
            raise InputError(
                f"windows within {_FARTHEST:g} standard deviations of the training data",
                f"{np.abs(scaled).max():g}",
                "Check their unit and the order of the variates.",
            )
        masks = () if there is None else (there,)
        angles = self._angles_at(cutoffs, ahead + 1)
        forecast = np.empty((len(scaled), self.horizon_, self.n_variates_))
        unknown = np.isnan(angles) & bool(self.undated_)
        if not unknown.all():
            known = ~unknown
            some = (scaled[known], angles[known], self.guard_weights_, self.guard_coef_)
            forecast[known] = self._blended(*some, *(mask[known] for mask in masks))
        if unknown.any():
            told = self.undated_
            expected = WindowClock.of(told).harmonics(scaled[unknown])
            some = (scaled[unknown], expected, told["weights"], told["coef"])
            forecast[unknown] = self._blended(*some, *(mask[unknown] for mask in masks))
        if there is not None:
            self._fall_back(forecast, ~there.any(1), self._usual(cutoffs, ahead + 1, self.horizon_))
        return forecast * self.scale_ + self.center_

    def _blended(
        self, scaled: np.ndarray, angles: np.ndarray, weights: dict[str, np.ndarray], coef: np.ndarray, *masks: Any
    ) -> np.ndarray:
        return blended(self._forward, scaled, angles, weights, coef, self._sizes, *masks)

    def _quantile_offsets(self, contexts: np.ndarray, alpha: Sequence[float], n_steps: int, dated: bool) -> np.ndarray:
        errors = self.residuals_ if dated or not self.undated_ else self.undated_["residuals"]
        if not len(errors):
            hint = "Fit a longer series, without an interrupt."
            raise InputError("errors of held-out forecasts, which intervals are made of", "none from fit", hint)
        offsets = conformal_offsets(errors, alpha, n_steps)  # (steps, N, A)
        width = widths((contexts - self.center_) / self.scale_) * self.scale_  # (B, 1, N)
        return offsets * width[..., None]

    def _get_pretrained(self) -> dict[str, Any]:
        weights = {name: value.cpu() for name, value in self.module_.state_dict().items()}
        guard = {"weights": self.guard_weights_, "errors": self.guard_errors_, "coef": self.guard_coef_}
        columns = list(self.context_.columns)
        return {
            "weights": weights,
            "columns": columns,
            "config": self.module_config_,
            "guard": guard,
            "residuals": self.residuals_,
            "history": self.history_,
        }

    # ---- what it needs ---------------------------------------------------------------------------------------------

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
