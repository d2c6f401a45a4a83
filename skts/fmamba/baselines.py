"""Forecasters without a network: repeat the last value, or a closed-form linear map."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skts.engine import WindowBatches
from skts.fmamba.exogenous import TakesExogenous
from skts.fmamba.linear import KINDS, WindowMoments, closed_form, linear_forecast
from skts.fmamba.scaling import training_scale
from skts.interop import WindowForecaster

__all__ = ["LinearForecaster"]


class LinearForecaster(TakesExogenous, WindowForecaster):
    r"""Forecast by a linear map of the window, solved in closed form.

    Use it as the bar that a network has to pass: on many public data sets few do. It fits in seconds.

    Parameters
    ----------
    kind : {"linear", "linear per variate", "last value"}, default="linear"
        One map for all variates, one for each, or the window's last value repeated.
    context_length : int, default=96
        Steps of a window; shorter where the series are short.
    horizon : int or None, default=None
        Steps forecast at once; None takes the largest step of ``fh`` in ``fit``, or 24 without one. Longer forecasts
        continue from their own values.
    validation_fraction : float in [0, 1), default=0.2
        Last part of the series on which the ridge penalty is chosen.

    Attributes
    ----------
    coef_ : numpy.ndarray of shape (1 or n_variates, context_length, horizon)
        The map, for windows in standardised units less their own mean.
    center_, scale_ : numpy.ndarray of shape (n_variates,)
        Standardisation.
    context_length_, horizon_ : int
        Lengths in use.
    effects_, exogenous_ : dict of str to array or int, pandas.DataFrame
        What X adds, and its last rows; see :class:`~skts.FMambaForecaster`.

    References
    ----------
    W. Toner, L. Darlow: An Analysis of Linear Time Series Forecasting Models, ICML 2024,
    https://arxiv.org/abs/2403.14587.

    Examples
    --------
    >>> from skts.datasets import load_us_change
    >>> from skts.fmamba import LinearForecaster
    >>> y = load_us_change()
    >>> LinearForecaster(context_length=12).fit(y, fh=[1, 2]).predict().shape
    (2, 5)
    """

    _tags: ClassVar[dict[str, Any]] = {"capability:random_state": False}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "kind": [StrOptions(set(KINDS))],
        "context_length": [Interval(Integral, 1, None, closed="left")],
        "horizon": [Interval(Integral, 1, None, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        kind: str = "linear",
        context_length: int = 96,
        horizon: int | None = None,
        validation_fraction: float = 0.2,
    ) -> None:
        self.kind = kind
        self.context_length = context_length
        self.horizon = horizon
        self.validation_fraction = validation_fraction
        super().__init__()

    def _fit_windows(self, series: list[np.ndarray]) -> None:
        self.center_, self.scale_ = training_scale(series, self.validation_fraction, self.horizon_)
        if hasattr(self, "pretrained_"):
            self.coef_ = self.pretrained_["coef"]
            return
        scaled = [(s - self.center_) / self.scale_ for s in series]
        windows = WindowBatches.of(scaled, self.context_length_, self.horizon_)
        train, valid = windows.split(self.validation_fraction, torch.Generator().manual_seed(0))
        moments = WindowMoments.of(train), None if valid is None else WindowMoments.of(valid)
        self.coef_ = np.ascontiguousarray(closed_form(self.kind, *moments))

    def _forecast(self, contexts: np.ndarray) -> np.ndarray:
        scaled = (contexts - self.center_) / self.scale_
        return linear_forecast(scaled, self.coef_) * self.scale_ + self.center_

    @property
    def _tied_to_variates(self) -> bool:
        return self.kind == "linear per variate"

    def _get_pretrained(self) -> dict[str, Any]:
        return {"coef": self.coef_}

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small settings for sktime's suite."""
        return [
            {"context_length": 5},
            {"kind": "linear per variate", "context_length": 4, "horizon": 2},
            {"kind": "last value"},
        ]
