"""Windows that come without times: what the clock reads off them, and how much of the forecast that saves."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skts import FMambaForecaster
from skts.fmamba.clock import WindowClock
from skts.fmamba.cycle import Cycle
from skts.fmamba.periodic import harmonics
from skts.fmamba.windows import DatedWindows

L, H, K = 30, 5, 4


def daily(n=24 * 40, N=3, seed=0, noise=0.1):
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    shape = np.exp(1.5 * np.cos(2 * np.pi * (t - 3 * np.arange(N)) / 24))
    return shape + noise * rng.standard_normal((n, N))


def dated(values, period=24):
    rows = pd.RangeIndex(len(values))
    return DatedWindows.of([values], [Cycle.of(rows, period).angles(rows)], L, H)


def taken(windows, every=7):
    x, _, angle = windows.take(torch.arange(0, len(windows), every))
    return x.numpy(), angle


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_time_is_read_to_within_a_slot(noise):
    clock = WindowClock.fit(dated(daily(noise=noise)), 24, K)
    x, angle = taken(dated(daily(seed=1, noise=noise)))
    np.testing.assert_allclose(clock.harmonics(x), harmonics(angle, K), atol=0.05)


def test_levels_and_amplitudes_are_not_looked_at():
    clock = WindowClock.fit(dated(daily()), 24, K)
    x, _ = taken(dated(daily(seed=1)))
    moved = x * np.array([0.5, 2.0, 30.0], np.float32) + np.array([-10.0, 0.0, 10.0], np.float32)
    np.testing.assert_allclose(clock.harmonics(moved), clock.harmonics(x), atol=1e-4)


@pytest.mark.parametrize("cumulated", [False, True])
def test_windows_that_do_not_tell_leave_the_harmonics_near_zero(cumulated):
    noise = [np.random.default_rng(seed).standard_normal((960, 2)) for seed in (0, 1)]
    seen, unseen = (dated(n.cumsum(0) if cumulated else n) for n in noise)
    read = WindowClock.fit(seen, 24, K).harmonics(taken(unseen)[0])
    assert np.square(read).mean() < 0.02  # 0.5 for known times


def test_two_times_that_look_the_same_are_weighed_equally():
    twice = daily(N=1, noise=0.01)[::2]  # twelve steps make a day, and the cycle is said to be two of them
    clock = WindowClock.fit(dated(twice), 24, 2)
    x, angle = taken(dated(daily(N=1, noise=0.01, seed=1)[::2]))
    read = clock.harmonics(x)
    assert np.abs(read[:, :2]).max() < 0.3  # first or second half?
    np.testing.assert_allclose(read[:, 2:], harmonics(angle, 2)[:, 2:], atol=0.05)


@pytest.mark.parametrize("period", [400, 7.3, 3])
def test_any_length_of_the_cycle(period):
    t = np.arange(5 * max(L + H, int(period)))
    values = np.stack([np.cos(2 * np.pi * t / period), np.sin(2 * np.pi * t / period)], 1) @ np.array([[1, 2], [3, -1]])
    windows = dated(values, period)
    x, angle = taken(windows)
    off = np.abs(WindowClock.fit(windows, period, 1).harmonics(x) - harmonics(angle, 1).numpy())
    assert np.median(off) < (0.1 if period > 8 else np.pi / period)  # half a slot


def test_each_window_is_read_by_itself():
    clock = WindowClock.fit(dated(daily()), 24, K)
    x, _ = taken(dated(daily(seed=1)))
    np.testing.assert_allclose(clock.harmonics(x)[5:6], clock.harmonics(x[5:6]), atol=1e-6)


def test_harmonics_of_known_times_stay():
    clock = WindowClock.fit(dated(daily()), 24, K)
    x, angle = taken(dated(daily(seed=1)))
    some = angle.numpy().copy()
    some[::2] = np.nan
    read = clock.completed(x, some)
    np.testing.assert_array_equal(read[1::2], harmonics(angle, K)[1::2])
    np.testing.assert_allclose(read[::2], clock.harmonics(x[::2]), atol=1e-6)


def test_many_variates_and_long_windows_are_looked_at_in_part():
    t = np.arange(400)
    values = np.cos(2 * np.pi * (t[:, None] - np.arange(300)) / 24)
    clock = WindowClock.fit(dated(values), 24, 1)
    assert len(clock.weights) <= 2048


SMALL = {"context_length": L, "d_model": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    y = pd.DataFrame(daily(noise=0.05), index=pd.date_range("2024-01-01", periods=24 * 40, freq="h"))
    return FMambaForecaster(**SMALL, module_kwargs={"n_heads": 2}).fit(y[: 24 * 35], fh=range(1, 13)), y


def windows_of(y):
    ends = np.arange(24 * 36, len(y), 5)
    return np.stack([y.to_numpy()[e - L + 1 : e + 1] for e in ends]), y.index[ends]


def test_undated_windows_are_forecast_like_dated_ones_where_the_time_is_plain(fitted):
    model, y = fitted
    contexts, ends = windows_of(y)
    dated_forecast, undated = model.predict_windows(contexts, cutoffs=ends), model.predict_windows(contexts)
    assert np.abs(undated - dated_forecast).max() < 0.05 * y.to_numpy().std()


def test_a_stored_forecaster_reads_the_same(fitted):
    model, y = fitted
    contexts, _ = windows_of(y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_windows(contexts), model.predict_windows(contexts))
