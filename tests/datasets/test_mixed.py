"""Generated samples for densities: columns depend on each other, gaps and faults are where they are said to be."""

import numpy as np
import pytest

from skts.datasets import make_mixed_table, make_sensor_windows
from skts.errors import InputError


def test_gaps_are_as_many_as_asked_for_and_hide_nothing_else():
    X, complete = make_mixed_table(4000, missing=0.2, random_state=0, return_complete=True)
    gaps = X.isna()
    assert np.allclose(gaps.mean(), 0.2, atol=0.03)
    assert abs(gaps.astype(float).corr().to_numpy()[np.triu_indices(6, 1)]).max() < 0.06
    assert X.where(~gaps, complete).equals(X.fillna(complete).astype(X.dtypes))
    assert not complete.isna().any(axis=None)
    whole = make_mixed_table(4000, missing=0, random_state=0)
    assert whole.equals(complete)


def test_columns_of_the_table_depend_on_each_other():
    X = make_mixed_table(4000, missing=0, random_state=0)
    by_product = X.groupby("product")[["batch", "minutes", "force"]].mean()
    assert by_product.loc["bolt", "batch"] > 4 * by_product.loc["shaft", "batch"]
    assert by_product.loc["shaft", "force"] > 2 * by_product.loc["bolt", "force"]
    shafts = X[X["product"] == "shaft"]
    assert np.corrcoef(shafts["wear"], shafts["force"])[0, 1] > 0.8


def test_sensors_tell_each_other():
    X, is_fault = make_sensor_windows(400, random_state=0)
    assert not is_fault.any()
    speed, flow, pressure, temperature = X.transpose(2, 0, 1)
    valve = (flow / speed).mean(1) * 100
    is_open = valve > 0.85
    assert 0.4 < is_open.mean() < 0.6
    assert valve[is_open].std() + valve[~is_open].std() < 0.02
    np.testing.assert_allclose(pressure.mean(1), 0.02 * ((speed / 100) ** 2).mean(1) / valve, atol=0.15)
    recent = np.lib.stride_tricks.sliding_window_view(X[:, :, 0], 9, axis=1).mean(2)
    assert np.corrcoef(recent.ravel(), X[:, 8:, 3].ravel())[0, 1] > 0.95
    assert np.corrcoef(speed.ravel(), temperature.ravel())[0, 1] < 0.9


def test_faults_are_planted_in_one_sensor_for_a_quarter_of_the_window():
    X, is_fault = make_sensor_windows(200, faulty=0.3, random_state=0)
    in_window = is_fault.any((1, 2))
    assert in_window.sum() == 60
    assert (is_fault.any(1).sum(1)[in_window] == 1).all()
    assert (is_fault.sum((1, 2))[in_window] == 6).all()
    # The ratio of two sensors, which is the valve's, finds them, a bound on single values does not.
    ratio = X[..., 1] / X[..., 0]
    residual = np.abs(ratio / np.median(ratio, axis=1, keepdims=True) - 1)
    assert np.median(residual[is_fault[..., 1]]) > 5 * np.median(residual[~in_window])
    low, high = np.quantile(X[~in_window], (0.005, 0.995), axis=(0, 1))
    within = (low <= X) & (high >= X)
    assert within[is_fault].mean() > 0.9


@pytest.mark.parametrize("make", [make_mixed_table, make_sensor_windows])
def test_an_int_gives_the_same_data(make):
    first, again, other = (make(30, random_state=seed) for seed in (0, 0, 1))
    first, again, other = (x[0] if isinstance(x, tuple) else x.to_numpy() for x in (first, again, other))
    assert np.array_equal(first.astype(str), again.astype(str))
    assert not np.array_equal(first.astype(str), other.astype(str))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (make_mixed_table, {"n_samples": 0}),
        (make_mixed_table, {"missing": 1.0}),
        (make_mixed_table, {"missing": -0.1}),
        (make_sensor_windows, {"n_timepoints": 11}),
        (make_sensor_windows, {"faulty": 1.5}),
        (make_sensor_windows, {"n_windows": 2.0}),
    ],
)
def test_arguments_out_of_range_are_refused(make, options):
    with pytest.raises(InputError, match=next(iter(options))):
        make(**options)


def test_the_shortest_windows_hold_faults():
    assert make_sensor_windows(40, 12, faulty=1.0, random_state=0)[1].any((1, 2)).all()
