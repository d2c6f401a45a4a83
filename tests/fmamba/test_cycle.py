"""Where in the day a row lies: from its time, from row numbers, or from the window alone."""

import numpy as np
import pandas as pd
import pytest

from skts import FMambaForecaster
from skts.errors import InputError, ParameterError
from skts.fmamba.cycle import Cycle, detected_period

FREQUENCIES = {"15min": 96, "h": 24, "D": 7, "B": 7, "W": 365.25 / 7, "MS": 365.25 / 31, "YS": None}


@pytest.mark.parametrize(("freq", "period"), FREQUENCIES.items())
def test_period_from_the_frequency(freq, period):
    cycle = Cycle.of(pd.date_range("2020-01-01", periods=60, freq=freq), "auto")
    assert cycle is None if period is None else cycle.period == pytest.approx(period)


def test_the_same_time_of_day_has_the_same_angle_also_behind_a_gap():
    index = pd.date_range("2024-01-01", periods=100, freq="h")
    cycle = Cycle.of(index, "auto")
    later = pd.DatetimeIndex(["2025-03-07 05:00"])
    assert cycle.angles(later)[0] == pytest.approx(cycle.angles(index[5:6])[0], abs=1e-4)
    np.testing.assert_allclose(cycle.angles(index[:1], ahead=5), cycle.angles(index[5:6]), atol=1e-4)
    np.testing.assert_allclose(cycle.angles(index.tz_localize("Asia/Tokyo")), cycle.angles(index))
    np.testing.assert_allclose(cycle.angles(index.to_period()), cycle.angles(index))


def test_a_period_of_ones_own_counts_rows():
    cycle = Cycle.of(pd.RangeIndex(100), 10)
    assert cycle.angles(pd.Index([3]))[0] == pytest.approx(cycle.angles(pd.Index([53]))[0], abs=1e-5)
    assert Cycle.of(pd.RangeIndex(100), None) is None
    assert Cycle.of(pd.RangeIndex(100), 2.5) is None


@pytest.mark.parametrize("period", [7, 24, 144])
def test_period_is_found_in_rows_without_times(period):
    t, rng = np.arange(period * 40)[:, None], np.random.default_rng(0)
    wave = np.sin(2 * np.pi * t / period) + 0.5 * np.sin(4 * np.pi * t / period + 1)
    assert detected_period(wave + 0.5 * rng.standard_normal((len(t), 3))) == period


@pytest.mark.parametrize("seed", range(3))
def test_a_random_walk_and_noise_have_no_period(seed):
    noise = np.random.default_rng(seed).standard_normal((2000, 2))
    assert detected_period(noise) is None
    assert detected_period(noise.cumsum(0)) is None
    for n in (30, 50, 100):  # short ones look regular by chance
        assert detected_period(noise[:n, :1]) is None


def daily(n=24 * 40, N=3, seed=0):
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    shape = np.exp(1.5 * np.cos(2 * np.pi * (t - 3 * np.arange(N)) / 24))
    return shape + 0.1 * rng.standard_normal((n, N))


SMALL = {"d_model": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0, "module_kwargs": {"n_heads": 2}}


@pytest.fixture(scope="module")
def fitted():
    y = pd.DataFrame(daily(), index=pd.date_range("2024-01-01", periods=24 * 40, freq="h"))
    return FMambaForecaster(context_length=30, **SMALL).fit(y[: 24 * 38], fh=range(1, 13)), y


def test_windows_with_their_times_are_forecast_like_the_series(fitted):
    model, y = fitted
    moved = FMambaForecaster(context_length=30, **SMALL).fit(y[: 24 * 38], fh=range(1, 13)).update(y[24 * 38 :])
    windows = y.to_numpy()[None, -30:]
    np.testing.assert_allclose(model.predict_windows(windows, cutoffs=y.index[-1:])[0], moved.predict(), rtol=1e-5)
    np.testing.assert_array_equal(moved.predict_windows(windows)[0], moved.predict())  # its own end is recognised
    wrong = model.predict_windows(windows, cutoffs=y.index[-1:] + pd.Timedelta("6h"))
    assert np.abs(wrong[0] - moved.predict()).to_numpy().max() > 1e-3


def test_windows_without_times_are_forecast_nearly_as_well(fitted):
    model, y = fitted
    ends = np.arange(24 * 38, len(y) - 12)
    windows = np.stack([y.to_numpy()[e - 30 : e] for e in ends])
    truth = np.stack([y.to_numpy()[e : e + 12] for e in ends])
    told, read = (
        np.square(model.predict_windows(windows, cutoffs=c) - truth).mean() for c in (y.index[ends - 1], None)
    )
    assert read < 1.5 * told


def test_longer_horizons_go_on_in_the_cycle(fitted):
    model, y = fitted
    forecast = model.predict(range(1, 25))
    assert np.sqrt(np.square(forecast - y.loc[forecast.index]).to_numpy().mean()) < 0.3


def test_rows_that_are_numbered_have_a_cycle_too():
    model = FMambaForecaster(context_length=30, **SMALL).fit(pd.DataFrame(daily()), fh=range(1, 13))
    assert Cycle(*model.cycle_).period == 24
    assert FMambaForecaster(context_length=30, period=None, **SMALL).fit(pd.DataFrame(daily()), fh=[1]).cycle_ is None


def test_bad_times_and_periods_are_refused(fitted):
    model, y = fitted
    windows = y.to_numpy()[None, -30:]
    with pytest.raises(InputError, match="one time for each window"):
        model.predict_windows(windows, cutoffs=y.index[-2:])
    with pytest.raises(InputError, match="times of the kind"):
        model.predict_windows(windows, cutoffs=[5])
    with pytest.raises(ParameterError, match="period"):
        FMambaForecaster(period=0.5).fit(y, fh=[1])
