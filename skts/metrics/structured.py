"""Scores for predictions that are structures: label sets, rankings, and the probability of a whole of them."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.pipeline import Pipeline

from skts.errors import InputError, InputTypeError

__all__ = ["example_f1_score", "joint_calibration_error", "joint_log_loss", "kendall_tau_score"]

_ROUNDING = 1e-5  # exp of a float32 log-probability can exceed 1 by as much


def kendall_tau_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    r"""Mean over the rows of Kendall's rank correlation between true and predicted rankings.

    Use it to judge rankings: 1 says that each row is ordered as it should be, -1 that each is turned around, 0
    is what chance reaches.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, n_labels)
        The rank of each label, 1 = best; at least two labels.
    y_pred : array-like of shape (n_samples, n_labels)
        The predicted ranks, not scores: a score is high where a rank is low.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, at least 0.

    Returns
    -------
    score : float
        Between -1 and 1; higher is better.

    Raises
    ------
    InputError
        If the shapes differ, are not two-dimensional, or have fewer than two labels, or on NaN.

    Notes
    -----
    For a row with :math:`C` pairs of labels in the same order and :math:`D` in opposite orders,

    .. math:: \tau_a = \frac{C - D}{k (k - 1) / 2}.

    A pair that is tied in either ranking is in neither count, and the denominator stays.

    References
    ----------
    M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30 (1-2), 81-93, 1938.
    https://doi.org/10.1093/biomet/30.1-2.81

    Examples
    --------
    >>> from skts.metrics import kendall_tau_score
    >>> kendall_tau_score([[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [3, 2, 1]])
    0.0
    """
    true, pred = _matrix(y_true, "y_true"), _matrix(y_pred, "y_pred")
    _check_same_shape(true, pred)
    n_labels = true.shape[1]
    if n_labels < 2:
        raise InputError("rankings of at least two labels", f"shape {true.shape}", "One label has no order to score.")
    agreement = _pair_signs(true) * _pair_signs(pred)  # (n, k(k-1)/2)
    return _mean(agreement.mean(axis=1), sample_weight)


def example_f1_score(y_true: Any, y_pred: Any, *, empty: float = 1.0, sample_weight: Any = None) -> float:
    r"""Mean over the rows of the F1 score between true and predicted label sets.

    Use it to judge label sets row by row (example-averaged F1), with a stated convention for rows without any
    label.

    Parameters
    ----------
    y_true : array-like or sparse matrix of shape (n_samples, n_labels)
        1 where the row has the label, else 0.
    y_pred : array-like or sparse matrix of shape (n_samples, n_labels)
        The predicted label sets.
    empty : float, default=1.0
        What a row counts, 0 to 1, whose true and predicted label sets are both empty. With 1.0 such a row is
        right, with 0.0 it is wrong. It is what scikit-learn's ``f1_score(average="samples")`` calls
        ``zero_division`` and sets to 0.0.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, at least 0.

    Returns
    -------
    score : float
        Between 0 and 1; higher is better.

    Raises
    ------
    InputError
        If the shapes differ or are not two-dimensional, if an entry is neither 0 nor 1, or if ``empty`` is
        outside of 0 to 1.

    Notes
    -----
    A row with the true set :math:`A` and the predicted set :math:`B` scores

    .. math:: F_1 = \frac{2 |A \cap B|}{|A| + |B|}.

    On data with many empty rows the convention decides much of the number: state it beside the number.

    References
    ----------
    S. Godbole, S. Sarawagi, "Discriminative Methods for Multi-labeled Classification", PAKDD, 2004.
    https://doi.org/10.1007/978-3-540-24775-3_5

    Examples
    --------
    >>> from skts.metrics import example_f1_score
    >>> y_true = [[1, 1, 0], [0, 0, 0]]
    >>> y_pred = [[1, 0, 1], [0, 0, 0]]
    >>> example_f1_score(y_true, y_pred), example_f1_score(y_true, y_pred, empty=0.0)
    (0.75, 0.25)
    """
    if isinstance(empty, bool) or not isinstance(empty, Real) or not 0 <= empty <= 1:
        raise InputError("empty to be a number from 0 to 1", repr(empty), "Pass 1.0 or 0.0.")
    true, pred = _label_sets(y_true, "y_true"), _label_sets(y_pred, "y_pred")
    _check_same_shape(true, pred)
    hits = true.multiply(pred).sum(axis=1)  # (n,)
    sizes = true.sum(axis=1) + pred.sum(axis=1)  # (n,)
    scores = np.full(len(sizes), float(empty))
    np.divide(2 * hits, sizes, out=scores, where=sizes > 0)
    return _mean(scores, sample_weight)


def joint_log_loss(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    r"""Mean negative log-probability that a fitted estimator gives to the whole target of a row.

    Use it to judge a joint distribution: a product of good marginals scores badly where labels depend on each
    other.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``score_samples(X, y)`` that gives log p(y given x). A :class:`~sklearn.pipeline.Pipeline`
        that ends in such an estimator, or a search over one, is taken as well, though their own
        ``score_samples`` has no place for ``y``.
    X : array-like of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples, ...)
        Classes, label sets or rankings, as the estimator was fitted on.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, at least 0.

    Returns
    -------
    loss : float
        Nats per row; lower is better. Infinite where the estimator gives a row probability zero.

    Raises
    ------
    InputTypeError
        If the estimator has no ``score_samples``.
    InputError
        If ``score_samples`` does not give one number for each row.

    Notes
    -----
    .. math:: -\frac1n \sum_i \log p(y_i | x_i).

    Greater is worse, so in scikit-learn's searches turn the sign:
    ``cross_val_score(estimator, X, y, scoring=lambda e, X, y: -joint_log_loss(e, X, y))``. The number is as good
    as the estimator's normaliser: with an approximate one it can be too low.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sklearn.model_selection import cross_val_score
    >>> from skts.datasets import make_multilabel
    >>> from skts.metrics import joint_log_loss
    >>> class CoinFlips(BaseEstimator):
    ...     def fit(self, X, y):
    ...         return self
    ...
    ...     def score_samples(self, X, y):
    ...         return np.full(len(y), -y.shape[1] * np.log(2))
    >>> X, Y = make_multilabel(n_labels=3, random_state=0)
    >>> round(joint_log_loss(CoinFlips().fit(X, Y), X, Y), 3)
    2.079
    >>> cross_val_score(CoinFlips(), X, Y, scoring=lambda e, X, y: -joint_log_loss(e, X, y)).round(3)
    array([-2.079, -2.079, -2.079, -2.079, -2.079])
    """
    log_prob = np.asarray(_score_samples(estimator, X, y), dtype=np.float64)
    n_rows = np.shape(y)[0]
    if log_prob.shape != (n_rows,):
        got = f"shape {log_prob.shape} for {n_rows} rows"
        raise InputError("score_samples(X, y) to give one number for each row", got, "Give log p(y given x), (n,).")
    if np.isnan(log_prob).any():
        got = f"{int(np.isnan(log_prob).sum())} NaN"
        raise InputError("score_samples(X, y) to give numbers", got, "Look whether the training diverged.")
    return 0.0 - _mean(log_prob, sample_weight)  # not -0.0 for a loss of zero


def joint_calibration_error(correct: Any, confidence: Any, *, n_bins: int = 10, sample_weight: Any = None) -> float:
    r"""Expected calibration error of the stated probability that a whole prediction is right.

    Use it to see whether a model that is 70 % sure of a label set or a ranking is right in 70 % of such rows.

    Parameters
    ----------
    correct : array-like of shape (n_samples,)
        Whether the whole prediction is right, 1 or 0: ``(y_pred == y_true).all(axis=1)``.
    confidence : array-like of shape (n_samples,)
        The probability, 0 to 1, that the model gives to its prediction: ``exp(score_samples(X, y_pred))``.
    n_bins : int, default=10
        Number of bins, at least 1. Each has the same share of the rows, as far as ties allow: rows of equal
        confidence stay together, so that the order of the rows does not matter.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, at least 0.

    Returns
    -------
    error : float
        Between 0 and 1; lower is better.

    Raises
    ------
    InputError
        If the lengths differ, a value is outside of its range, or there are no rows.

    Notes
    -----
    With the bins :math:`B` of confidence,

    .. math:: \sum_B \frac{|B|}{n} \left| \operatorname{mean}_B(\text{correct})
              - \operatorname{mean}_B(\text{confidence}) \right|.

    Bins of equal mass, because joint probabilities crowd near 0. A calibrated model does not reach 0: a bin of
    :math:`m` rows with confidence :math:`c` is off by about :math:`\sqrt{c (1 - c) / m}` by chance.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI, 2015. https://doi.org/10.1609/aaai.v29i1.9602

    J. Nixon, M. W. Dusenberry, L. Zhang, G. Jerfel, D. Tran, "Measuring Calibration in Deep Learning", CVPR
    Workshops, 2019. https://arxiv.org/abs/1904.01685

    Examples
    --------
    >>> from skts.metrics import joint_calibration_error
    >>> joint_calibration_error([1, 0, 1, 1], [0.5, 0.5, 1.0, 1.0], n_bins=2)
    0.0
    >>> joint_calibration_error([0, 0, 1, 1], [0.5, 0.5, 1.0, 1.0], n_bins=2)
    0.25
    """
    if isinstance(n_bins, bool) or not isinstance(n_bins, Integral) or n_bins < 1:
        raise InputError("n_bins to be an int of at least 1", repr(n_bins), "Pass n_bins=10.")
    correct, confidence = _unit_vector(correct, "correct"), _unit_vector(confidence, "confidence")
    _check_same_shape(correct, confidence, names="correct and confidence")
    if not np.isin(correct, (0, 1)).all():
        got = f"{correct[~np.isin(correct, (0, 1))][0]:g}"
        raise InputError("correct to hold 0 and 1 alone", got, "Pass whether each prediction is right as a whole.")
    weight = _weights(sample_weight, len(correct))
    _, group = np.unique(confidence, return_inverse=True)
    mass = np.bincount(group, weights=weight)
    # The bin is where the middle of the group's mass lies; doubled, so that whole weights stay whole numbers.
    bins = ((2 * mass.cumsum() - mass) * n_bins // (2 * mass.sum())).astype(int).clip(0, n_bins - 1)
    excess = np.bincount(bins[group], weights=weight * (correct - confidence))
    return float(np.abs(excess).sum() / mass.sum())


def _score_samples(estimator: Any, X: Any, y: Any) -> Any:
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = estimator[-1]
    if not hasattr(estimator, "score_samples"):
        expected, got = "an estimator with score_samples(X, y)", type(estimator).__name__
        raise InputTypeError(expected, got, "Pass one that gives joint probabilities, such as JointEBMClassifier.")
    return estimator.score_samples(X, y)


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} to be an array of numbers", str(error), f"Convert {name} to numbers.") from error
    if not np.isfinite(array).all():
        raise InputError(f"{name} to be finite", "NaN or infinity", "Drop the rows that are not known.")
    return array


def _matrix(values: Any, name: str) -> np.ndarray:
    array = _numbers(values, name)
    if array.ndim != 2 or len(array) == 0:
        expected = f"{name} to have the shape (n_samples, n_labels) with at least one row"
        raise InputError(expected, f"shape {array.shape}", "Pass one row for each sample.")
    return array


def _unit_vector(values: Any, name: str) -> np.ndarray:
    array = _numbers(values, name)
    if array.ndim != 1 or len(array) == 0:
        raise InputError(f"{name} to have the shape (n_samples,), not empty", f"shape {array.shape}", "Pass a vector.")
    if array.min() < -_ROUNDING or array.max() > 1 + _ROUNDING:
        got = f"values from {array.min():g} to {array.max():g}"
        hint = "Pass exp of log-probabilities. If it exceeds 1, the model's normaliser is too small."
        raise InputError(f"{name} to be between 0 and 1", got, hint)
    return array.clip(0, 1)


def _label_sets(values: Any, name: str) -> csr_array:
    if issparse(values):
        matrix = csr_array(values, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
    else:
        matrix = csr_array(_matrix(values, name))
    if matrix.shape[0] == 0:
        raise InputError(f"{name} to have at least one row", f"shape {matrix.shape}", "Pass one row for each sample.")
    odd = matrix.data[~np.isin(matrix.data, (0, 1))]
    if len(odd):
        hint = "Pass label sets, for instance probabilities over a threshold."
        raise InputError(f"{name} to hold 0 and 1 alone", f"{odd[0]:g}", hint)
    return matrix


def _check_same_shape(first: Any, second: Any, names: str = "y_true and y_pred") -> None:
    if first.shape != second.shape:
        got = f"shapes {first.shape} and {second.shape}"
        raise InputError(f"{names} to have the same shape", got, "Pass both for the same rows and labels.")


def _pair_signs(ranks: np.ndarray) -> np.ndarray:
    """Order of each two labels of a row, as -1, 0 or 1; (n, k) to (n, k(k-1)/2)."""
    first, second = np.triu_indices(ranks.shape[1], k=1)
    return np.sign(ranks[:, first] - ranks[:, second]).astype(np.int8)


def _weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n_rows)
    weight = _numbers(sample_weight, "sample_weight")
    if weight.shape != (n_rows,) or weight.min() < 0 or weight.sum() == 0:
        expected = f"sample_weight to have {n_rows} numbers of at least 0, one of them more"
        got = f"shape {weight.shape}" + (f", least {weight.min():g}" if weight.size else "")
        raise InputError(expected, got, "Pass one weight for each row, or None.")
    return weight


def _mean(values: np.ndarray, sample_weight: Any) -> float:
    weight = _weights(sample_weight, len(values))
    counts = weight > 0  # a row of no weight must not turn an infinite loss into NaN
    return float(np.average(values[counts], weights=weight[counts]))
