"""Every exact route against a loop over all outputs."""

import math

import pytest
import torch

from skts.jointebm.couplings import LowRank, Pairwise, Uncoupled
from skts.jointebm.inference import PermutationRecursion
from skts.jointebm.latent import Latent
from skts.jointebm.spaces import Classes, LabelSets, Permutations, Subsets
from tests.jointebm.common import EXACT, brute_scores, coupled, enumeration, potentials

exact = pytest.mark.parametrize("name", EXACT)


def parts_of(space, Y):
    return space.parts(Y).double().flatten(1)


def given_for(inference, B):
    """Evidence that some output agrees with: the first parts of one state."""
    state = inference.space.states()[5 % len(inference.space.states())]
    given = torch.full((B, inference.space.k), -1)
    given[:, :2] = state[:2]
    return given


@exact
def test_log_partition(name):
    inference = EXACT[name]().double()
    theta = potentials(3, inference.space.n_features)
    scores, _ = brute_scores(inference, theta)
    torch.testing.assert_close(inference.log_partition(theta), scores.logsumexp(1), atol=1e-6, rtol=0)


@exact
def test_probabilities_sum_to_one(name):
    inference = EXACT[name]().double()
    theta = potentials(2, inference.space.n_features)
    states = inference.space.states()
    total = inference.log_prob(theta, states.expand(2, -1, -1)).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(2).double(), atol=1e-6, rtol=0)
    assert len(states) == round(math.exp(inference.space.log_size))
    assert len(torch.unique(states, dim=0)) == len(states)


@exact
def test_marginals(name):
    inference = EXACT[name]().double()
    theta = potentials(3, inference.space.n_features)
    scores, Y = brute_scores(inference, theta)
    wanted = scores.softmax(1) @ parts_of(inference.space, Y)
    torch.testing.assert_close(inference.marginals(theta).flatten(1), wanted, atol=1e-6, rtol=0)


@exact
def test_mode_has_the_best_score(name):
    inference = EXACT[name]().double()
    theta = potentials(20, inference.space.n_features)
    scores, _ = brute_scores(inference, theta)
    found = inference.score(theta, inference.mode(theta)[:, None])[:, 0]
    torch.testing.assert_close(found, scores.max(1).values, atol=1e-6, rtol=0)


@exact
def test_draws_have_the_probabilities(name):
    inference = EXACT[name]().double()
    theta = potentials(1, inference.space.n_features)
    draws = inference.draw(theta, 20_000, torch.Generator().manual_seed(0))[0]
    mean = parts_of(inference.space, draws).mean(0)
    wanted = inference.marginals(theta)[0].flatten()
    error = (mean - wanted).abs() / (wanted * (1 - wanted) / 20_000).clamp_min(1e-12).sqrt()
    assert error.max() < 4.5


@exact
def test_evidence(name):
    if name == "classes":
        pytest.skip("a class has no parts")
    inference = EXACT[name]().double()
    theta = potentials(3, inference.space.n_features)
    scores, Y = brute_scores(inference, theta)
    given = given_for(inference, 3)
    agrees = ((given[0] < 0) | (given[0] == Y)).all(1)
    wanted = scores[:, agrees].logsumexp(1)
    torch.testing.assert_close(inference.log_partition(theta, given), wanted, atol=1e-6, rtol=0)
    marginals = scores[:, agrees].softmax(1) @ parts_of(inference.space, Y[agrees])
    torch.testing.assert_close(inference.marginals(theta, given).flatten(1), marginals, atol=1e-6, rtol=0)
    draws = inference.draw(theta, 50, torch.Generator().manual_seed(0), given)
    assert (draws[..., :2] == given[:, None, :2]).all()
    mode = inference.mode(theta, given)
    best = scores[:, agrees].max(1).values
    torch.testing.assert_close(inference.score(theta, mode[:, None])[:, 0], best, atol=1e-6, rtol=0)


def test_permanent_of_ones_counts_permutations():
    inference = PermutationRecursion(Permutations(9, birkhoff=True), Uncoupled())
    log_z = inference.log_partition(torch.zeros(1, 81, dtype=torch.float64))
    assert log_z.item() == pytest.approx(math.lgamma(10))


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0])
def test_sparse_losses_give_distributions_with_zeros(alpha):
    inference = enumeration(LabelSets(5), coupled(Pairwise(5)), alpha, gamma=0.2).double()
    p = inference.log_probs(potentials(4, 5, scale=3.0)).exp()
    torch.testing.assert_close(p.sum(1), torch.ones(4).double(), atol=1e-6, rtol=0)
    assert (p == 0).any()


@pytest.mark.parametrize("space", [LabelSets(4), Subsets(5, 2), Classes(6), Permutations(4)])
def test_uniform_draws_are_uniform(space):
    states = space.states()
    noise = torch.rand(1, 20_000, space.k, generator=torch.Generator().manual_seed(0))
    draws = space.uniform(noise)[0]
    counts = (draws[:, None] == states).all(-1).sum(0) / 20_000
    assert (counts - 1 / len(states)).abs().max() < 0.012


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_latent_factors_agree_with_enumeration(rank):
    space, coupling = LabelSets(8), coupled(LowRank(8, rank), scale=2.0)
    latent = Latent(space, coupling, n_starts=6, n_draws=4096).double()
    exact = enumeration(space, coupling).double()
    theta = potentials(5, 8)
    torch.testing.assert_close(latent.log_partition(theta), exact.log_partition(theta), atol=0.03, rtol=0)
    torch.testing.assert_close(latent.marginals(theta), exact.marginals(theta), atol=0.02, rtol=0)
    given = torch.tensor([[1, -1, 0, -1, -1, -1, -1, 1]]).expand(5, -1)
    torch.testing.assert_close(latent.log_partition(theta, given), exact.log_partition(theta, given), atol=0.03, rtol=0)
    best = latent.score(theta, latent.mode(theta)[:, None])
    torch.testing.assert_close(best, exact.score(theta, exact.mode(theta)[:, None]), atol=1e-6, rtol=0)
    draws = latent.draw(theta, 4000, torch.Generator().manual_seed(0)).double().mean(1)
    torch.testing.assert_close(draws, exact.marginals(theta), atol=0.05, rtol=0)


def test_low_rank_is_a_pairwise_matrix():
    low, full = coupled(LowRank(5, 2)), Pairwise(5).double()
    with torch.no_grad():
        full.weight.copy_(low.matrix / 4)
    Y = LabelSets(5).states().double()
    torch.testing.assert_close(low(Y), full(Y))
    torch.testing.assert_close(low.conditional(Y), full.conditional(Y))


def test_cardinality_of_expected_labels_lies_between_whole_ones():
    coupling = EXACT["cardinality"]().coupling
    Y = torch.full((1, 6), 0.25, dtype=torch.float64)
    c = coupling.potentials
    torch.testing.assert_close(coupling(Y)[0], (c[1] + c[2]) / 2)


@pytest.mark.parametrize("name", ["cardinality", "pairwise", "lowrank"])
def test_conditional_log_odds_are_differences(name):
    coupling = EXACT[name]().coupling
    Y = LabelSets(6).states().double()
    for i in range(6):
        with_it, without = Y.clone(), Y.clone()
        with_it[:, i], without[:, i] = 1, 0
        torch.testing.assert_close(coupling.conditional(Y)[:, i], coupling(with_it) - coupling(without))
