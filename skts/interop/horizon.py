"""The forecasting horizon: what may be asked, and how many steps ahead it is."""

from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from skts.errors import InputError, InSampleError

__all__ = ["checked_cutoffs", "checked_horizon", "steps_after", "times_after"]

_EXPECTED = "a forecasting horizon: steps 1, 2, ... ahead, or times after the end of the series"


def checked_horizon(fh: Any) -> ForecastingHorizon | None:
    """A horizon in sktime's form, or None.

    Raises
    ------
    InputError
        If it is empty, no horizon at all, or holds a step that is not in the future.
    """
    if fh is None or isinstance(fh, ForecastingHorizon):
        horizon = fh
    else:
        try:
            horizon = ForecastingHorizon(list(fh) if isinstance(fh, range) else fh)
        except (TypeError, ValueError) as error:
            got = f"{fh!r}, of which sktime says: {str(error).rstrip('.')}"
            raise InputError(_EXPECTED, got, "Pass fh=[1, 2, 3].") from error
    if horizon is None:
        return None
    if not len(horizon):
        raise InputError(_EXPECTED, "an empty one", "Pass fh=[1, 2, 3].")
    values = horizon.to_pandas()
    if horizon.is_relative and values.dtype.kind in "iuf" and values.min() < 1:
        raise InSampleError(
            _EXPECTED, f"the step {values.min()}", "Ask for later times: in-sample forecasts are not made."
        )
    return horizon


def steps_after(fh: ForecastingHorizon, cutoff: pd.Index, series: Any = ()) -> np.ndarray:
    """The horizon as numbers of steps after the cutoff of one series.

    Raises
    ------
    InputError
        If the horizon is of another kind than the index, or not after the end of the series.
    """
    name = f"series {series!r}" if series != () else "the series"
    try:
        relative = fh.to_pandas()
        if not fh.is_relative or relative.dtype.kind not in "iu":
            relative = fh.to_absolute(cutoff).to_relative(cutoff).to_pandas()
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        got = f"{list(fh.to_pandas()[:3])} for {name} that ends at {cutoff[0]}: {str(error).rstrip('.')}"
        hint = "Give the index a frequency, for instance by y.asfreq('D'), and fh the kind of the index."
        raise InputError(_EXPECTED, got, hint) from error
    if relative.dtype.kind not in "iu":
        got = f"{list(fh.to_pandas()[:3])} for {name} with an index of {cutoff.dtype}"
        raise InputError(_EXPECTED, got, "Pass steps as integers, or times of the kind of the index.")
    steps = relative.to_numpy(dtype=np.int64)
    if steps.min() < 1:
        got = f"{list(fh.to_absolute_index(cutoff)[:3])} for {name}, which ends at {cutoff[0]}"
        raise InSampleError(_EXPECTED, got, "Ask for later times: in-sample forecasts are not made.")
    return steps


def times_after(cutoff: pd.Index, steps: np.ndarray) -> pd.Index:
    """The times so many steps after a cutoff."""
    return ForecastingHorizon(steps, is_relative=True).to_absolute_index(cutoff)


def checked_cutoffs(cutoffs: Any, n_windows: int) -> pd.Index:
    """The times of the windows' last rows as an index.

    Raises
    ------
    InputError
        If they are not as many as the windows.
    """
    times = pd.Index(cutoffs)
    if len(times) != n_windows or times.dtype.kind not in "iuMO" or times.hasnans:
        got = f"{len(times)} values of {times.dtype} for {n_windows} windows"
        raise InputError("one time for each window, that of its last row", got, "Pass index values, as in fit.")
    return times
