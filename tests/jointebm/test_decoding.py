"""Decoders against a search over all outputs; the k best against sorting all outputs."""

import numpy as np
import pytest
import torch

from skts.jointebm.ascent import climb
from skts.jointebm.best import k_best_independent
from skts.jointebm.decoding import DECODERS, best_f1_set
from tests.jointebm.common import EXACT, brute_scores, potentials

SEEN = torch.tensor([[0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 1]])


def f1(Y, Z):
    """F1 of every pair of sets; 1 for two empty ones."""
    both = Y @ Z.T
    total = Y.sum(1, keepdim=True) + Z.sum(1)
    return torch.where(total > 0, 2 * both / total.clamp_min(1), 1.0)


@pytest.mark.parametrize("name", ["pairwise", "lowrank"])
def test_f1_decoder_maximises_expected_f1(name):
    inference = EXACT[name]().double()
    theta = potentials(30, 6) - 1
    scores, Y = brute_scores(inference, theta)
    expected = f1(Y.double(), Y.double()) @ scores.softmax(1).T  # (decision, row)
    found = DECODERS["f1"](inference, theta, SEEN)
    where = (found[:, None] == Y).all(-1).long().argmax(1)
    reached = expected[where, torch.arange(30)]
    torch.testing.assert_close(reached, expected.max(0).values, atol=1e-9, rtol=0)


def test_f1_prefix_rule_is_near_the_best_for_independent_labels():
    inference = EXACT["independent"]().double()
    theta = potentials(60, 6) - 1
    scores, Y = brute_scores(inference, theta)
    expected = f1(Y.double(), Y.double()) @ scores.softmax(1).T
    p_empty = inference.log_prob(theta, torch.zeros(60, 1, 6, dtype=torch.long))[:, 0].exp()
    found = best_f1_set(inference.marginals(theta), p_empty)
    where = (found[:, None] == Y).all(-1).long().argmax(1)
    lost = expected.max(0).values - expected[where, torch.arange(60)]
    assert lost.mean() < 0.01
    assert lost.max() < 0.08


def test_hamming_decoder_minimises_expected_hamming_loss():
    inference = EXACT["pairwise"]().double()
    theta = potentials(20, 6)
    scores, Y = brute_scores(inference, theta)
    loss = (Y[:, None] != Y).double().mean(-1) @ scores.softmax(1).T
    found = DECODERS["hamming"](inference, theta, SEEN)
    where = (found[:, None] == Y).all(-1).long().argmax(1)
    torch.testing.assert_close(loss[where, torch.arange(20)], loss.min(0).values)


@pytest.mark.parametrize("name", ["permutahedron", "birkhoff"])
def test_kendall_decoder_is_near_the_best_expected_kendall_tau(name):
    inference = EXACT[name]().double()
    theta = potentials(20, inference.space.n_features)
    scores, Y = brute_scores(inference, theta)
    i, j = torch.triu_indices(5, 5, 1)
    signs = (Y[:, i] - Y[:, j]).sign().double()
    expected = signs @ signs.T / len(i) @ scores.softmax(1).T
    found = DECODERS["kendall"](inference, theta, Y)
    where = (found[:, None] == Y).all(-1).long().argmax(1)
    lost = expected.max(0).values - expected[where, torch.arange(20)]
    assert lost.mean() < 0.02


def test_seen_decoder_answers_the_best_of_the_seen():
    inference = EXACT["pairwise"]().double()
    theta = potentials(20, 6)
    found = DECODERS["seen"](inference, theta, SEEN)
    scores = inference.score(theta, SEEN.expand(20, -1, -1))
    assert (found == SEEN[scores.argmax(1)]).all()


@pytest.mark.parametrize("k", [1, 5, 64, 100])
def test_k_best_of_independent_labels(k):
    theta = potentials(1, 6)[0]
    scores, _ = brute_scores(EXACT["independent"]().double(), theta[None])
    wanted = scores[0].sort(descending=True).values[:k]
    codes = k_best_independent(theta, k)
    torch.testing.assert_close((codes.double() @ theta), wanted)
    assert len(np.unique(codes.numpy(), axis=0)) == len(codes) == min(k, 64)


def test_climbing_ends_where_no_flip_gains():
    inference = EXACT["pairwise"]().double()
    theta = potentials(10, 6)
    Y = climb(theta, inference.coupling, torch.zeros(10, 3, 6))
    here = inference.score(theta, Y)
    for i in range(6):
        flipped = Y.clone()
        flipped[..., i] = 1 - flipped[..., i]
        assert (inference.score(theta, flipped) <= here + 1e-6).all()
