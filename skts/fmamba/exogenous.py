"""Exogenous data around a forecaster of windows: their effect is taken out in front of it, and added behind it.

What is known only up to now (another sensor, say) belongs into y, as one more variate. X is for what is known ahead:
weather forecasts, prices, holidays, plans.
"""

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from skts.errors import InputError
from skts.fmamba.effects import Effects
from skts.interop import WindowForecaster
from skts.interop.horizon import times_after
from skts.interop.panel import end_of, instances, joined, last_rows
from skts.validation import check_params, check_series

__all__ = ["TakesExogenous"]


class TakesExogenous:
    """Comes before :class:`~skts.interop.WindowForecaster`, which then sees y less the effect of X.

    Attributes
    ----------
    effects_ : dict of str to array or int
        See :class:`~skts.fmamba.effects.Effects`; empty without X.
    exogenous_ : pandas.DataFrame
        The last rows of X of every series, as many as matter for the next forecast, and at least one.
    """

    _tags: ClassVar[dict[str, Any]] = {"capability:exogenous": True, "capability:non_contiguous_X": True}

    def exogenous_effect(self, X: pd.DataFrame, column: Any = None) -> pd.DataFrame:
        """What exogenous data add to the variates, above their mean effect in training.

        Parameters
        ----------
        X : pandas.DataFrame
            Rows with the columns of fit.
        column : column name or None, default=None
            The effect of this one alone; None is that of all, their sum.

        Returns
        -------
        pandas.DataFrame
            For each row of X and each variate, in its units. The first row stands for those before it.

        Raises
        ------
        InputError
            If the forecaster was fitted without X, or there is no such column.
        """
        self.check_is_fitted()
        self._need_effects("exogenous_effect")
        names = list(self.exogenous_.columns)
        if column is not None and column not in names:
            raise InputError(f"a column out of {names}", f"{column!r}", "Pass a column name of X in fit.")
        rows, effects = self._known_columns(X), Effects(**self.effects_)
        x = rows.to_numpy(np.float64)
        found = effects(x) if column is None else effects.by_column(x)[:, names.index(column)]
        return pd.DataFrame(found, index=rows.index, columns=self.context_.columns)

    # ---- around the forecaster ----------------------------------------------------------------------------------

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> Self:
        self.effects_, self.exogenous_ = {}, pd.DataFrame()
        if X is not None:
            check_params(self)
            beside = _beside(y, X)
            series = [frame.to_numpy(np.float64) for frame in instances(y).values()]
            rows = [frame.to_numpy(np.float64) for frame in beside.values()]
            effects = Effects.fit(series, rows, self.validation_fraction)
            self.effects_ = vars(effects)
            self.exogenous_ = last_rows(joined(beside, y.index.names), max(1, effects.memory))
            effect = {key: _frame(effects(x.to_numpy(np.float64)), x.index, y) for key, x in beside.items()}
            y = _less(y, effect)
        return super()._fit(y, None, fh)

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> Self:
        y, grown = self._remainder(y, X)
        super()._update(y, None, update_params)
        if self.effects_:
            self.exogenous_ = last_rows(grown, len(self.exogenous_))
        return self

    def _remainder(self, y: pd.DataFrame, X: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Newer rows less the effect of X, and all rows of X that are known thereby."""
        if not self._takes(X, "the new rows of y"):
            return y, self.exogenous_
        effects, before, effect, grown = Effects(**self.effects_), instances(self.exogenous_), {}, {}
        y = self._placed(y)
        for key, rows in _beside(y, self._placed(self._known_columns(X))).items():
            grown[key] = _behind(before[key], rows) if key in before else rows
            found = _frame(effects(grown[key].to_numpy(np.float64)), grown[key].index, y)
            effect[key] = found.loc[rows.index]
        grown = {**before, **grown}
        return _less(y, effect), joined(grown, y.index.names)

    def _ahead(self, fh: Any, X: pd.DataFrame | None) -> dict[Any, tuple[np.ndarray, pd.Index, np.ndarray]]:
        ahead = super()._ahead(fh, X)
        if not self._takes(X, "the steps to forecast"):
            return ahead
        effects, before, contexts = Effects(**self.effects_), instances(self.exogenous_), instances(self.context_)
        future = instances(self._placed(self._known_columns(X)))
        for key, (steps, times, forecast) in ahead.items():
            needed = np.unique(np.concatenate([steps - j for j in range(effects.memory + 1)]))
            needed = times_after(end_of(contexts[key], self.cutoff), needed[needed >= 1])
            rows = _behind(before[key], _rows_of(future.get(key), needed, key))
            effect = _frame(effects(rows.to_numpy(np.float64)), rows.index, contexts[key])
            ahead[key] = steps, times, forecast + effect.loc[times].to_numpy()
        return ahead

    def _checked_windows(self, contexts: Any, X: Any = None) -> np.ndarray:
        windows = super()._checked_windows(contexts, X)
        if not self._takes(X, "the windows"):
            return windows
        length = np.shape(contexts)[1]
        effect = Effects(**self.effects_)(self._checked_exogenous(X, len(windows), length))
        return windows - effect[:, length - self.context_length_ : length]

    def predict_windows(self, contexts: Any, X: Any = None, cutoffs: Any = None) -> np.ndarray:  # noqa: D102
        forecasts = super().predict_windows(contexts, X=X, cutoffs=cutoffs)
        if not self.effects_:
            return forecasts
        rows = self._checked_exogenous(X, len(forecasts), np.shape(contexts)[1] + self.horizon_)
        return forecasts + Effects(**self.effects_)(rows)[:, -self.horizon_ :]

    predict_windows.__doc__ = WindowForecaster.predict_windows.__doc__

    def _placed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of arrays, which begin at 0, behind those seen."""
        start = self.exogenous_.index.get_level_values(-1).max()
        if not self._timeless or rows.index.get_level_values(-1).min() > start:
            return rows
        if rows.index.nlevels == 1:
            return rows.set_axis(rows.index + start + 1)
        return rows.set_axis(rows.index.set_levels(rows.index.levels[-1] + start + 1, level=-1))

    # ---- checks -------------------------------------------------------------------------------------------------

    def _takes(self, X: Any, what: str) -> bool:
        """Whether an effect is to be reckoned with."""
        if bool(self.effects_) == (X is not None):
            return X is not None
        if X is None:
            hint = "Pass the exogenous data that fit has seen, for these times."
            raise InputError(f"X with {list(self.exogenous_.columns)} for {what}", "X=None", hint)
        raise InputError("X=None, as in fit", f"X for {what}", "Call fit(y, X=...) to use exogenous data.")

    def _need_effects(self, what: str) -> None:
        if not self.effects_:
            raise InputError(f"a forecaster fitted with X for {what}", "one fitted without", "Call fit(y, X=...).")

    def _known_columns(self, X: pd.DataFrame) -> pd.DataFrame:
        """X with the columns of fit, in their order."""
        names = list(self.exogenous_.columns)
        if not isinstance(X, pd.DataFrame) or set(X.columns) != set(names):
            got = list(X.columns) if isinstance(X, pd.DataFrame) else type(X).__name__
            raise InputError(f"X with the columns of fit, {names}", f"{got}", "Rename or add columns.")
        check_series(X, min_rows=1, name="X")
        return X[names]

    def _checked_exogenous(self, X: Any, n_windows: int, length: int) -> np.ndarray:
        """The first ``length`` rows beside each window, (n_windows, length, K)."""
        shape = n_windows, length, len(self.exogenous_.columns)
        rows = np.asarray(X, dtype=np.float64)
        if rows.ndim != 3 or rows.shape[1] < length or (rows.shape[0], rows.shape[2]) != (shape[0], shape[2]):
            hint = "Each window needs its own rows, and forecasts those of the steps after it."
            raise InputError(f"X of shape {shape}", f"shape {rows.shape}", hint)
        if not np.isfinite(rows[:, :length]).all():
            raise InputError("finite numbers in X", "NaN or infinity", "Fill them first.")
        return rows[:, :length]


def _beside(y: pd.DataFrame, X: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """Of each series of y the rows of X at its times."""
    if X.index.nlevels != y.index.nlevels:
        raise InputError("X with the index levels of y", f"{X.index.nlevels} for {y.index.nlevels}", "Repeat it.")
    parts = instances(X)
    return {key: _rows_of(parts.get(key), frame.index, key) for key, frame in instances(y).items()}


def _rows_of(X: pd.DataFrame | None, times: pd.Index, key: Any) -> pd.DataFrame:
    """The rows of X at these times."""
    of = f" of {key}" if key != () else ""
    missing = times if X is None else times.difference(X.index)
    if len(missing):
        got = f"none for {len(missing)} of them, the first at {missing[0]}"
        raise InputError(f"X with a row for each of {len(times)} times{of}", got, "Extend X, or forecast fewer steps.")
    return X.loc[times]


def _behind(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Earlier rows with newer ones behind them; rows for the same times replace them."""
    both = pd.concat([before, rows])
    return both[~both.index.duplicated(keep="last")].sort_index()


def _less(y: pd.DataFrame, effect: dict[Any, pd.DataFrame]) -> pd.DataFrame:
    return y - joined(effect, y.index.names).loc[y.index].to_numpy()


def _frame(values: np.ndarray, index: pd.Index, like: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(values, index=index, columns=like.columns)
