"""Is what comes in still what was learned? Conformal p-values of new rows, and whether to train anew."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from skts.errors import InputError
from skts.fmamba.learning_on import n_new_rows
from skts.interop.panel import instances, joined
from skts.validation import check_series

__all__ = ["MonitorMixin", "p_values"]

_ROWS = 500  # newest rows that the monitor looks at
_LEVEL = 0.1  # p-values below it are outside of the 90 % interval
_ALARM = 0.01  # of the test
_BLOCK = 2  # rows whose errors are taken for one piece of evidence: neighbours resemble each other
_ENOUGH = 20


class MonitorMixin:
    """Anomalies and the health of a fitted :class:`~skts.FMambaForecaster`.

    Everything is about its forecasts as they are given, guard and all. It comes before
    :class:`~skts.fmamba.exogenous.TakesExogenous` and :class:`~skts.fmamba.learning_on.LearningOn`.
    """

    def anomaly_score(self, y: Any, step: int = 1, X: Any = None) -> pd.DataFrame:
        """How unusual new values are: p-values, small for what is rarely that far from its forecast.

        Parameters
        ----------
        y : same kind as in fit
            Rows after those seen so far, with the columns of fit. They are not taken in: ``update`` does that.
        step : int, default=1
            Each row is held against the forecast made so many steps before, from 1 to ``horizon_``. More steps find
            slower changes, which a forecast from the row before follows.
        X : same kind as in fit, optional
            A row for each row of y; needed where fit was given X.

        Returns
        -------
        pandas.DataFrame
            Two-sided conformal p-values for each of these rows and variates, in (0, 1]. While errors are exchangeable
            with those on held-out rows (``residuals_``), at most a part a of the values lies at or below a. With m
            such errors none is below 2 / (m + 1). NaN where a value or its forecast is missing.

        Raises
        ------
        InputError, InputTypeError
            If the rows do not follow those seen, there is no such step, or fit has held nothing out.

        References
        ----------
        V. Vovk, A. Gammerman, G. Shafer: Algorithmic Learning in a Random World, 2005,
        https://doi.org/10.1007/b106715.

        Examples
        --------
        >>> from skts import FMambaForecaster
        >>> from skts.datasets import load_us_change
        >>> y = load_us_change()
        >>> forecaster = FMambaForecaster(context_length=12, d_model=16, max_epochs=2, random_state=0)
        >>> scores = forecaster.fit(y.iloc[:-4], fh=[1, 2]).anomaly_score(y.iloc[-4:])
        >>> scores.shape, bool((scores > 0).all(axis=None))
        ((4, 5), True)
        """
        self.check_is_fitted()
        if not 1 <= step <= self.horizon_:
            raise InputError(f"a step from 1 to {self.horizon_}", f"{step}", "Fit with a longer horizon.")
        self._need_errors(self.residuals_)
        check_series(y, min_rows=1, missing=self._takes_missing)
        before = self.__dict__.copy()
        try:
            self._cutoff_before_update = self._cutoff
            rows_of_X, rows = self._check_X_y(X=X, y=y)
            rows, _ = self._remainder(self._without_sentinel(rows), rows_of_X)
            grown = self._continued(self.replay_, rows)
            parts = {}
            for key, n in n_new_rows(self.replay_, grown).items():
                frame = instances(grown)[key]
                if n:
                    errors = self._errors_of(frame, n, True)[:, step - 1]
                    scores = p_values(errors, self.residuals_[:, step - 1])
                    parts[key] = pd.DataFrame(scores, index=frame.index[-n:], columns=frame.columns)
            if not parts:
                raise InputError(f"rows after {self.cutoff[0]}", "none", "Pass rows that have not been seen.")
            return joined(parts, grown.index.names)
        finally:
            self.__dict__.clear()
            self.__dict__.update(before)

    def health(self) -> dict[str, Any]:
        """Whether the forecaster should be trained anew, by its errors since ``fit``.

        Each ``update`` holds its rows against the forecasts from the row before. The newest 500 errors count.

        Returns
        -------
        dict
            ``n_rows``: how many there are. ``coverage``: part of the new values inside of the 90 % interval as it was
            at fit. ``error_ratio``: their root mean square error over that on held-out rows, both measured as intervals
            are. ``worst``: the column with the highest such ratio. ``retrain``: True if the values of a variate, or of
            all together, are outside more often than 10 %, by more than luck; None while there are fewer than 20 rows.
            ``answer``: the same in words.

        Raises
        ------
        InputError
            If fit has held nothing out.

        Notes
        -----
        One-sided tests of each variate and of all together, on all rows, their newer half, the newer half of that and
        so on, at 1 % in all. Two rows count as one piece of evidence, and the interval itself is uncertain: held-out
        errors are few, too. The tests are made anew at each call: of many calls, some raise a false alarm.
        """
        self.check_is_fitted()
        at_fit, since = self.monitor_["at_fit"], self.monitor_["since"]
        self._need_errors(at_fit)
        n = len(since)
        if not n:
            nothing = {"n_rows": 0, "coverage": np.nan, "error_ratio": np.nan, "worst": None, "retrain": None}
            return {**nothing, "answer": "No new rows yet: call update."}
        outside = np.ma.masked_invalid(np.where(np.isnan(since), np.nan, p_values(since, at_fit) <= _LEVEL))
        ratios = np.sqrt(_mean_square(since) / np.maximum(_mean_square(at_fit), 1e-12))
        retrain = _more_often_than(_LEVEL, outside, len(at_fit)) if n >= _ENOUGH else None
        coverage, ratio = 1 - float(outside.mean()), float(np.sqrt(np.nanmean(ratios**2)))
        return {
            "n_rows": n,
            "coverage": coverage,
            "error_ratio": ratio,
            "worst": self.context_.columns[int(np.nanargmax(ratios))],
            "retrain": retrain,
            "answer": _in_words(retrain, coverage, ratio, n),
        }

    def _finalise(self, *args: Any) -> None:
        super()._finalise(*args)  # type: ignore[misc]
        self.monitor_ = {"at_fit": self.residuals_[:, 0].copy(), "since": self.residuals_[:0, 0].copy()}

    def _recalibrate(self, n_new: dict[Any, int], grown: pd.DataFrame) -> None:
        super()._recalibrate(n_new, grown)  # type: ignore[misc]
        n = min(sum(n_new.values()), len(self.residuals_))
        if n:  # the newest errors are those of the new rows
            since = np.concatenate([self.monitor_["since"], self.residuals_[-n:, 0]])[-_ROWS:]
            self.monitor_ = {**self.monitor_, "since": since}

    def _need_errors(self, errors: np.ndarray) -> None:
        if not len(errors):
            hint = "Fit a longer series, without an interrupt."
            raise InputError("errors of held-out forecasts to compare with", "none from fit", hint)


def p_values(errors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Two-sided conformal p-values of errors (n, N) among known ones (m, N); NaN where an error is."""
    found = np.full(errors.shape, np.nan)
    for column, (new, old) in enumerate(zip(errors.T, known.T, strict=True)):
        ordered, there = np.sort(old[~np.isnan(old)]), ~np.isnan(new)
        above = len(ordered) - np.searchsorted(ordered, new[there], "left")
        below = np.searchsorted(ordered, new[there], "right")
        found[there, column] = np.minimum(1.0, 2 * (1 + np.minimum(above, below)) / (len(ordered) + 1))
    return found


def _mean_square(errors: np.ndarray) -> np.ndarray:
    """(N,); NaN where all are."""
    there = ~np.isnan(errors)
    squares = np.square(np.where(there, errors, 0.0), dtype=np.float64)
    return squares.sum(0) / np.where(there.any(0), there.sum(0), np.nan)


def _more_often_than(rate: float, outside: np.ndarray, n_known: int) -> bool:
    """Whether the values (n, N) of any column, or all together, are outside more often than luck explains.

    It looks at all rows, at the newer half of them, at the newer half of these, and so on.
    """
    ends = [outside[-n:] for n in _halves(len(outside))]
    level = _ALARM / (len(ends) * (outside.shape[1] + 1))
    for rows in ends:
        error = np.sqrt(rate * (1 - rate) * (_BLOCK / len(rows) + 1 / n_known))
        bound = rate + error * stats.norm.ppf(1 - level)
        if rows.mean() > bound or (rows.mean(0) > bound).any():
            return True
    return False


def _halves(n: int) -> list[int]:
    return [n, *(_halves(n // 2) if n // 2 >= _ENOUGH else [])]


def _in_words(retrain: bool | None, coverage: float, ratio: float, n: int) -> str:
    if retrain is None:
        return f"Too early to say: {n} new rows, and {_ENOUGH} are needed."
    inside = f"{100 * coverage:.0f} % of the values in the last {n} rows were inside of the 90 % interval"
    return f"{'Retrain' if retrain else 'No need to retrain'}: {inside}, errors are {ratio:.2f} times those at fit."
