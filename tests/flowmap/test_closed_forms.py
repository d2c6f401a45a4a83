"""Polynomial flow maps and manifolds: solved for, chosen by cross-validated rollouts."""

import warnings

import numpy as np
import pytest
import torch

from skts.errors import ParameterError
from skts.flowmap import FlowMapSimulator
from skts.flowmap.coordinates import LinearCoordinates, Manifold
from skts.flowmap.polynomial import BoxedProducts
from skts.flowmap.polynomial_map import PolynomialMap
from skts.flowmap.resmlp import ResMLP

from .test_estimator import DT, circles

POLYNOMIAL = {"dt": DT, "stepper": "polynomial", "step_sizes": [2, 8], "random_state": 0}


def on_a_paraboloid(n, seed=0):
    """Rows of ten features that depend on two numbers, not linearly."""
    rng = np.random.default_rng(seed)
    a, mixing = rng.uniform(-1, 1, (n, 2)), np.random.default_rng(100).normal(size=(5, 10))
    return torch.from_numpy(np.column_stack([3 * a, a[:, 0] ** 2, a[:, 0] * a[:, 1], a[:, 1] ** 2]) @ mixing).float()


def lapped(n, T, rate, seed, pull=0.4):
    """A limit cycle of radius 1 that is passed at a rate."""
    rng = np.random.default_rng(seed)
    t = np.arange(T) * DT
    radius = 1 + rng.uniform(-0.4, 0.4, (n, 1)) * np.exp(-pull * t)
    angle = rng.uniform(0, 6, (n, 1)) + rate * t
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2)


def test_a_manifold_knows_the_surface_that_a_projection_cuts_off():
    rows, more = on_a_paraboloid(400), on_a_paraboloid(100, seed=1)
    lost = []
    for kind in (LinearCoordinates, Manifold):
        coordinates = kind(10, 2)
        coordinates.start(rows, n_fields=10)
        back = coordinates.decode(coordinates.encode(more))
        lost.append(float((back - more).square().mean() / more.var()))
    assert lost[0] > 1e-2
    assert lost[1] < 1e-4


def test_of_a_plane_a_manifold_is_the_projection():
    rows = torch.randn(200, 2) @ torch.randn(2, 6)
    coordinates = Manifold(6, 2)
    coordinates.start(rows, n_fields=6)
    torch.testing.assert_close(coordinates.decode(coordinates.encode(rows)), rows, atol=1e-4, rtol=1e-4)


def test_fields_have_one_unit_each():
    rows = torch.cat([torch.randn(500, 3) * torch.tensor([1.0, 2.0, 3.0]), 100 + torch.randn(500, 3)], 1)
    coordinates = LinearCoordinates(6, 6)
    coordinates.start(rows, n_fields=2)
    assert len(coordinates.scale.unique()) == 2
    scaled = coordinates.scaled(rows)
    torch.testing.assert_close(scaled[:, :3].square().mean(), torch.tensor(1.0), atol=0.02, rtol=0)
    assert scaled[:, 0].std() < 0.7 < 1.3 < scaled[:, 2].std()
    with pytest.raises(ParameterError, match="fields"):
        FlowMapSimulator(**POLYNOMIAL, module_kwargs={"fields": 3}).fit(circles(4, 50))


def test_a_variable_that_never_changes_says_nothing():
    box = BoxedProducts(2, 3)
    rows = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 0.006)], 1)
    box.fit(rows)
    other = rows.clone()
    other[:, 1] = 7.0
    assert torch.equal(box(rows), box(other))
    box.widen(other)
    assert not torch.equal(box(rows), box(other))


@pytest.mark.parametrize("make", [lambda: PolynomialMap(1, 2, 0), lambda: ResMLP(1, 2, 0, (8,))])
def test_states_beyond_the_box_go_on_from_its_edge(make):
    stepper, none = make(), torch.zeros(300, 0)
    z = torch.rand(300, 2) * 2 - 1
    steps = (z, none, 0.9 * z + 0.1 * z.flip(1))
    stepper.start(steps, steps)
    far, edge = torch.tensor([[50.0, -80.0]]), stepper.of_state.nearest(torch.tensor([[50.0, -80.0]]))
    assert float(edge.abs().max()) < 1.2
    torch.testing.assert_close(stepper(far, none[:1]), stepper(edge, none[:1]))


def test_a_turn_is_found_and_few_trajectories_are_enough():
    model = FlowMapSimulator(**POLYNOMIAL).fit(circles(4, 200))
    assert set(model.selected_steps_) <= set(model.step_sizes_)
    assert model.history_ == []
    assert model.score(circles(5, 1000, seed=3)) > 0.98


def test_the_degree_is_chosen_by_rollouts_of_trajectories_that_are_held_out_in_turn():
    """A cubic limit cycle: lower degrees lose it, and what is chosen does not run away beside it."""
    X = lapped(5, 300, rate=1.0, seed=0)
    model = FlowMapSimulator(**POLYNOMIAL).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.simulate(lapped(3, 2, rate=1.0, seed=7)[:, 0], n_steps=6000)
    radius = np.linalg.norm(found[:, -1000:], axis=2)
    assert np.abs(radius - 1).max() < 0.02


def test_a_step_for_which_one_trajectory_alone_is_long_enough():
    X = [circles(3, 30)[k] for k in range(3)] + [circles(1, 200, seed=5)[0]]
    model = FlowMapSimulator(**{**POLYNOMIAL, "step_sizes": [2, 64]}).fit(X)
    assert model.score(circles(2, 200, seed=6)) > 0.9


def test_members_differ_by_the_trajectories_that_they_have_drawn():
    noise = np.random.default_rng(0).normal(size=(6, 150, 2)) * 0.01
    model = FlowMapSimulator(**{**POLYNOMIAL, "step_sizes": [4]}, n_ensemble=3).fit(circles(6, 150) + noise)
    _, std = model.simulate(circles(2, 2, seed=1)[:, 0], n_steps=40, return_std=True)
    assert (std[:, -1] > 0).all()


def test_what_is_told_apart_by_a_parameter_is_learned_beside_the_old():
    """The same states move at two rates, one after the other: only the parameter says which."""
    old, new = lapped(5, 200, rate=1.0, seed=0), lapped(5, 200, rate=1.2, seed=1)
    held = {1.0: lapped(3, 300, rate=1.0, seed=2), 1.2: lapped(3, 300, rate=1.2, seed=3)}

    def params(rate, n):
        return np.full((n, 1), rate)

    def errors():
        found = {r: model.simulate(x[:, 0], n_steps=299, params=params(r, 3)) for r, x in held.items()}
        return [float(np.abs(found[r] - held[r]).mean()) for r in held]

    model = FlowMapSimulator(**{**POLYNOMIAL, "step_sizes": [4]}).fit(old, params=params(1.0, 5))
    before = errors()
    model.partial_fit(new, params=params(1.2, 5))
    after = errors()
    assert model.n_rollbacks_ == 0
    assert after[1] < 0.1 * before[1]
    assert after[0] < 1.1 * before[0] + 1e-3
