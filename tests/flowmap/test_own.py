"""What users bring: solvers, flow maps, coordinates, augmentation, invariants, times; what a model chooses itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

import skts
from skts.errors import InputError, ParameterError
from skts.flowmap import FlowMapSimulator, Stepper
from skts.flowmap.baselines import LinearMap
from skts.flowmap.judging import Judge, best_of
from skts.flowmap.module import FlowMap
from skts.inspection import compare

from .test_estimator import DT, _quiet, circles, rotation

SMALL = {"max_epochs": 2, "random_state": 0, "module_kwargs": {"hidden": (16,), "n_batches": 20}}


class Turn(Stepper):
    """A flow map with one number to learn: the angle of a step."""

    def __init__(self, step, n_state, n_context):
        super().__init__(step, n_state, n_context)
        self.angle = torch.nn.Parameter(torch.zeros(()))

    def forward(self, z, c):
        """Turn by the angle."""
        cos, sin = torch.cos(self.angle), torch.sin(self.angle)
        return torch.stack([z[:, 0] * cos - z[:, 1] * sin, z[:, 0] * sin + z[:, 1] * cos], 1)


@pytest.fixture(scope="module")
def X():
    return circles()


def test_auto_takes_what_is_best_on_held_out_trajectories(X):
    model = FlowMapSimulator(dt=DT, stepper="auto", step_sizes=[1, 2], **SMALL).fit(X)
    stages = {row["stage"].split(":")[0] for row in model.history_}
    assert stages == {"resmlp"}  # least squares have no epochs, and two features are no field
    held_out = circles(6, 150, seed=9)
    scores = {
        kind: FlowMapSimulator(dt=DT, stepper=kind, step_sizes=[1, 2], **SMALL).fit(X).score(held_out)
        for kind in ("resmlp", "polynomial", "opinf")
    }
    assert scores[model.stepper_] == pytest.approx(max(scores.values()), abs=1e-3)
    assert model.score(held_out) == pytest.approx(scores[model.stepper_], abs=1e-3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_models_that_foresee_unequally_far_are_judged_over_one_horizon(X, order):
    """Each by itself is judged twice as far as it foresees, where a bad one loses no more than a good one."""
    pieces = [(torch.from_numpy(x).float(), torch.zeros(len(x), 0)) for x in X]
    judges, rows = [], []
    for error in (1.02, 1.2):
        model = FlowMap(2, 2, 0, "identity", {"1": Turn}, 1, DT, (8,))
        model.members[0]["1"].angle.data.fill_(error * DT)
        model.learn_range(pieces[0][0], pieces[0][0], 10.0)
        judges.append(Judge(pieces, 16))
        judges[-1].shorten(model, [[1]])
        rows.append((model, SimpleNamespace(steps=[1, 16], selected=[1])))
    assert judges[0].horizon > judges[1].horizon
    assert best_of([rows[i] for i in order], pieces) is rows[0]


def test_auto_tries_a_field_operator_on_many_features():
    x = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    waves = np.stack([[np.sin(x - 0.1 * k - p) for k in range(60)] for p in range(4)])
    model = FlowMapSimulator(stepper="auto", step_sizes=[1], **SMALL).fit(waves)
    assert {row["stage"].split(":")[0] for row in model.history_} == {"resmlp", "fno1d"}
    assert model.module_config_["coordinates"] == model.coordinates_


def test_a_solver_of_the_users_fills_in_between_large_steps(X):
    called = []

    def solver(x, dt, n):
        called.append((len(x), dt, n))
        return rotation(x, dt, n)

    model = FlowMapSimulator(dt=DT, stepper={1: solver, 8: "opinf"}, selection="none", **SMALL).fit(X)
    assert model.step_sizes_ == [1, 8]
    called.clear()
    found = model.simulate(X[:3, 0], n_steps=32)
    np.testing.assert_allclose(found, X[:3, :33], atol=1e-3)
    assert called == [(12, DT, 1)] * 7  # three trajectories, from every one of the four large steps at once
    with pytest.raises(Exception, match="object of your own"):
        skts.save(model, "never.skts")


def test_a_solver_that_gives_another_shape_is_refused(X):
    with pytest.raises(InputError, match="of shape"):
        FlowMapSimulator(dt=DT, stepper={1: lambda x, dt, n: x, 8: "opinf"}, **SMALL).fit(X)


def test_a_flow_map_of_the_users_is_trained(X):
    settings = {**SMALL, "max_epochs": 10, "lr": 0.05}
    model = FlowMapSimulator(dt=DT, stepper=Turn, step_sizes=[2], **settings).fit(X / X.std((0, 1)))
    assert float(model.module_.members[0]["2"].angle) == pytest.approx(2 * DT, rel=0.02)


def test_coordinates_of_the_users_are_cloned_and_used(X):
    lift = np.random.default_rng(0).standard_normal((2, 7))
    own = PCA(2)
    model = FlowMapSimulator(dt=DT, coordinates=own, stepper="opinf", step_sizes=[1], random_state=0).fit(X @ lift)
    assert not hasattr(own, "components_")
    assert (model.coordinates_, model.n_components_) == (own, 2)
    np.testing.assert_allclose(
        np.abs(model.transform(X[0] @ lift)),
        np.abs(PCA(2).fit((X @ lift).reshape(-1, 7)).transform(X[0] @ lift)),
        atol=0.1,
    )
    new = circles(2, 100, seed=1) @ lift
    np.testing.assert_allclose(model.simulate(new[:, 0], n_steps=99), new, atol=1e-2)


def test_baselines_stand_beside(X):
    """Turning is linear: the linear map is as good as anything, and the last state is not."""
    table = compare(FlowMapSimulator(dt=DT, stepper="opinf", step_sizes=[1], random_state=0), X, cv=2)
    assert set(table.index[table["is_baseline"]]) == {"last state", "linear map"}
    assert table.loc["linear map", "score"] > 0.999
    assert table.loc["last state", "score"] < 0.5


def test_a_linear_map_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    A, states = np.array([[0.9, 0.2], [-0.1, 0.8]]), [rng.standard_normal((6, 2))]
    for _ in range(30):
        states.append(states[-1] @ A.T + 0.01 * rng.standard_normal((6, 2)))
    X = np.stack(states, 1)
    model = FlowMapSimulator(stepper=LinearMap, coordinates="identity", step_sizes=[1], validation_fraction=0.0).fit(X)
    before, after = X[:, :-1].reshape(-1, 2), X[:, 1:].reshape(-1, 2)
    expected = LinearRegression().fit(before, after).predict(before)
    np.testing.assert_allclose(model.predict(before), expected, atol=1e-5)


def test_irregular_times_are_brought_to_an_even_step():
    rng = np.random.default_rng(0)
    parts, times = [], []
    for radius in (0.5, 1.0, 1.5):
        t = np.sort(rng.uniform(0, 12, 400))
        parts.append(radius * np.stack([np.cos(t), np.sin(t)], 1))
        times.append(t)
    model = FlowMapSimulator(dt=DT, stepper="opinf", coordinates="identity", step_sizes=[1], random_state=0)
    model.fit(parts, times=times)
    new = circles(2, 100, seed=1)
    np.testing.assert_allclose(model.simulate(new[:, 0], n_steps=99), new, atol=2e-2)


def test_one_array_of_times_serves_all_and_even_times_change_nothing(X):
    plain = FlowMapSimulator(dt=DT, stepper="opinf", step_sizes=[1], random_state=0).fit(X)
    timed = FlowMapSimulator(dt=DT, stepper="opinf", step_sizes=[1], random_state=0).fit(X, times=np.arange(240) * DT)
    start = circles(2, 3)[:, 0]
    np.testing.assert_allclose(timed.simulate(start, n_steps=50), plain.simulate(start, n_steps=50), atol=1e-4)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(240.0)[::-1], "increasing"),
        (np.arange(239.0), "one for each sample"),
        ([np.arange(240.0)] * 3, "for 8 trajectories"),
        (np.arange(240.0), "Set dt=1"),
    ],
)
def test_wrong_times_are_refused(X, times, message):
    with pytest.raises(InputError, match=message):
        FlowMapSimulator(dt=DT, stepper="opinf").fit(X, times=times)


def test_members_of_an_ensemble_differ_most_where_nothing_was_learned():
    X = np.sinh(circles())  # a nonlinear system, of which no polynomial says all
    model = FlowMapSimulator(dt=DT, step_sizes=[2], n_ensemble=3, **SMALL).fit(X)
    known, far = np.sinh(circles(1, 2, seed=3)[:, 0]), np.array([[4.0, 4.0]])
    states, std = _quiet(lambda: model.simulate(np.concatenate([known, far]), n_steps=20, return_std=True))
    assert states.shape == std.shape
    assert (std[:, 0] == 0).all()
    assert std[0, 2:].min() > 0
    assert std[1].mean() > std[0].mean()
    with pytest.raises(ParameterError, match="n_ensemble"):
        FlowMapSimulator(dt=DT, step_sizes=[2], **SMALL).fit(X).simulate(known, n_steps=2, return_std=True)


def test_augmentation_teaches_a_symmetry():
    """One half circle, and the news that turning a trajectory gives one: the other half is foreseen."""
    t = np.arange(50) * DT
    half = np.stack([np.cos(t), np.sin(t)], 1)[None].repeat(4, 0)

    def turned(windows, rng):
        angle = rng.uniform(0, 2 * np.pi, len(windows))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
        return np.einsum("bij,btj->bti", matrix, windows)

    def error(augment):
        settings = {**SMALL, "module_kwargs": {**SMALL["module_kwargs"], "augment": augment}}
        model = FlowMapSimulator(dt=DT, step_sizes=[2], **settings).fit(half)
        full = circles(1, 120)
        full /= np.linalg.norm(full[0, 0])
        return np.abs(_quiet(lambda: model.simulate(full[:, 0], n_steps=119)) - full).mean()

    assert error(turned) < 0.5 * error(None)
    with pytest.raises(InputError, match="augment"):
        error(lambda windows, rng: windows[:, :1])


def test_an_invariant_is_watched(X):
    def radius(states):
        return np.hypot(states[:, 0], states[:, 1])

    settings = {**SMALL, "module_kwargs": {"hidden": (4,), "n_batches": 1, "invariant": radius}, "max_epochs": 1}
    exact = FlowMapSimulator(dt=DT, stepper="opinf", step_sizes=[1], **settings).fit(X)
    _, info = exact.simulate(X[:2, 0], n_steps=10, return_info=True)
    assert (info["status"] == "ok").all()
    assert (info["invariant_drift"] < 1).all()
    untrained = FlowMapSimulator(dt=DT, stepper=Turn, step_sizes=[1], lr=1e-9, **settings).fit(X * [1.0, 3.0])
    _, info = _quiet(lambda: untrained.simulate(X[:2, 0] * [1.0, 3.0], n_steps=100, return_info=True))
    assert np.isfinite(info["invariant_drift"]).all()
    with pytest.raises(InputError, match="invariant"):
        FlowMapSimulator(dt=DT, stepper="opinf", module_kwargs={"invariant": lambda s: s}).fit(X)


def test_training_all_parts_together_is_kept_only_if_it_helps(X):
    lift = np.random.default_rng(0).standard_normal((2, 12))
    settings = {**SMALL, "module_kwargs": {**SMALL["module_kwargs"], "joint_epochs": 2}}
    plain = FlowMapSimulator(dt=DT, step_sizes=[4], **SMALL).fit(X @ lift)
    joint = FlowMapSimulator(dt=DT, step_sizes=[4], **settings).fit(X @ lift)
    assert "all parts" in {row["stage"] for row in joint.history_}
    new = circles(3, 100, seed=1) @ lift
    assert joint.score(new) > plain.score(new) - 0.05


@pytest.mark.parametrize("stepper", ["nonsense", {1: "nonsense"}, {1: 3}, int, {}])
def test_what_is_no_stepper_is_refused(X, stepper):
    with pytest.raises(ParameterError, match=r"stepper|step sizes"):
        FlowMapSimulator(dt=DT, stepper=stepper).fit(X)
