"""The series of a panel: taking it apart, putting it together, and going on where each series ended."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sktime.datatypes import get_cutoff
from sktime.forecasting.base import ForecastingHorizon

from skts.errors import InputError

__all__ = ["continued", "end_of", "instances", "joined", "last_rows", "padded"]


def instances(y: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """The series of a panel by key; one series stands under the empty key."""
    if y.index.nlevels == 1:
        return {(): y}
    levels = list(range(y.index.nlevels - 1))
    return {key: part.droplevel(levels) for key, part in y.groupby(level=levels, sort=False)}


def joined(parts: dict[Any, pd.DataFrame], names: Sequence[Any]) -> pd.DataFrame:
    """What :func:`instances` took apart, under index levels of these names."""
    if list(parts) == [()]:
        return parts[()]
    keys = [key if len(names) > 2 else key[0] if isinstance(key, tuple) else key for key in parts]
    return pd.concat(parts.values(), keys=keys, names=list(names))


def last_rows(y: pd.DataFrame, n: int) -> pd.DataFrame:
    """The last ``n`` rows of every series."""
    if y.index.nlevels == 1:
        return y.iloc[-n:].copy()
    return y.groupby(level=list(range(y.index.nlevels - 1)), sort=False).tail(n)


def padded(values: np.ndarray, length: int) -> np.ndarray:
    """Repeat the first row in front of a series that is shorter than a window."""
    return np.pad(values, ((max(0, length - len(values)), 0), (0, 0)), mode="edge")


def _next_time(cutoff: pd.Index) -> Any:
    """The time one step after the cutoff; None where the index has no frequency."""
    try:
        return ForecastingHorizon([1]).to_absolute_index(cutoff)[0]
    except (TypeError, ValueError):
        return None


def end_of(frame: pd.DataFrame, common: pd.Index) -> pd.Index:
    """The end of one series; its frequency is that of the panel, which slices of an index forget."""
    cutoff = get_cutoff(frame, return_index=True)
    if getattr(cutoff, "freq", None) is None and getattr(common, "freq", None) is not None:
        cutoff = pd.DatetimeIndex(cutoff, freq=common.freq)
    return cutoff


def continued(seen: pd.DataFrame, new: pd.DataFrame, key: Any, common_end: pd.Index, timeless: bool) -> pd.DataFrame:
    """A series with newer rows behind it; rows for times that were seen replace them.

    Parameters
    ----------
    seen, new : pandas.DataFrame
        Rows with the same columns.
    key : object
        The series' name, for messages; () where there is only one.
    common_end : pandas.Index
        The panel's cutoff, which knows the frequency.
    timeless : bool
        The new rows came without times (arrays): they follow those seen.

    Raises
    ------
    InputError
        If the new rows have another kind of index, lie before those seen, or leave a gap behind them.
    """
    if timeless:
        start = seen.index[-1] + 1
        new = new.set_axis(pd.RangeIndex(start, start + len(new)))
    where = f"rows of {key}" if key != () else "rows"
    if type(new.index) is not type(seen.index) and new.index.dtype != seen.index.dtype:
        raise InputError(f"an index of {seen.index.dtype} as in fit", f"{new.index.dtype}", "Convert the index.")
    if new.index[-1] < seen.index[0]:
        raise InputError(f"rows after {seen.index[-1]}", f"{where} up to {new.index[-1]}", "Pass newer rows.")
    later, follows = new.index[new.index > seen.index[-1]], _next_time(end_of(seen, common_end))
    if len(later) and follows is not None and later[0] > follows:
        hint = "Fill the gap, or fit on the newer rows."
        raise InputError(f"rows from {follows} on", f"{where} from {later[0]}", hint)
    both = pd.concat([seen, new])
    return both[~both.index.duplicated(keep="last")].sort_index()
