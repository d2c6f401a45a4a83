"""What a display needs of the user's data: one row of X, its output, and how often that was seen in training."""

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skts.errors import InputError

__all__ = ["equal", "one_row", "output_of_row", "times_seen"]


def one_row(X: Any, row: int) -> Any:
    """Row ``row`` of X as a table of one row.

    Raises
    ------
    InputError
        If there is no such row.
    """
    n = _num_samples(X)
    if not -n <= row < n:
        raise InputError(f"a row from 0 to {n - 1}", f"row={row}", "Pass one of the rows of X.")
    return _safe_indexing(X, [row % n])


def output_of_row(y: Any, row: int, ndim: int) -> np.ndarray:
    """The output of the row, whether ``y`` is that alone or those of all rows."""
    y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    return np.asarray(y[row if len(y) > 1 else 0]) if y.ndim == ndim + 1 else y


def times_seen(estimator: Any, output: np.ndarray) -> int:
    """How many training rows had this output; ``labelsets_`` holds codes, not what the user knows."""
    codes = estimator.labelsets_
    known = estimator.classes_[codes[:, 0]] if estimator.output_ == "multiclass" else codes
    known = codes + 1 if estimator.output_ == "ranking" else known
    return int(estimator.labelset_counts_[equal(known, output)].sum())


def equal(outputs: np.ndarray, output: Any) -> np.ndarray:  # (m,) or (m, k) -> (m,)
    """Which of the outputs are this one."""
    same = outputs == output
    return same if same.ndim == 1 else same.all(1)
