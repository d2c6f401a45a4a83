"""FlowMapSimulator as a user meets it."""

import time
import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold

import skts
from skts.errors import DivergenceError, InputError, ParameterError
from skts.flowmap import FlowMapSimulator

DT = 0.05


def circles(n=8, T=240, speed=1.0, seed=0):
    """Rotations of several radii and phases; what follows is known exactly."""
    rng = np.random.default_rng(seed)
    radius, phase = rng.uniform(0.5, 1.5, n), rng.uniform(0, 6, n)
    t = np.arange(T) * DT * speed
    angle = phase[:, None] + t
    return np.stack([radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)], 2)


def exact(**settings):
    return FlowMapSimulator(**{"dt": DT, "stepper": "opinf", "coordinates": "identity", "random_state": 0, **settings})


@pytest.fixture(scope="module")
def X():
    return circles()


@pytest.fixture(scope="module")
def model(X):
    return exact().fit(X)


def test_simulates_what_is_known(model):
    new = circles(5, 400, seed=1)
    found = model.simulate(new[:, 0], n_steps=399)
    np.testing.assert_allclose(found, new, atol=1e-3)
    assert model.score(new) > 0.999


def test_networks_learn_it_too(X):
    model = FlowMapSimulator(
        dt=DT, step_sizes=[1, 4, 16], max_epochs=3, random_state=0, module_kwargs={"hidden": (32, 32)}
    )
    model.fit(X)
    assert model.score(circles(3, 200, seed=1)) > 0.9
    stages = list(dict.fromkeys(row["stage"] for row in model.history_))
    assert stages[:3] == ["pilot of step 1", "pilot of step 4", "pilot of step 16"]
    assert [int(stage.split()[-1]) for stage in stages[3:]] == [s for s in (1, 4, 16) if f"step {s}" in stages]
    assert set(model.selected_steps_) <= {1, 4, 16}
    assert min(model.selection_errors_.values()) == model.selection_errors_["-".join(map(str, model.selected_steps_))]


def test_autoencoder_finds_the_plane(X):
    rng = np.random.default_rng(0)
    lift = rng.standard_normal((2, 12))
    model = FlowMapSimulator(dt=DT, step_sizes=[4], max_epochs=4, random_state=0, module_kwargs={"hidden": (32,)})
    model.fit(X @ lift)
    assert (model.coordinates_, model.n_components_) == ("autoencoder", 2)
    back = model.inverse_transform(model.transform((X @ lift)[0]))
    assert np.abs(back - (X @ lift)[0]).mean() < 0.15 * np.abs(X @ lift).mean()


def test_times_between_samples(model):
    new = circles(2, 100, seed=2)
    found = model.simulate(new[:, 0], times=np.array([0, 0.4, 0.5, 0.777]) * DT * 10)
    radius = np.hypot(*new[:, 0].T)
    np.testing.assert_allclose(np.hypot(found[..., 0], found[..., 1]), radius[:, None].repeat(4, 1), atol=2e-3)
    whole = model.simulate(new[:, 0], n_steps=20)
    np.testing.assert_allclose(model.simulate(new[:, 0], times=np.arange(21) * DT), whole, atol=1e-6)


def test_batches_do_not_matter(model):
    new = circles(6, 10, seed=3)
    together = model.simulate(new[:, 0], n_steps=50)
    for i in range(6):
        np.testing.assert_allclose(model.simulate(new[i, 0], n_steps=50)[0], together[i], atol=1e-5)


def test_one_step_then_the_rest(X):
    model = exact(step_sizes=[1]).fit(X)
    whole = model.simulate(X[:3, 0], n_steps=30)
    half = model.simulate(X[:3, 0], n_steps=12)
    rest = model.simulate(half[:, -1], n_steps=18)
    np.testing.assert_allclose(np.concatenate([half, rest[:, 1:]], 1), whole, atol=1e-5)
    np.testing.assert_allclose(model.predict(X[:, 0]), model.simulate(X[:, 0], n_steps=1)[:, 1], atol=1e-5)


def test_containers_agree_and_gaps_split(X):
    new = circles(2, 60, seed=4)
    expected = exact().fit(X).simulate(new[:, 0], n_steps=40)
    np.testing.assert_allclose(exact().fit(list(X)).simulate(new[:, 0], n_steps=40), expected)
    unequal = exact().fit([x[: 100 + 10 * i] for i, x in enumerate(X)])
    np.testing.assert_allclose(unequal.simulate(new[:, 0], n_steps=40), expected, atol=2e-3)
    holes = X.copy()
    holes[:, 100] = np.nan
    np.testing.assert_allclose(exact().fit(holes).simulate(new[:, 0], n_steps=40), expected, atol=2e-3)
    one = exact().fit(X[0])
    np.testing.assert_allclose(one.simulate(X[0, :1], n_steps=100)[0], X[0, :101], atol=1e-2)


def test_controls_and_parameters():
    """x' = p - x + u: both move the fixed point."""
    rng = np.random.default_rng(0)
    p, u = rng.uniform(-1, 1, (12, 1)), np.repeat(rng.uniform(-1, 1, (12, 40, 1)), 5, axis=1)
    x = np.zeros((12, 200, 1))
    for k in range(199):
        fixed = p + u[:, k]
        x[:, k + 1] = fixed + (x[:, k] - fixed) * np.exp(-DT)
    settings = {"step_sizes": [1], "max_epochs": 6, "random_state": 0, "module_kwargs": {"hidden": (32,)}}
    model = FlowMapSimulator(dt=DT, **settings).fit(x[:10], u=u[:10], params=p[:10])
    found = model.simulate(x[10:, 0], n_steps=199, u=u[10:], params=p[10:])
    assert np.abs(found - x[10:]).mean() < 0.1
    with pytest.raises(InputError, match="of fit"):
        model.simulate(x[10:, 0], n_steps=5)
    with pytest.raises(InputError, match="controls for 300"):
        model.simulate(x[10:, 0], n_steps=300, u=u[10:], params=p[10:])


def far_start():
    return np.array([[9.0, 0.0], [1.0, 0.0]])


def test_monitors_flag_what_is_unknown_and_nothing_else(model):
    _, info = _quiet(lambda: model.simulate(far_start(), n_steps=20, return_info=True))
    assert info["status"].tolist() == ["left", "ok"]
    assert info["first_flagged"].tolist() == [0, -1]
    assert info["range"][0] > 1 > info["range"][1]
    several = exact(step_sizes=[1, 2, 4], selection="none").fit(circles())
    _, usual = several.simulate(circles(40, 5, seed=5)[:, 0], n_steps=400, return_info=True)
    assert (usual["status"] == "left").mean() <= 0.05
    assert (usual["scale_disagreement"] < 0.1).all()


def test_policies(X):
    def after(policy, **more):
        model = exact(on_divergence=policy, **more).fit(X)
        return _quiet(lambda: model.simulate(far_start(), n_steps=20))

    assert np.hypot(*after("clip")[0, -1]) < 3
    assert np.isnan(after("nan")[0, 5:]).all()
    assert np.isfinite(after("nan")[1]).all()
    assert np.isfinite(after("reproject")).all()
    solved = after("fallback", solver=rotation)
    np.testing.assert_allclose(np.hypot(*solved[0].T), 9, atol=1e-3)
    with pytest.warns(UserWarning, match="left what training has shown"):
        exact().fit(X).simulate(far_start(), n_steps=5)
    with pytest.raises(DivergenceError, match="1 of 2 trajectories"):
        exact(on_divergence="raise").fit(X).simulate(far_start(), n_steps=5)
    with pytest.raises(ParameterError, match="solver"):
        exact(on_divergence="fallback").fit(X).simulate(far_start(), n_steps=5)
    with pytest.raises(InputError, match="solver"):
        after("fallback", solver=lambda x, dt, n: x)


def test_the_solver_is_given_a_start_as_it_came_not_as_coordinates_see_it(X):
    """A start off the plane of the data: the projection would lose what the solver needs."""
    given = []

    def solver(x, dt, n):
        given.append(x)
        return np.concatenate([rotation(x[:, :2], dt, n), np.repeat(x[:, None, 2:], n + 1, 1)], 2)

    flat = np.concatenate([X, np.zeros((*X.shape[:2], 3))], 2) + 1e-6
    model = FlowMapSimulator(
        dt=DT,
        stepper="opinf",
        coordinates="pca",
        n_components=2,
        on_divergence="fallback",
        solver=solver,
        random_state=0,
    ).fit(flat)
    off = np.array([[1.0, 0.0, 5.0, 0.0, 0.0]])
    _, info = model.simulate(off, n_steps=10, return_info=True)
    assert info["status"].tolist() == ["left"]
    np.testing.assert_allclose(given[0], off)


def test_the_solver_goes_on_until_the_state_is_known_again():
    """What lies off the plane of the data dies out, and only then can the flow map take over."""

    def solver(x, dt, n):
        t = dt * np.arange(n + 1)[None, :, None]
        size = np.hypot(x[:, :1], x[:, 1:2])[:, None]
        # The closer to the plane the slower: a flow map of the plane alone would run ahead from the first step on.
        angle = np.arctan2(x[:, 1:2], x[:, :1])[:, None] + t - (1 - np.exp(-2 * t)) * x[:, None, 2:]
        return np.concatenate([size * np.cos(angle), size * np.sin(angle), x[:, None, 2:] * np.exp(-2 * t)], 2)

    flat = np.concatenate([circles(), np.zeros((8, 240, 1))], 2)
    settings = {"dt": DT, "stepper": "opinf", "coordinates": "pca", "n_components": 2, "random_state": 0}
    model = FlowMapSimulator(step_sizes=[1, 4], selection="none", **settings).fit(flat)
    starts, times = np.array([[1.0, 0.0, 0.4], [1.0, 0.0, 0.0]]), DT * np.arange(0, 120.5, 0.5)
    true = solver(starts, DT / 2, 240)
    assert np.abs(_quiet(lambda: model.simulate(starts, times=times)) - true)[0].max() > 0.3
    asked = []

    def counted(x, dt, n):
        asked.append(len(x) * n)
        return solver(x, dt, n)

    model.set_params(on_divergence="fallback", solver=counted)
    found, info = model.simulate(starts, times=times, return_info=True)
    np.testing.assert_allclose(found, true, atol=5e-3)
    made = info["by_solver"]
    n_made = int(made[0].sum())
    assert not made[1].any()
    assert 10 < n_made < 200
    assert made[0, 1 : n_made + 1].all()  # at first, and never again
    assert sum(asked) <= n_made // 2 + 4  # no sample twice
    assert info["status"].tolist() == ["left", "ok"]


def rotation(x, dt, n):
    """The exact solver of the circles."""
    angle = np.arange(n + 1) * dt
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x[:, :1] * c - x[:, 1:] * s, x[:, :1] * s + x[:, 1:] * c], 2)


def _quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call()


def test_nothing_leaks_from_training_to_new_noise():
    """On noise there is nothing to learn: on unseen noise the model is no better than knowing nothing."""
    rng = np.random.default_rng(0)
    model = FlowMapSimulator(step_sizes=[1, 4], max_epochs=2, random_state=0, module_kwargs={"hidden": (32,)})
    model.fit(rng.standard_normal((6, 60, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert model.score(rng.standard_normal((6, 60, 2))) < 0.3


def test_the_speed_table_is_honest(model):
    start = circles(20, 2, seed=6)[:, 0]

    def coarse(x, dt, n):
        return rotation(x, dt, n) + 0.5

    def slow(x, dt, n):
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            pass
        return rotation(x, dt, n)

    table = model.speedup({"exact": slow, "coarse": coarse}, start, horizon=5.0)
    assert table.index.tolist() == ["exact", "coarse", "surrogate"]
    assert table.loc["exact", "error"] == 0
    assert table["good_enough"].tolist() == [True, False, True]
    assert table.loc["surrogate", "error"] < 0.01
    row = table.loc["surrogate"]
    assert row["speedup"] == pytest.approx(table.loc["exact", "seconds"] / row["seconds"])
    never = model.speedup(slow, start, horizon=5.0, tol=1e-9).loc["surrogate"]
    assert never["runs_to_pay"] == np.inf
    with pytest.raises(InputError, match="horizon"):
        model.speedup(slow, start, horizon=0.0)
    with pytest.raises(InputError, match="solver"):
        model.speedup(lambda x, dt, n: x, start, horizon=1.0)


def test_how_long_it_is_right_and_what_it_is_like(model):
    new = circles(4, 200, seed=7)
    times = model.valid_prediction_time(new, lyapunov_time=2.0)
    np.testing.assert_allclose(times, 199 * DT / 2)
    assert abs(model.climate_error(new)["std_ratio"] - 1) < 0.01
    with pytest.raises(InputError, match="one length"):
        model.climate_error([new[0], new[1, :50]])


def test_search_over_trajectories(X):
    search = GridSearchCV(exact(), {"selection": ["range", "none"]}, cv=KFold(2)).fit(X)
    assert search.best_score_ > 0.9


def test_saved_models_simulate_the_same(model, tmp_path):
    skts.save(model, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    start = circles(2, 3)[:, 0]
    np.testing.assert_array_equal(loaded.simulate(start, n_steps=30), model.simulate(start, n_steps=30))
    assert loaded.selected_steps_ == model.selected_steps_


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.simulate([[np.nan, 0]], n_steps=3), "finite"),
        (lambda m: m.simulate([[1.0, 0, 0]], n_steps=3), "shape"),
        (lambda m: m.simulate([[1.0, 0]]), "n_steps or times"),
        (lambda m: m.simulate([[1.0, 0]], n_steps=-1), "at least 0"),
        (lambda m: m.simulate([[1.0, 0]], times=[-1.0, 0.0]), "increasing times"),
        (lambda m: m.simulate([[1.0, 0]], times=[0.0, 1.0, 0.5]), "increasing times"),
        (lambda m: m.simulate([[1.0, 0]], n_steps=3, params=[1.0]), "of fit"),
        (lambda m: m.inverse_transform([[1.0]]), "coordinates"),
    ],
)
def test_bad_questions_are_refused(model, call, message):
    with pytest.raises(InputError, match=message):
        call(model)


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({"step_sizes": [1, 500]}, None, "step of 500"),
        ({"step_sizes": [4, 2]}, None, "increasing"),
        ({"n_components": 5, "coordinates": "pca"}, None, "at most 2"),
        ({}, [np.zeros((5, 2)), np.zeros((5, 3))], "shape"),
        ({}, np.zeros((2, 3, 4, 5)), "trajectories|dim"),
        ({}, np.full((2, 9, 2), np.nan), "without NaN"),
        ({}, np.full((2, 9, 2), np.inf), "finite"),
        ({"module_kwargs": {"nonsense": 1}}, None, "nonsense"),
    ],
)
def test_bad_fits_are_refused(X, settings, data, message):
    with pytest.raises((InputError, ParameterError), match=message):
        exact(**settings).fit(X if data is None else data)


def test_an_interrupted_fit_keeps_the_stages_that_are_done(X):
    from skts.engine import Callback

    class Stop(Callback):
        def on_train_begin(self, net, **_):
            Stop.stages = getattr(Stop, "stages", 0) + 1

        def on_epoch_end(self, net, **_):
            if Stop.stages == 2:
                raise KeyboardInterrupt

    model = FlowMapSimulator(
        step_sizes=[1, 4], max_epochs=2, random_state=0, callbacks=[Stop()], module_kwargs={"hidden": (8,)}
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.stopped_by_ == "interrupt"
    assert np.isfinite(_quiet(lambda: model.simulate(X[:2, 0], n_steps=9))).all()
