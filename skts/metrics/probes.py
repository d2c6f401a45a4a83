"""What a linear model can read from an embedding, with folds that keep overlapping windows apart."""

from typing import Any

import numpy as np

from skts.errors import InputError
from skts.metrics.neighbors import check_labelled, check_starts, overlapping

__all__ = ["block_folds", "is_factor", "probe_predictions", "probe_score"]


def block_folds(starts: Any, window: int, n_folds: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds for windows of a series that keep those apart which overlap.

    The series is cut into blocks of at least a window, every ``n_folds``-th block is held out, and windows that overlap
    with a held-out one are left out of training.

    Parameters
    ----------
    starts : array-like of shape (n_samples,)
        First step of each window.
    window : int
        Steps of a window, at least 1.
    n_folds : int, default=5
        Number of folds, at least 2. Fewer are made where there are not as many blocks.

    Returns
    -------
    list of (ndarray, ndarray)
        Indices to train on and to test on, as ``cv`` of scikit-learn takes them. Each sample is tested once.

    Raises
    ------
    InputError
        If a number is out of its range, or the windows span fewer than two blocks.

    Examples
    --------
    >>> from skts.metrics import block_folds
    >>> train, test = block_folds(range(0, 100, 10), window=20, n_folds=2)[0]
    >>> test.tolist(), train.tolist()
    ([0, 1, 2, 3, 8, 9], [5, 6])
    """
    starts = check_starts(starts, window)
    if n_folds < 2:
        raise InputError("n_folds of at least 2", f"{n_folds}", "Hold out a part of the windows at a time.")
    span = int(starts.max() - starts.min()) + 1
    block = max(2 * window, -(-span // (4 * n_folds)))  # with shorter blocks nothing would be left to train on
    index = (starts - starts.min()) // block
    n_folds = min(n_folds, len(np.unique(index)))
    if n_folds < 2:
        expected, got = f"windows over more than {block} steps", f"{span} steps for windows of {window}"
        raise InputError(expected, got, "Use a longer series or shorter windows.")
    fold = np.unique(index, return_inverse=True)[1] % n_folds
    overlap = overlapping(starts, window, len(starts))
    found = []
    for f in range(n_folds):
        test = fold == f
        found.append((np.flatnonzero(~test & ~overlap[:, test].any(1)), np.flatnonzero(test)))
    return found


def probe_predictions(Z: Any, y: Any, *, cv: Any = 5) -> np.ndarray:
    """What a linear model that never saw a sample says about it: logistic regression for labels, ridge for a factor.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        An embedding. Its features are standardised.
    y : array-like of shape (n_samples,)
        Labels; or a factor, which is what numbers of a floating-point type with fractions are.
    cv : int, splitter, or list of (train, test), default=5
        Folds, as in scikit-learn; for overlapping windows those of :func:`block_folds`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Predictions of the fold in which a sample was held out.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or a fold has nothing to train on.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import check_cv
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    Z, y = check_labelled(Z, y)
    factor = is_factor(y)
    linear = RidgeCV(np.logspace(-3, 4, 15)) if factor else LogisticRegression(max_iter=1000)
    found = np.empty_like(y)
    for train, test in check_cv(cv, y, classifier=not factor).split(Z, y):
        if not len(train):
            raise InputError("samples to train on in each fold", "none", "Use a longer series or shorter windows.")
        if not factor and len(np.unique(y[train])) == 1:
            found[test] = y[train][0]
            continue
        found[test] = make_pipeline(StandardScaler(), linear).fit(Z[train], y[train]).predict(Z[test])
    return found


def probe_score(Z: Any, y: Any, *, cv: Any = 5) -> float:
    """How well a linear model reads labels (accuracy) or a factor (R^2) from an embedding, on held-out samples.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        An embedding. Its features are standardised.
    y : array-like of shape (n_samples,)
        Labels; or a factor, which is what numbers of a floating-point type with fractions are.
    cv : int, splitter, or list of (train, test), default=5
        Folds, as in scikit-learn; for overlapping windows those of :func:`block_folds`.

    Returns
    -------
    float
        Accuracy, or R^2 over all held-out predictions.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or a fold has nothing to train on.

    References
    ----------
    G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
    https://arxiv.org/abs/1610.01644

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import probe_score
    >>> Z = np.random.default_rng(0).normal(size=(60, 2))
    >>> probe_score(Z, (Z[:, 0] > 0).astype(int)) > 0.8, round(probe_score(Z, Z @ [1.0, 2.0]), 3)
    (True, 1.0)
    """
    from sklearn.metrics import accuracy_score, r2_score

    y = np.asarray(y)
    found = probe_predictions(Z, y, cv=cv)
    return float(r2_score(y, found) if is_factor(y) else accuracy_score(y, found))


def is_factor(y: np.ndarray) -> bool:
    """Whether values are a factor, numbers with fractions, and not labels."""
    return y.dtype.kind == "f" and bool((y != np.rint(y)).any())
