import doctest

import numpy as np
import pytest

from skts.datasets import make_traffic, synthetic
from skts.errors import InputError


def held_out_error(columns, target):
    """Mean squared error of a least-squares forecast on the second half."""
    X = np.column_stack([*columns, np.ones(len(target))])
    half = len(target) // 2
    coefficients, *_ = np.linalg.lstsq(X[:half], target[:half], rcond=None)
    return np.mean((X[half:] @ coefficients - target[half:]) ** 2)


def test_examples_run():
    results = doctest.testmod(synthetic)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize(("n_sensors", "n_steps"), [(2, 1), (5, 100), (11, 300)])
def test_shape_names_and_stamps(n_sensors, n_steps):
    frame = make_traffic(n_sensors, n_steps, random_state=0)
    assert frame.shape == (n_steps, n_sensors)
    assert frame.index.name == "date"
    assert frame.index.freqstr == "5min"
    assert frame.columns.is_unique
    assert frame.columns.tolist() == sorted(frame.columns)
    assert (frame.dtypes == np.float64).all()
    assert frame.ge(0).all().all()
    assert np.isfinite(frame.to_numpy()).all()


def test_seed_decides():
    first, again, other = (make_traffic(5, 100, random_state=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    assert make_traffic(5, 100, random_state=np.random.RandomState(0)).equals(first)


def test_global_generator_is_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_traffic(5, 100, random_state=0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_day_repeats():
    frame = make_traffic(20, 288 * 14, random_state=0)
    profile = frame.mean(axis=1).to_numpy().reshape(14, 288)
    night, rush = profile[:, 24:36].mean(), profile[:, 90:102].mean()  # 2:00 to 3:00, 7:30 to 8:30
    assert rush < 0.9 * night
    assert np.corrcoef(profile[:7].mean(axis=0), profile[7:].mean(axis=0))[0, 1] > 0.8


def test_neighbour_ahead_helps_and_neighbour_behind_does_not():
    speed = np.log(make_traffic(20, 4000, random_state=0).clip(lower=1.0).to_numpy())
    target, past = speed[4:], [speed[3 - lag : -1 - lag] for lag in range(4)]
    errors = {}
    for name, shift in (("own", None), ("ahead", -1), ("behind", 1)):
        errors[name] = np.mean(
            [
                held_out_error(
                    [block[:, i] for block in past]
                    + ([] if shift is None else [np.roll(block, shift, axis=1)[:, i] for block in past]),
                    target[:, i],
                )
                for i in range(20)
            ]
        )
    assert errors["ahead"] < 0.5 * errors["own"]
    assert errors["behind"] > 0.9 * errors["own"]


def test_wave_reaches_the_sensor_after_as_many_steps_as_lie_between():
    speed = make_traffic(20, 4000, random_state=0)
    change = np.log(speed.clip(lower=1.0)).diff().dropna().to_numpy()
    for steps in (1, 2, 4):
        earlier, later = change[:-steps], change[steps:]
        correlation = [np.corrcoef(earlier[:, (10 + k) % 20], later[:, 10])[0, 1] for k in range(20)]
        assert int(np.argmax(correlation)) == steps


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_sensors": 1}, "n_sensors"),
        ({"n_sensors": 2.0}, "n_sensors"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": True}, "n_steps"),
    ],
)
def test_sizes_are_checked(arguments, name):
    with pytest.raises(InputError, match=f"Expected {name} to be an int"):
        make_traffic(**arguments)
