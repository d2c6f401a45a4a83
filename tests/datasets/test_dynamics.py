import pickle

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from skts.datasets import (
    dynamics,
    fetch_double_pendulum,
    fitzhugh_nagumo_solver,
    kuramoto_sivashinsky_solver,
    make_fitzhugh_nagumo,
    make_hits_system,
    make_kuramoto_sivashinsky,
    pendulum,
)
from skts.errors import DataNotFoundError, InputError

SYSTEMS = ("hyperbolic", "cubic", "van_der_pol", "hopf", "lorenz")
U, V = slice(0, 101), slice(101, 202)


def nrmse(first, second, scale):
    return np.sqrt(np.mean((first - second) ** 2)) / scale


def upward_crossings(signal):
    """The times, in samples, at which a signal crosses its mean from below."""
    above = signal - signal.mean()
    before = np.flatnonzero((above[:-1] < 0) & (above[1:] >= 0))
    return before + above[before] / (above[before] - above[before + 1])


# Kuramoto-Sivashinsky


@pytest.fixture(scope="module")
def waves():
    """48 trajectories of 400 time units on the attractor."""
    return make_kuramoto_sivashinsky(48, 400, 1.0, random_state=0)


def test_waves_have_the_known_statistics(waves):
    assert waves.shape == (48, 400, 64)
    assert waves.dtype == np.float64
    assert np.abs(waves.mean(axis=2)).max() < 1e-12  # conserved, and zero at the start
    assert waves.std() == pytest.approx(1.186, rel=0.03)
    assert waves.min() == pytest.approx(-3.09, abs=0.1)
    assert waves.max() == pytest.approx(3.09, abs=0.1)
    assert np.mean(waves**4) / waves.var() ** 2 == pytest.approx(2.19, abs=0.05)
    energy = (waves**2).mean(axis=2) / 2
    assert energy.mean() == pytest.approx(0.703, rel=0.04)
    assert energy.std() == pytest.approx(0.217, rel=0.1)


def test_waves_have_the_known_spectrum(waves):
    power = (np.abs(np.fft.rfft(waves / 64, axis=2)) ** 2).mean(axis=(0, 1))[1:12]
    known = [0.0404, 0.309, 0.226, 0.106, 0.0160, 0.0046, 7.4e-4, 1.34e-4, 2.2e-5, 3.4e-6, 5e-7]
    np.testing.assert_allclose(np.log10(power), np.log10(known), atol=0.06)


@pytest.mark.parametrize(("lag", "known"), [(1, 0.978), (2, 0.918), (4, 0.736), (8, 0.390)])
def test_waves_have_the_known_memory(waves, lag, known):
    assert np.mean(waves[:, lag:] * waves[:, :-lag]) / waves.var() == pytest.approx(known, abs=0.02)


def test_waves_solve_the_equation(waves):
    # Each term by a formula of its own, away from the solver: spectral derivatives and a central difference in time.
    x = kuramoto_sivashinsky_solver(0.01)(waves[:8, 0], 0.01, 2)
    k = 2 * np.pi * np.fft.fftfreq(64, 22.0 / 64)
    u, first, second, fourth = (np.fft.ifft((1j * k) ** order * np.fft.fft(x[:, 1])).real for order in (0, 1, 2, 4))
    rate = (x[:, 2] - x[:, 0]) / 0.02
    assert nrmse(rate, -u * first - second - fourth, rate.std()) < 1e-3


def test_waves_agree_with_scipy(waves):
    k = 2 * np.pi * np.arange(33) / 22.0

    def rates(_, u):
        v, w = np.fft.rfft(u), np.fft.rfft(u * u)
        w[-1] = 0.0
        return np.fft.irfft((k**2 - k**4) * v - 0.5j * k * w, 64)

    truth = solve_ivp(rates, (0, 5), waves[0, 0], method="LSODA", t_eval=np.arange(6.0), rtol=1e-9, atol=1e-10).y.T
    assert nrmse(kuramoto_sivashinsky_solver(0.01)(waves[0, 0], 1.0, 5), truth, 1.186) < 1e-6
    assert nrmse(kuramoto_sivashinsky_solver()(waves[0, 0], 1.0, 5), truth, 1.186) < 1e-3


def test_error_falls_with_the_step(waves):
    truth = kuramoto_sivashinsky_solver(0.001)(waves[:16, 0], 1.0, 1)[:, 1]

    def error(max_step):
        return nrmse(kuramoto_sivashinsky_solver(max_step)(waves[:16, 0], 1.0, 1)[:, 1], truth, 1.186)

    assert error(0.25) < 1e-4
    assert 2.7 < np.log2(error(0.25) / error(0.125)) < 4.3  # the stiffest waves are not in the asymptotic range
    assert 3.6 < np.log2(error(0.01) / error(0.005)) < 4.1


@pytest.mark.parametrize("n_points", [63, 64])
def test_moved_and_mirrored_waves_move_and_mirror(n_points):
    x0 = make_kuramoto_sivashinsky(5, 1, n_points=n_points, random_state=0)[:, 0]
    solver = kuramoto_sivashinsky_solver(n_points=n_points)
    after = solver(x0, 0.25, 20)
    moved = solver(np.roll(x0, 7, axis=1), 0.25, 20)
    np.testing.assert_allclose(moved, np.roll(after, 7, axis=2), atol=1e-10)
    mirrored = solver(-np.roll(x0[:, ::-1], 1, axis=1), 0.25, 20)
    np.testing.assert_allclose(mirrored, -np.roll(after[..., ::-1], 1, axis=2), atol=1e-10)


def test_mean_is_conserved_whatever_it_is(waves):
    after = kuramoto_sivashinsky_solver()(waves[:3, 0] + 0.3, 1.0, 20)
    np.testing.assert_allclose(after.mean(axis=2), 0.3, atol=1e-12)


def test_short_domain_comes_to_rest():
    assert np.abs(make_kuramoto_sivashinsky(3, 2, length=6.0, n_points=32, random_state=0)).max() < 1e-6


def test_noise_is_a_share_of_the_field():
    clean, noisy = (make_kuramoto_sivashinsky(4, 100, noise=noise, random_state=0) for noise in (0.0, 0.05))
    assert (noisy - clean).std() == pytest.approx(0.05 * clean.std(), rel=0.02)
    assert np.corrcoef((noisy - clean)[:, 1:].ravel(), (noisy - clean)[:, :-1].ravel())[0, 1] < 0.03


def test_sampling_step_and_transient_only_choose_the_times():
    fine = make_kuramoto_sivashinsky(2, 9, 0.25, transient=0.0, random_state=0)
    np.testing.assert_allclose(make_kuramoto_sivashinsky(2, 3, 1.0, transient=0.0, random_state=0), fine[:, ::4])
    late = make_kuramoto_sivashinsky(2, 5, 0.25, transient=1.0, random_state=0)
    np.testing.assert_allclose(late, fine[:, 4:], atol=1e-13)
    assert np.abs(fine[:, 0]).max() <= 0.55


def test_grid_that_is_too_coarse_is_named():
    with pytest.raises(InputError, match="n_points=8 for length=22") as caught:
        make_kuramoto_sivashinsky(2, 2, n_points=8, random_state=0)
    assert "n_points=63" in caught.value.hint


# FitzHugh-Nagumo


@pytest.fixture(scope="module")
def cycle():
    """One trajectory of 500 time units on the limit cycle."""
    return make_fitzhugh_nagumo(1, 501, transient=1000.0, random_state=0)[0]


def test_cycle_has_the_known_period_and_extent(cycle):
    level = cycle[:, V].mean(axis=1)
    assert np.diff(upward_crossings(level)) == pytest.approx(185.87, abs=0.3)
    assert np.ptp(level) == pytest.approx(0.1895, abs=0.001)
    assert cycle[:, U].min() == pytest.approx(-1.02, abs=0.02)
    assert cycle[:, U].max() == pytest.approx(1.02, abs=0.02)


def test_initial_conditions_lead_to_one_cycle(cycle):
    late = make_fitzhugh_nagumo(6, 1, transient=1000.0, random_state=1)[:, 0]
    away = np.abs(late[:, None] - cycle[:186]).mean(axis=2).min(axis=1)
    assert away.max() < 0.02


def test_nothing_flows_through_the_ends(cycle):
    for field in (U, V):
        x = cycle[:, field]
        slopes = (
            (-3 * x[:, :1] + 4 * x[:, 1:2] - x[:, 2:3]) / 0.4,
            (3 * x[:, -1:] - 4 * x[:, -2:-1] + x[:, -3:-2]) / 0.4,
        )
        assert np.abs(slopes).max() < 2e-3 * np.abs(np.diff(x) / 0.2).max()


def fitzhugh_nagumo_rates(_, w, epsilon=0.006):
    u, v = np.split(w, 2)
    second = [np.diff(np.pad(x, 1, mode="reflect"), n=2) / 0.2**2 for x in (u, v)]
    return np.concatenate([second[0] + u - u**3 - v, 4 * second[1] + epsilon * (u - 2 * v + 0.03)])


@pytest.mark.parametrize("epsilon", [0.006, 0.0065])
def test_fronts_agree_with_scipy(cycle, epsilon):
    times, extent = np.arange(11.0), np.repeat([2.04, 0.36], 101)
    x0 = cycle[40]
    truth = solve_ivp(fitzhugh_nagumo_rates, (0, 10), x0, "LSODA", times, rtol=1e-8, atol=1e-9, args=(epsilon,)).y.T
    error = [np.abs((fitzhugh_nagumo_solver(h, epsilon)(x0, 1.0, 10) - truth) / extent).max() for h in (0.2, 0.1, 0.05)]
    assert error[1] < 2.6e-4
    assert np.log2(np.divide(error[:2], error[1:])) == pytest.approx([2.0, 2.0], abs=0.3)


def test_first_step_is_of_second_order_too(cycle):
    # A fallback is called again and again; each call starts without a state before it.
    truth = fitzhugh_nagumo_solver(0.001)(cycle[40], 1.0, 1)[1]

    def error(h):
        solver, x = fitzhugh_nagumo_solver(), cycle[40]
        for _ in range(round(1 / h)):
            x = solver(x, h, 1)[1]
        return np.abs(x - truth).max()

    assert error(0.1) < 2e-4
    assert np.log2(error(0.1) / error(0.05)) == pytest.approx(2.0, abs=0.3)


def test_mirrored_fronts_mirror(cycle):
    def mirror(w):
        return np.concatenate([w[..., U][..., ::-1], w[..., V][..., ::-1]], axis=-1)

    solver = fitzhugh_nagumo_solver()
    np.testing.assert_allclose(solver(mirror(cycle[0]), 1.0, 20), mirror(solver(cycle[0], 1.0, 20)), atol=1e-12)


def test_homogeneous_states_stay_so():
    after = fitzhugh_nagumo_solver()(np.repeat([0.4, -0.1], 101), 1.0, 50)
    assert after[:, U].std(axis=1).max() < 1e-12
    alone = solve_ivp(
        lambda _, w: [w[0] - w[0] ** 3 - w[1], 0.006 * (w[0] - 2 * w[1] + 0.03)],
        (0, 50),
        [0.4, -0.1],
        t_eval=np.arange(51.0),
        rtol=1e-9,
        atol=1e-11,
    ).y
    np.testing.assert_allclose(after[:, [0, 101]], alone.T, atol=2e-3)


def test_starts_without_a_lasting_front_are_drawn_anew():
    rng = np.random.RandomState(0)
    drawn = dynamics._draw_fronts(60, 101, rng)
    late = fitzhugh_nagumo_solver(0.5)(drawn, 400.0, 1)[:, 1]
    n_lost = (late[:, U].std(axis=1) < 0.3).sum()
    assert 2 <= n_lost <= 15
    np.testing.assert_allclose(late[late[:, U].std(axis=1) < 0.3][:, 101], -0.346, atol=0.01)
    kept = make_fitzhugh_nagumo(60, 1, transient=400.0, random_state=0)[:, 0]
    assert kept[:, U].std(axis=1).min() > 0.3


def test_no_lasting_front_is_named():
    with pytest.raises(InputError, match=r"epsilon=10, n_points=21"):
        make_fitzhugh_nagumo(1, 1, epsilon=10.0, n_points=21, random_state=0)


# The calling convention of the two solvers


@pytest.fixture(params=["kuramoto_sivashinsky", "fitzhugh_nagumo"])
def solver_and_states(request):
    if request.param == "fitzhugh_nagumo":
        return fitzhugh_nagumo_solver(n_points=21), make_fitzhugh_nagumo(3, 1, n_points=21, random_state=0)[:, 0]
    return kuramoto_sivashinsky_solver(n_points=32), make_kuramoto_sivashinsky(3, 1, n_points=32, random_state=0)[:, 0]


def test_one_state_is_a_batch_of_one(solver_and_states):
    solver, x0 = solver_and_states
    before = x0.copy()
    after = solver(x0, 0.7, 4)
    assert after.shape == (3, 5, x0.shape[1])
    assert after.dtype == np.float64
    np.testing.assert_array_equal(after[:, 0], x0)
    np.testing.assert_array_equal(x0, before)
    for i in range(3):
        assert solver(x0[i], 0.7, 4).shape == (5, x0.shape[1])
        np.testing.assert_allclose(solver(x0[i], 0.7, 4), after[i], atol=1e-12)
    assert solver(x0, 0.7, 0).shape == (3, 1, x0.shape[1])
    assert solver(x0[:0], 0.7, 2).shape == (0, 3, x0.shape[1])
    assert solver(x0.astype(np.float32).tolist(), 0.7, 1).dtype == np.float64


def test_substeps_are_the_fewest_that_are_short_enough(solver_and_states):
    solver, x0 = solver_and_states
    h = solver.max_step
    np.testing.assert_allclose(solver(x0, 3 * h, 2), solver(x0, h, 6)[:, ::3], atol=1e-13)
    np.testing.assert_allclose(solver(x0, 2.5 * h, 2), solver(x0, 2.5 * h / 3, 6)[:, ::3], atol=1e-13)
    assert not np.allclose(solver(x0, h / 2, 2)[:, 2], solver(x0, h, 1)[:, 1], rtol=0, atol=1e-13)


def test_solvers_are_values(solver_and_states):
    solver, x0 = solver_and_states
    again = pickle.loads(pickle.dumps(solver))
    assert again == solver
    assert hash(again) == hash(solver)
    assert "n_points=" in repr(solver)
    np.testing.assert_array_equal(again(x0, 1.0, 3), solver(x0, 1.0, 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x0": np.zeros((2, 3))}, r"shape \(2, 3\)"),
        ({"x0": np.zeros((2, 2, 32))}, r"shape \(2, 2, 32\)"),
        ({"x0": np.full(32, np.nan)}, "NaN"),
        ({"x0": "state"}, "state"),
        ({"dt": 0.0}, "dt"),
        ({"dt": -1.0}, "dt"),
        ({"n_steps": -1}, "n_steps"),
        ({"n_steps": 1.0}, "n_steps"),
    ],
)
def test_solvers_check_what_they_are_called_with(change, reason):
    with pytest.raises(InputError, match=reason):
        kuramoto_sivashinsky_solver(n_points=32)(**{"x0": np.zeros(32), "dt": 1.0, "n_steps": 1} | change)


def test_step_that_is_too_long_shows():
    x0 = make_fitzhugh_nagumo(1, 1, random_state=0)[0, 0]
    assert np.isnan(fitzhugh_nagumo_solver(2.0)(x0, 2.0, 500)[-1]).any()


# The five small systems

RATES = {
    "hyperbolic": lambda _, s: [-0.05 * s[0], -(s[1] - s[0] ** 2)],
    "cubic": lambda _, s: [-0.1 * s[0] ** 3 + 2 * s[1] ** 3, -2 * s[0] ** 3 - 0.1 * s[1] ** 3],
    "van_der_pol": lambda _, s: [s[1], 2 * (1 - s[0] ** 2) * s[1] - s[0]],
    "hopf": lambda _, s: [
        0.0,
        s[0] * s[1] + s[2] - s[1] * (s[1] ** 2 + s[2] ** 2),
        s[0] * s[2] - s[1] - s[2] * (s[1] ** 2 + s[2] ** 2),
    ],
    "lorenz": lambda _, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]],
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_small_systems_agree_with_scipy_one_by_one(name):
    X = make_hits_system(name, 30, 201, random_state=0)
    assert X.shape == (30, 201, 3 if name in ("hopf", "lorenz") else 2)
    assert X.dtype == np.float64
    for x in X[:3]:
        truth = solve_ivp(RATES[name], (0, 2), x[0], "RK45", [1.0, 2.0], rtol=1e-12, atol=1e-13).y.T
        np.testing.assert_allclose(x[[100, 200]], truth, atol=1e-7 if name == "lorenz" else 1e-9)


def test_hyperbolic_system_is_its_closed_form():
    X = make_hits_system("hyperbolic", 50, 5121, random_state=0)
    t, (x0, y0) = 0.01 * np.arange(5121), X[:, 0].T[..., None]
    c = x0**2 / (1 - 0.1)  # y = c exp(-0.1 t) on the slow manifold
    np.testing.assert_allclose(X[..., 0], x0 * np.exp(-0.05 * t), atol=1e-10)
    np.testing.assert_allclose(X[..., 1], c * np.exp(-0.1 * t) + (y0 - c) * np.exp(-t), atol=1e-10)


def test_parameter_of_hopf_is_constant_and_decides():
    X = make_hits_system("hopf", 40, 5001, 0.05, random_state=0)
    mu, radius = X[..., 0], np.hypot(X[..., 1], X[..., 2])
    np.testing.assert_array_equal(mu, np.broadcast_to(mu[:, :1], mu.shape))
    away = np.abs(mu[:, 0]) > 0.05  # near the bifurcation everything is slow
    np.testing.assert_allclose(radius[away, -1], np.sqrt(np.maximum(mu[away, 0], 0)), atol=1e-4)


@pytest.mark.parametrize("name", SYSTEMS[:-1])
def test_initial_conditions_fill_their_boxes(name):
    x0 = make_hits_system(name, 2000, 1, random_state=0)[:, 0]
    boxes = {"van_der_pol": [(-2, 2), (-4, 4)], "hopf": [(-0.2, 0.6), (-1, 2), (-1, 1)]}
    low, high = np.transpose(boxes.get(name, [(-1, 1), (-1, 1)]))
    np.testing.assert_allclose(x0.min(axis=0), low, atol=0.02)
    np.testing.assert_allclose(x0.max(axis=0), high, atol=0.02)
    np.testing.assert_allclose(x0.mean(axis=0), (low + high) / 2, atol=0.2)


def test_lorenz_starts_on_the_attractor():
    X = make_hits_system("lorenz", 200, 200, 0.05, random_state=0)
    assert X[..., 2].mean() == pytest.approx(23.55, abs=0.3)
    np.testing.assert_allclose(X[..., 0].std(axis=0), 7.92, atol=1.2)  # from the first sample on
    assert X[:, 0, 2].min() > 0


def test_dt_chooses_the_times():
    fine = make_hits_system("van_der_pol", 3, 41, random_state=0)
    np.testing.assert_allclose(make_hits_system("van_der_pol", 3, 11, 0.04, random_state=0), fine[:, ::4], atol=1e-9)
    np.testing.assert_array_equal(make_hits_system("van_der_pol", 3, 41, 0.01, random_state=0), fine)


def test_wrong_system_lists_the_systems():
    for name in ("Lorenz", None, ["hopf"]):
        with pytest.raises(InputError, match="van_der_pol") as caught:
            make_hits_system(name)
        assert repr(name) in caught.value.got


# Randomness and arguments of all generators

GENERATORS = {
    "kuramoto_sivashinsky": lambda **kw: make_kuramoto_sivashinsky(**{"n_times": 3, "transient": 5.0} | kw),
    "fitzhugh_nagumo": lambda **kw: make_fitzhugh_nagumo(**{"n_times": 3, "n_points": 51} | kw),
    "hopf": lambda **kw: make_hits_system("hopf", **{"n_times": 3} | kw),
    "lorenz": lambda **kw: make_hits_system("lorenz", **{"n_times": 3} | kw),
}


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
def test_seed_decides_and_the_global_generator_is_untouched(make):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = make(n_trajectories=2, random_state=0)
    np.testing.assert_array_equal(make(n_trajectories=2, random_state=0), first)
    np.testing.assert_array_equal(make(n_trajectories=2, random_state=np.random.RandomState(0)), first)
    assert not np.allclose(make(n_trajectories=2, random_state=1), first)
    assert not np.allclose(first[0], first[1])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
def test_smallest_sizes(make):
    assert make(n_trajectories=1, n_times=1, random_state=0).shape[:2] == (1, 1)


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize(
    ("name", "value"),
    [("n_trajectories", 0), ("n_times", 2.0), ("n_times", True), ("dt", 0.0), ("dt", np.inf), ("dt", "1")],
)
def test_arguments_are_checked(make, name, value):
    with pytest.raises(InputError, match=f"Expected {name}") as caught:
        make(**{name: value})
    assert repr(value) in caught.value.got


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (make_kuramoto_sivashinsky, {"transient": -1.0}),
        (make_kuramoto_sivashinsky, {"noise": -0.1}),
        (make_kuramoto_sivashinsky, {"length": 0.0}),
        (make_kuramoto_sivashinsky, {"n_points": 3}),
        (make_fitzhugh_nagumo, {"transient": np.nan}),
        (make_fitzhugh_nagumo, {"epsilon": 0.0}),
        (make_fitzhugh_nagumo, {"n_points": 64.0}),
        (kuramoto_sivashinsky_solver, {"max_step": 0.0}),
        (fitzhugh_nagumo_solver, {"max_step": None}),
    ],
)
def test_arguments_of_the_equations_are_checked(make, arguments):
    with pytest.raises(InputError, match=f"Expected {next(iter(arguments))}"):
        make(**arguments)


# The measured double pendulum


@pytest.fixture
def segments(monkeypatch):
    """Contents of a file whose trajectories have 5 samples, the last one 4."""
    lengths = dict.fromkeys(pendulum._SEGMENTS, 5) | {"val_03": 4}
    monkeypatch.setattr(pendulum, "_SEGMENTS", lengths)
    arrays = {name: np.full((n, 4), i, dtype=np.float32) for i, (name, n) in enumerate(lengths.items())}
    return arrays | {"dt": np.float64(0.001)}


def put(folder, arrays):
    (folder / "dynamics").mkdir(exist_ok=True)
    np.savez(folder / "dynamics/double_pendulum_measured.npz", **arrays)


def test_fetched_pendulum(segments, user_folder, origin):
    put(user_folder, dict(reversed(segments.items())))  # the order is that of the names, not of the file
    bunch = fetch_double_pendulum()
    assert len(bunch.data) == len(bunch.names) == 30
    assert all((x == i).all() and x.dtype == np.float32 for i, x in enumerate(bunch.data))
    held_out = ["train_01", "train_04", "train_07", "train_12", "train_17", "train_22", "val_01"]
    assert [bunch.names[i] for i in bunch.test] == held_out
    assert sorted(bunch.train + bunch.test) == list(range(30))
    assert bunch.dt == 0.001
    assert "MIT" in bunch.DESCR
    assert origin.asked == []


def test_missing_pendulum_says_where_to_put_it(user_folder):
    with pytest.raises(DataNotFoundError, match="'dynamics'"):
        fetch_double_pendulum()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("val_02", None, "cannot be read"),
        ("dt", None, "cannot be read"),
        ("dt", np.array(["a"]), "cannot be read"),
        ("dt", np.zeros(2), "cannot be read"),
        ("dt", np.float64(0.002), r"dt = 0\.002"),
        ("val_03", np.zeros((5, 4)), r"val_03 of shape \(5, 4\)"),
        ("train_00", np.full((5, 4), np.nan), "NaN"),
        ("train_00", np.zeros((5, 4), dtype=int), "int64"),
        ("train_00", np.full((5, 4), None), "cannot be read"),  # Python objects
    ],
)
def test_file_of_another_content_is_refused(name, value, reason, segments, user_folder):
    arrays = {key: kept for key, kept in segments.items() if key != name}
    put(user_folder, arrays if value is None else arrays | {name: value})
    with pytest.raises(InputError, match=reason) as caught:
        fetch_double_pendulum()
    assert "https://" in caught.value.hint


def test_real_pendulum():
    try:
        bunch = fetch_double_pendulum()
    except DataNotFoundError as error:
        pytest.skip(f"SKTS_DATA does not hold the file: {error.expected}")
    assert [len(x) for x in bunch.data] == [2667] * 29 + [2658]
    for before, after in zip(bunch.data, bunch.data[1:], strict=False):  # one record
        assert np.abs(after[0] - before[-1]).max() < 0.15
    spread = np.array([x.std(axis=0) for x in bunch.data])
    assert (spread[-1] < 0.25 * spread[0]).all()  # it is damped
    rate = np.gradient(bunch.data[20].astype(float), bunch.dt, axis=0)[:, :2]
    np.testing.assert_allclose(rate.std(axis=0), spread[20, 2:], rtol=0.05)  # velocities are those of the angles
