"""Learning on from new trajectories."""

import copy

import numpy as np
import pytest

import skts
from skts.engine import Callback
from skts.errors import InputError
from skts.flowmap import FlowMapSimulator

from .test_estimator import DT, circles

SETTINGS = {"dt": DT, "step_sizes": [4], "max_epochs": 4, "random_state": 0, "validation_fraction": 0.25}
SETTINGS["module_kwargs"] = {"hidden": (32, 32), "n_batches": 50}


def whirls(n, T, seed, stretch=1.0):
    """Circles far from the origin run faster: speed depends on the radius, so that one flow map can know both."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.5, 1.0, n) * stretch
    angle = rng.uniform(0, 6, n)[:, None] + np.arange(T) * DT * (1 + 0.3 * radius[:, None] ** 2)
    return np.stack([radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)], 2)


def test_the_new_is_learned_and_the_old_is_kept():
    old, new = whirls(12, 200, 0), whirls(12, 200, 1, stretch=2.0)
    model = FlowMapSimulator(**{**SETTINGS, "max_epochs": 12}).fit(old)
    held_old, held_new = whirls(6, 200, 2), whirls(6, 200, 3, stretch=2.0)
    before = [1 - model.score(held) for held in (held_old, held_new)]
    model.partial_fit(new)
    after = [1 - model.score(held) for held in (held_old, held_new)]
    assert model.n_rollbacks_ == 0
    assert after[1] < 0.5 * before[1]
    assert after[0] < 1.2 * before[0] + 0.01
    _, info = model.simulate(held_new[:, 0], n_steps=20, return_info=True)
    assert (info["status"] == "ok").all()  # the new is known now
    assert model.n_iter_ == len(model.history_)


def test_an_update_that_spoils_the_old_is_undone():
    """The same states that turn the other way: no flow map can know both."""
    old = circles(8, 200)
    model = FlowMapSimulator(**SETTINGS).fit(old)
    start = circles(3, 2, seed=1)[:, 0]
    before = model.simulate(start, n_steps=30)
    with pytest.warns(UserWarning, match="undone"):
        model.partial_fit(old[:, ::-1].copy())
    assert model.n_rollbacks_ == 1
    np.testing.assert_array_equal(model.simulate(start, n_steps=30), before)


def test_the_first_call_is_a_fit_and_updates_can_be_saved(tmp_path):
    X = circles(8, 200)
    first = FlowMapSimulator(**SETTINGS).partial_fit(X)
    start = circles(2, 2, seed=1)[:, 0]
    np.testing.assert_array_equal(
        first.simulate(start, n_steps=9), FlowMapSimulator(**SETTINGS).fit(X).simulate(start, n_steps=9)
    )
    skts.save(first, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    more = circles(8, 200, seed=5)
    np.testing.assert_allclose(
        loaded.partial_fit(more).simulate(start, n_steps=9),
        first.partial_fit(more).simulate(start, n_steps=9),
        atol=1e-5,
    )


def test_what_is_kept_is_bounded():
    settings = {**SETTINGS, "module_kwargs": {**SETTINGS["module_kwargs"], "n_replay": 300}, "max_epochs": 1}
    model = FlowMapSimulator(**settings).fit(circles(20, 200))
    for seed in range(2):
        model.partial_fit(circles(20, 200, seed=seed))
        assert sum(len(x) for x, _ in model.replay_["train"]) <= 300


def test_other_features_are_refused_and_nothing_is_lost():
    model = FlowMapSimulator(**SETTINGS).fit(circles(8, 200))
    before = model.simulate([[1.0, 0.0]], n_steps=5)
    with pytest.raises((InputError, ValueError), match=r"features|shape"):
        model.partial_fit(np.zeros((3, 100, 5)))
    with pytest.raises(InputError, match="controls"):
        model.partial_fit(circles(8, 200), u=np.zeros((8, 200, 1)))
    np.testing.assert_array_equal(model.simulate([[1.0, 0.0]], n_steps=5), before)


def test_nothing_is_remembered_where_that_is_wanted():
    settings = {**SETTINGS, "module_kwargs": {**SETTINGS["module_kwargs"], "n_replay": 0}}
    model = FlowMapSimulator(**settings).fit(circles(8, 200))
    assert model.replay_ == {"train": [], "valid": []}
    model.partial_fit(circles(8, 200, seed=5))
    assert np.isfinite(model.simulate([[1.0, 0.0]], n_steps=5)).all()


def test_an_update_says_what_stopped_it():
    model = FlowMapSimulator(**SETTINGS).fit(circles(8, 200))
    with pytest.warns(UserWarning, match="max_time"):
        model.set_params(max_time=1e-3).partial_fit(circles(8, 200, seed=5))
    assert model.stopped_by_ == "max_time"


def test_a_smaller_move_is_kept_where_the_whole_one_would_spoil_the_old(monkeypatch):
    """A linear equation takes the mean of two old speeds; a little more costs one as much as the other gains."""

    def turns(speed, seed):
        angle = np.random.default_rng(seed).uniform(0, 6, 4)[:, None] + speed * DT * np.arange(30)
        return np.stack([np.cos(angle), np.sin(angle)], 2)

    settings = {"dt": DT, "stepper": "opinf", "coordinates": "identity", "step_sizes": [1], "random_state": 0}
    old, new = np.concatenate([turns(0.8, 0), turns(1.2, 0)]), np.concatenate([turns(1.5, 1), turns(1.5, 2)])
    model = FlowMapSimulator(validation_fraction=0.0, **settings).fit(old)
    before = [1 - model.score(X) for X in (old, new)]
    whole = copy.deepcopy(model)
    model.partial_fit(new)
    after = [1 - model.score(X) for X in (old, new)]
    assert model.n_rollbacks_ == 0
    assert after[0] < 1.1 * before[0]
    assert after[1] < 0.9 * before[1]
    monkeypatch.setattr("skts.flowmap.online._PARTS_OF_THE_WAY", ())
    with pytest.warns(UserWarning, match="undone"):
        whole.partial_fit(new)


def test_an_interrupt_leaves_no_update_that_nobody_has_judged():
    class CtrlC(Callback):
        def on_batch_end(self, net, training=False, **_):
            if training and len(net.history) == 2:
                raise KeyboardInterrupt

    model = FlowMapSimulator(**SETTINGS).fit(circles(8, 200))
    start = circles(3, 2, seed=1)[:, 0]
    before = model.simulate(start, n_steps=30)
    model.set_params(callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(circles(8, 200)[:, ::-1].copy())
    assert model.stopped_by_ == "interrupt"
    np.testing.assert_array_equal(model.simulate(start, n_steps=30), before)
