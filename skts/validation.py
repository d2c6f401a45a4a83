"""Checks of the data that users bring, with errors in three parts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints
from sklearn.utils.validation import _check_sample_weight, validate_data

from skts.errors import InputError, InputTypeError, ParameterError

__all__ = ["check_options", "check_params", "check_series", "check_table", "check_weights", "check_windows"]


class _InvalidParameterError(ParameterError, InvalidParameterError):
    """Our three parts, under the class that scikit-learn's checks look for."""


def check_params(estimator: Any) -> None:
    """Hold the constructor parameters against ``_parameter_constraints``.

    Raises
    ------
    ParameterError
        For the first one outside of its range.
    """
    _check(estimator._parameter_constraints, estimator.get_params(deep=False), type(estimator).__name__, "set_params")


def check_options(
    options: Mapping[str, Any] | None, constraints: Mapping[str, list[Any]], owner: str
) -> dict[str, Any]:
    """A copy of a dict parameter, its keys and values held against a table like ``_parameter_constraints``.

    Raises
    ------
    ParameterError
        If a key is unknown or a value is outside of its range.
    """
    options = dict(options or {})
    unknown = sorted(map(str, set(options) - set(constraints)))
    if unknown:
        raise ParameterError(f"{owner} with keys among {sorted(constraints)}", f"{unknown}", "Remove or rename them.")
    _check({key: constraints[key] for key in options}, options, owner, owner)
    return options


def _check(constraints: Mapping[str, list[Any]], params: dict[str, Any], owner: str, where: str) -> None:
    try:
        validate_parameter_constraints(dict(constraints), params, owner)
    except InvalidParameterError as error:
        expected, _, got = str(error).partition(" Got ")
        name = expected.split("'")[1]
        raise _InvalidParameterError(
            f"valid parameters: {expected.rstrip('.')}", got.rstrip("."), f"Change it by {where}({name}=...)."
        ) from None


_LARGEST = 1e100  # the square of a larger value is near the end of float64
_HINTS = {
    "NaN": "Impute missing values first, for instance with sklearn.impute.SimpleImputer.",
    "infinity": "Replace infinite values, or scale the data so that they fit into float32.",
    "feature": "Pass the same columns as in fit.",
    "sparse": "Convert it by X.toarray().",
    "sample": "Pass more rows.",
    "complex": "Pass real numbers, for instance real and imaginary parts as two columns.",
}


def check_table(estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool = True, **kwargs: Any) -> Any:
    """scikit-learn's ``validate_data`` in float32, with errors in three parts.

    Parameters
    ----------
    estimator : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set (``reset=True``) or held against X.
    X : array-like of shape (n_samples, n_features)
        Memory maps of float32 are not copied.
    y : array-like, optional
        The target, checked with X.
    reset : bool, default=True
        True in fit, False in predict.
    **kwargs
        Passed on to ``validate_data``.

    Returns
    -------
    X or (X, y)

    Raises
    ------
    InputError, InputTypeError
        Where scikit-learn raises ValueError and TypeError; the message contains scikit-learn's.
    """
    kwargs.setdefault("dtype", np.float32)
    try:
        return validate_data(estimator, X, y, reset=reset, **kwargs)
    except (TypeError, ValueError) as error:
        kind = InputTypeError if isinstance(error, TypeError) else InputError
        hint = next((h for word, h in _HINTS.items() if word in str(error)), "Check X.shape and X.dtype.")
        got = str(error).rstrip(". \n")
        raise kind("finite numbers of shape (n_samples, n_features)", got, hint) from error


def check_weights(sample_weight: Any, X: Any) -> Any:
    """Sample weights as float32 of shape (n_samples,), or None.

    Raises
    ------
    InputError
        If they are negative, all zero, not finite or of another length than X.
    """
    if sample_weight is None:
        return None
    try:
        weight = _check_sample_weight(sample_weight, X, dtype=np.float32)
    except ValueError as error:
        raise InputError(
            f"one finite weight for each of {X.shape[0]} samples",
            str(error).rstrip("."),
            "Check sample_weight.shape.",
        ) from error
    if weight.min() < 0 or not weight.any():
        what = "negative weights" if weight.min() < 0 else "sample weights that are all zero"
        raise InputError("weights >= 0 with at least one above 0", what, "Correct sample_weight, or leave it out.")
    return weight


def check_series(y: Any, *, min_rows: int = 2, name: str = "y", missing: bool = False) -> None:
    """Refuse a pandas or numpy series that no forecaster can learn from; other containers are sktime's to judge.

    Parameters
    ----------
    y : object
        A Series, a DataFrame (a panel if its index has levels), or an array.
    min_rows : int, default=2
        Rows that the longest series needs at least.
    name : str, default="y"
        What the messages call it.
    missing : bool, default=False
        Whether NaN is a missing value, and no error.

    Raises
    ------
    InputTypeError
        If the values are not numbers.
    InputError
        If it is empty, too short, not finite, of the wrong rank, or its index is unsorted or has duplicates.
    """
    if y is None:
        raise InputTypeError("a time series", f"{name}=None", "Pass a DataFrame of time x variates.")
    if isinstance(y, list) and y and all(hasattr(part, "columns") for part in y):
        for number, part in enumerate(y):
            check_series(part, min_rows=min_rows, name=f"{name}[{number}]", missing=missing)
        return
    values = getattr(y, "values", y)
    if not hasattr(values, "dtype") or (isinstance(y, np.ndarray) and y.dtype.names):
        return
    got = f"{name} of shape {values.shape} and dtype {values.dtype}"
    if values.dtype == object and values.size and hasattr(values.flat[0], "__array__"):
        return  # sktime's nested panels hold a series in each cell
    if getattr(values.dtype, "kind", "O") not in "fiub" and not _numeric_columns(y):
        hint = "Encode or drop columns that hold words, dates or objects."
        raise InputTypeError("numbers, nothing categorical", got, hint)
    if values.ndim > (3 if y is values else 2) or values.ndim == 0:
        raise InputError("a series of shape (n_timepoints, n_variates)", got, "Reshape it to time x variates.")
    if values.size == 0:
        raise InputError("at least one variate and two time points", f"an empty {got}", "Check how it was selected.")
    _check_index(getattr(y, "index", None), min_rows, len(values) if values.ndim < 3 else values.shape[2], name)
    columns = getattr(y, "columns", None)
    if columns is not None and not columns.is_unique:
        raise InputError("column names that differ", f"{name} with columns {list(columns)}", "Rename the columns.")
    numbers = y.to_numpy(np.float64, na_value=np.nan) if hasattr(y, "to_numpy") else np.asarray(y, np.float64)
    bad = int((np.isinf(numbers) if missing else ~np.isfinite(numbers)).sum())
    if bad:
        kind = "infinite" if missing else "NaN or infinite"
        hint = f"Fill them first, e.g. by {name}.interpolate()."
        raise InputError("finite values", f"{got} with {bad} that are {kind}", hint)
    largest = np.abs(np.nan_to_num(numbers)).max()
    if largest > _LARGEST:
        raise InputError(f"values up to {_LARGEST:g}", f"{got} with {largest:g}", "Change the unit.")
    if np.isnan(numbers).all():
        raise InputError("values that are not all missing", got, "Check how it was selected.")


def _numeric_columns(y: Any) -> bool:
    """Whether every column of a frame is numeric, where the joint dtype is object."""
    dtypes = getattr(y, "dtypes", None)
    return hasattr(dtypes, "__iter__") and all(getattr(d, "kind", "O") in "fiub" for d in dtypes)


def _check_index(index: Any, min_rows: int, n_rows: int, name: str) -> None:
    times = [index] if getattr(index, "nlevels", 1) == 1 else _times_of_each(index)
    longest = n_rows if index is None else max(map(len, times))
    if longest < min_rows:
        raise InputError(
            f"a series of at least {min_rows} time points",
            f"{name} with {longest}",
            "Pass more history, or a shorter fh.",
        )
    for time in times:
        if time is not None and not (time.is_monotonic_increasing and time.is_unique):
            what = "duplicate time points" if not time.is_unique else "time points that are not in order"
            raise InputError(
                "an index that grows strictly",
                f"{name} with {what}",
                f"Sort it by {name}.sort_index() and drop repeats.",
            )


def _times_of_each(index: Any) -> list[Any]:
    """The time level of every series of a panel."""
    where = index.droplevel(-1)
    return [index[positions].get_level_values(-1) for positions in index.to_series().groupby(where).indices.values()]


def check_windows(contexts: Any, length: int, n_variates: int, missing: bool = False) -> np.ndarray:
    """Windows (n, L, N) as finite float64, their last ``length`` rows; NaN may be in them if it is a missing value.

    Raises
    ------
    InputTypeError, InputError
        If they are not numbers, not finite, too short or of another number of variates.
    """
    expected = f"numeric windows of shape (n_windows, at least {length}, {n_variates})"
    windows = np.asarray(contexts)
    got = f"an array of shape {windows.shape} and dtype {windows.dtype}"
    if windows.dtype.kind not in "fiub":
        raise InputTypeError(expected, got, "Pass numbers.")
    if windows.ndim != 3 or not len(windows) or windows.shape[2] != n_variates or windows.shape[1] < length:
        raise InputError(expected, got, "Stack the windows as (window, time, variate), oldest time first.")
    windows = windows.astype(np.float64)
    if np.isinf(windows).any() or (not missing and np.isnan(windows).any()):
        raise InputError("finite values", f"{got} with NaN or infinite values", "Fill them first.")
    return np.ascontiguousarray(windows[:, -length:])
