"""Missing values: how holes are filled, what they cost, and who is told."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from skts import load, save
from skts.errors import InputError, ParameterError
from skts.fmamba.missing import filled
from skts.fmamba.module import FMambaNet, _moments
from tests.fmamba.test_estimator import SMALL, forecaster, panel, waves


def sensors(n=1200, N=6, seed=0):
    """A network of sensors: daily waves of different phase and size, with noise."""
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    values = np.sin(2 * np.pi * t / 24 + np.arange(N)) * (1 + np.arange(N)) + 0.3 * rng.standard_normal((n, N))
    return pd.DataFrame(values + 5, pd.date_range("2024-01-01", periods=n, freq="h"), [f"s{i}" for i in range(N)])


def holed(y, share, seed=0):
    return y.mask(np.random.default_rng(seed).random(y.shape) < share)


def error(model, seen, truth):
    """Mean squared error over windows of ``seen``, of the rows of ``truth`` after them, in units of its variance."""
    context, horizon = model.context_length_, model.horizon_
    starts = range(0, len(truth) - context - horizon + 1, 5)
    contexts = np.stack([seen.to_numpy()[s : s + context] for s in starts])
    targets = np.stack([truth.to_numpy()[s + context : s + context + horizon] for s in starts])
    told = model.predict_windows(contexts, cutoffs=truth.index[[s + context - 1 for s in starts]])
    assert np.isfinite(told).all()
    return ((told - targets) ** 2 / truth.to_numpy().var(0)).mean()


@pytest.mark.parametrize("guard", ["validation", None])
def test_a_quarter_missing_costs_little(guard):
    y = sensors()
    train, test = y.iloc[:900], y.iloc[900:]
    params = {"guard": guard, "context_length": 24, "max_epochs": 2}
    whole = forecaster(**params).fit(train, fh=range(1, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = forecaster(**params).fit(holed(train, 0.25), fh=range(1, 7))
        cost = error(some, holed(test, 0.25, seed=1), test) / error(whole, test, test)
    assert cost < 1.25
    assert some.module_config_["missing_embed"]
    assert some.module_.missing.weight.abs().max() > 0  # the network has learned from the mask


def test_a_forecaster_that_has_seen_no_holes_meets_them():
    y = sensors()
    model = forecaster(context_length=24).fit(y.iloc[:900], fh=range(1, 7))
    assert model.module_.missing is None
    test = y.iloc[900:]
    assert error(model, holed(test, 0.2), test) < 1.25 * error(model, test, test)


def test_intervals_and_updates_with_holes():
    y = sensors()
    model = forecaster(context_length=24, max_epochs=1).fit(holed(y.iloc[:900], 0.2), fh=[1, 2, 3])
    assert np.isnan(model.residuals_).mean() == pytest.approx(0.2, abs=0.05)
    model.update(holed(y.iloc[900:1000], 0.2, seed=2), update_params=False)
    interval = model.predict_interval()
    assert np.isfinite(interval.to_numpy()).all()
    truth = y.iloc[1000:1003]
    inside = [(truth[c] >= interval[c, 0.9, "lower"]) & (truth[c] <= interval[c, 0.9, "upper"]) for c in y.columns]
    assert np.mean(inside) > 0.6


def test_a_variate_without_a_value_falls_back_and_is_named():
    y = sensors(300)
    model = forecaster().fit(y, fh=[1, 2])
    gap = y.iloc[:20].set_axis(pd.date_range(y.index[-1] + y.index.freq, periods=20, freq="h")).assign(s2=np.nan)
    with pytest.warns(UserWarning, match=r"No value of \['s2'\] is known in a context"):
        forecast = model.update(gap, update_params=False).predict()
    hours = 2 * np.pi * (len(y) + 20 + np.arange(2)) / 24
    np.testing.assert_allclose(forecast["s2"], 5 + 3 * np.sin(hours + 2), atol=0.3)  # its usual course
    window = y.to_numpy()[None, -12:].copy()
    window[..., 2] = np.nan
    for cutoffs, usual in ((y.index[-1:], 5 + 3 * np.sin(2 * np.pi * (len(y) + np.arange(2)) / 24 + 2)), (None, 5.0)):
        with pytest.warns(UserWarning, match="usual course"):
            told = model.predict_windows(window, cutoffs=cutoffs)
        np.testing.assert_allclose(told[0, :, 2], usual, atol=0.3)  # its mean, where the time is not known
        assert np.isfinite(told).all()


def test_without_a_cycle_a_dead_variate_stays_at_its_last_value():
    y = sensors(300)
    model = forecaster(period=None).fit(y, fh=[1, 2])
    gap = y.iloc[:20].set_axis(pd.date_range(y.index[-1] + y.index.freq, periods=20, freq="h")).assign(s2=np.nan)
    with pytest.warns(UserWarning, match="in a context"):
        forecast = model.update(gap, update_params=False).predict()
    np.testing.assert_allclose(forecast["s2"], y["s2"].iloc[-1])


def test_a_dead_variate_keeps_the_level_that_it_was_last_known_at():
    y = sensors(600)
    y.iloc[500:, 2] += 10
    model = forecaster().fit(y, fh=[1, 2])
    gap = y.iloc[:20].set_axis(pd.date_range(y.index[-1] + y.index.freq, periods=20, freq="h")).assign(s2=np.nan)
    with pytest.warns(UserWarning, match="in a context"):
        forecast = model.update(gap, update_params=False).predict()
    hours = 2 * np.pi * (len(y) + 20 + np.arange(2)) / 24
    np.testing.assert_allclose(forecast["s2"], 15 + 3 * np.sin(hours + 2), atol=0.5)


def test_a_variate_without_any_value_in_fit():
    with pytest.warns(UserWarning, match=r"No value of \['s1'\] is known in fit: zero is forecast"):
        model = forecaster().fit(waves().assign(s1=np.nan), fh=[1, 2])
    with pytest.warns(UserWarning, match="in a context"):
        forecast = model.predict()
    np.testing.assert_array_equal(forecast["s1"], 0.0)
    assert np.isfinite(forecast.to_numpy()).all()


def test_a_sentinel_is_a_missing_value():
    y = sensors(200)
    holes = holed(y, 0.1)
    rare = {**SMALL["module_kwargs"], "missing_sentinel": -9999}
    marked = forecaster(module_kwargs=rare).fit(holes.fillna(-9999), fh=[1, 2])
    plain = forecaster().fit(holes, fh=[1, 2])
    pd.testing.assert_frame_equal(marked.predict(), plain.predict())
    window = holes.to_numpy()[None, -30:-10]
    np.testing.assert_array_equal(
        marked.predict_windows(np.nan_to_num(window, nan=-9999)), plain.predict_windows(window)
    )


def test_panels_and_files_with_holes(tmp_path):
    model = forecaster(max_epochs=1).fit(holed(panel(60, 60, 30), 0.1), fh=[1, 2])
    forecast = model.predict()
    assert np.isfinite(forecast.to_numpy()).all()
    save(model, tmp_path / "f.skts")
    pd.testing.assert_frame_equal(load(tmp_path / "f.skts").predict(), forecast)


def test_nothing_known_and_infinite_values_are_refused():
    with pytest.raises(InputError, match="not all missing"):
        forecaster().fit(waves() * np.nan, fh=[1])
    with pytest.raises(InputError, match="that are infinite"):
        forecaster().fit(waves().replace(waves().iloc[3, 1], np.inf), fh=[1])


def test_holes_are_filled_by_lines_between_neighbours_and_the_nearest_at_the_ends():
    nan = torch.nan
    columns = [[nan, 1.0, nan, nan, 4.0], [2.0, nan, 0.0, nan, nan], [nan] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]]
    expected = [[1.0, 1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 0.0, 0.0, 0.0], [0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]]
    torch.testing.assert_close(filled(torch.tensor(columns).T[None]), torch.tensor(expected).T[None])


def test_the_network_takes_mean_and_spread_of_known_values_alone():
    torch.manual_seed(0)
    net = FMambaNet(6, 2, 3, d_model=8, n_layers=1, n_heads=2, missing_embed=True).eval()
    X, known = torch.randn(2, 6, 3), torch.ones(2, 6, 3, dtype=torch.bool)
    torch.testing.assert_close(net(X, known=known), net(X))
    known[:, 2, 1] = False
    wild = X.clone()
    wild[:, 2, 1] = X[:, [0, 1, 3, 4, 5], 1].mean(1)
    torch.testing.assert_close(net(wild + 3.0, known=known) - 3.0, net(wild, known=known), atol=1e-4, rtol=0)
    wild[:, 2, 1] = 100.0  # a stand-in is no part of what its window is measured by
    mean, scale = _moments(wild.transpose(1, 2), known)
    torch.testing.assert_close(mean[:, 1, 0], X[:, [0, 1, 3, 4, 5], 1].mean(1))
    torch.testing.assert_close(scale[:, 1, 0] ** 2, X[:, [0, 1, 3, 4, 5], 1].var(1, correction=0) + 1e-5)


def test_a_warm_start_from_data_without_holes_is_refused_and_keeps_the_old_fit():
    y = sensors(300)
    model = forecaster(warm_start=True).fit(y, fh=[1, 2])
    before = model.predict()
    with pytest.raises(ParameterError, match="missing"):
        model.fit(holed(y, 0.1), fh=[1, 2])
    pd.testing.assert_frame_equal(model.predict(), before)
