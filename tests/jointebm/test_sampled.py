"""Proposals: densities that sum to one, gradients that are unbiased, estimates that agree with enumeration."""

import math

import pytest
import torch

from skts.jointebm.couplings import LowRank, Pairwise, Uncoupled
from skts.jointebm.latent import Latent
from skts.jointebm.losses import joint_objective
from skts.jointebm.meanfield import mean_field
from skts.jointebm.sampled import PROPOSALS, Sampled
from skts.jointebm.spaces import Classes, LabelSets, Permutations
from tests.jointebm.common import coupled, enumeration, potentials

SPACES = {
    "labels": (lambda: LabelSets(5), lambda: coupled(Pairwise(5))),
    "classes": (lambda: Classes(6), Uncoupled),
    "ranking": (lambda: Permutations(4), Uncoupled),
    "birkhoff": (lambda: Permutations(4, birkhoff=True), Uncoupled),
}


def make(space_name, proposal):
    space, coupling = (maker() for maker in SPACES[space_name])
    base = 0.5 * potentials(1, space.n_features)[0]
    return PROPOSALS[proposal](space, coupling, base, 0.25, 4).double(), space, coupling


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("space_name", SPACES)
def test_density_sums_to_one(space_name, proposal):
    proposal, space, _ = make(space_name, proposal)
    theta = potentials(3, space.n_features)
    total = proposal.log_density(theta, space.states().expand(3, -1, -1)).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("space_name", SPACES)
def test_draws_follow_the_density(space_name, proposal):
    proposal, space, _ = make(space_name, proposal)
    theta, states = potentials(1, space.n_features), space.states()
    noise = torch.rand(1, 40_000, space.k + 1, generator=torch.Generator().manual_seed(0))
    Y, log_r = proposal.draw(theta, noise)
    torch.testing.assert_close(log_r, proposal.log_density(theta, Y))
    counts = (Y[0][:, None] == states).all(-1).double().mean(0)
    r = proposal.log_density(theta, states[None]).exp()[0]
    assert ((counts - r).abs() / (r * (1 - r) / 40_000).sqrt()).max() < 4.5


def objective_gradient(theta, tau, scores, log_weight, observed):
    value, _ = joint_objective(tau, scores, log_weight, observed)
    return torch.cat([part.flatten() for part in torch.autograd.grad(value.sum(), [theta, tau])])


@pytest.mark.parametrize("proposal", [*PROPOSALS, "latent"])
@pytest.mark.parametrize("space_name", SPACES)
def test_gradient_is_unbiased(space_name, proposal):
    """The mean over 1e5 draws lies within three standard errors of the gradient over all states."""
    if proposal == "latent" and space_name != "labels":
        pytest.skip("latent factors belong to label sets")
    space, coupling = (maker() for maker in SPACES[space_name])
    if proposal == "latent":
        coupling = coupled(LowRank(5, 2))
    exact = enumeration(space, coupling).double()
    theta = potentials(1, space.n_features).requires_grad_()
    tau = (exact.log_partition(theta).detach() - 0.3).requires_grad_()
    seen = space.states()[3][None, None]
    n = len(space.states())
    scores = exact.all_scores(theta)
    observed = exact.score(theta, seen)[:, 0]
    wanted = objective_gradient(theta, tau, scores, torch.full_like(scores, math.log(n)), observed)
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(50):  # 50 batches of 2,000 draws: their spread gives the standard error
        noise = torch.rand(1, 2000, space.k + 1, generator=generator)
        if proposal == "latent":
            latent = Latent(space, coupling, 4, 64)
            noise = torch.rand(1, 2000, latent.n_noise, generator=generator)
            log_w, _ = latent.log_weights(theta, noise)
            parts = (log_w, torch.zeros_like(log_w))
        else:
            Y, log_r = make(space_name, proposal)[0].draw(theta.detach(), noise)
            parts = (exact.score(theta, Y), -log_r)
        rows.append(objective_gradient(theta, tau, *parts, exact.score(theta, seen)[:, 0]))
    rows = torch.stack(rows)
    error = (rows.mean(0) - wanted).abs() / (rows.std(0) / math.sqrt(len(rows))).clamp_min(1e-9)
    assert error.max() < 3.5  # three standard errors, and room for the largest of several entries


@pytest.mark.parametrize("space_name", SPACES)
def test_weighted_draws_agree_with_enumeration(space_name):
    proposal, space, coupling = make(space_name, "meanfield")
    sampled = Sampled(space, coupling, proposal, 8192).double()
    exact = enumeration(space, coupling).double()
    theta = potentials(4, space.n_features)
    torch.testing.assert_close(sampled.log_partition(theta), exact.log_partition(theta), atol=0.05, rtol=0)
    torch.testing.assert_close(sampled.marginals(theta), exact.marginals(theta), atol=0.04, rtol=0)
    best = exact.score(theta, exact.mode(theta)[:, None])
    torch.testing.assert_close(exact.score(theta, sampled.mode(theta)[:, None]), best, atol=1e-6, rtol=0)


def test_mean_field_bounds_the_log_partition_and_finds_both_modes():
    space, coupling = LabelSets(6), Pairwise(6).double()
    with torch.no_grad():
        coupling.weight.fill_(0.6)  # all labels or none
    theta = torch.full((1, 6), -6.0, dtype=torch.float64)
    log_odds, bound = mean_field(theta, coupling, n_starts=4)
    log_z = enumeration(space, coupling).double().log_partition(theta)
    assert (bound <= log_z[:, None] + 1e-9).all()
    mean = log_odds.sigmoid().mean(-1)[0]
    assert mean.min() < 0.1
    assert mean.max() > 0.9


@pytest.mark.parametrize("name", PROPOSALS)
def test_evidence_in_weighted_draws(name):
    proposal, space, coupling = make("labels", name)
    sampled, exact = Sampled(space, coupling, proposal, 8192).double(), enumeration(space, coupling).double()
    theta, given = potentials(2, 5), torch.tensor([[1, -1, 0, -1, -1]]).expand(2, -1)
    torch.testing.assert_close(
        sampled.log_partition(theta, given), exact.log_partition(theta, given), atol=0.05, rtol=0
    )
    torch.testing.assert_close(sampled.marginals(theta, given), exact.marginals(theta, given), atol=0.04, rtol=0)
