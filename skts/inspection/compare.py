"""The pilot: a model beside its simple baselines, on held-out data, with what each costs."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from skts.engine import CostMeter
from skts.errors import InputError
from skts.inspection.style import ACCENT, MUTED, new_axes, tidy

__all__ = ["ComparisonDisplay", "compare"]

_STANDARDISED = "standardised mean squared error"


def compare(candidates: Any, data: Any, cv: Any = None, scoring: Any = None, X: Any = None) -> pd.DataFrame:
    """Hold a model against the simple baselines for its job, on data that none of them has seen.

    Run it on a small part of the data before you invest in a large fit: if the model does not beat its baselines here,
    more of it seldom pays. The table says what it is, also where a baseline wins.

    Parameters
    ----------
    candidates : estimator or dict of str to estimator
        The baselines that an estimator names by ``baselines()`` join by themselves. None is changed.
    data : data of the job
        For scikit-learn's kind: X or (X, y). For forecasters: a series or panel y; or (y_train, y), two panels: each
        candidate learns on y_train by ``pretrain`` and then forecasts the rest of the series of y, which are new to it.
    cv : splitter or int, optional
        For scikit-learn's kind as in ``cross_validate``. For forecasters the number of last steps that are held out of
        each series (default: a fifth of the shortest), or an sktime splitter over one series.
    scoring : str or callable, optional
        For scikit-learn's kind as in ``cross_validate`` (higher is better). For forecasters ``scoring(y_true, y_pred)``
        of two arrays (n_timepoints, n_variates), lower is better; by default the mean squared error in units of each
        variate's variance before the held-out steps.
    X : pandas.DataFrame, optional
        For forecasters: exogenous data with a row for each row of y. Each candidate sees those beside its rows, and
        those of the steps to forecast.

    Returns
    -------
    pandas.DataFrame
        One row for each candidate, best first: score (mean over folds), score_std, gain_percent (over the best
        baseline, positive is better), fit_seconds, predict_ms, peak_memory_mb, is_baseline. Its ``attrs`` say what the
        score is; :class:`ComparisonDisplay` draws it.

    Raises
    ------
    InputError
        If there is no candidate or too little data to hold something out.

    Examples
    --------
    >>> from skts.datasets import load_us_change
    >>> from skts.fmamba import LinearForecaster
    >>> from skts.inspection import compare
    >>> table = compare({"linear": LinearForecaster(context_length=12)}, load_us_change(), cv=4)
    >>> table.columns.tolist()
    ['score', 'score_std', 'fit_seconds', 'predict_ms', 'peak_memory_mb', 'is_baseline']
    """
    named, baselines = _with_baselines(candidates)
    forecasting = hasattr(next(iter(named.values())), "cutoff")
    trials = partial(_forecast_trials, X=X) if forecasting else _sklearn_trials
    rows = {name: pd.DataFrame(list(trials(model, data, cv, scoring))) for name, model in named.items()}
    table = pd.DataFrame({name: trial.mean() for name, trial in rows.items()}).T
    table.insert(1, "score_std", [trial["score"].std(ddof=0) for trial in rows.values()])
    table["is_baseline"] = [name in baselines for name in table.index]
    sign = -1 if forecasting else 1
    if baselines:
        bar = (sign * table.loc[table["is_baseline"], "score"]).max()
        table.insert(2, "gain_percent", 100 * (sign * table["score"] - bar) / max(abs(bar), 1e-12))
    table.attrs = {"score": _name(scoring, forecasting), "greater_is_better": not forecasting}
    return table.sort_values("score", ascending=forecasting, kind="stable").rename_axis("model")


def _with_baselines(candidates: Any) -> tuple[dict[str, Any], set[str]]:
    named = dict(candidates) if isinstance(candidates, Mapping) else {type(candidates).__name__: candidates}
    if not named:
        raise InputError("at least one candidate", "none", "Pass an estimator, or a dict of names to estimators.")
    own = set(named)
    for model in list(named.values()):
        for name, baseline in getattr(model, "baselines", dict)().items():
            named.setdefault(name, baseline)
    return named, set(named) - own


def _name(scoring: Any, forecasting: bool) -> str:
    if scoring is None:
        return _STANDARDISED if forecasting else "score"
    return scoring if isinstance(scoring, str) else getattr(scoring, "__name__", type(scoring).__name__)


def _measured(fit: Callable[[], Any], ask: Callable[[Any], Any]) -> tuple[Any, dict[str, float]]:
    """What ``ask`` says of the fitted model, and what both cost."""
    meter = CostMeter()
    model = fit()
    cost = meter.read()
    start = time.perf_counter()
    answer = ask(model)
    milliseconds = 1000 * (time.perf_counter() - start)
    return answer, {
        "fit_seconds": cost["fit_seconds"],
        "predict_ms": milliseconds,
        "peak_memory_mb": cost["peak_memory_mb"],
    }


# ---- scikit-learn's kind --------------------------------------------------------------------------------------------


def _sklearn_trials(model: Any, data: Any, cv: Any, scoring: Any) -> Iterator[dict[str, float]]:
    X, y = data if isinstance(data, tuple) else (data, None)
    X = X if hasattr(X, "iloc") else np.asarray(X)
    y = None if y is None else np.asarray(y)
    scorer = check_scoring(model, scoring)
    for train, test in check_cv(cv, y, classifier=is_classifier(model)).split(X, y):
        X_train, X_test = (X.iloc[rows] if hasattr(X, "iloc") else X[rows] for rows in (train, test))
        y_train, y_test = (None, None) if y is None else (y[train], y[test])
        score, cost = _measured(
            lambda X=X_train, y=y_train: clone(model).fit(X, y),
            lambda fitted, X=X_test, y=y_test: scorer(fitted, X) if y is None else scorer(fitted, X, y),
        )
        yield {"score": score, **cost}


# ---- forecasters ----------------------------------------------------------------------------------------------------


def _forecast_trials(model: Any, data: Any, cv: Any, scoring: Any, X: Any) -> Iterator[dict[str, float]]:
    teaching, y = data if isinstance(data, tuple) else (None, data)
    y = y.to_frame() if isinstance(y, pd.Series) else pd.DataFrame(y)
    if scoring is not None and not callable(scoring):
        raise InputError("scoring(y_true, y_pred)", f"scoring={scoring!r}", "Pass a function of two arrays.")
    for past, future, steps in _folds(y, cv):
        seen, ahead = (None, None) if X is None else (X.loc[past.index], _between(X, past, future))

        def fit(past: pd.DataFrame = past, seen: Any = seen, steps: np.ndarray = steps) -> Any:
            forecaster = model.clone()
            if teaching is not None:
                forecaster.pretrain(teaching, fh=steps)
            return forecaster.fit(past, X=seen, fh=steps)

        forecast, cost = _measured(fit, lambda fitted, X=ahead: fitted.predict(X=X))
        # By position, not by label: the steps are the same, and an index with holes has no labels for them.
        score = scoring or _standardised_error(past if teaching is None else teaching)
        yield {"score": float(score(future.to_numpy(), np.asarray(forecast).reshape(future.shape))), **cost}


def _folds(y: pd.DataFrame, cv: Any) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, np.ndarray]]:
    """What is seen, what is held out, and how many steps ahead it lies."""
    if hasattr(cv, "split"):
        for train, test in cv.split(y):
            yield y.iloc[train], y.iloc[test], np.asarray(test) - train[-1]
        return
    by_series = y.groupby(level=list(range(y.index.nlevels - 1)), sort=False) if y.index.nlevels > 1 else None
    shortest = len(y) if by_series is None else int(by_series.size().min())
    held_out = max(1, shortest // 5) if cv is None else int(cv)
    if not 0 < held_out < shortest:
        raise InputError(
            f"fewer steps to hold out than the shortest series has ({shortest})", f"cv={cv!r}", "Lower cv."
        )
    last = np.arange(len(y)) >= len(y) - held_out
    if by_series is not None:
        last = (by_series.cumcount(ascending=False) < held_out).to_numpy()
    yield y[~last], y[last], np.arange(1, held_out + 1)


def _between(X: pd.DataFrame, past: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """The rows after those seen, up to the last one that is forecast."""
    times, last = X.index.get_level_values(-1), future.index.get_level_values(-1).max()
    return X[~X.index.isin(past.index) & (times > past.index.get_level_values(-1).min()) & (times <= last)]


def _standardised_error(past: pd.DataFrame) -> Callable[[np.ndarray, np.ndarray], float]:
    scale = past.std(ddof=0).to_numpy()
    scale = np.where(scale > 0, scale, 1.0)
    return lambda y_true, y_pred: float(np.mean(((y_true - y_pred) / scale) ** 2))


class ComparisonDisplay:
    """The table of :func:`compare` as bars: score, with gain and cost written beside them.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`compare`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_candidates(
        cls, candidates: Any, data: Any, cv: Any = None, scoring: Any = None, *, ax: Any = None
    ) -> Self:
        """Compare and draw; the parameters are those of :func:`compare`.

        Parameters
        ----------
        candidates : estimator or dict of str to estimator
            See :func:`compare`.
        data : data of the job
            See :func:`compare`.
        cv : splitter or int, optional
            See :func:`compare`.
        scoring : str or callable, optional
            See :func:`compare`.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        ComparisonDisplay
            The display; ``table`` holds the numbers.
        """
        return cls(compare(candidates, data, cv, scoring)).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        ComparisonDisplay
            The display itself.
        """
        table = self.table
        self.ax_ = new_axes(height=1.2 + 0.45 * len(table))[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        colors = [MUTED if baseline else ACCENT for baseline in table["is_baseline"]]
        bars = self.ax_.barh(table.index.astype(str), table["score"], xerr=table["score_std"], color=colors)
        notes = [f"  {row.score:.4g}   fit {row.fit_seconds:.2g} s" for row in table.itertuples()]
        self.ax_.bar_label(bars, notes, fontsize="small")
        better = "higher" if table.attrs.get("greater_is_better") else "lower"
        self.ax_.set(xlabel=f"held-out {table.attrs.get('score', 'score')} ({better} is better)")
        self.ax_.invert_yaxis()
        self.ax_.margins(x=0.35)
        tidy(self.ax_)
        self.ax_.grid(visible=False, axis="y")
        return self
