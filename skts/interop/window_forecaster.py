"""An sktime forecaster from any model that maps windows of raw values to the values after them."""

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from skts.base import keeping_last_state
from skts.engine import cut_last_part
from skts.errors import InputError, InputTypeError
from skts.interop.horizon import checked_cutoffs, checked_horizon, steps_after
from skts.interop.panel import continued, end_of, instances, joined, last_rows, padded
from skts.interop.sklearn_side import SklearnSide
from skts.validation import check_params, check_series, check_windows

__all__ = ["WindowForecaster"]

_DEFAULT_HORIZON = 24

# sktime's private state that predict needs.
_BOOKS = (
    *("_fh", "_cutoff", "_state", "_is_vectorized", "_pretrained_attrs"),
    *("_y_metadata", "_y_mtype_last_seen", "_converter_store_y"),
)


class WindowForecaster(SklearnSide, BaseForecaster):
    """Keeps sktime's books (index, panel, context, horizon) for a model of windows.

    A subclass has the parameters ``context_length`` and ``horizon``, a table ``_parameter_constraints``, and says two
    things:

    ``_fit_windows(series)``
        Learn from a list of arrays (n_timepoints_i, n_variates); ``context_length_`` and ``horizon_`` are set.
    ``_forecast(contexts)``
        Raw windows (n, L, n_variates) to raw forecasts (n, H, n_variates); L is ``context_length_``, H ``horizon_``.

    A model whose forecasts depend on the time sets ``_uses_times = True``. Then both get it by keyword:
    ``_fit_windows`` the index of each series as ``times``; ``_forecast`` the times of the windows' last rows as
    ``cutoffs`` (missing where they are unknown) and ``ahead``, how many steps after them the forecast begins.

    A model that can be carried over to other series also says ``_get_pretrained()``, a dict of plain values and arrays,
    and finds it as ``pretrained_`` in the next ``_fit_windows``.

    Attributes
    ----------
    context_ : pandas.DataFrame
        The last ``context_length_`` rows of every series: where the forecast starts.
    context_length_, horizon_ : int
        Length of a window, and steps forecast at once; shorter than asked for where the series are short.
    n_variates_ : int
        Number of columns.
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": "skts developers",
        "maintainers": "skts developers",
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "capability:multivariate": True,
        "capability:exogenous": False,
        "capability:insample": False,
        "capability:pred_int": False,
        "capability:missing_values": False,
        "capability:update": True,
        "capability:pretrain": True,
        "requires-fh-in-fit": False,
    }
    # Our update keeps the context by itself; the data of fit would only travel along with every copy.
    _config: ClassVar[dict[str, Any]] = {"remember_data": False}

    _uses_times: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._y = self._X = None

    # ---- what a model says --------------------------------------------------------------------------------------

    def _fit_windows(self, series: list[np.ndarray], **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} has to define _fit_windows")

    def _forecast(self, contexts: np.ndarray, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} has to define _forecast")

    def _get_pretrained(self) -> dict[str, Any]:
        raise TypeError(f"{type(self).__name__} has to define _get_pretrained")

    @property
    def _takes_missing(self) -> bool:
        """Whether NaN is a missing value, and no error."""
        return bool(self.get_class_tag("capability:missing_values"))

    @property
    def _tied_to_variates(self) -> bool:
        """Whether the model has weights of its own for each variate."""
        return False

    # ---- sktime's interface -------------------------------------------------------------------------------------

    def fit(self, y: Any, X: Any = None, fh: Any = None) -> Self:
        """Fit to one series, or to all series of a panel together.

        Parameters
        ----------
        y : pandas Series or DataFrame, numpy array, or any sktime panel or hierarchical container
            Time x variates. A panel is learned as a whole: one model for all of its series.
        X : same kind as y, optional
            Exogenous data that are known ahead, such as prices or holidays: a row for each row of y.
        fh : int, sequence of int or ForecastingHorizon, optional
            Steps to forecast, any of them 1 or later, contiguous or not. May be given in ``predict`` instead.

        Returns
        -------
        self
            The fitted forecaster.

        Raises
        ------
        InputError, InputTypeError
            If y is empty, too short, not numeric, not finite, or its index is unsorted or has duplicates.
        """
        check_series(y, missing=self._takes_missing)
        with keeping_last_state(self):
            return super().fit(y, X=X, fh=checked_horizon(fh))

    def predict(self, fh: Any = None, X: Any = None) -> Any:
        """Forecast the steps after the last row that was seen.

        Parameters
        ----------
        fh : int, sequence of int or ForecastingHorizon, optional
            Steps 1 or later, or times after the end of every series; those of ``fit`` by default.
        X : same kind as in fit, optional
            A row for each of these steps, and those between them; needed where fit was given X.

        Returns
        -------
        same kind as y in fit
            Forecasts, indexed by their times.

        Raises
        ------
        InputError
            If a step is not in the future, or the horizon does not fit the index.
        """
        horizon = checked_horizon(fh)
        if horizon is not None and self.is_fitted:
            steps_after(horizon, self.cutoff)
        with keeping_last_state(self):
            return super().predict(fh=horizon, X=X)

    def pretrain(self, y: Any, X: Any = None, fh: Any = None) -> Self:
        """Learn from all series of a panel; ``fit`` then continues from there for the series it is given.

        Parameters
        ----------
        y : panel or hierarchical container
            Series to learn from.
        X : same kind as y, optional
            Exogenous data: a row for each row of y.
        fh : int, sequence of int or ForecastingHorizon, optional
            Its largest step is how many steps the model forecasts at once.

        Returns
        -------
        self
            The pretrained forecaster; it can forecast once ``fit`` has seen a series.

        Raises
        ------
        InputError, InputTypeError
            If y is no panel that can be learned from.
        """
        check_series(y, missing=self._takes_missing)
        with keeping_last_state(self):
            return super().pretrain(y, X=X, fh=checked_horizon(fh))

    def update(self, y: Any, X: Any = None, update_params: bool = True) -> Self:
        """Move the forecast origin to the end of newer rows.

        Parameters
        ----------
        y : same kind as in fit
            Rows after those seen so far, with the columns of fit.
        X : same kind as in fit, optional
            A row for each row of y; needed where fit was given X.
        update_params : bool, default=True
            Without effect: the model stays as it was fitted, only its context moves on. Refit to learn anew.

        Returns
        -------
        self
            The forecaster with its new cutoff.

        Raises
        ------
        InputError, InputTypeError
            If the rows are not finite numbers, have other columns or another index, leave a gap after those seen so
            far, or lie before them.
        """
        self.check_is_fitted()
        if not hasattr(y, "__len__") or len(y):
            check_series(y, min_rows=1, missing=self._takes_missing)
        with keeping_last_state(self):
            return super().update(y, X=X, update_params=update_params)

    def predict_windows(self, contexts: Any, X: Any = None, cutoffs: Any = None) -> np.ndarray:
        """Forecast windows of raw values, without any index.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates)
            At least ``context_length_`` time points each; the last ones count.
        X : array of shape (n_windows, n_timepoints + horizon, n_columns), optional
            Rows beside each window and the steps after it; needed where fit was given X.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row, of the kind of the index in fit, for models that know a daily or other
            cycle. Without them such a model knows the time of its own series' end alone.

        Returns
        -------
        numpy.ndarray of shape (n_windows, horizon, n_variates)
            The steps after each window, float64, in the units of the input.

        Raises
        ------
        InputError, InputTypeError
            If the windows are too short, not finite or have another number of variates, or the cutoffs do not fit them.
        """
        self.check_is_fitted()
        windows = self._checked_windows(contexts, X)
        if not self._uses_times:
            return self._forecast(windows)
        return self._forecast(windows, cutoffs=self._times_of(windows, cutoffs))

    def _checked_windows(self, contexts: Any, X: Any = None) -> np.ndarray:
        """What the model is given; X is for subclasses that take exogenous data."""
        return check_windows(contexts, self.context_length_, self.n_variates_, self._takes_missing)

    def _times_of(self, windows: np.ndarray, cutoffs: Any) -> pd.Index:
        """The times of the windows' last rows; missing where they are unknown."""
        return self._recognised(windows) if cutoffs is None else checked_cutoffs(cutoffs, len(windows))

    def _recognised(self, windows: np.ndarray) -> pd.Index:
        """The times of the windows that are the end of a series of ours; missing for all others."""
        frames = list(instances(self.context_).values())
        numbers = {padded(f.to_numpy(np.float64), self.context_length_).tobytes(): n for n, f in enumerate(frames)}
        found = [numbers.get(window.tobytes(), -1) for window in windows]
        return pd.Index(pd.Series([frame.index[-1] for frame in frames]).reindex(found))

    def _fit(self, y: pd.DataFrame, X: Any, fh: ForecastingHorizon | None) -> Self:
        check_params(self)
        frames = instances(y)
        series = [frame.to_numpy(dtype=np.float64) for frame in frames.values()]
        wanted = self.horizon or (_DEFAULT_HORIZON if fh is None else int(steps_after(fh, self.cutoff).max()))
        pretrained = getattr(self, "pretrained_", None)
        self.n_variates_ = series[0].shape[1]
        if pretrained is None:
            longest = max(map(len, series))
            lengths = window_lengths(longest, len(series), self.context_length, wanted, self.validation_fraction)
        else:
            lengths = pretrained["context_length"], pretrained["horizon"]
            if self._tied_to_variates and pretrained["n_variates"] != self.n_variates_:
                raise InputError(
                    f"the {pretrained['n_variates']} variates of pretrain",
                    f"{self.n_variates_}",
                    "Its weights belong to single variates: pass the same ones.",
                )
        self.context_length_, self.horizon_ = lengths
        self.context_ = last_rows(y, self.context_length_)
        self._remember(y)
        times = {"times": [frame.index for frame in frames.values()]} if self._uses_times else {}
        self._fit_windows(series, **times)
        return self

    def _remember(self, y: pd.DataFrame) -> None:
        """Keep more rows than the context; none by default."""

    def _pretrain(self, y: pd.DataFrame, X: Any = None, fh: ForecastingHorizon | None = None) -> Self:
        teacher = type(self)(**self.get_params(deep=False))
        if hasattr(self, "pretrained_"):
            teacher.pretrained_ = self.pretrained_
        teacher._set_cutoff_from_y(y)
        teacher._fit(y, X, fh)
        sizes = {name: getattr(teacher, name + "_") for name in ("context_length", "horizon", "n_variates")}
        self.pretrained_ = {**sizes, **teacher._get_pretrained()}
        return self

    def _predict(self, fh: ForecastingHorizon, X: Any) -> pd.DataFrame:
        parts = {
            key: pd.DataFrame(forecast, index=index, columns=self.context_.columns)
            for key, (_, index, forecast) in self._ahead(fh, X).items()
        }
        return joined(parts, self.context_.index.names)

    def _ahead(self, fh: ForecastingHorizon, X: Any = None) -> dict[Any, tuple[np.ndarray, pd.Index, np.ndarray]]:
        """Of each series the steps that are asked for, their times, and forecasts (n_steps, n_variates)."""
        frames = instances(self.context_)
        cutoffs = {key: end_of(frame, self.cutoff) for key, frame in frames.items()}
        steps = {key: steps_after(fh, cutoff, key) for key, cutoff in cutoffs.items()}
        ends = list(cutoffs.values())
        dated = {"cutoffs": ends[0].append(ends[1:])} if self._uses_times else {}
        forecasts = self._rollout(self._contexts(), max(int(s.max()) for s in steps.values()), **dated)
        return {
            key: (steps[key], fh.to_absolute_index(cutoff), forecasts[number, steps[key] - 1])
            for number, (key, cutoff) in enumerate(cutoffs.items())
        }

    def _contexts(self) -> np.ndarray:
        """The windows at the ends of all series, (n_series, L, n_variates)."""
        frames = instances(self.context_).values()
        return np.stack([padded(frame.to_numpy(np.float64), self.context_length_) for frame in frames])

    def _rollout(self, contexts: np.ndarray, n_steps: int, **dated: Any) -> np.ndarray:
        """Forecasts of any length: the model's own forecasts become its context where they end.

        Contexts are laid out afresh: another memory order would change the last digits.
        """
        length, blocks, done = contexts.shape[1], [], 0
        while done < n_steps:
            contexts = np.ascontiguousarray(contexts[:, -length:])
            blocks.append(self._forecast(contexts, **dated, **({"ahead": done} if dated else {})))
            done += blocks[-1].shape[1]
            contexts = np.concatenate([contexts, blocks[-1]], axis=1)
        return np.concatenate(blocks, axis=1)[:, :n_steps]

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Self:
        if set(self.context_.columns) != set(y.columns):
            raise InputError(
                f"the columns of fit, {list(self.context_.columns)}", f"{list(y.columns)}", "Rename or add columns."
            )
        if y.index.nlevels != self.context_.index.nlevels:
            raise InputError(
                "as many index levels as in fit", f"{y.index.nlevels} levels", "Pass the same kind of data."
            )
        self.context_ = last_rows(self._continued(self.context_, y), self.context_length_)
        self._set_cutoff_from_y(self.context_)
        return self

    def _continued(self, before: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
        """Earlier rows of all series with newer ones behind them."""
        timeless, end = self._timeless, self._cutoff_before_update
        seen, new = instances(before), instances(y[before.columns])
        for key, frame in new.items():
            seen[key] = continued(seen[key], frame, key, end, timeless) if key in seen else frame
        return joined(seen, before.index.names)

    @property
    def _timeless(self) -> bool:
        """Whether the rows come as arrays: newer ones follow those seen."""
        return str(self._y_mtype_last_seen).startswith(("np", "numpy"))

    def _update_y_X(self, y: Any, X: Any = None, enforce_index_type: Any = None) -> None:
        # sktime moves the cutoff to the end of the new rows first; they may be fewer series, or older, than those seen.
        self._cutoff_before_update = self._cutoff
        super()._update_y_X(y, X, enforce_index_type)

    def _check_fh(self, fh: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._check_fh(fh, *args, **kwargs)
        except AssertionError as error:  # sktime compares the horizon with the index, and only asserts its kind
            got = f"{fh} for an index of {self.cutoff.dtype}"
            raise InputError("a forecasting horizon of the kind of the index", got, "Pass steps 1, 2, ...") from error

    def _check_X_y(self, X: Any = None, y: Any = None, **kwargs: Any) -> Any:
        if X is not None:
            check_series(X, min_rows=1, name="X")
        try:
            return super()._check_X_y(X=X, y=y, **kwargs)
        except TypeError as error:
            got = f"data of type {type(y).__name__}, of which sktime says: {str(error).rstrip('.')}"
            hint = "Pass a DataFrame of time x variates, or see sktime.datatypes.MTYPE_REGISTER."
            raise InputTypeError("a container of time series that sktime knows", got, hint) from error
        except ValueError as error:
            missing = y.index.difference(X.index) if hasattr(X, "index") and hasattr(y, "index") else []
            said = f"none for {len(missing)} of them, the first at {missing[0]}" if len(missing) else str(error)
            raise InputError("X with a row for each row of y", said.rstrip("."), "Extend X, or cut y.") from error

    # ---- persistence: sktime's own books, in plain values -------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        state = {k: v for k, v in vars(self).items() if (k.endswith("_") and k != "net_") or k in _BOOKS}
        if "_y_metadata" in state:
            plain = {k: v for k, v in state["_y_metadata"].items() if k != "feature_kind"}
            state["_y_metadata"] = plain
        fh = state.get("_fh")
        if fh is not None:
            state["_fh"] = {"values": fh.to_pandas(), "is_relative": fh.is_relative}
        return state

    def _set_state(self, state: dict[str, Any]) -> None:
        fh = state.get("_fh")
        if fh is not None:
            state = {**state, "_fh": ForecastingHorizon(fh["values"], is_relative=fh["is_relative"])}
        self.__dict__.update(state)

    _persisted: ClassVar[tuple[str, ...]] = _BOOKS


def window_lengths(n_rows: int, n_series: int, context_length: int, horizon: int, held_out: float) -> tuple[int, int]:
    """Context and horizon that series of ``n_rows`` can teach: windows to learn from and to validate on must remain.

    The horizon takes at most a third of the rows. The context of one series takes at most half of what its training
    part leaves; many series have windows enough, and may be held out as a whole.
    """
    horizon = min(horizon, max(1, n_rows // 3))
    left = (n_rows if n_series > 1 else cut_last_part(n_rows, held_out, horizon)) - horizon
    return min(context_length, max(1, int(left * (1 - 0.5 / n_series)))), horizon
