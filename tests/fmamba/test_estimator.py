"""FMambaForecaster as a user meets it: index, horizon, panels, pretraining, guard, meta-estimators."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.difference import Differencer

from skts import FMambaForecaster
from skts.errors import InputError, ParameterError
from skts.metrics import make_forecast_scorer

SMALL = {
    "context_length": 12,
    "d_model": 8,
    "n_layers": 1,
    "max_epochs": 2,
    "random_state": 0,
    "module_kwargs": {"n_heads": 2, "d_state": 2},
}


def forecaster(**kwargs):
    return FMambaForecaster(**{**SMALL, **kwargs})


def waves(n=80, start="2024-01-01", freq="h", N=3, seed=0):
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    values = np.sin(t / 3 + np.arange(N)) + 0.05 * rng.standard_normal((n, N)) + 10.0 * np.arange(N)
    return pd.DataFrame(values, index=pd.date_range(start, periods=n, freq=freq), columns=[f"s{i}" for i in range(N)])


@pytest.fixture(scope="module")
def fitted():
    return forecaster().fit(waves(), fh=[1, 2, 3, 4])


def test_index_and_names_are_kept(fitted):
    forecast = fitted.predict()
    assert list(forecast.columns) == ["s0", "s1", "s2"]
    assert forecast.index.equals(pd.date_range("2024-01-04 08:00", periods=4, freq="h"))


def test_a_horizon_with_gaps_takes_rows_of_the_full_one(fitted):
    full = fitted.predict([1, 2, 3, 4])
    pd.testing.assert_frame_equal(fitted.predict([2, 4]), full.iloc[[1, 3]], check_freq=False)


def test_longer_horizons_continue_the_forecast(fitted):
    long = fitted.predict(range(1, 11))
    pd.testing.assert_frame_equal(long.iloc[:4], fitted.predict([1, 2, 3, 4]))
    assert np.isfinite(long.to_numpy()).all()
    assert fitted.horizon_ == 4


def test_absolute_horizons(fitted):
    times = pd.DatetimeIndex(["2024-01-04 09:00", "2024-01-04 11:00"])
    np.testing.assert_array_equal(fitted.predict(times).to_numpy(), fitted.predict([2, 4]).to_numpy())


def test_windows_and_series_give_the_same_forecast(fitted):
    windows = waves().to_numpy()[None]
    np.testing.assert_allclose(fitted.predict_windows(windows)[0], fitted.predict([1, 2, 3, 4]), rtol=1e-5)
    batch = np.stack([waves(seed=s).to_numpy()[-20:] for s in range(5)])
    assert fitted.predict_windows(batch).shape == (5, 4, 3)


@pytest.mark.parametrize("windows", [np.zeros((2, 11, 3)), np.zeros((2, 12, 4)), np.zeros((12, 3)), [["a"]]])
def test_bad_windows_are_refused(fitted, windows):
    with pytest.raises(InputError, match=r"Expected windows of shape \(n_windows, at least 12, 3\)"):
        fitted.predict_windows(windows)


def test_update_moves_the_origin_and_forecasts_as_if_seen_there():
    y = waves()
    moved = forecaster().fit(y.iloc[:60], fh=[1, 2]).update(y.iloc[60:])
    assert moved.predict().index[0] == y.index[-1] + pd.Timedelta("1h")
    np.testing.assert_allclose(moved.predict(), moved.predict_windows(y.to_numpy()[None])[0], rtol=1e-5)


def test_update_with_other_columns_is_refused_and_nothing_is_lost():
    y = waves()
    kept = forecaster().fit(y.iloc[:60], fh=[1])
    before = kept.predict()
    with pytest.raises(InputError, match="columns of fit"):
        kept.update(y.iloc[60:].rename(columns={"s0": "other"}))
    pd.testing.assert_frame_equal(kept.predict(), before)


@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize("fh", [[1], [1, 2, 3, 4, 5, 6, 7]], ids=len)
def test_short_series_shrink_the_context(n, fh):
    short = forecaster(context_length=96).fit(waves(n), fh=fh)
    assert short.context_length_ + short.horizon_ <= n
    assert np.isfinite(short.predict().to_numpy()).all()
    assert len(short.predict()) == len(fh)


def test_long_series_use_the_whole_context():
    assert forecaster(context_length=20).fit(waves(80), fh=[1, 2]).context_length_ == 20


def test_a_series_stays_a_series():
    forecast = forecaster().fit(waves()["s1"], fh=[1, 2]).predict()
    assert isinstance(forecast, pd.Series)
    assert forecast.name == "s1"


def panel(*lengths):
    parts = {f"p{i}": waves(n, seed=i).reset_index(drop=True) for i, n in enumerate(lengths)}
    return pd.concat(parts, names=["site", "t"])


def test_a_panel_is_learned_as_a_whole_and_each_series_continues_from_its_own_end():
    y = panel(40, 40, 25)
    forecast = forecaster().fit(y, fh=[1, 3]).predict()
    assert forecast.index.tolist() == [(s, n + k) for s, n in (("p0", 39), ("p1", 39), ("p2", 24)) for k in (1, 3)]
    assert forecast.index.names == ["site", "t"]


def test_pretrained_network_serves_a_series_too_short_to_train_on():
    teacher = forecaster(horizon=3, max_epochs=5).pretrain(panel(60, 60))
    short = waves(6, seed=9)
    one = teacher.clone().fit(short, fh=[1, 2, 3])
    other = teacher.clone().fit(short + 5.0, fh=[1, 2, 3])
    assert one.n_iter_ == 0
    np.testing.assert_allclose(one.predict() + 5.0, other.predict(), atol=1e-3)


@pytest.mark.filterwarnings("ignore:The loss of stage")
def test_fine_tuning_never_ends_worse_on_validation():
    teacher = forecaster(horizon=3, max_epochs=8, guard=None, lr=1e-2).pretrain(panel(80, 80))
    tuned = teacher.clone()
    tuned.lr = 10.0  # ruinous; set_params would forget the pretrained weights, as sktime has it
    tuned.fit(waves(80, seed=7), fh=[1, 2, 3])
    still = teacher.clone()
    still.validation_fraction = 0.0
    one, other = (f.module_.state_dict() for f in (tuned, still.fit(waves(6, seed=7), fh=[1, 2, 3])))
    assert all((one[k] == other[k]).all() for k in one)


def test_refit_after_pretraining_starts_from_the_pretrained_weights_again():
    teacher = forecaster(horizon=3).pretrain(panel(60, 60))
    first = teacher.fit(waves(60), fh=[1, 2, 3]).predict()
    pd.testing.assert_frame_equal(teacher.fit(waves(60), fh=[1, 2, 3]).predict(), first)


def test_guard_takes_the_linear_map_for_a_linear_world_and_says_so():
    line = pd.DataFrame(np.outer(np.arange(200.0), [1.0, -2.0]), columns=["up", "down"])
    guarded = forecaster().fit(line, fh=range(1, 6))
    assert set(guarded.selected_) == {"up", "down"}
    assert "network" not in guarded.selected_.values()
    np.testing.assert_allclose(guarded.predict(), np.outer(np.arange(200, 205), [1.0, -2.0]), rtol=1e-3)


def test_guard_takes_the_last_value_for_a_random_walk():
    walk = pd.DataFrame(np.random.default_rng(0).standard_normal((3000, 3)).cumsum(0))
    guarded = forecaster(max_epochs=1, context_length=24).fit(walk, fh=[1, 2])
    errors = guarded.guard_errors_
    assert (errors["last value"] <= errors["network"]).all()
    for n, (column, chosen) in enumerate(guarded.selected_.items()):
        assert errors[chosen][n] == min(e[n] for e in errors.values()), column


def test_guard_none_is_the_bare_network():
    bare = forecaster(guard=None).fit(waves(), fh=[1, 2])
    assert set(bare.selected_.values()) == {"network"}
    assert bare.guard_errors_ == {}


def test_validation_error_of_the_guard_is_that_of_the_history(fitted):
    best = min(row["valid_loss"] for row in fitted.history_)
    assert fitted.guard_errors_["network"].mean() == pytest.approx(best, rel=1e-4)


def test_warm_start_goes_on():
    warm = forecaster(warm_start=True, guard=None, lr=0.01, max_epochs=4).fit(waves(), fh=[1, 2])
    first = warm.history_[0]["train_loss"]
    assert warm.fit(waves(), fh=[1, 2]).history_[0]["train_loss"] < first


@pytest.mark.parametrize("variant", ["auto", "arxiv", "tai"])
def test_variants(variant):
    f = forecaster(variant=variant).fit(waves(), fh=[1])
    blocks = [type(layer.block).__name__ for layer in f.module_.layers]
    assert blocks == ["FastAttention", "Mamba" if variant == "arxiv" else "BiMamba", "Sequential"]


@pytest.mark.parametrize(
    "params",
    [
        {"module_kwargs": {"n_head": 2}},
        {"module_kwargs": {"norm": "batch"}},
        {"d_model": 9},
        {"attention": "flash"},
        {"mamba": "tri"},
        {"guard": True},
        {"horizon": 0},
        {"context_length": "long"},
    ],
    ids=str,
)
def test_bad_parameters_are_refused_before_training(params):
    with pytest.raises(ParameterError, match=r"Expected .* Got "):
        forecaster(**params).fit(waves(), fh=[1])


# ---- inside of others -------------------------------------------------------------------------------------------


def test_grid_search_of_sklearn_and_pipeline():
    folds = TimeSeriesSplit(n_splits=2, test_size=5)
    pipe = Pipeline([("forecast", forecaster())])
    scores = cross_val_score(pipe, waves(), cv=folds, scoring=make_forecast_scorer())
    assert np.isfinite(scores).all()
    search = GridSearchCV(forecaster(), {"d_model": [4, 8]}, cv=folds, scoring=make_forecast_scorer(), n_jobs=2)
    search.fit(waves())
    assert search.best_estimator_.predict([1, 2]).shape == (2, 3)


def test_grid_search_in_threads_equals_serial():
    folds = TimeSeriesSplit(n_splits=3, test_size=5)
    search = GridSearchCV(forecaster(), {"lr": [1e-3, 1e-2]}, cv=folds, scoring=make_forecast_scorer(), refit=False)
    import joblib

    serial = search.fit(waves()).cv_results_["mean_test_score"]
    with joblib.parallel_backend("threading", n_jobs=3):
        np.testing.assert_array_equal(search.fit(waves()).cv_results_["mean_test_score"], serial)


def test_sktime_evaluates_tunes_and_composes():
    y, cv = waves(), ExpandingWindowSplitter(initial_window=60, step_length=10, fh=[1, 2])
    assert len(evaluate(forecaster(), cv, y)) == 2
    search = ForecastingGridSearchCV(forecaster(), cv, {"d_model": [4, 8]}).fit(y, fh=[1, 2])
    assert search.best_params_["d_model"] in (4, 8)
    composed = (Differencer() * forecaster()).fit(y, fh=[1, 2])
    assert composed.predict().shape == (2, 3)
