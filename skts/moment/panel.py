"""Series as users have them: tables, arrays and lists of unequal lengths become parts of equal length, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skts.errors import InputError, InputTypeError
from skts.validation import check_table

__all__ = ["Panel", "as_panel"]

_SHAPES = "series of shape (n, T) or (n, C, T), or a list of arrays (T_i,) or (C, T_i)"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Panel:
    """All series, those of one length together.

    Parameters
    ----------
    parts : tuple of ndarray (m, C, T)
        Shortest series first; NaN where nothing was observed.
    rows : tuple of ndarray of int (m,)
        Where the series of each part stand in the input.
    kind : {"table", "array", "list"}
        What the input was.
    flat : bool
        Whether the series came without an axis for channels.
    """

    parts: tuple[np.ndarray, ...]
    rows: tuple[np.ndarray, ...]
    kind: str
    flat: bool

    @property
    def n_series(self) -> int:
        """Number of series."""
        return sum(map(len, self.rows))

    @property
    def n_channels(self) -> int:
        """C."""
        return int(self.parts[0].shape[1])

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> "Panel":
        """The panel with every part changed."""
        return Panel(tuple(change(part) for part in self.parts), self.rows, self.kind, self.flat)

    def as_input(self) -> Any:
        """The values in the container, shape and order of the input, as float32."""
        if self.kind != "list":
            values = self.parts[0].astype(np.float32)
            return values[:, 0] if self.flat else values
        series: list[Any] = [None] * self.n_series
        for part, rows in zip(self.parts, self.rows, strict=True):
            for row, values in zip(rows, part.astype(np.float32), strict=True):
                series[row] = values[0] if self.flat else values
        return series

    def beside(self, flags: Any, name: str) -> tuple[np.ndarray, ...]:
        """Booleans that a user passes for every value, in parts as the series are; one row for all channels will do.

        Raises
        ------
        InputError
            If their shapes are not those of the series.
        """
        found = []
        for part, rows in zip(self.parts, self.rows, strict=True):
            picked = [np.asarray(flags[row]) for row in rows] if self.kind == "list" else np.asarray(flags)
            array = np.stack(picked) if isinstance(picked, list) else picked
            if array.ndim == 2:
                array = array[:, None]
            expected = f"{name} as booleans of the shape of X, or without its axis of channels"
            got = f"shape {array.shape} and dtype {array.dtype} for series of shape {part.shape}"
            if array.dtype != bool or array.ndim != 3 or array.shape[1] not in (1, part.shape[1]):
                raise InputError(expected, got, f"Correct {name}.")
            if (len(array), array.shape[2]) != (len(part), part.shape[2]):
                raise InputError(expected, got, f"Correct {name}.")
            found.append(np.broadcast_to(array, part.shape))
        return tuple(found)


def as_panel(estimator: Any, X: Any, *, reset: bool) -> Panel:
    """Check the series and sort them by length.

    Parameters
    ----------
    estimator : estimator
        ``n_features_in_`` and ``n_channels_`` are set (``reset=True``) or held against X.
    X : array-like (n, T), array (n, C, T), or list of arrays (T_i,) or (C, T_i)
        NaN where a value is missing.
    reset : bool
        True in fit.

    Returns
    -------
    Panel

    Raises
    ------
    InputError, InputTypeError
        If there are no series, a series has no observed value, or they are not numeric, infinite or of another number
        of channels.
    """
    panel = _of_list(X) if _is_list(X) else _of_array(estimator, X, reset)
    for part, rows in zip(panel.parts, panel.rows, strict=True):
        blank = np.isnan(part).all((1, 2))
        if blank.any():
            got = f"series {rows[blank][:5].tolist()} with nothing but NaN"
            raise InputError("an observed value in each series", got, "Drop these series.")
        if np.nanmax(np.abs(part)) > _LARGEST:
            raise InputError(f"values up to {_LARGEST:.2g}, as in float32", "larger ones", "Change the unit.")
    if reset:
        estimator.n_channels_, estimator.n_timepoints_ = panel.n_channels, None
        if panel.kind == "table":
            estimator.n_timepoints_ = panel.parts[0].shape[2]
        else:
            estimator.n_features_in_ = panel.n_channels
            estimator.__dict__.pop("feature_names_in_", None)
    elif panel.n_channels != estimator.n_channels_:
        expected = f"series of {estimator.n_channels_} channels, as in fit"
        raise InputError(expected, f"{panel.n_channels}", "Pass the same channels, as (n, C, T).")
    return panel


def _is_list(X: Any) -> bool:
    """A list of series: of arrays, or of lists that differ in length (those of equal length are a table)."""
    if not isinstance(X, list | tuple) or not len(X):
        return False
    if all(isinstance(x, np.ndarray) or hasattr(x, "iloc") for x in X):
        return np.ndim(X[0]) in (1, 2)
    return all(isinstance(x, list | tuple) for x in X) and len({len(x) for x in X}) > 1


def _of_array(estimator: Any, X: Any, reset: bool) -> Panel:
    if getattr(X, "ndim", 2) != 3:
        if not reset and estimator.n_timepoints_ is None:  # a table then is a panel of one channel, of any length
            table = _numbers(X, "X")
            if table.ndim != 2 or not table.size:
                raise InputError(_SHAPES, f"an array of shape {table.shape}", "Reshape X.")
            return Panel((table[:, None],), (np.arange(len(table)),), "array", True)
        accepted = {"dtype": [np.float64, np.float32], "ensure_all_finite": "allow-nan"}
        table = check_table(estimator, X, reset=reset, **accepted)
        return Panel((table[:, None],), (np.arange(len(table)),), "table", True)
    values = _numbers(X, "X")
    if not values.size:
        raise InputError(_SHAPES, f"an empty array of shape {values.shape}", "Pass at least one value.")
    return Panel((values,), (np.arange(len(values)),), "array", False)


def _of_list(X: Any) -> Panel:
    series = [_numbers(x, f"series {i}") for i, x in enumerate(X)]
    flat = series[0].ndim == 1
    shapes = {x.shape[:-1] for x in series}
    if len(shapes) > 1 or series[0].ndim > 2 or not all(x.size for x in series):
        odd = next(i for i, x in enumerate(series) if x.shape[:-1] != series[0].shape[:-1] or x.ndim > 2 or not x.size)
        got = f"series {odd} of shape {series[odd].shape} after shape {series[0].shape}"
        raise InputError(_SHAPES, got, "Pass the same channels for each.")
    lengths = np.array([x.shape[-1] for x in series])
    rows = tuple(np.flatnonzero(lengths == length) for length in np.unique(lengths))
    parts = tuple(np.stack([series[i].reshape(-1, series[i].shape[-1]) for i in where]) for where in rows)
    return Panel(parts, rows, "list", flat)


def _numbers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    got = f"{name} of shape {array.shape} and dtype {array.dtype}"
    if array.dtype.kind not in "fiub":
        raise InputTypeError("real numbers", got, "Encode or drop what is no number.")
    if array.ndim not in (1, 2, 3):
        raise InputError(_SHAPES, got, "Reshape X.")
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if np.isinf(array).any():
        raise InputError("finite numbers, or NaN where one is missing", f"{got} with infinity", "Replace it by NaN.")
    return array
