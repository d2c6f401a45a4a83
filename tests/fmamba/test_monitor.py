"""Anomalies and health: p-values that mean what they say, alarms where the world has changed and only there."""

import copy

import numpy as np
import pandas as pd
import pytest

import skts
from skts import FMambaForecaster
from skts.errors import InputError
from skts.fmamba.monitor import _more_often_than, p_values


def noisy(n=400, seed=0, start="2024-01-01", noise=0.3):
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    values = np.sin(t / 4 + np.arange(3)) + noise * rng.standard_normal((n, 3))
    return pd.DataFrame(values, index=pd.date_range(start, periods=n, freq="h"), columns=list("abc"))


@pytest.fixture
def model(_fitted):
    return copy.deepcopy(_fitted)


@pytest.fixture(scope="module")
def _fitted():
    kwargs = {"context_length": 24, "d_model": 8, "max_epochs": 1, "batch_size": 128, "random_state": 0}
    return FMambaForecaster(**kwargs).fit(noisy().iloc[:300], fh=[1, 2, 3])


def test_p_values_of_exchangeable_errors_are_uniform():
    rng = np.random.default_rng(0)
    p = np.concatenate([p_values(rng.standard_normal((20, 2)), rng.standard_normal((99, 2))) for _ in range(200)])
    for level in (0.1, 0.3, 0.7):
        assert (p <= level).mean() == pytest.approx(level, abs=0.02)
    assert p.min() == pytest.approx(2 / 100)


def test_p_values_do_not_see_what_is_missing():
    known, errors = np.array([[1.0], [np.nan], [2.0], [3.0]]), np.array([[np.nan], [2.5], [9.0], [-9.0]])
    np.testing.assert_allclose(p_values(errors, known)[:, 0], [np.nan, 1.0, 0.5, 0.5])


def test_a_spike_is_the_least_probable_value(model):
    new = noisy().iloc[300:340].copy()
    calm = model.anomaly_score(new)
    new.iloc[20, 1] += 5
    scores = model.anomaly_score(new)
    assert scores.index.equals(new.index)
    assert list(scores.columns) == list("abc")
    assert scores.iloc[20, 1] == scores.min(axis=None) == pytest.approx(2 / (len(model.residuals_) + 1))
    pd.testing.assert_frame_equal(scores.iloc[:20], calm.iloc[:20])
    assert 0.0 <= (calm <= 0.1).mean(axis=None) < 0.3


def test_missing_values_have_no_score(model):
    new = noisy().iloc[300:310].copy()
    new.iloc[4, 1] = np.nan
    scores = model.anomaly_score(new)
    assert scores.isna().to_numpy().nonzero() == (np.array([4]), np.array([1]))
    model.update(new)
    assert np.isfinite(model.health()["coverage"])


def test_asking_changes_nothing(model):
    before = {name: id(value) for name, value in vars(model).items()}
    model.anomaly_score(noisy().iloc[300:310], step=3)
    assert {name: id(value) for name, value in vars(model).items()} == before


def test_scores_of_a_panel_and_of_single_series_agree():
    y, kwargs = noisy(), {"context_length": 12, "d_model": 8, "max_epochs": 1, "batch_size": 128, "random_state": 0}
    panel = pd.concat({"x": y.iloc[:150], "z": y.iloc[:150] + 1})
    panel.index.names = ["who", "when"]
    model = FMambaForecaster(**kwargs, period=None).fit(panel, fh=[1])
    new = pd.concat({"x": y.iloc[150:155], "z": y.iloc[150:155] + 1})
    new.index.names = ["who", "when"]
    scores = model.anomaly_score(new)
    assert scores.shape == (10, 3)
    one = model.anomaly_score(new.loc[["x"]])
    pd.testing.assert_frame_equal(scores.loc["x"], one.loc["x"], check_freq=False)


def test_health_says_when_the_world_has_changed(model):
    assert model.health()["retrain"] is None
    y = noisy()
    model.update(y.iloc[300:310])
    assert model.health()["n_rows"] == 10
    assert model.health()["answer"].startswith("Too early")
    model.update(y.iloc[310:360])
    fine = model.health()
    assert fine["n_rows"] == 60
    assert fine["retrain"] is False
    assert 0.8 < fine["coverage"] <= 1
    wild = y.iloc[360:400].copy()
    wild["b"] += np.random.default_rng(1).normal(0, 3, 40)
    model.update(wild)
    ill = model.health()
    assert ill["retrain"] is True
    assert ill["worst"] == "b"
    assert ill["error_ratio"] > 1.5 > fine["error_ratio"]
    assert ill["answer"].startswith("Retrain: ")


def test_false_alarms_are_rare_and_real_ones_are_heard():
    rng = np.random.default_rng(0)
    calm = [_more_often_than(0.1, rng.random((100, 4)) < 0.1, 500) for _ in range(500)]
    wild = [_more_often_than(0.1, rng.random((100, 4)) < [0.1, 0.1, 0.1, 0.4], 500) for _ in range(500)]
    assert np.mean(calm) < 0.02
    assert np.mean(wild) > 0.9


def test_health_survives_saving(model, tmp_path):
    model.update(noisy().iloc[300:330])
    skts.save(model, tmp_path / "model.skts")
    assert skts.load(tmp_path / "model.skts").health() == model.health()


def test_what_cannot_be_scored_is_refused(model):
    with pytest.raises(InputError, match="rows after"):
        model.anomaly_score(noisy().iloc[250:260])
    with pytest.raises(InputError, match="a step from 1 to 3"):
        model.anomaly_score(noisy().iloc[300:310], step=4)
    with pytest.raises(InputError, match="rows from"):
        model.anomaly_score(noisy().iloc[310:320])
