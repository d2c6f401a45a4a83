"""Checks of the data that users bring, with errors in three parts."""

from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight, validate_data

from skts.errors import InputError, InputTypeError

__all__ = ["check_table", "check_weights"]

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
            f"one finite weight for each of {len(X)} samples", str(error).rstrip("."), "Check sample_weight.shape."
        ) from error
    if weight.min() < 0 or not weight.any():
        what = "negative weights" if weight.min() < 0 else "sample weights that are all zero"
        raise InputError("weights >= 0 with at least one above 0", what, "Correct sample_weight, or leave it out.")
    return weight
