"""Displays hold their data as attributes and draw what they hold."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from skts import FMambaForecaster
from skts.datasets import load_us_change
from skts.errors import InputError
from skts.fmamba import LinearForecaster
from skts.inspection import ComparisonDisplay, ForecastDisplay, LossCurveDisplay, compare
from tests.small import SmallClassifier, SmallTransformer

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    y = load_us_change()
    return FMambaForecaster(context_length=12, d_model=8, max_epochs=2, random_state=0).fit(
        y.iloc[:-4], fh=[1, 2, 3, 4]
    )


def test_loss_curve_draws_the_history(fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    drawn = [line.get_ydata().tolist() for line in display.ax_.lines[:2]]
    assert drawn == [[row[key] for row in fitted.history_] for key in ("train_loss", "valid_loss")]
    assert display.ax_.get_title() == "FMambaForecaster"


def test_loss_curve_separates_stages():
    rows = [{"stage": s, "epoch": e, "train_loss": 1.0 / e} for s in ("one", "two") for e in (1, 2)]
    display = LossCurveDisplay(rows).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["two"]


def test_forecast_draws_past_forecast_and_what_came(fitted):
    y = load_us_change()
    display = ForecastDisplay.from_estimator(fitted, y, variates=["Income", "Savings"])
    assert len(display.axes_) == 2
    lines = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines if line.get_label()[0] != "_"}
    np.testing.assert_array_equal(lines["forecast"], fitted.predict()["Income"])
    np.testing.assert_array_equal(lines["came"], y["Income"].iloc[-4:])
    np.testing.assert_array_equal(lines["seen"], y["Income"].iloc[-16:-4])


def test_forecast_of_one_series_of_a_panel():
    y = load_us_change().reset_index(drop=True)
    panel = pd.concat({"a": y, "b": y * 2}, names=["site", "t"])
    model = LinearForecaster(context_length=8).fit(panel, fh=[1, 2])
    display = ForecastDisplay.from_estimator(model, instance="b")
    np.testing.assert_array_equal(display.y_pred, model.predict().loc["b"])


def test_forecast_of_an_unknown_variate_is_an_error(fitted):
    with pytest.raises(InputError, match="variates among"):
        ForecastDisplay.from_estimator(fitted, variates=["GDP"])


def test_compare_adds_the_baselines_and_scores_what_was_held_out():
    y = load_us_change()
    model = LinearForecaster(context_length=8)
    mine = FMambaForecaster(context_length=8, d_model=8, max_epochs=1, random_state=0)
    table = compare({"FMamba": mine, "own": model}, y, cv=5)
    assert set(table.index) == {"FMamba", "own", "last value", "linear", "linear per variate"}
    assert table["is_baseline"].sum() == 3
    assert table["score"].is_monotonic_increasing
    past, future = y.iloc[:-5], y.iloc[-5:]
    forecast = model.clone().fit(past, fh=range(1, 6)).predict()
    expected = (((forecast - future) / past.std(ddof=0)) ** 2).to_numpy().mean()
    assert table.loc["own", "score"] == pytest.approx(expected)
    best = table.loc[table["is_baseline"], "score"].min()
    assert table.loc["own", "gain_percent"] == pytest.approx(100 * (best - expected) / best)


def test_compare_takes_splitters_metrics_and_a_panel_to_learn_from():
    from sktime.split import ExpandingWindowSplitter

    y = load_us_change()
    folds = ExpandingWindowSplitter(initial_window=150, step_length=15, fh=[1, 2, 3])
    error = lambda y_true, y_pred: float(np.abs(y_true - y_pred).max())  # noqa: E731
    table = compare({"linear": LinearForecaster(context_length=8)}, y, cv=folds, scoring=error)
    assert table.loc["linear", "score_std"] > 0
    frames = {str(i): y.reset_index(drop=True).iloc[i * 40 : i * 40 + 40].reset_index(drop=True) for i in range(4)}
    teach, new = (pd.concat({k: frames[k] for k in keys}, names=["i", "t"]) for keys in ("01", "23"))
    both = compare({"linear": LinearForecaster(context_length=8)}, (teach, new), cv=4)
    assert np.isfinite(both["score"]).all()


def test_compare_asks_for_the_steps_of_the_splitter():
    from sktime.split import ExpandingWindowSplitter

    y, model = load_us_change(), LinearForecaster(context_length=8)
    folds = ExpandingWindowSplitter(initial_window=181, fh=[3, 6])
    table = compare({"own": model}, y, cv=folds, scoring=lambda y_true, y_pred: np.abs(y_true - y_pred).sum())
    forecast = model.clone().fit(y.iloc[:181], fh=[3, 6]).predict()
    assert table.loc["own", "score"] == pytest.approx((forecast - y.iloc[[183, 186]]).abs().to_numpy().sum())


def test_compare_of_sklearns_kind():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 3))
    y = np.where(X[:, 0] > 0, "a", "b")
    candidates = {"net": SmallClassifier(random_state=0, max_epochs=5), "logistic": LogisticRegression()}
    table = compare(candidates, (X, y), cv=3)
    assert table["score"].is_monotonic_decreasing
    assert table.loc["logistic", "score"] > 0.8
    only_x = compare(
        SmallTransformer(random_state=0, max_epochs=2), X, cv=2, scoring=lambda est, X: est.transform(X).std()
    )
    assert only_x.index.tolist() == ["SmallTransformer"]


def test_compare_needs_a_candidate_and_data_to_hold_out():
    with pytest.raises(InputError, match="candidate"):
        compare({}, load_us_change())
    with pytest.raises(InputError, match="hold out"):
        compare(LinearForecaster(), load_us_change(), cv=187)


def test_comparison_draws_one_bar_for_each_candidate():
    table = compare(LinearForecaster(context_length=8), load_us_change(), cv=3)
    display = ComparisonDisplay(table).plot()
    assert [bar.get_width() for bar in display.ax_.patches] == table["score"].tolist()
    assert "lower is better" in display.ax_.get_xlabel()
