"""Densities are densities: they sum and integrate to one, agree with the sampler, and do not depend on the batch."""

import itertools

import numpy as np
import pytest
import torch

from skts import FractalSampler
from skts.fractal.walk import RowSampler, Walk

SMALL = {"max_epochs": 2, "dims": 8, "depths": 1, "mixture": 2, "random_state": 0}


def dependent(n=200, d=5, values=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, values, (n, d))
    X[:, 1] = np.where(rng.random(n) < 0.8, X[:, 0], X[:, 1])
    X[0], X[1] = 0, values - 1  # every value occurs
    return X


def everything(*values):
    return np.array(list(itertools.product(*(range(v) for v in values))))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"splits": [2, 3]},  # one leaf that nothing stands at
        {"splits": [3, 1, 2], "generator": ["ar", "made", "ar"]},
        {"generator": "made", "mixture": None},
        {"generator": "mar", "mixture": None},
        {"generator": ["mar", "ar"], "splits": [3, 2], "mixture": "auto", "module_kwargs": {"n_orders": 3}},
        {"generator": None},
        {"mask_rate": 0.3, "ordering": "random"},
        {"leaf": "categorical", "mixture": 3},
    ],
    ids=str,
)
def test_probabilities_sum_to_one(params):
    model = FractalSampler(**SMALL | params).fit(dependent())
    assert np.exp(model.score_samples(everything(3, 3, 3, 3, 3))).sum() == pytest.approx(1, abs=1e-6)


def test_mixed_arities_sum_to_one():
    X = np.column_stack([dependent(values=2, d=2)[:, :1], dependent(values=3, d=2)[:, :1], dependent(values=4)[:, :1]])
    model = FractalSampler(**SMALL).fit(X)
    assert np.exp(model.score_samples(everything(2, 3, 4))).sum() == pytest.approx(1, abs=1e-6)


def test_classes_sum_to_one_and_bayes_rule_holds():
    X, everyone = dependent(), everything(3, 3, 3, 3, 3)
    y = np.array(["low", "mid", "high"])[X[:, 0]]
    model = FractalSampler(**SMALL).fit(X, y)
    assert np.exp(model.score_samples(everyone)).sum() == pytest.approx(1, abs=1e-6)
    within = np.stack([model.score_samples(everyone, np.full(len(everyone), c)) for c in model.classes_], 1)
    np.testing.assert_allclose(np.exp(within).sum(0), 1, atol=1e-6)
    joint = np.exp(within) * model.class_prior_
    np.testing.assert_allclose(model.predict_proba(everyone), joint / joint.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("leaf", ["mix", "bins"])
def test_density_integrates_to_one_in_one_dimension(leaf):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-2, 0.5, 150), rng.exponential(1.0, 150)])[:, None]
    model = FractalSampler(**SMALL, leaf=leaf).fit(X)
    grid = np.linspace(-8, 30, 100_001)
    assert np.trapezoid(np.exp(model.score_samples(grid[:, None])), grid) == pytest.approx(1, abs=1e-3)


def test_density_integrates_to_one_in_two_dimensions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    model = FractalSampler(**SMALL).fit(np.column_stack([x, x**2 + 0.5 * rng.normal(size=300)]))
    side = [np.linspace(-7, 7, 121), np.linspace(-10, 20, 301)]
    density = np.exp(model.score_samples(np.stack(np.meshgrid(*side, indexing="ij"), -1).reshape(-1, 2)))
    total = np.trapezoid(np.trapezoid(density.reshape(121, 301), side[1]), side[0])
    assert total == pytest.approx(1, abs=1e-3)


def test_density_of_any_order_integrates_to_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    params = SMALL | {"generator": "mar", "mixture": None}
    model = FractalSampler(**params).fit(np.column_stack([x, x + 0.2 * rng.normal(size=300)]))
    side = np.linspace(-9, 9, 241)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(241, 241)
    assert np.trapezoid(np.trapezoid(density, side), side) == pytest.approx(1, abs=1e-3)


def test_without_a_mixture_numbers_do_not_depend_on_each_other():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    model = FractalSampler(**SMALL | {"generator": None, "mixture": None}).fit(np.hstack([x, x + 0.01]))
    assert abs(np.corrcoef(model.sample(2000, random_state=0).T)[0, 1]) < 0.1


def test_numbers_beside_codes_sum_and_integrate_to_one():
    rng = np.random.default_rng(0)
    code = rng.integers(0, 3, 300)
    model = FractalSampler(**SMALL).fit(np.column_stack([code, code + 0.3 * rng.normal(size=300)]))
    grid = np.linspace(-15, 15, 6001)
    totals = [
        np.trapezoid(np.exp(model.score_samples(np.column_stack([np.full(6001, c), grid]))), grid) for c in range(3)
    ]
    assert sum(totals) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(totals, np.bincount(code) / 300, atol=0.1)


@pytest.mark.parametrize("params", [{}, {"generator": "made"}, {"splits": [2, 2, 2]}, {"mask_rate": 0.2}], ids=str)
def test_the_sampler_and_the_density_agree(params):
    X = np.column_stack([dependent(), np.random.default_rng(1).normal(size=200)])
    model = FractalSampler(**SMALL | params).fit(X)
    drawn, log_prob = model.sample(64, random_state=0, return_log_prob=True)
    np.testing.assert_allclose(model.score_samples(drawn), log_prob, atol=1e-4)


def test_samples_follow_the_density():
    model = FractalSampler(**SMALL).fit(dependent(d=3))
    everyone = everything(3, 3, 3)
    drawn = model.sample(20_000, random_state=0)
    frequency = np.array([(drawn == row).all(1).mean() for row in everyone])
    assert 0.5 * np.abs(frequency - np.exp(model.score_samples(everyone))).sum() < 0.02


def test_a_sample_depends_on_its_own_numbers_alone():
    X = np.column_stack([dependent(), np.random.default_rng(1).normal(size=200)])
    model = FractalSampler(**SMALL).fit(X)
    many = model.sample(1500, random_state=3)
    np.testing.assert_array_equal(model.sample(7, random_state=3), many[:7])
    assert not np.array_equal(model.sample(7, random_state=4), many[:7])


CODES = [{}, {"generator": "mar", "mixture": None}, {"generator": "made", "splits": [2, 3]}]


@pytest.mark.parametrize("params", CODES, ids=str)
@pytest.mark.parametrize(("temperature", "guidance"), [(1.0, 1.0), (0.6, 1.0), (1.0, 3.0)])
def test_codes_are_those_of_float64(params, temperature, guidance):
    X = dependent()
    net = FractalSampler(**SMALL | params).fit(X, X[:, 2])._double()
    sampler = RowSampler(net, temperature, guidance)
    assert sampler.first is not net
    rng = np.random.default_rng(0)
    u, label = torch.from_numpy(rng.random((4000, 5, 2))), torch.from_numpy(rng.integers(0, 3, 4000))
    with torch.no_grad():
        walk = Walk(net, label, u, temperature=temperature, guidance=guidance)
        x, log_prob = walk.run()
        close = walk.nearest < sampler.margin
        found, found_log_prob = sampler(label, u)
    assert 0 < close.sum() < 200
    assert torch.equal(found, x)
    assert torch.allclose(found_log_prob, log_prob, atol=1e-5)


def test_a_number_at_an_edge_is_decided_by_float64():
    net = FractalSampler(**SMALL).fit(dependent())._double()
    sampler, label = RowSampler(net), torch.zeros(200, dtype=torch.long)
    u = torch.full((200, 5, 2), 0.5, dtype=torch.float64)
    with torch.no_grad():
        first = Walk(net, label[:1], u[:1, :, :], given=torch.tensor([[0.0] + [torch.nan] * 4])).run()[1][0, 0].exp()
        u[:, 0, 0] = first + torch.linspace(-1e-7, 1e-7, 200)  # less than float32 can tell apart
        assert torch.equal(sampler(label, u)[0], Walk(net, label, u).run()[0])
        assert len(sampler(label, u)[0][:, 0].unique()) == 2


def test_real_numbers_and_many_edges_are_drawn_in_float64():
    numbers = FractalSampler(**SMALL).fit(np.random.default_rng(0).normal(size=(100, 2)))._double()
    assert RowSampler(numbers).first is numbers
    codes = FractalSampler(**SMALL).fit(dependent())._double()
    assert RowSampler(codes, temperature=1e-4).first is codes  # nearly every number comes close to an edge


def test_a_sample_of_codes_depends_on_its_own_numbers_alone():
    model = FractalSampler(**SMALL).fit(dependent())
    many = model.sample(3000, random_state=3)
    np.testing.assert_array_equal(model.sample(1100, random_state=3), many[:1100])


def test_density_does_not_depend_on_the_batch():
    X = dependent()
    model = FractalSampler(**SMALL).fit(X)
    whole = model.score_samples(X)
    np.testing.assert_allclose(whole, [model.score_samples(row[None])[0] for row in X[:9]] + list(whole[9:]), atol=1e-5)


def test_slots_add_up_to_the_density():
    X = dependent()
    for y in (None, X[:, 0]):
        model = FractalSampler(**SMALL).fit(X, y)
        np.testing.assert_allclose(model.score_slots(X).sum(1), -model.score_samples(X), atol=1e-5)


def test_surprise_points_at_the_odd_slot():
    X = dependent(400)
    X[:, 1] = X[:, 0]
    model = FractalSampler(**SMALL | {"ordering": "given"}).fit(X)
    odd = np.array([[0, 2, 1, 1, 1]])
    assert model.score_slots(odd)[0].argmax() == 1


def test_temperature_and_guidance():
    X = dependent()
    model = FractalSampler(**SMALL).fit(X, X[:, 2])
    cold, hot = (model.sample(300, temperature=t, random_state=0) for t in (0.2, 1.0))
    assert model.score_samples(cold).mean() > model.score_samples(hot).mean()
    guided = model.sample(300, y=1, cfg=4.0, random_state=0)
    plain = model.sample(300, y=1, random_state=0)
    assert (guided[:, 2] == 1).mean() >= (plain[:, 2] == 1).mean()
    _, drawn_y = model.sample(50, random_state=0, return_y=True)
    assert set(drawn_y) <= set(model.classes_)


def test_bits_per_dim_of_fair_coins_is_one():
    X = np.random.default_rng(0).integers(0, 2, (2000, 6))
    assert FractalSampler(**SMALL).fit(X).bits_per_dim(X) == pytest.approx(1, abs=0.02)


def test_training_never_ends_below_the_mixture():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal(np.zeros(3), [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], 400)
    model = FractalSampler(**SMALL | {"lr": 0.3}).fit(X)  # a rate at which nothing good is learned
    alone = FractalSampler(**SMALL | {"generator": None}).fit(X)
    assert model.mixture_score_ == pytest.approx(alone.mixture_score_)
    assert min(row["valid_loss"] for row in model.history_) > -model.mixture_score_ / 3 - 1
    assert model.score(X) >= alone.score(X) - 0.2
