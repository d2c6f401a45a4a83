"""FlowMapForecaster as a user meets it: what it recovers, its states, panels, index, searches, files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter

import skts
from skts.datasets import make_hits_system
from skts.engine import Callback
from skts.errors import InputError, ParameterError, PersistenceError
from skts.flowmap import FlowMapSimulator
from skts.fmamba import LinearForecaster
from skts.interop import FlowMapForecaster
from skts.testing import CONTRACTS

CLOSED_FORM = {"stepper": "opinf", "coordinates": "identity", "step_sizes": [1], "on_divergence": "clip"}
NETWORK = {
    "coordinates": "identity",
    "step_sizes": [1],
    "on_divergence": "clip",
    "max_epochs": 3,
    "module_kwargs": {"hidden": (16,), "n_batches": 5},
}


def equation(**kwargs):
    return FlowMapSimulator(**{**CLOSED_FORM, **kwargs})


def network(**kwargs):
    return FlowMapSimulator(**{**NETWORK, **kwargs})


def two_sines(n=500, omega=0.2):
    t = np.arange(n)
    return np.sin(omega * t) + 0.5 * np.sin(np.sqrt(2) * omega * t + 1)


def waves(n=60, N=2, phase=0.0, index=None):
    t = np.arange(n)[:, None]
    values = np.sin(0.25 * t + phase + np.arange(N)) + 10.0 * np.arange(N)
    return pd.DataFrame(values, index=index, columns=[f"s{i}" for i in range(N)])


def panel(lengths=(60, 50, 70)):
    parts = {f"p{i}": waves(n, phase=0.7 * i) for i, n in enumerate(lengths)}
    return pd.concat(parts, names=["machine", "time"])


@pytest.fixture(scope="module")
def fitted():
    return FlowMapForecaster(equation(), lags=[0, 2, 4], random_state=0).fit(panel(), fh=[1, 2, 3])


class Recording(FlowMapSimulator):
    """Remembers the trajectories of its fit."""

    def fit(self, X, y=None, **kwargs):
        self.seen_ = [states.copy() for states in X]
        return super().fit(X, y, **kwargs)


# ---- what it recovers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coordinates", [{"coordinates": "pca", "n_components": 4}, {"coordinates": "identity"}])
def test_two_sines_are_continued_for_a_hundred_steps(coordinates):
    y = two_sines()
    forecaster = FlowMapForecaster(equation(**coordinates), lags=20, random_state=0).fit(y[:400])
    np.testing.assert_allclose(forecaster.predict(range(1, 101)).ravel(), y[400:], atol=0.01)


def test_a_rotation_needs_one_lag_of_both_coordinates():
    t = np.arange(200)[:, None] * 0.1
    y = np.concatenate([3 * np.cos(t) + 50, 0.1 * np.sin(t)], axis=1)
    forecast = FlowMapForecaster(equation(), lags=1, random_state=0).fit(y[:100]).predict(range(1, 101))
    np.testing.assert_allclose((forecast - y[100:]) / [3, 0.1], 0, atol=0.01)


def test_lorenz_from_one_coordinate_beats_the_linear_map_over_a_lyapunov_time():
    dt, steps = 0.05, 22  # the largest exponent is 0.906: a Lyapunov time has 22 rows
    x = make_hits_system("lorenz", 1, 2000, dt=dt, random_state=0)[0][:, :1]
    train, test = x[:1000], x[1000:]
    starts = np.arange(0, len(test) - 24 - steps, 20)
    contexts = np.stack([test[s : s + 24] for s in starts])
    truth = np.stack([test[s + 24 : s + 24 + steps] for s in starts])

    def error(forecaster):
        forecast = forecaster.fit(train, fh=range(1, steps + 1)).predict_windows(contexts)
        return np.sqrt(np.square(forecast - truth).mean((1, 2))).mean() / x.std()

    simulator = network(module_kwargs={"hidden": (64, 64), "n_batches": 50})
    found = error(FlowMapForecaster(simulator, lags=[0, 3, 6], random_state=0))
    assert found < 0.4 * error(LinearForecaster(context_length=24))
    assert found < 0.4 * error(LinearForecaster("last value", context_length=24))


def test_unit_and_level_do_not_matter():
    y = two_sines(200)
    forecaster = FlowMapForecaster(equation(), lags=[0, 5, 10, 15])
    plain = forecaster.fit(y).predict(range(1, 31))
    moved = forecaster.fit(1e3 * y + 1e7).predict(range(1, 31))
    np.testing.assert_allclose((moved - 1e7) / 1e3, plain, atol=1e-3)


def test_the_default_stays_within_what_it_has_seen():
    rng = np.random.default_rng(0)
    y = np.arange(60.0) + rng.standard_normal(60)  # a trend, of which a flow map knows nothing
    forecast = FlowMapForecaster(lags=4, random_state=0).fit(y).predict(range(1, 501))
    assert np.isfinite(forecast).all()
    assert np.abs(forecast - y.mean()).max() < 1.5 * np.ptp(y)


# ---- states ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lags", "expected"), [(3, [0, 1, 2]), ([0, 4], [0, 4]), (np.array([0, 1, 7]), [0, 1, 7])])
def test_states_are_rows_at_the_lags_of_one_series_each(lags, expected):
    y = panel()
    forecaster = FlowMapForecaster(Recording(**CLOSED_FORM), lags=lags, random_state=0).fit(y)
    assert forecaster.lags_ == expected
    trajectories = forecaster.simulator_.seen_
    assert len(trajectories) == 3
    for key, states in zip(("p0", "p1", "p2"), trajectories, strict=True):
        values = y.loc[key].to_numpy()
        assert len(states) == len(values) - expected[-1]
        for number, state in enumerate(states):
            rows = [values[number + expected[-1] - lag] for lag in expected]
            back = state.reshape(len(expected), 2) * forecaster.scale_ + forecaster.center_
            np.testing.assert_allclose(back, rows)


def test_a_forecast_is_the_step_after_the_step():
    y = two_sines(200)
    forecaster = FlowMapForecaster(network(), lags=6, random_state=0).fit(y)
    state = ((y[-6:][::-1] - forecaster.center_) / forecaster.scale_)[None]
    expected = []
    for _ in range(5):
        state = forecaster.simulator_.predict(state)
        expected.append(state[0, 0] * forecaster.scale_[0] + forecaster.center_[0])
    np.testing.assert_allclose(forecaster.predict([1, 2, 3, 4, 5]).ravel(), expected, rtol=1e-4, atol=1e-4)


def test_any_horizon_is_part_of_a_longer_one(fitted):
    full = fitted.predict(range(1, 41))
    some = fitted.predict([2, 7, 40])
    for key in ("p0", "p1", "p2"):
        np.testing.assert_allclose(some.loc[key], full.loc[key].iloc[[1, 6, 39]], rtol=1e-5)
    assert fitted.horizon_ == 3


def test_windows_without_index(fitted):
    windows = np.stack([panel().loc[key].to_numpy()[-30:] for key in ("p0", "p1", "p2")])
    forecast = fitted.predict_windows(windows)
    assert forecast.shape == (3, 3, 2)
    np.testing.assert_allclose(forecast.reshape(9, 2), fitted.predict([1, 2, 3]), rtol=1e-5)


# ---- index, panels, updates -----------------------------------------------------------------------------------------

INDICES = {
    "months": pd.period_range("1990-01", periods=60, freq="M"),
    "hours": pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC"),
    "month starts": pd.date_range("2000-01-01", periods=60, freq="MS"),
    "numbers": pd.RangeIndex(100, 160),
}


@pytest.mark.parametrize("kind", INDICES)
def test_index_frequency_and_names_are_kept(kind):
    index = INDICES[kind]
    y = waves(50, index=index[:50])
    forecast = FlowMapForecaster(equation(), lags=3).fit(y, fh=[1, 2, 10]).predict()
    assert list(forecast.columns) == ["s0", "s1"]
    assert forecast.index.equals(index[[50, 51, 59]])
    series = FlowMapForecaster(equation(), lags=3).fit(y["s0"], fh=[1, 2, 10]).predict()
    assert isinstance(series, pd.Series)
    assert series.name == "s0"


def test_series_of_different_lengths_go_on_where_each_ended(fitted):
    forecast = fitted.predict([1, 2])
    assert forecast.index.names == ["machine", "time"]
    ends = [(key, n + i) for key, n in (("p0", 60), ("p1", 50), ("p2", 70)) for i in (0, 1)]
    assert forecast.index.tolist() == ends
    for number, key in enumerate(("p0", "p1", "p2")):
        truth = waves(80, phase=0.7 * number).loc[forecast.loc[key].index]
        np.testing.assert_allclose(forecast.loc[key], truth, atol=0.01)


def test_hierarchies_keep_their_levels():
    y = pd.concat({"a": panel((40, 40)), "b": panel((40, 45))}, names=["plant"])
    forecast = FlowMapForecaster(equation(), lags=3).fit(y, fh=[1, 2]).predict()
    assert forecast.index.names == ["plant", "machine", "time"]
    assert len(forecast) == 8


@pytest.mark.parametrize("simulator", [equation(), network()], ids=["opinf", "resmlp"])
def test_a_forecast_does_not_depend_on_the_other_series(simulator):
    many = FlowMapForecaster(simulator, lags=3, random_state=0).fit(panel())
    alone = FlowMapForecaster(simulator, lags=3, random_state=0).pretrain(panel()).fit(panel().loc["p1"])
    expected = alone.predict(range(1, 31))
    np.testing.assert_allclose(many.predict(range(1, 31)).loc["p1"], expected, rtol=1e-4, atol=1e-4)
    others = {"p0": waves(65, phase=1.0).iloc[60:], "p2": waves(75, phase=3.0).iloc[70:]}
    many.update(pd.concat(others, names=["machine", "time"]))
    forecast = many.predict(range(1, 31))
    np.testing.assert_allclose(forecast.loc["p1"], expected, rtol=1e-4, atol=1e-4)
    assert forecast.loc["p0"].index[0] == 65


@pytest.mark.parametrize("update_params", [True, False])
def test_update_by_few_rows_or_without_parameters_moves_the_state_alone(update_params):
    y = waves(63 if update_params else 80)
    forecaster = FlowMapForecaster(network(), lags=[0, 1, 5], random_state=0).fit(y.iloc[:60], fh=[1, 2])
    expected = forecaster.predict_windows(y.iloc[50:].to_numpy()[None])[0]
    simulator = forecaster.simulator_
    forecast = forecaster.update(y.iloc[60:], update_params=update_params).predict()
    assert forecaster.simulator_ is simulator
    assert forecast.index.tolist() == [len(y), len(y) + 1]
    np.testing.assert_allclose(forecast, expected, rtol=1e-5)
    assert len(forecaster.context_) == 6


def test_update_learns_on_from_new_rows_and_the_state_before_them(monkeypatch):
    y, given, learn_on = panel((60, 50, 70)), [], FlowMapSimulator.partial_fit

    def recorded(simulator, X):
        given.append(X)
        return learn_on(simulator, X)

    monkeypatch.setattr(FlowMapSimulator, "partial_fit", recorded)
    forecaster = FlowMapForecaster(network(), lags=[0, 2], random_state=0).pretrain(y).fit(y)
    teacher = forecaster.simulator_
    n_before = len(teacher.history_)
    more = {"p0": waves(75).iloc[60:], "p2": waves(72, phase=1.4).iloc[70:]}  # too few rows of p2 to learn from
    forecaster.update(pd.concat(more, names=["machine", "time"]))
    ((states,),) = given
    rows = (waves(75).iloc[57:].to_numpy() - forecaster.center_) / forecaster.scale_
    np.testing.assert_allclose(states, np.concatenate([rows[2:], rows[:-2]], 1))
    assert forecaster.pretrained_["simulator"] is teacher
    assert len(teacher.history_) == n_before < len(forecaster.simulator_.history_)


def test_update_by_single_rows_is_update_by_many():
    y = waves(70)
    steps = FlowMapForecaster(equation(), lags=4).fit(y.iloc[:60])
    once = steps.clone().fit(y.iloc[:60]).update(y.iloc[60:], update_params=False)  # the state alone
    for row in range(60, 70):
        steps.update(y.iloc[[row]], update_params=False)
    pd.testing.assert_frame_equal(steps.predict([1, 5]), once.predict([1, 5]))


# ---- pretraining, parameters, searches ------------------------------------------------------------------------------


def test_pretraining_serves_series_too_short_to_learn_from():
    forecaster = FlowMapForecaster(equation(), lags=[0, 2, 4]).pretrain(panel())
    truth = waves(40, phase=2.0)
    forecast = forecaster.fit(truth.iloc[:5]).predict(range(1, 21))
    np.testing.assert_allclose(forecast, truth.iloc[5:25], atol=0.02)
    with pytest.raises(InputError, match="the 2 variates of pretrain"):
        forecaster.fit(truth["s0"])


def test_the_template_is_cloned_and_its_own_seed_wins():
    template = network()
    forecaster = FlowMapForecaster(template, lags=3, random_state=3).fit(waves())
    assert not hasattr(template, "module_")
    assert template.random_state is None
    assert forecaster.simulator_.random_state == 3
    seeded = FlowMapForecaster(network(random_state=7), lags=3, random_state=3).fit(waves())
    assert seeded.simulator_.random_state == 7
    for copy in (clone(forecaster), forecaster.clone()):
        assert copy.simulator is not template
        assert copy.get_params()["simulator__max_epochs"] == 3
        assert copy.set_params(simulator__max_epochs=1).simulator.max_epochs == 1


def test_same_seed_same_forecast():
    one, other = (FlowMapForecaster(network(), lags=3, random_state=5).fit(waves()).predict([1, 9]) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_grid_search_finds_lags_that_make_a_state():
    y = pd.Series(two_sines(260))
    cv = ExpandingWindowSplitter(fh=range(1, 21), initial_window=180, step_length=60)
    grid = {"lags": [1, [0, 5, 10, 15]], "simulator__stepper": ["opinf"]}
    search = ForecastingGridSearchCV(FlowMapForecaster(equation()), cv, grid).fit(y, fh=[1, 2])
    assert search.best_params_["lags"] == [0, 5, 10, 15]
    assert search.predict().index.tolist() == [260, 261]


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lags", [[], [1, 2], [0, 2, 2], [0, 3, 1], [0.0, 1.5], [[0, 1]]])
def test_lags_that_make_no_state_are_refused(lags):
    with pytest.raises(ParameterError, match="whole lags that start with 0"):
        FlowMapForecaster(lags=lags).fit(waves())


@pytest.mark.parametrize("params", [{"lags": 0}, {"lags": "week"}, {"lags": None}, {"simulator": LinearForecaster()}])
def test_parameters_of_another_kind_are_refused(params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        FlowMapForecaster(**params).fit(waves())


@pytest.mark.parametrize("simulator", [None, equation(), network()], ids=["default", "opinf", "resmlp"])
def test_the_shortest_series_is_the_one_that_is_named(simulator):
    forecaster = FlowMapForecaster(simulator, lags=[0, 9], random_state=0)
    with pytest.raises(InputError, match=r"at least 13 rows .* Got 12 rows\. Pass fewer or smaller lags"):
        forecaster.fit(waves(12))
    assert not forecaster.is_fitted
    assert np.isfinite(forecaster.fit(waves(13)).predict([1, 30]).to_numpy()).all()


def test_a_panel_is_learned_from_its_longer_series():
    y = panel((60, 3, 70))
    forecast = FlowMapForecaster(equation(), lags=6).fit(y).predict([1, 2])
    assert forecast.index.get_level_values(0).unique().tolist() == ["p0", "p1", "p2"]
    assert np.isfinite(forecast.to_numpy()).all()


def test_a_failed_fit_leaves_the_last_good_one(fitted):
    expected = fitted.predict()
    with pytest.raises(InputError):
        fitted.fit(waves(5))
    pd.testing.assert_frame_equal(fitted.predict(), expected)


class _CtrlC(Callback):
    def on_batch_end(self, net, training=False, **_):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


def test_an_interrupted_fit_forecasts():
    forecaster = FlowMapForecaster(network(callbacks=[_CtrlC()]), lags=3, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(waves())
    assert forecaster.simulator_.stopped_by_ == "interrupt"
    assert np.isfinite(forecaster.predict([1, 2]).to_numpy()).all()


# ---- files and contracts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [waves(), panel(), two_sines(60)], ids=["series", "panel", "array"])
def test_forecast_after_loading_is_the_same(data, tmp_path):
    forecaster = FlowMapForecaster(lags=3, random_state=0).fit(data, fh=[1, 3])
    skts.save(forecaster, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    for fh in (None, [2, 50]):
        np.testing.assert_array_equal(np.asarray(loaded.predict(fh)), np.asarray(forecaster.predict(fh)))
    assert loaded.simulator_.history_ == forecaster.simulator_.history_


def test_pretrained_state_survives(tmp_path):
    teacher = FlowMapForecaster(lags=3, random_state=0).pretrain(panel())
    skts.save(teacher, tmp_path / "m.skts")
    one, other = (f.fit(waves(3)).predict([1, 8]) for f in (teacher, skts.load(tmp_path / "m.skts")))
    pd.testing.assert_frame_equal(one, other)


def test_a_template_of_the_users_own_comes_back(tmp_path):
    forecaster = FlowMapForecaster(equation(), lags=3).fit(waves())
    skts.save(forecaster, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    assert loaded.simulator.get_params() == forecaster.simulator.get_params()
    pd.testing.assert_frame_equal(loaded.predict([1, 9]), forecaster.predict([1, 9]))


def test_a_part_of_the_template_without_a_form_is_refused_by_name(tmp_path):
    forecaster = FlowMapForecaster(equation(solver=lambda x, dt, n: x), lags=3).fit(waves())
    with pytest.raises(PersistenceError, match="parameter 'solver'"):
        skts.save(forecaster, tmp_path / "m.skts")


def test_a_file_that_holds_another_estimator_is_refused(tmp_path):
    forecaster = FlowMapForecaster(lags=3, random_state=0).fit(waves())
    forecaster.simulator_ = LinearForecaster(context_length=3).fit(waves())
    skts.save(forecaster, tmp_path / "m.skts")
    with pytest.raises(PersistenceError, match="a FlowMapSimulator"):
        skts.load(tmp_path / "m.skts")


# The others are about the parameters and attributes of an estimator that trains by itself: the simulator's.
KEPT = (
    "check_global_generators_untouched",
    "check_fit_twice_equals_once",
    "check_threads_equal_serial",
    "check_read_only_input",
    "check_float32_and_float64_agree",
    "check_bad_input_at_fit",
    "check_bad_input_at_predict",
)


@pytest.mark.parametrize("name", KEPT)
def test_contract(name):
    contract = {check.__name__: check for check in CONTRACTS}[name]
    contract(FlowMapForecaster(network(), lags=3))
