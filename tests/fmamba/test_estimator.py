"""FMambaForecaster as a user meets it: index, horizon, panels, pretraining, guard, meta-estimators."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, EpochTimer, LRScheduler
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.difference import Differencer

from skts import FMambaForecaster, load, save
from skts.errors import DivergenceError, InputError, InSampleError, ParameterError
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
    with pytest.raises(InputError, match=r"Expected numeric windows of shape \(n_windows, at least 12, 3\)"):
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


# ---- what may not happen silently -------------------------------------------------------------------------------


def test_times_that_one_series_has_passed_are_refused():
    model = forecaster().fit(panel(40, 30), fh=[1, 2])
    with pytest.raises(InSampleError, match="Ask for later times"):
        model.predict(ForecastingHorizon([36, 41], is_relative=False))


def test_updating_one_series_of_a_panel_keeps_the_others_and_their_order():
    model = forecaster().fit(panel(40, 30), fh=[1])
    newer = waves(33, seed=1).reset_index(drop=True).iloc[30:]
    moved = model.update(pd.concat({"p1": newer}, names=["site", "t"])).predict()
    assert moved.index.tolist() == [("p0", 40), ("p1", 33)]
    assert model.cutoff[0] == 39


def test_arrays_are_updated_behind_what_was_seen():
    y = waves().to_numpy()
    moved = forecaster().fit(y[:60], fh=[1, 2]).update(y[60:])
    np.testing.assert_allclose(moved.predict(), moved.predict_windows(y[None])[0], rtol=1e-5)


def test_repeated_rows_are_no_news():
    y = waves()
    model = forecaster().fit(y.iloc[:60], fh=[1, 2])
    before = model.predict()
    pd.testing.assert_frame_equal(model.update(y.iloc[:58]).predict(), before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda y: y.iloc[65:], "gap"),
        (lambda y: y.iloc[:20], "newer rows"),
        (lambda y: y.reset_index(drop=True).iloc[60:], "index"),
        (lambda y: None, "y=None"),
        (lambda y: pd.concat({"a": y.iloc[60:]}), "levels"),
    ],
)
def test_rows_that_do_not_continue_the_series_are_refused(rows, message):
    y = waves()
    model = forecaster().fit(y.iloc[:60], fh=[1])
    before = model.predict()
    with pytest.raises(InputError, match=message):
        model.update(rows(y))
    pd.testing.assert_frame_equal(model.predict(), before)


BAD_HORIZONS = [[], 0, [-1], [0, 1], [1.5], "a", [1, 1], pd.Timedelta("1D"), pd.DatetimeIndex(["2020-01-01"])]


@pytest.mark.parametrize("fh", BAD_HORIZONS, ids=repr)
def test_bad_horizons_are_refused_and_nothing_is_lost(fh):
    model = forecaster().fit(waves().reset_index(drop=True), fh=[1, 2])
    before = model.predict()
    for call in (lambda: model.predict(fh), lambda: model.fit(waves().reset_index(drop=True), fh=fh)):
        with pytest.raises(InputError, match="forecasting horizon"):
            call()
        pd.testing.assert_frame_equal(model.predict(), before)


def test_a_refused_pretraining_leaves_the_forecaster():
    model = forecaster().fit(waves(), fh=[1, 2])
    before = model.predict()
    with pytest.raises(InputError, match="finite"):
        model.pretrain(panel(40, 40).mask(lambda p: p > 20.9, np.inf), fh=[1, 2])
    pd.testing.assert_frame_equal(model.predict(), before)


@pytest.mark.parametrize("n", [9, 20, 60, 100])
def test_guard_and_validation_work_for_horizons_longer_than_the_validation_part(n):
    model = forecaster(context_length=12).fit(waves(n), fh=range(1, n // 3 + 1))
    assert "valid_loss" in model.history_[0]
    assert set(model.guard_errors_) == {"network", "last value", "linear", "linear per variate"}


def test_too_short_for_validation_is_said():
    with pytest.warns(UserWarning, match="too few for a validation part"):
        forecaster().fit(waves(2), fh=[1])


def press_at(moment):
    """A callback that presses Ctrl-C at a given moment."""

    def press(self, net, **kwargs):
        raise KeyboardInterrupt

    return type("Press", (Callback,), {moment: press})()


@pytest.mark.parametrize("moment", ["on_train_begin", "on_epoch_begin", "on_batch_begin"])
def test_ctrl_c_before_anything_was_learned_keeps_the_last_fit(moment):
    model = forecaster().fit(waves(), fh=[1, 2])
    before = model.predict()
    model.callbacks = [press_at(moment)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(waves(seed=5), fh=[1, 2])
    pd.testing.assert_frame_equal(model.predict(), before)
    assert model.stopped_by_ == "max_epochs"


@pytest.mark.parametrize("where", ["on_train_end", "guard"])
def test_ctrl_c_after_training_keeps_what_was_learned(where, monkeypatch):
    model = forecaster()
    if where == "guard":
        monkeypatch.setattr("skts.fmamba.fitting.choose", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    else:
        model.callbacks = [press_at("on_train_end")]
    with pytest.raises(KeyboardInterrupt):
        model.fit(waves(), fh=[1, 2])
    assert model.stopped_by_ == "interrupt"
    assert model.n_iter_ == 2
    assert np.isfinite(model.predict().to_numpy()).all()


@pytest.mark.parametrize("params", [{"validation_fraction": 0.0}, {"callbacks": [EarlyStopping(patience=1)]}], ids=str)
def test_divergence_is_an_error_whatever_stops_the_fit(params):
    with pytest.raises(DivergenceError, match="Lower lr"):
        forecaster(lr=1e30, guard=None, net_kwargs={"clip_norm": None}, **params).fit(waves(150), fh=[1, 2])


def test_a_callback_may_set_the_learning_rate():
    steps = LRScheduler("StepLR", step_size=1, gamma=0.1)
    model = forecaster(callbacks=[steps], net_kwargs={"schedule": "constant"}, max_epochs=3, patience=None)
    rates = [row["lr"] for row in model.fit(waves(), fh=[1]).history_]
    assert rates[1] == pytest.approx(rates[0] * 0.1)
    assert rates[2] == pytest.approx(rates[0] * 0.01)


@pytest.mark.parametrize(
    "callbacks", [[EpochScoring("r2")], [("a", EpochTimer(), 1)], [("a", EpochTimer())] * 2], ids=str
)
def test_callbacks_that_cannot_work_are_refused(callbacks):
    with pytest.raises(ParameterError, match=r"callbacks"):
        forecaster(callbacks=callbacks).fit(waves(), fh=[1])


def test_skorchs_checkpoint_works(tmp_path):
    forecaster(callbacks=[Checkpoint(dirname=tmp_path)]).fit(waves(), fh=[1])
    assert (tmp_path / "params.pt").exists()


@pytest.mark.parametrize("factor", [1e150, 1e200])
def test_values_out_of_range_are_refused(factor):
    with pytest.raises(InputError, match="Change the unit"):
        forecaster().fit(waves() * factor, fh=[1])


def test_windows_far_from_the_training_data_are_refused():
    model = forecaster().fit(waves(), fh=[1])
    with pytest.raises(InputError, match="standard deviations"):
        model.predict_windows(waves().to_numpy()[None] * 1e30)


def test_names_that_look_alike_are_kept_apart():
    y = waves(N=2).set_axis([1, "1"], axis=1)
    model = forecaster().fit(y, fh=[1])
    assert list(model.selected_) == [1, "1"]
    assert list(model.predict().columns) == [1, "1"]


def test_weights_of_single_variates_are_not_carried_to_others():
    tied = forecaster(module_kwargs={**SMALL["module_kwargs"], "pos_embed": "variate"}, horizon=2)
    with pytest.raises(InputError, match="variates of pretrain"):
        tied.pretrain(panel(40, 40)).fit(waves(N=2), fh=[1])


@pytest.mark.parametrize("rare", [{"n_heads": 0}, {"dropout": 2}, {"d_conv": 0}, {"gated": "no"}, {1: 2}], ids=str)
def test_bad_rare_settings_are_refused(rare):
    with pytest.raises(ParameterError, match=r"Expected .* Got "):
        forecaster(module_kwargs=rare).fit(waves(), fh=[1])


@pytest.mark.parametrize("rare", [{"weight_decay": -1}, {"clip_norm": 0}, {"optimizer": ["adam"]}], ids=str)
def test_bad_training_settings_are_refused(rare):
    with pytest.raises(ParameterError, match=r"Expected .* Got "):
        forecaster(net_kwargs=rare).fit(waves(), fh=[1])


@pytest.mark.parametrize(
    "wiring", [{"attention": "favor+"}, {"attention": "relu"}, {"variant": "tai"}, {"variant": "arxiv"}]
)
def test_every_wiring_is_saved_and_loaded(wiring, tmp_path):
    model = forecaster(**wiring).fit(waves(), fh=[1, 2])
    save(model, tmp_path / "model.skts")
    pd.testing.assert_frame_equal(load(tmp_path / "model.skts").predict(), model.predict())
