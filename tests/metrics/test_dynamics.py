import numpy as np
import pytest

from skts.datasets import kuramoto_sivashinsky_solver, make_hits_system, make_kuramoto_sivashinsky
from skts.errors import InputError, InputTypeError
from skts.metrics import (
    climate_error,
    largest_lyapunov_exponent,
    mean_normalised_absolute_difference,
    valid_prediction_time,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Valid prediction time


def errors(*rows):
    """A truth of zeros and a simulation with these errors at each time, the same in two features."""
    pred = np.repeat(np.array(rows, dtype=float)[:, :, None], 2, axis=2)
    return np.zeros_like(pred), pred


def test_time_is_that_of_the_first_error_above_the_threshold():
    true, pred = errors([0, 0.1, 0.6, 0.1, 0.1], [0, 0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0, 9], [1, 0, 0, 0, 0])
    times = valid_prediction_time(true, pred, scale=1.0)
    np.testing.assert_array_equal(times, [2, 4, 4, 0])  # up to the threshold is valid; a whole record is 4 long
    np.testing.assert_array_equal(valid_prediction_time(true, pred, scale=1.0, dt=0.5, time_unit=4.0), times / 8)
    np.testing.assert_array_equal(valid_prediction_time(true, -pred, scale=1.0), times)
    np.testing.assert_array_equal(valid_prediction_time(true, pred, scale=10.0), [4, 4, 4, 4])
    np.testing.assert_array_equal(valid_prediction_time(true, pred, scale=1.0, threshold=0.05), [1, 1, 4, 0])


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.filterwarnings("error")
def test_what_has_diverged_is_not_valid(lost):
    true, pred = errors([0, 0, 0, 0, 0, 0])
    pred[0, 3, 1] = lost
    np.testing.assert_array_equal(valid_prediction_time(true, pred, scale=1.0), [3])


def test_error_is_the_root_mean_square_over_the_features():
    true = np.zeros((1, 2, 4))
    pred = true.copy()
    pred[0, 1, 0] = 2.0  # root mean square 1
    assert valid_prediction_time(true, pred, scale=1.0, threshold=0.999) == [1.0]
    pred[0, 1] = [-1.0, 1.0, -1.0, 1.0]
    assert valid_prediction_time(true, pred, scale=1.0, threshold=0.999) == [1.0]
    assert valid_prediction_time(np.zeros((3, 4)), np.ones((3, 4)), scale=1.001, threshold=1.0) == [2.0]


def test_scale_is_the_deviation_of_the_truth_or_of_each_feature(rng):
    true = rng.normal(size=(3, 50, 2)) * [1.0, 100.0]
    pred = true + rng.normal(size=true.shape) * np.linspace(0, 1, 50)[:, None] * [1.0, 100.0]
    by_default = valid_prediction_time(true, pred)
    np.testing.assert_array_equal(by_default, valid_prediction_time(true, pred, scale=true.std()))
    each = valid_prediction_time(true, pred, scale=[1.0, 100.0])
    np.testing.assert_array_equal(each, valid_prediction_time(true / [1, 100], pred / [1, 100], scale=1.0))
    np.testing.assert_array_equal(by_default, valid_prediction_time(7 * true + 1, 7 * pred + 1))


def test_one_trajectory_is_a_batch_of_one(rng):
    true = rng.normal(size=(4, 30, 3))
    pred = true + 0.3 * rng.normal(size=true.shape)
    whole = valid_prediction_time(true, pred, scale=1.0)
    assert whole.shape == (4,)
    parts = [valid_prediction_time(a, b, scale=1.0) for a, b in zip(true, pred, strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(valid_prediction_time(true, true.tolist()), np.full(4, 29.0))


def test_solver_with_a_long_step_is_valid_for_some_lyapunov_times():
    x0 = make_kuramoto_sivashinsky(20, 1, random_state=0)[:, 0]
    truth, coarse = (kuramoto_sivashinsky_solver(max_step)(x0, 2.0, 50) for max_step in (0.1, 2.0))
    times = valid_prediction_time(truth, coarse, dt=2.0, scale=1.186, time_unit=20.83)
    assert np.median(times) == pytest.approx(2.1, abs=0.7)
    stands_still = np.broadcast_to(truth[:, :1], truth.shape)
    assert np.median(valid_prediction_time(truth, stands_still, dt=2.0, time_unit=20.83)) == pytest.approx(
        0.17, abs=0.1
    )


# Mean normalised absolute difference


def test_difference_is_that_of_each_field(rng):
    true, pred = rng.normal(size=(2, 3, 20, 6))
    true[..., 3:] *= 100.0
    pred[..., 3:] *= 100.0
    expected = [
        np.mean(np.abs(pred - true)[..., part]) / (true[..., part].max() - true[..., part].min())
        for part in (slice(0, 3), slice(3, 6))
    ]
    both = mean_normalised_absolute_difference(true, pred, fields=2)
    assert both.shape == (2,)
    np.testing.assert_allclose(both, expected)
    one = mean_normalised_absolute_difference(true[..., 3:], pred[..., 3:])
    assert one.shape == (1,)
    np.testing.assert_allclose(one, both[1:])
    np.testing.assert_array_equal(mean_normalised_absolute_difference(true, true, fields=3), np.zeros(3))


@pytest.mark.filterwarnings("error")
def test_diverged_field_leaves_the_other(rng):
    true, pred = rng.normal(size=(2, 3, 20, 4))
    pred[1, 5, 3] = np.nan
    fields = mean_normalised_absolute_difference(true, pred, fields=2)
    assert np.isfinite(fields).tolist() == [True, False]
    pred[1, 5, 3] = np.inf
    assert mean_normalised_absolute_difference(true, pred, fields=2)[1] == np.inf


# Climate


@pytest.fixture(scope="module")
def field():
    return make_kuramoto_sivashinsky(8, 100, 4.0, random_state=0)


def test_climate_of_the_same_data_in_another_order_is_the_same(field, rng):
    shuffled = rng.permutation(np.roll(field, 5, axis=2).reshape(-1, 64)).reshape(16, 50, 64)
    found = climate_error(field, shuffled)
    assert found["std_ratio"] == pytest.approx(1.0)
    assert found["pdf_l1"] == 0.0
    assert found["spectrum_log10"] == pytest.approx(0.0, abs=1e-9)
    assert all(type(value) is float for value in found.values())
    assert climate_error(field[0], field[1:])["pdf_l1"] > 0


def test_two_samples_of_one_climate_differ_little(field):
    found = climate_error(field, make_kuramoto_sivashinsky(8, 100, 4.0, random_state=1))
    assert found["std_ratio"] == pytest.approx(1.0, abs=0.03)
    assert found["pdf_l1"] < 0.06
    assert found["spectrum_log10"] < 0.08


def test_climate_of_a_scaled_field(field):
    found = climate_error(field, 0.1 * field)
    assert found["std_ratio"] == pytest.approx(0.1)
    assert found["spectrum_log10"] == pytest.approx(2.0)
    assert climate_error(field, 10 * field)["spectrum_log10"] == pytest.approx(2.0)
    assert 1.0 < found["pdf_l1"] <= 2.0


def test_values_outside_of_the_range_count():
    true = np.linspace(0.0, 1.0, 100)[None, :, None]
    assert climate_error(true, true + 5)["pdf_l1"] == pytest.approx(2.0)
    assert climate_error(true, np.where(true < 0.5, -1.0, true), n_bins=2)["pdf_l1"] == pytest.approx(1.0)
    assert np.isnan(climate_error(true, true)["spectrum_log10"])  # one feature has no waves


@pytest.mark.parametrize(("wave", "seen"), [(1, True), (6, True), (7, False)])
def test_spectrum_is_that_of_the_leading_waves(wave, seen, field):
    more = field + np.cos(2 * np.pi * wave * np.arange(64) / 64)
    assert (climate_error(field, more)["spectrum_log10"] > 0.1) == seen


@pytest.mark.filterwarnings("error")
def test_waves_that_are_missing_are_an_infinite_error():
    x = 2 * np.pi * np.arange(4) / 4
    true = np.cos(x)[None] * np.linspace(0.5, 1.0, 5)[:, None]
    flat = np.ones_like(true) * np.linspace(0.5, 1.0, 5)[:, None]
    assert climate_error(true, flat)["spectrum_log10"] == np.inf
    assert climate_error(flat, 2 * flat)["spectrum_log10"] == 0.0  # neither has one


@pytest.mark.parametrize("lost", [np.nan, np.inf])
@pytest.mark.filterwarnings("error")
def test_climate_of_what_has_diverged_is_nan(lost, field):
    pred = field.copy()
    pred[0, 0, 0] = lost
    assert all(np.isnan(value) for value in climate_error(field, pred).values())


# The largest Lyapunov exponent


def test_exponent_of_linear_maps_is_that_of_the_eigenvalue(rng):
    basis = rng.normal(size=(4, 4))
    matrix = basis @ np.diag([0.95, 0.8, -0.6, 0.1]) @ np.linalg.inv(basis)
    x0 = rng.normal(size=(5, 4))
    exponent, error = largest_lyapunov_exponent(lambda x: x @ matrix.T, x0, n_steps=50, n_transient=200)
    assert exponent == pytest.approx(np.log(0.95), abs=1e-4)
    assert error < 1e-4
    per_time, _ = largest_lyapunov_exponent(lambda x: x @ matrix.T, x0, n_steps=50, n_transient=200, dt=0.25)
    assert per_time == pytest.approx(4 * exponent)


def test_exponent_of_a_rotation_is_zero(rng):
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    exponent, error = largest_lyapunov_exponent(lambda x: x @ turn, rng.normal(size=(3, 2)), n_steps=100)
    assert abs(exponent) < 1e-8
    assert error < 1e-8


def test_exponent_of_the_logistic_map_lies_within_its_standard_error(rng):
    x0 = rng.uniform(0.05, 0.95, size=(50, 1))
    exponent, error = largest_lyapunov_exponent(lambda x: 4 * x * (1 - x), x0, n_steps=500)
    assert 0 < error < 0.01
    assert abs(exponent - np.log(2)) < 4 * error


def test_exponent_of_the_waves():
    x0 = make_kuramoto_sivashinsky(32, 1, random_state=0)[:, 0]
    solver = kuramoto_sivashinsky_solver()
    exponent, error = largest_lyapunov_exponent(
        lambda x: solver(x, 2.0, 1)[:, 1], x0, n_steps=200, dt=2.0, n_transient=40
    )
    assert exponent == pytest.approx(0.048, abs=0.008)
    assert error < 0.003


def test_exponent_of_lorenz():
    def rates(s):
        x, y, z = s.T
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=1)

    def step(s, h=0.01):  # the classical method of Runge and Kutta
        a = rates(s)
        b = rates(s + h / 2 * a)
        c = rates(s + h / 2 * b)
        return s + h / 6 * (a + 2 * b + 2 * c + rates(s + h * c))

    x0 = make_hits_system("lorenz", 50, 1, random_state=0)[:, 0]
    exponent, error = largest_lyapunov_exponent(step, x0, n_steps=4000, dt=0.01, n_transient=300)
    assert exponent == pytest.approx(0.906, abs=0.03)
    assert error < 0.02


def test_seed_decides_the_directions_and_the_global_generator_is_untouched(rng):
    def run(**kwargs):
        x0 = np.linspace(0.1, 0.9, 6).reshape(3, 2)
        return largest_lyapunov_exponent(lambda x: np.sin(2 * x), x0, n_steps=3, n_transient=0, **kwargs)

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert run() == run(random_state=0) == run(random_state=np.random.RandomState(0))
    assert run() != run(random_state=1)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_one_start_has_no_standard_error():
    exponent, error = largest_lyapunov_exponent(lambda x: 0.5 * x, [[1.0, 2.0]], n_steps=5)
    assert exponent == pytest.approx(np.log(0.5))
    assert np.isnan(error)


def test_map_sees_all_starts_at_once_and_input_stays():
    x0 = np.ones((3, 2))
    shapes = []

    def step(x):
        shapes.append(x.shape)
        return 0.9 * x

    largest_lyapunov_exponent(step, x0, n_steps=4, n_transient=2)
    assert shapes == [(6, 2)] * 6
    np.testing.assert_array_equal(x0, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda x: x[:1], r"shape \(1, 2\)"),
        (lambda x: x * np.nan, "NaN or infinity in 6 of 6 states after 1 steps"),
        (lambda x: x.astype(np.float32), "perturbation"),
        (lambda x: np.zeros_like(x), "3 of 3 starts"),
    ],
)
def test_maps_without_a_rate_are_named(step, reason):
    with pytest.raises(InputError, match=reason):
        largest_lyapunov_exponent(step, np.ones((3, 2)), perturbation=1e-9)
    with pytest.raises(InputTypeError, match="callable"):
        largest_lyapunov_exponent(None, np.ones((3, 2)))


# Input

X = np.arange(24.0).reshape(2, 4, 3)


@pytest.mark.parametrize("metric", [valid_prediction_time, mean_normalised_absolute_difference, climate_error])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "reason"),
    [
        (X, X[..., :2], "y_true and y_pred"),
        (X[0, 0], X[0, 0], "y_true to have the shape"),
        (X[:, :0], X[:, :0], "not empty"),
        (np.where(X == 3, np.nan, X), X, "y_true to be finite"),
        ("abc", X, "y_true to be an array of numbers"),
        (X, [X[0], X[1, :3]], "y_pred to be an array of numbers"),
        (np.ones_like(X), X, "truth that varies"),
    ],
)
def test_data_are_checked(metric, y_true, y_pred, reason):
    with pytest.raises(InputError, match=reason):
        metric(y_true, y_pred)


@pytest.mark.parametrize(
    ("metric", "arguments"),
    [
        (valid_prediction_time, {"dt": 0.0}),
        (valid_prediction_time, {"threshold": -1.0}),
        (valid_prediction_time, {"time_unit": np.nan}),
        (valid_prediction_time, {"scale": 0.0}),
        (valid_prediction_time, {"scale": [1.0, 2.0]}),
        (valid_prediction_time, {"scale": "std"}),
        (mean_normalised_absolute_difference, {"fields": 0}),
        (mean_normalised_absolute_difference, {"fields": 1.0}),
        (climate_error, {"n_bins": 0}),
    ],
)
def test_arguments_are_checked(metric, arguments):
    with pytest.raises(InputError, match=f"Expected {next(iter(arguments))}"):
        metric(X, X, **arguments)


def test_features_must_be_divisible_into_fields():
    with pytest.raises(InputError, match="3 features"):
        mean_normalised_absolute_difference(X, X, fields=2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x0": np.ones(3)}, r"shape \(3,\)"),
        ({"x0": np.full((2, 2), np.inf)}, "NaN or infinity"),
        ({"x0": "abc"}, "x0"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_transient": -1}, "n_transient"),
        ({"dt": 0.0}, "dt"),
        ({"perturbation": 0.0}, "perturbation"),
    ],
)
def test_arguments_of_the_exponent_are_checked(arguments, reason):
    with pytest.raises(InputError, match=reason):
        largest_lyapunov_exponent(**{"step": np.tanh, "x0": np.ones((2, 2))} | arguments)
