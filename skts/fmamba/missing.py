r"""Windows with holes: what stands in for a missing value, and who is told.

Inside of a context a straight line between the neighbours fills a hole, at its ends the nearest known value; a variate
without any stands at the training part's mean, and its usual course through the cycle is forecast. Each context is
filled by itself: nothing is known of the rows after it. All linear maps work on such windows. The network takes mean
and spread over the known values alone, and adds a linear map of the mask to the tokens. Missing targets weigh nothing
in the loss and in the judgement of the candidates; the normal equations of the closed forms, which have no place for
weights of single values, take them as filled.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skts.fmamba.course import angles_ahead, course_at
from skts.fmamba.cycle import Cycle
from skts.fmamba.windows import DatedWindows, ToldWindows
from skts.interop.panel import instances

__all__ = ["HoledWindows", "MissingValues", "filled", "filled_array", "told", "warn_of_unknown"]


def filled(windows: Tensor) -> Tensor:
    """Windows with their holes filled: along the straight line between the known steps on either side.

    Parameters
    ----------
    windows : Tensor of shape (B, L, N)
        NaN where missing.

    Returns
    -------
    Tensor of shape (B, L, N)
        Before the first known step its value, after the last one its value; 0 where nothing is known.
    """
    known = ~windows.isnan()
    steps = torch.arange(windows.shape[1], device=windows.device)[:, None]
    last = windows.shape[1] - 1
    before = torch.where(known, steps, -1).cummax(1).values  # the last known step up to each, -1 without one
    after = last - torch.where(known, last - steps, -1).flip(1).cummax(1).values.flip(1)  # L without one
    values = windows.nan_to_num(0.0)
    left, right = values.gather(1, before.clamp_min(0)), values.gather(1, after.clamp_max(last))
    left, right = torch.where(before >= 0, left, right), torch.where(after <= last, right, left)
    share = (steps - before).to(values.dtype) / (after - before).clamp_min(1)
    return torch.where(known, values, left + share.clamp(0, 1) * (right - left))


def filled_array(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Windows (B, L, N) with their holes filled, and where they are known; None where they have no holes."""
    known = ~np.isnan(windows)
    if known.all():
        return windows, None
    return filled(torch.from_numpy(np.ascontiguousarray(windows))).numpy(), known


@dataclass(frozen=True)
class HoledWindows(DatedWindows):
    """Windows of series with missing values.

    Parameters
    ----------
    windows, angles, stride, sampler : object
        See :class:`~skts.fmamba.windows.DatedWindows`.
    clock : WindowClock or None
        Reads the time off the contexts, where it is not told.
    telling : bool
        Whether :meth:`take` also says what is known.
    """

    clock: Any = None
    telling: bool = False

    def take(self, index: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Contexts (B, L, N), horizons (B, H, N), angles (B,), and masks of the first two where it is telling."""
        contexts, targets, angles = super().take(index)
        length, known, answered = contexts.shape[1], ~contexts.isnan(), ~targets.isnan()
        targets = filled(torch.cat([contexts, targets], dim=1))[:, length:]
        contexts = filled(contexts)
        if self.clock is not None:
            angles = torch.from_numpy(self.clock.harmonics(contexts.cpu().numpy()))
        return (contexts, targets, angles, known, answered) if self.telling else (contexts, targets, angles)

    def told_by(self, clock: Any) -> ToldWindows:
        """The same windows with what a clock reads off them."""
        return replace(self, clock=clock)  # type: ignore[return-value]


def told(windows: DatedWindows) -> DatedWindows:
    """The same windows, with the masks if they have holes."""
    return replace(windows, telling=True) if isinstance(windows, HoledWindows) else windows


def warn_of_unknown(columns: Sequence[Hashable], where: str, instead: str) -> None:
    """Name the variates of which nothing is known."""
    if len(columns):
        warnings.warn(
            f"No value of {[str(column) for column in columns]} is known {where}: {instead}.", UserWarning, stacklevel=2
        )


class MissingValues:
    """Comes before :class:`~skts.interop.WindowForecaster` in :class:`~skts.fmamba.FMambaForecaster`."""

    def _fit(self, y: pd.DataFrame, X: Any, fh: Any) -> Self:
        return super()._fit(self._without_sentinel(y), X, fh)

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Self:
        return super()._update(self._without_sentinel(y), X, update_params)

    def _checked_windows(self, contexts: Any, X: Any = None) -> np.ndarray:
        if self._sentinel is not None:
            contexts = np.where(np.asarray(contexts) == self._sentinel, np.nan, contexts)
        return super()._checked_windows(contexts, X)

    @property
    def _sentinel(self) -> float | None:
        """The number that stands for a missing value."""
        return (self.module_kwargs or {}).get("missing_sentinel")

    def _without_sentinel(self, y: pd.DataFrame) -> pd.DataFrame:
        return y if self._sentinel is None else y.mask(y == self._sentinel)

    def _fall_back(self, forecast: np.ndarray, unknown: np.ndarray, usual: np.ndarray) -> None:
        """The usual course for variates (n, N) of which a window knows nothing, in standardised forecasts (n, H, N)."""
        np.copyto(forecast, usual, where=unknown[:, None])
        columns = self.context_.columns[unknown.any(0)]
        warn_of_unknown(columns, "in a context", "its usual course, from the level known last, is forecast")

    def _usual(self, times: pd.Index, ahead: int, n_steps: int) -> np.ndarray:
        """The usual course (n, n_steps, N) from so many steps after these times on, standardised."""
        period = 1.0 if self.cycle_ is None else Cycle(*self.cycle_).period
        return course_at(angles_ahead(self._angles_at(times, ahead), n_steps, period), self.course_)

    def _level(self, frame: pd.DataFrame) -> np.ndarray:
        """How far each variate (N,) last was above its usual course: the mean over a turn, or the last value."""
        n = 1 if self.cycle_ is None else round(Cycle(*self.cycle_).period)
        usual = course_at(self._angles_at(frame.index), self.course_) * self.scale_ + self.center_
        above = frame - usual
        return np.array([above[column].dropna().iloc[-n:].mean() for column in above])

    def _rollout(self, contexts: np.ndarray, n_steps: int, **dated: Any) -> np.ndarray:
        forecasts = super()._rollout(contexts, n_steps, **dated)
        unknown = np.isnan(contexts).all(1)
        if not unknown.any():
            return forecasts
        level = np.stack([self._level(frame) for frame in instances(self.replay_).values()])
        usual = self._usual(dated["cutoffs"], 1, n_steps) * self.scale_ + self.center_
        remembered = unknown & ~np.isnan(level)
        return np.where(remembered[:, None], usual + level[:, None], forecasts)
