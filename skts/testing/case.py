"""How one kind of estimator is fitted and asked, so that a contract need not know the kind."""

from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import get_tags

__all__ = ["Case"]


class Case:
    """Data for an estimator, and the calls that fit it and ask it.

    Parameters
    ----------
    estimator : estimator
        A template; it is never fitted itself.
    """

    def __init__(self, estimator: Any) -> None:
        self.template = estimator
        self.is_forecaster = hasattr(estimator, "cutoff") or getattr(estimator, "_estimator_type", "") == "forecaster"

    def new(self, **params: Any) -> Any:
        """An unfitted copy, seeded, with some parameters changed."""
        estimator = clone(self.template) if not self.is_forecaster else self.template.clone()
        return estimator.set_params(**{"random_state": 0, **params})

    def data(self, n: int = 60, dtype: type = np.float64) -> Any:
        """Input of ``n`` rows: (n, 3), with something to learn in it."""
        rng = np.random.default_rng(0)
        if self.is_forecaster:
            import pandas as pd

            t = np.arange(n)[:, None]
            values = np.sin(t / 5.0 + np.arange(3)) + 0.1 * rng.standard_normal((n, 3)) + np.array([0.0, 5.0, -20.0])
            return pd.DataFrame(values.astype(dtype), columns=["a", "b", "c"])
        return rng.standard_normal((n, 3)).astype(dtype)

    def target(self, X: Any) -> Any:
        """A target for supervised estimators, None for the others."""
        if is_classifier(self.template):
            return np.where(X[:, 0] > 0, "up", "down")
        return X[:, 0] - X[:, 1] if is_regressor(self.template) else None

    def fit(self, estimator: Any, data: Any) -> Any:
        """Fit on what :meth:`data` gave, or on something like it."""
        if self.is_forecaster:
            return estimator.fit(data, fh=[1, 2, 3])
        y = self.target(np.nan_to_num(self.data(len(data)))) if hasattr(data, "__len__") else None
        return estimator.fit(data, y)

    def fitted(self, **params: Any) -> Any:
        """A new estimator, fitted on the standard data."""
        return self.fit(self.new(**params), self.data())

    def ask(self, estimator: Any, data: Any = None) -> np.ndarray:
        """What it predicts for ``data`` (a forecaster: for windows of it)."""
        data = self.data() if data is None else data
        if self.is_forecaster:
            length = estimator.context_length_
            values = np.asarray(data)
            windows = [values[i : i + length] for i in range(0, len(values) - length + 1, 3)]
            return estimator.predict_windows(np.stack(windows) if windows else np.asarray(data)[None])
        for method in ("predict_proba", "predict", "transform", "score_samples"):
            if hasattr(estimator, method):
                return np.asarray(getattr(estimator, method)(data))
        raise TypeError(f"{type(estimator).__name__} has none of predict_proba, predict, transform, score_samples")

    def bad_inputs(self) -> dict[str, Any]:
        """Data that the estimator may not accept, by what is wrong with them."""
        good = np.asarray(self.data())
        holes, infinite = good.copy(), good.copy()
        holes[3, 1], infinite[3, 1] = np.nan, np.inf
        bad: dict[str, Any] = {
            "NaN": holes,
            "inf": infinite,
            "empty": good[:0],
            "words": good.astype(str).astype(object) + "x",
            "rank 4": good.reshape(1, 1, *good.shape),
        }
        if not self.is_forecaster:
            return self._without_missing_values(bad)
        frame = self.data()
        frames = {
            "NaN": frame.mask(np.isnan(holes)),
            "inf": frame.mask(np.isinf(infinite), np.inf),
            "empty": frame.iloc[:0],
            "words": frame.astype(str),
            "one row": frame.iloc[:1],
            "unsorted index": frame.iloc[::-1],
            "duplicate index": frame.set_axis([0, *range(len(frame) - 1)]),
        }
        return self._without_missing_values({**bad, **frames})

    def bad_questions(self, estimator: Any) -> dict[str, Any]:
        """Data that a fitted estimator may not answer."""
        good = np.asarray(self.data())
        bad = {
            "NaN": np.where(np.eye(len(good), 3) > 0, np.nan, good),
            "inf": np.where(np.eye(len(good), 3) > 0, np.inf, good),
            "fewer columns": good[:, :2],
            "words": good.astype(str).astype(object) + "x",
        }
        if self.is_forecaster:
            return self._without_missing_values({**bad, "too short": good[: estimator.context_length_ - 1]})
        return self._without_missing_values({**bad, "rank 1": good[:, 0], "empty": good[:0]})

    @property
    def _takes_missing(self) -> bool:
        if self.is_forecaster:
            return bool(self.template.get_tag("capability:missing_values"))
        return bool(get_tags(self.template).input_tags.allow_nan)

    def _without_missing_values(self, bad: dict[str, Any]) -> dict[str, Any]:
        """Leave NaN out where the estimator's tags say that it is a missing value."""
        if self._takes_missing:
            return {what: data for what, data in bad.items() if what != "NaN"}
        return bad
