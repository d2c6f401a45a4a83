"""The cycle that a series goes through (a day, a week, a year), and where in it each time lies."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

__all__ = ["Cycle", "detected_period"]

_DAY = 86400.0
_WEEK, _YEAR = 7 * _DAY, 365.25 * _DAY
_LEAST_STEPS = 3  # a cycle of two steps has no harmonic with a sine
_LEAST_TURNS = 8  # that a cycle has to show before it is found in rows without times
_CLEAR, _NEARLY = 0.2, 0.8  # how far a peak of the autocorrelation must stand out, and how close to the highest


class Cycle(NamedTuple):
    """A cycle, in seconds where the index has times and in steps of the index otherwise.

    Attributes
    ----------
    length : float
        One turn.
    step : float
        From one row to the next.
    dated : bool
        Whether both are seconds.
    """

    length: float
    step: float
    dated: bool

    @classmethod
    def of(cls, index: pd.Index, period: float | str | None, series: Sequence[np.ndarray] = ()) -> Self | None:
        """The cycle of a series with this index.

        Parameters
        ----------
        index : pandas.Index
            Times or integers, ascending.
        period : "auto", number or None
            Steps of one turn. "auto" takes the day for series finer than daily, the week for daily ones, the year for
            weekly ones and coarser. Without times it is looked for in the rows, where there is only one series.
        series : sequence of arrays (n_timepoints_i, n_variates)
            The rows.

        Returns
        -------
        Cycle or None
            None where there is no cycle, or less than three steps of it.
        """
        if period is None or len(index) < 2:
            return None
        positions, dated = _positions(index)
        step = float(np.median(np.diff(positions)))
        if period == "auto" and not dated:
            period = detected_period(series[0]) if len(series) == 1 else None
        known = None if period is None or period == "auto" else float(period) * step
        length = _calendar_cycle(step) if period == "auto" else known
        if length is None or length < _LEAST_STEPS * step:
            return None
        return cls(length, step, dated)

    @property
    def period(self) -> float:
        """Steps of one turn."""
        return self.length / self.step

    def fits(self, index: pd.Index) -> bool:
        """Whether times of this kind can be placed on it."""
        return _positions(index)[1] == self.dated

    def angles(self, index: pd.Index, ahead: int = 0) -> np.ndarray:
        """Angle in [0, 2 pi) of each time, ``ahead`` steps later."""
        turns = (_positions(index)[0] + ahead * self.step) / self.length
        return (2 * math.pi * (turns % 1.0)).astype(np.float32)


def _positions(index: pd.Index) -> tuple[np.ndarray, bool]:
    """Seconds on the wall clock for times, the values themselves for numbers."""
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex):
        # Local time: people follow the clock on the wall.
        return ((index.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy(np.float64), True
    return np.asarray(index, dtype=np.float64), False


def _calendar_cycle(step: float) -> float | None:
    if step < _DAY:
        return _DAY
    if step < _WEEK:
        return _WEEK
    return _YEAR if step < _YEAR / 2 else None


def detected_period(rows: np.ndarray) -> int | None:
    """Steps of the cycle that rows (n, n_variates) without times repeat themselves after.

    The first clear peak of the autocorrelation, averaged over the variates: one that rises by at least 0.2 above zero
    and above the valley before it, and to at least 0.8 of the highest peak. A trend or a random walk has none.
    """
    n = len(rows)
    centred = (rows - rows.mean(0)) / (rows.std(0) + 1e-12)
    power = np.abs(np.fft.rfft(centred, 2 * n, axis=0)) ** 2
    correlation = np.fft.irfft(power.mean(1))[: n // _LEAST_TURNS] / n
    if len(correlation) < 2 * _LEAST_STEPS:
        return None
    lags = np.arange(1, len(correlation) - 1)
    peaks = lags[(correlation[lags] >= correlation[lags - 1]) & (correlation[lags] > correlation[lags + 1])]
    valley = np.minimum.accumulate(correlation)
    clear = max(_CLEAR, 4 / math.sqrt(n))  # chance makes peaks of one or two over the root of n
    peaks = peaks[(peaks >= _LEAST_STEPS) & (correlation[peaks] > clear) & (correlation[peaks] - valley[peaks] > clear)]
    if not len(peaks):
        return None
    lag = int(peaks[correlation[peaks] >= _NEARLY * correlation[peaks].max()][0])
    return _refined(lag, correlation)


def _refined(period: float, correlation: np.ndarray) -> int:
    """The period from the peaks after 2, 4, 8, ... turns: there a wrong length shows as many times more clearly."""
    for turns in (2, 4, 8, 16, 32):
        middle, around = round(turns * period), max(1, round(period / 4))
        if middle + around >= len(correlation):
            break
        first = middle - around
        period = (first + int(correlation[first : middle + around + 1].argmax())) / turns
    return round(period)
