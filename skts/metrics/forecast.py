"""A scorer with which scikit-learn's searches can judge a forecaster."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import mean_squared_error

__all__ = ["make_forecast_scorer"]


def make_forecast_scorer(
    metric: Callable[..., float] = mean_squared_error, greater_is_better: bool = False, **kwargs: Any
) -> Callable[..., float]:
    """Turn a metric into ``scorer(forecaster, y_test)`` for GridSearchCV and cross_val_score.

    A forecaster is fitted on the series itself, so scikit-learn hands it over in the place of X; the rows of a
    ``TimeSeriesSplit`` test fold follow the training fold, and the scorer forecasts as many steps as it has rows.

    Parameters
    ----------
    metric : callable, default=sklearn.metrics.mean_squared_error
        ``metric(y_true, y_pred)`` on arrays (n_timepoints, n_variates).
    greater_is_better : bool, default=False
        Whether a higher value is better; otherwise the sign is turned.
    **kwargs
        Passed on to the metric.

    Returns
    -------
    callable
        The scorer; higher is better.

    Examples
    --------
    >>> from sklearn.model_selection import TimeSeriesSplit, cross_val_score
    >>> from skts.datasets import load_us_change
    >>> from skts.fmamba import LinearForecaster
    >>> from skts.metrics import make_forecast_scorer
    >>> folds = TimeSeriesSplit(n_splits=3, test_size=8)
    >>> y = load_us_change()
    >>> cross_val_score(LinearForecaster(context_length=12), y, cv=folds, scoring=make_forecast_scorer()).shape
    (3,)
    """
    sign = 1.0 if greater_is_better else -1.0

    def scorer(forecaster: Any, y_test: Any, _: Any = None) -> float:
        y_pred = forecaster.predict(list(range(1, len(y_test) + 1)))
        return sign * float(metric(np.asarray(y_test), np.asarray(y_pred), **kwargs))

    return scorer
