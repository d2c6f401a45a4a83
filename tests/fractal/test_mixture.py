"""The closed-form start: conditionals multiply to the joint, and expectation-maximisation finds what is there."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from skts import FractalSampler
from skts.fractal.em import Shape
from skts.fractal.mixture import Mixture
from skts.fractal.ordering import dependent_order, mutual_information
from skts.fractal.search import MixtureSearch, parents_of

RNG = np.random.default_rng(0)


def fitted(x, n_values, K, parents=(), label=None, n_classes=0):
    n = len(x)
    label = np.zeros(n, dtype=int) if label is None else label
    ordinal = np.zeros(sum(v > 0 for v in n_values), dtype=bool)
    shape = Shape(n_values, n_classes, list(parents), ordinal, full=True)
    search = MixtureSearch(x, 0 * x, label, None, shape, np.arange(n) % 10 == 0, seed=0)
    return search.cross_fitted(search.best(K))


def as_module(found, n_values, parents=(), n_classes=0):
    module = Mixture(n_values, found.n_components, n_classes, list(parents))
    module.load_state_dict({k: torch.from_numpy(np.asarray(v)).float() for k, v in found.buffers.items()})
    return module.double()


def test_gaussian_conditionals_multiply_to_the_joint():
    x = RNG.multivariate_normal([0, 0, 0], [[1, 0.8, 0.2], [0.8, 1, 0.5], [0.2, 0.5, 1]], 500)
    found = fitted(x, [0, 0, 0], 2)
    module = as_module(found, [0, 0, 0])
    said = module(torch.from_numpy(x[:20]), torch.zeros(20, dtype=torch.long))
    z = (torch.from_numpy(x[:20])[..., None] - said.mean) / said.log_std.exp()
    by_slot = (said.log_weight - 0.5 * z**2 - said.log_std - 0.5 * np.log(2 * np.pi)).logsumexp(-1)
    L, mu = module.L.numpy(), module.mu.numpy()
    weight = module.log_prior.exp()[0].numpy()
    joint = sum(w * multivariate_normal(m, c @ c.T).pdf(x[:20]) for w, m, c in zip(weight, mu, L, strict=True))
    np.testing.assert_allclose(by_slot.sum(1), np.log(joint), atol=1e-6)


def test_slot_by_slot_is_all_at_once():
    x = np.column_stack([RNG.integers(0, 3, 300), RNG.normal(size=300), RNG.integers(0, 2, 300), RNG.normal(size=300)])
    x[:, 3] += x[:, 0]
    n_values, parents = [3, 0, 2, 0], [-1, 0]
    module = as_module(fitted(x, n_values, 3, parents), n_values, parents)
    some = torch.from_numpy(x[:10].copy())
    some[0, 1] = some[1, 0] = some[2, 2] = np.nan
    label = torch.zeros(10, dtype=torch.long)
    said, state = module(some, label), module.begin(label, 4)
    for slot in range(4):
        i = module.rank[slot]
        if module.is_code[slot]:
            assert torch.allclose(module.of_code(state, slot).exp(), said.logits[:, i].exp(), atol=1e-8)
        else:
            log_weight, mean, std = module.of_number(state, slot)
            assert torch.allclose(log_weight, said.log_weight[:, i])
            assert torch.allclose(mean, said.mean[:, i])
            assert torch.allclose(std.log()[3:], said.log_std[3:, i])  # rows without gaps
        module.update(state, slot, some[:, slot])


def test_weights_of_components_stay_finite_over_long_rows():
    D = 300
    module = Mixture([2] * D, 2, 0, [-1] * D)
    module.log_table.copy_(torch.tensor([[0.999, 0.001], [0.001, 0.999]]).log())
    label = torch.zeros(1, dtype=torch.long)
    state = module.begin(label, D)
    for slot in range(D):  # the second component falls behind by e^-1000, and catches up
        module.update(state, slot, torch.tensor([float(slot >= D // 2)]))
        assert module.of_code(state, slot).exp().sum() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(state["log_r"].exp(), torch.full((1, 2), 0.5), atol=1e-2)


def test_a_tree_finds_the_parent_and_beats_independence():
    x = RNG.integers(0, 2, (2000, 4)).astype(float)
    x[:, 3] = np.where(RNG.random(2000) < 0.9, x[:, 1], x[:, 3])
    parents = parents_of(mutual_information(x), [2] * 4)
    assert parents[3] == 1
    gain = fitted(x, [2] * 4, 1, parents).score - fitted(x, [2] * 4, 1, [-1] * 4).score
    p = 0.95  # of agreement: 0.9 + 0.1 / 2
    assert gain == pytest.approx(np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p), abs=0.05)


def test_components_are_added_as_long_as_they_help():
    centres = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 6.0], [0.0, -6.0]])
    x = centres[RNG.integers(0, 4, 600)] + RNG.normal(size=(600, 2))
    assert fitted(x, [0, 0], "auto").n_components >= 4
    assert fitted(RNG.normal(size=(600, 2)), [0, 0], "auto").n_components == 1


def test_what_is_held_out_is_not_learned_by_heart():
    d = 60
    x = np.random.default_rng(0).integers(0, 2, (200, d)).astype(float)  # nothing to learn
    found = fitted(x, [2] * d, 8, [-1] * d)
    everyone = torch.from_numpy(x)
    label = torch.zeros(200, dtype=torch.long)

    def score(buffers, rows):
        module = Mixture([2] * d, 8, 0, [-1] * d)
        module.load_state_dict({k: torch.from_numpy(np.asarray(v)).float() for k, v in buffers.items()})
        logits = module.double()(everyone, label).logits.gather(2, everyone.long()[..., None])
        return float(logits.sum((1, 2))[torch.from_numpy(rows)].mean())

    learned = found.fold < len(found.held_out_buffers)
    honest = np.mean([score(b, found.fold == f) for f, b in enumerate(found.held_out_buffers)])
    assert honest < -d * np.log(2) < score(found.buffers, learned) - 0.3


def test_classes_have_their_own_weights():
    y = RNG.integers(0, 2, 400)
    x = np.where(RNG.random((400, 5)) < 0.1, 1 - y[:, None], y[:, None]).astype(float)
    model = FractalSampler(generator=None, mixture=2, random_state=0).fit(x, y)
    everyone = np.array(list(itertools.product([0, 1], repeat=5)))
    assert np.exp(model.score_samples(everyone, np.zeros(32))).sum() == pytest.approx(1, abs=1e-6)
    assert (model.predict(x) == y).mean() > 0.95


def test_dependent_columns_stand_together():
    a, b = RNG.integers(0, 4, (2, 500))
    x = np.column_stack([a, b, a, b, a]).astype(float)
    order = dependent_order(mutual_information(x)).tolist()
    groups = [(0 if c in (0, 2, 4) else 1) for c in order]
    assert sum(g != h for g, h in itertools.pairwise(groups)) == 1
    assert mutual_information(x)[0, 1] == pytest.approx(0, abs=0.03)


def test_conditionals_among_gaps_are_those_of_normal_distributions():
    x = torch.from_numpy(RNG.multivariate_normal(np.zeros(4), np.eye(4) + 0.6, 30))
    module = as_module(fitted(x.numpy(), [0] * 4, 1), [0] * 4)
    x[torch.from_numpy(RNG.random(x.shape) < 0.4)] = torch.nan
    said = module(x, torch.zeros(30, dtype=torch.long))
    mu, S = module.mu[0].numpy(), (module.L[0] @ module.L[0].T).numpy()
    for b, row in enumerate(x.numpy()):
        for s in range(4):
            o = np.flatnonzero(np.isfinite(row[:s]))
            gain = S[s, o] @ np.linalg.inv(S[np.ix_(o, o)])
            assert float(said.mean[b, s, 0]) == pytest.approx(mu[s] + gain @ (row[o] - mu[o]), abs=1e-6)
            assert float(said.log_std[b, s, 0].exp()) == pytest.approx(np.sqrt(S[s, s] - gain @ S[o, s]), abs=1e-6)


def test_without_held_out_rows_a_part_of_them_judges_the_choice():
    X = RNG.normal(size=(1000, 8))
    model = FractalSampler(generator=None, validation_fraction=0, random_state=0).fit(X[:80])
    assert model.score(X[80:]) > FractalSampler(generator=None, random_state=0).fit(X[:80]).score(X[80:]) - 1
    assert model.n_components_ == 1
