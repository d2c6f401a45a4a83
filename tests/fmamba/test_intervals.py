"""Quantiles and intervals: coverage on rows that nobody has seen, order, layout, and what updates change."""

import copy

import numpy as np
import pandas as pd
import pytest

from skts import FMambaForecaster, load, save
from skts.errors import InputError
from skts.fmamba.conformal import conformal_offsets, errors_by_target
from tests.fmamba.test_estimator import forecaster, panel, waves

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


def noisy(n, seed=0, freq="h"):
    """Two autoregressions of different size, one of them with skewed noise."""
    rng = np.random.default_rng(seed)
    noise = np.stack([rng.standard_normal(n), 5 * (rng.exponential(size=n) - 1)], 1)
    values = np.zeros((n, 2))
    for t in range(1, n):
        values[t] = 0.7 * values[t - 1] + noise[t]
    return pd.DataFrame(values, pd.date_range("2024-01-01", periods=n, freq=freq), ["plain", "skewed"])


def windows_of(y, context, horizon):
    view = np.lib.stride_tricks.sliding_window_view(y.to_numpy(), context + horizon, axis=0).transpose(0, 2, 1)
    ends = y.index[context - 1 : context - 1 + len(view)]
    return view[:, :context], view[:, context:], ends


@pytest.fixture(scope="module")
def fitted():
    return forecaster(max_epochs=1).fit(noisy(2500).iloc[:2000], fh=[1, 2, 3, 4])


@pytest.mark.parametrize("dated", [True, False])
def test_intervals_cover_what_they_say_in_each_step_and_variate(fitted, dated):
    contexts, targets, ends = windows_of(noisy(2500).iloc[2000:], 12, 4)
    found = fitted.predict_windows_quantiles(contexts, [0.05, 0.95], cutoffs=ends if dated else None)
    inside = (targets >= found[..., 0]) & (targets <= found[..., 1])
    assert inside.mean() == pytest.approx(0.9, abs=0.025)
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.05)
    below = (targets < found[..., 0]).mean((0, 1))
    np.testing.assert_allclose(below, 0.05, atol=0.03)  # on each side, of skewed noise too


def test_quantiles_never_cross_and_are_the_same_each_time(fitted):
    quantiles = fitted.predict_quantiles([1, 2, 3, 4], alpha=np.linspace(0.01, 0.99, 50).tolist())
    values = quantiles.to_numpy().reshape(4, 2, 50)
    assert (np.diff(values, axis=2) >= 0).all()
    assert (values[..., -1] > values[..., 0]).all()
    pd.testing.assert_frame_equal(
        fitted.predict_quantiles([2, 4], alpha=0.9), fitted.predict_quantiles([2, 4], alpha=0.9)
    )
    again = forecaster(max_epochs=1).fit(noisy(2500).iloc[:2000], fh=[1, 2, 3, 4])
    pd.testing.assert_frame_equal(again.predict_interval(), fitted.predict_interval([1, 2, 3, 4]))


def test_intervals_hold_the_quantiles_in_sktimes_layout(fitted):
    interval = fitted.predict_interval([1, 3], coverage=[0.5, 0.9])
    quantiles = fitted.predict_quantiles([1, 3], alpha=LEVELS)
    assert interval.columns.names == [None, None, None]
    for column in ("plain", "skewed"):
        np.testing.assert_array_equal(interval[column, 0.9, "lower"], quantiles[column, 0.05])
        np.testing.assert_array_equal(interval[column, 0.5, "upper"], quantiles[column, 0.75])


def test_windows_and_series_have_the_same_quantiles(fitted):
    window = noisy(2500).iloc[:2000].to_numpy()[None]
    quantiles = fitted.predict_quantiles([1, 2, 3, 4], alpha=LEVELS).to_numpy().reshape(4, 2, 5)
    np.testing.assert_allclose(fitted.predict_windows_quantiles(window, LEVELS)[0], quantiles, rtol=1e-5)


def test_intervals_widen_beyond_the_horizon(fitted):
    interval = fitted.predict_interval(range(1, 13))["plain", 0.9]
    width = (interval["upper"] - interval["lower"]).to_numpy()
    assert (np.diff(width[3:]) > 0).all()
    assert width[11] == pytest.approx(width[3] * np.sqrt(3), rel=1e-5)


def test_a_panel_has_an_interval_for_each_series():
    interval = forecaster().fit(panel(60, 60, 40), fh=[1, 3]).predict_interval(coverage=0.5)
    assert interval.shape == (6, 6)
    assert interval.index.get_level_values("site").unique().tolist() == ["p0", "p1", "p2"]


def test_updates_calibrate(fitted):
    """Rows that cannot be foreseen widen the intervals, whether they come at once or bit by bit."""
    y, rng = noisy(2500), np.random.default_rng(1)
    chaos = y.iloc[2000:2400] * 0 + rng.standard_normal((400, 2)) * y.std().to_numpy()

    def width():
        interval = once.predict_interval([1])["plain", 0.9]
        return float((interval["upper"] - interval["lower"]).iloc[0])

    once, bit_by_bit = (copy.deepcopy(fitted) for _ in range(2))
    before = once.residuals_
    once.update(chaos, update_params=False)
    wider, after, once.residuals_ = width(), once.residuals_, before
    assert wider > 1.05 * width()
    for first in range(0, 400, 100):
        bit_by_bit.update(chaos.iloc[first : first + 100], update_params=False)
    np.testing.assert_allclose(bit_by_bit.residuals_, after, atol=1e-5)


def test_errors_of_a_target_are_those_of_the_forecasts_that_foresaw_it():
    rows = np.arange(20.0)[:, None] ** 2

    def last_value(contexts, ends):
        np.testing.assert_array_equal(contexts[:, -1], rows[ends])
        return np.repeat(contexts[:, -1:], 3, axis=1)

    errors = errors_by_target(rows, 4, 5, 3, last_value)
    wide = [rows[t - 4 : t + 1, 0].std() + 0.5 for t in range(4, 20)]  # of the window that ends in row t
    expected = [[(rows[t, 0] - rows[t - 1 - h, 0]) / wide[t - 5 - h] for h in range(3)] for t in range(16, 20)]
    np.testing.assert_allclose(errors[..., 0], expected, rtol=1e-6)
    assert np.isnan(errors_by_target(rows[:6], 2, 5, 3, last_value)[:, 1:]).all()


def test_conformal_ranks_are_those_of_the_definition():
    errors = np.arange(1.0, 20.0)[:, None, None]  # 19 of them: (m + 1) alpha is whole for twentieths
    offsets = conformal_offsets(errors, [0.05, 0.5, 0.95], 1)
    np.testing.assert_array_equal(offsets[0, 0], [1, 10, 19])
    errors = np.concatenate([errors, np.full((5, 1, 1), np.nan)])
    np.testing.assert_array_equal(conformal_offsets(errors, [0.05, 0.5, 0.95], 1), offsets)


def test_too_few_errors_for_a_level_are_said():
    with pytest.warns(UserWarning, match="need the errors of 99 held-out windows, and there are 19"):
        conformal_offsets(np.arange(19.0)[:, None, None], [0.01], 1)


def test_intervals_survive_saving_and_pretraining(fitted, tmp_path):
    save(fitted, tmp_path / "f.skts")
    pd.testing.assert_frame_equal(load(tmp_path / "f.skts").predict_interval([1, 2]), fitted.predict_interval([1, 2]))
    teacher = forecaster(horizon=3, max_epochs=1).pretrain(panel(60, 60))
    short = teacher.clone().fit(waves(6, seed=9), fh=[1, 2, 3])
    assert np.isfinite(short.predict_interval().to_numpy()).all()
    assert len(short.residuals_) > 10


@pytest.mark.parametrize("levels", [0, 1.0, [0.1, 0.1], "most", []], ids=str)
def test_bad_levels_are_refused(fitted, levels):
    calls = [
        lambda: fitted.predict_quantiles([1], alpha=levels),
        lambda: fitted.predict_interval([1], coverage=levels),
        lambda: fitted.predict_windows_quantiles(np.zeros((1, 12, 2)), levels),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"Expected different probabilities .* Got "):
            call()


def test_without_a_known_error_there_is_no_interval():
    kept = FMambaForecaster(context_length=12, d_model=8, max_epochs=1, random_state=0).fit(waves(), fh=[1])
    kept.residuals_ = kept.residuals_[:0]
    with pytest.raises(InputError, match="errors of held-out forecasts"):
        kept.predict_interval()
