"""Quantiles and intervals around the forecasts of windows, in sktime's layout."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from skts.base import keeping_last_state
from skts.errors import InputError
from skts.interop.horizon import checked_horizon, steps_after
from skts.interop.panel import joined

__all__ = ["WindowQuantiles"]


class WindowQuantiles:
    """Comes before :class:`~skts.interop.WindowForecaster` in a class that knows how wrong its forecasts may be.

    It says one thing:

    ``_quantile_offsets(contexts, alpha, n_steps, dated)``
        How far each quantile lies above the forecast of each window, (n, n_steps, n_variates, len(alpha)), in the units
        of the series; ``dated`` says whether the times of the windows are known.
    """

    _tags: ClassVar[dict[str, Any]] = {"capability:pred_int": True}

    def _quantile_offsets(self, contexts: np.ndarray, alpha: Sequence[float], n_steps: int, dated: bool) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} has to define _quantile_offsets")

    def predict_quantiles(self, fh: Any = None, X: Any = None, alpha: Any = None) -> pd.DataFrame:
        """Quantiles of the steps after the last row that was seen.

        Parameters
        ----------
        fh : int, sequence of int or ForecastingHorizon, optional
            As in ``predict``.
        X : same kind as in fit, optional
            As in ``predict``.
        alpha : float or list of float, default=[0.05, 0.95]
            Levels between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            Rows as in ``predict``; columns (variate, alpha). They never fall as alpha grows.

        Raises
        ------
        InputError
            If a level is not between 0 and 1, a step is not in the future, or no error of a forecast is known.
        """
        levels = [0.05, 0.95] if alpha is None else checked_levels(alpha, "alpha")
        horizon = self._checked_ahead(fh)
        with keeping_last_state(self):
            return super().predict_quantiles(fh=horizon, X=X, alpha=levels)

    def predict_interval(self, fh: Any = None, X: Any = None, coverage: Any = 0.9) -> pd.DataFrame:
        """Intervals for the steps after the last row that was seen.

        Parameters
        ----------
        fh : int, sequence of int or ForecastingHorizon, optional
            As in ``predict``.
        X : same kind as in fit, optional
            As in ``predict``.
        coverage : float or list of float, default=0.9
            How often the interval holds the truth, between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            Rows as in ``predict``; columns (variate, coverage, "lower" or "upper").

        Raises
        ------
        InputError
            If a coverage is not between 0 and 1, a step is not in the future, or no error of a forecast is known.
        """
        levels = checked_levels(coverage, "coverage")
        horizon = self._checked_ahead(fh)
        with keeping_last_state(self):
            return super().predict_interval(fh=horizon, X=X, coverage=levels)

    def predict_windows_quantiles(
        self, contexts: Any, alpha: Any = (0.05, 0.5, 0.95), X: Any = None, cutoffs: Any = None
    ) -> np.ndarray:
        """Quantiles after windows of raw values, without any index.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates)
            As in ``predict_windows``.
        alpha : float or sequence of A floats, default=(0.05, 0.5, 0.95)
            Levels between 0 and 1.
        X : array of shape (n_windows, n_timepoints + horizon, n_columns), optional
            As in ``predict_windows``.
        cutoffs : sequence of n_windows times, optional
            As in ``predict_windows``.

        Returns
        -------
        numpy.ndarray of shape (n_windows, horizon, n_variates, A)
            They never fall as alpha grows.

        Raises
        ------
        InputError, InputTypeError
            If a level is not between 0 and 1, or the windows or cutoffs are refused by ``predict_windows``.
        """
        levels = checked_levels(alpha, "alpha")
        forecasts = self.predict_windows(contexts, X=X, cutoffs=cutoffs)
        windows = self._checked_windows(contexts, X)
        undated = np.asarray(self._times_of(windows, cutoffs).isna())
        quantiles = np.repeat(forecasts[..., None], len(levels), axis=-1)
        for some, dated in ((~undated, True), (undated, False)):
            if some.any():
                quantiles[some] += self._quantile_offsets(windows[some], levels, self.horizon_, dated)
        return quantiles

    def _checked_ahead(self, fh: Any) -> ForecastingHorizon | None:
        horizon = checked_horizon(fh)
        if horizon is not None and self.is_fitted:
            steps_after(horizon, self.cutoff)
        return horizon

    def _predict_quantiles(self, fh: ForecastingHorizon, X: Any, alpha: list[float]) -> pd.DataFrame:
        columns = self._get_columns(method="predict_quantiles", alpha=alpha)
        ahead = self._ahead(fh, X)
        n_steps = max(int(steps.max()) for steps, _, _ in ahead.values())
        offsets = self._quantile_offsets(self._contexts(), alpha, n_steps, True)
        parts = {}
        for number, (key, (steps, index, forecast)) in enumerate(ahead.items()):
            quantiles = forecast[..., None] + offsets[number, steps - 1]  # (steps, N, A)
            parts[key] = pd.DataFrame(quantiles.reshape(len(steps), -1), index=index, columns=columns)
        return joined(parts, self.context_.index.names)


def checked_levels(levels: Any, name: str) -> list[float]:
    """Probabilities as a list.

    Raises
    ------
    InputError
        If one of them is not strictly between 0 and 1, or they are none or repeated.
    """
    try:
        found = [float(level) for level in np.atleast_1d(levels)]
    except (TypeError, ValueError):
        found = []
    if not found or not all(0 < level < 1 for level in found) or len(set(found)) < len(found):
        hint = f"Pass {name}=0.9, or a list."
        raise InputError("different probabilities strictly between 0 and 1", f"{name}={levels!r}", hint)
    return found
