"""Exogenous data as a user passes them: what they are worth, where they are needed, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sktime.forecasting.model_evaluation import evaluate
from sktime.split import ExpandingWindowSplitter

from skts import load, save
from skts.errors import InputError
from skts.fmamba import LinearForecaster
from skts.fmamba.export import export_program
from skts.inspection import AttributionDisplay, compare
from tests.fmamba.test_estimator import forecaster

H = 6


def driven(n=400, shuffled=False, seed=0):
    """y_t = 0.7 y_{t-1} + x_t + noise for two variates, of which the second one does not know x."""
    rng = np.random.default_rng(seed)
    x, y, noise = rng.standard_normal(n), np.zeros((n, 2)), 0.3 * rng.standard_normal((n, 2))
    for t in range(1, n):
        x[t] += 0.8 * x[t - 1]
        y[t] = 0.7 * y[t - 1] + [x[t], 0] + noise[t]
    index = pd.date_range("2024-01-01", periods=n, freq="h")
    X = pd.DataFrame({"price": rng.permutation(x) if shuffled else x, "week": rng.standard_normal(n)}, index)
    return pd.DataFrame(y + 20, index, ["sold", "else"]), X


def windows(y, X, length, first):
    starts = range(first, len(y) - length - H + 1)
    stack = lambda frame, a, b: np.stack([frame.to_numpy()[s + a : s + b] for s in starts])  # noqa: E731
    return (
        stack(y, 0, length),
        stack(X, 0, length + H),
        stack(y, length, length + H),
        y.index[[s + length - 1 for s in starts]],
    )


@pytest.fixture(scope="module")
def fitted():
    y, X = driven()
    return forecaster().fit(y[:300], X=X[:300], fh=range(1, H + 1))


@pytest.mark.parametrize("make", [lambda: LinearForecaster(context_length=12), forecaster])
def test_known_drivers_halve_the_error_and_shuffled_ones_change_nothing(make):
    errors = {}
    for name, shuffled in (("known", False), ("shuffled", True)):
        y, X = driven(1000, shuffled)
        contexts, rows, truth, ends = windows(y, X, 12, 800)
        for given in (True, False):
            model = make().fit(y[:800], X=X[:800] if given else None, fh=range(1, H + 1))
            told = model.predict_windows(contexts, X=rows if given else None, cutoffs=ends)
            errors[name, given] = np.mean((told - truth) ** 2, axis=(0, 1))
    assert errors["known", True][0] < 0.5 * errors["known", False][0]
    np.testing.assert_allclose(errors["shuffled", True], errors["shuffled", False])
    np.testing.assert_allclose(errors["known", True][1], errors["known", False][1], rtol=0.2)


def test_series_and_windows_give_the_same_forecast(fitted):
    y, X = driven()
    ahead = fitted.predict(X=X[300 : 300 + H])
    rows = X.to_numpy()[None, 300 - 50 : 300 + H]
    told = fitted.predict_windows(y.to_numpy()[None, 300 - 50 : 300], X=rows, cutoffs=y.index[[299]])
    np.testing.assert_allclose(told[0], ahead, rtol=1e-5)
    np.testing.assert_allclose(fitted.predict(X=X), ahead)  # rows before the forecast do no harm
    np.testing.assert_allclose(fitted.predict(X=X[["week", "price"]]), ahead)


def test_forecasts_move_with_the_rows_of_their_own_time_and_before(fitted):
    _, X = driven()
    moved = X.copy()
    moved.iloc[303, 0] += 5
    change = (fitted.predict(X=moved[300:]) - fitted.predict(X=X[300:])).to_numpy()
    assert not change[:3].any()
    assert abs(change[3, 0]) > 2
    assert not change[:, 1].any()
    effect = fitted.exogenous_effect(moved) - fitted.exogenous_effect(X)
    np.testing.assert_allclose(effect.to_numpy()[300 : 300 + H], change, atol=1e-9)
    parts = sum(fitted.exogenous_effect(X, column) for column in X)
    pd.testing.assert_frame_equal(parts, fitted.exogenous_effect(X))


def test_longer_horizons_and_gaps(fitted):
    _, X = driven()
    long = fitted.predict(range(1, 21), X=X[300:])
    np.testing.assert_allclose(long.iloc[[1, 12]], fitted.predict([2, 13], X=X[300:320]))


def test_intervals_move_with_the_forecast(fitted):
    _, X = driven()
    moved = X.add([3.0, 0.0])
    apart = fitted.predict_quantiles(X=moved[300:]) - fitted.predict_quantiles(X=X[300:])
    shift = fitted.predict(X=moved[300:]) - fitted.predict(X=X[300:])
    np.testing.assert_allclose(apart["sold"].to_numpy(), np.repeat(shift[["sold"]].to_numpy(), 2, 1), atol=1e-9)
    y, X = driven()
    contexts, rows, _, ends = windows(y, X, 12, 350)
    quantiles = fitted.predict_windows_quantiles(contexts, [0.1, 0.9], X=rows, cutoffs=ends)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_update_goes_on_with_newer_rows():
    y, X = driven()
    model = forecaster().fit(y[:300], X=X[:300], fh=range(1, H + 1))
    with pytest.raises(InputError, match="X=None"):
        clone(model).fit(y[:300], X=X[:300]).update(y[300:320])
    model.update(y[300:320], X=X[300:320], update_params=False)
    assert model.cutoff[0] == y.index[319]
    rows = X.to_numpy()[None, 280:326]
    told = model.predict_windows(y.to_numpy()[None, 280:320], X=rows, cutoffs=y.index[[319]])
    np.testing.assert_allclose(model.predict(X=X[320:326]), told[0], rtol=1e-5)
    seen = model.anomaly_score(y[320:330], X=X[320:330])
    assert (seen > 0).to_numpy().all()
    with pytest.raises(InputError, match="X=None"):
        model.anomaly_score(y[320:330])


def test_save_and_load(fitted, tmp_path):
    _, X = driven()
    save(fitted, tmp_path / "model.skts")
    pd.testing.assert_frame_equal(load(tmp_path / "model.skts").predict(X=X[300:]), fitted.predict(X=X[300:]))


def test_panels_and_arrays():
    parts = [driven(120, seed=s) for s in range(3)]
    y, X = (pd.concat({f"shop {i}": part[which] for i, part in enumerate(parts)}) for which in (0, 1))
    first = y.index.get_level_values(1) < parts[0][0].index[100]
    model = LinearForecaster(context_length=12).fit(y[first], X=X[first], fh=[1, 3])
    forecast = model.predict(X=X[~first])
    assert forecast.shape == (6, 2)
    alone = {key: X.loc[[key]] for key in ("shop 0", "shop 1")}
    with pytest.raises(InputError, match="shop 2"):
        model.predict(X=pd.concat(alone.values()))
    y, X = driven()
    arrays = LinearForecaster(context_length=12).fit(y[:300].to_numpy(), X=X[:300].to_numpy(), fh=[1, 2])
    frames = LinearForecaster(context_length=12).fit(y[:300], X=X[:300], fh=[1, 2])
    np.testing.assert_allclose(arrays.predict(X=X[300:302].to_numpy()), frames.predict(X=X[300:302]))
    for model, new in ((arrays, (y[300:310].to_numpy(), X[300:310].to_numpy())), (frames, (y[300:310], X[300:310]))):
        model.update(new[0], X=new[1])
    np.testing.assert_allclose(arrays.predict(X=X[310:312].to_numpy()), frames.predict(X=X[310:312]))


def test_arrays_of_panels_go_on_as_frames_do():
    parts = [driven(120, seed=s) for s in range(2)]
    found = []
    for container in ("arrays", "frames"):

        def rows(which, first, last, container=container):
            cut = [part[which].iloc[first:last] for part in parts]
            if container == "arrays":
                return np.stack([frame.to_numpy().T for frame in cut])  # (series, variates, time)
            return pd.concat(dict(enumerate(cut)))

        model = LinearForecaster(context_length=12).fit(rows(0, 0, 100), X=rows(1, 0, 100), fh=[1, 2])
        model.update(rows(0, 100, 110), X=rows(1, 100, 110))
        forecast = model.predict(X=rows(1, 110, 112))
        found.append(forecast.transpose(0, 2, 1).ravel() if container == "arrays" else forecast.to_numpy().ravel())
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_sktime_splits_x_beside_y():
    y, X = driven(200)
    scores = {}
    for given in (X, None):
        splits = ExpandingWindowSplitter(range(1, H + 1), initial_window=140, step_length=30)
        found = evaluate(LinearForecaster(context_length=12), splits, y[["sold"]], X=given, error_score="raise")
        scores[given is None] = found.iloc[:, 0].mean()
    assert scores[False] < scores[True]


def test_compare_hands_x_to_every_candidate():
    y, X = driven(200)
    parts = [driven(120, seed=s) for s in range(2)]
    panel, beside = (pd.concat({str(i): part[which] for i, part in enumerate(parts)}) for which in (0, 1))
    for series, rows in ((y, X), (panel, beside)):
        with_x, without = (
            compare({"model": LinearForecaster(context_length=12)}, series, cv=H, X=given)["score"]
            for given in (rows, None)
        )
        assert with_x["model"] < without["model"]


def test_explanations_take_the_rows_too(fitted):
    y, X = driven()
    with pytest.raises(InputError, match="X=None"):
        fitted.attributions(y.to_numpy()[None, 300 - 12 : 300], "sold")
    explained = fitted.attributions(
        y.to_numpy()[None, :300], "sold", X=X.to_numpy()[None, :300], cutoffs=y.index[[299]]
    )
    np.testing.assert_allclose(explained, fitted.attributions(None, "sold"), atol=1e-4)
    assert AttributionDisplay.from_estimator(fitted, "sold").attributions.shape == (12, 2)
    assert fitted.influence().shape == (1, 1, 2, 2)


def test_what_cannot_be_used_is_refused(fitted):
    y, X = driven()
    refused = [
        (lambda: fitted.predict(), "X=None"),
        (lambda: fitted.predict(X=X[300:302]), "first at"),
        (lambda: fitted.predict(X=X[["price"]][300:]), "columns of fit"),
        (lambda: fitted.predict(X=X[300:].replace(X.iloc[301, 0], np.nan)), "finite"),
        (lambda: fitted.predict_windows(y.to_numpy()[None, :300]), "X=None"),
        (lambda: fitted.predict_windows(y.to_numpy()[None, :300], X=X.to_numpy()[None, :300]), "of shape"),
        (lambda: fitted.exogenous_effect(X, "colour"), "a column out of"),
        (lambda: forecaster().fit(y[:300], X=X[:299]), "a row for each row of y"),
        (lambda: forecaster().fit(y[:300], X=X[:300].mask(X > 2)), "finite"),
        (lambda: export_program(fitted), "without exogenous"),
        (lambda: LinearForecaster().fit(y).exogenous_effect(X), "fitted with X"),
        (lambda: LinearForecaster().fit(y[:300]).predict([1], X=X[300:]), "as in fit"),
    ]
    for call, said in refused:
        with pytest.raises(InputError, match=said):
            call()
