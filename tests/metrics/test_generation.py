"""Scores of drawn series: what cannot be told apart scores 0, what is obviously different 0.5."""

import numpy as np
import pytest
import torch

from skts.errors import InputError
from skts.metrics import bits_per_dim, discriminative_score, predictive_score


def waves(n, noise=0.05, n_channels=2, seed=0):
    """Waves of random phase; the last channel is a step behind the first one."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    t = np.arange(12)[:, None] - np.arange(n_channels) / max(1, n_channels - 1)
    return np.sin(0.7 * t + phase) + rng.normal(scale=noise, size=(n, 12, n_channels))


@pytest.mark.parametrize("score", [discriminative_score, predictive_score])
def test_seeds_give_the_same_number_and_leave_the_generators_alone(score):
    real, drawn = waves(40), waves(40, seed=1)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    scores = [score(real, drawn, n_iter=15, random_state=seed) for seed in (3, 3, np.random.RandomState(3))]
    assert scores[0] == scores[1] == scores[2]
    assert isinstance(scores[0], float)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_the_same_distribution_cannot_be_told_apart():
    scores = [discriminative_score(waves(500), waves(500, seed=1), n_iter=100, random_state=seed) for seed in range(3)]
    assert np.mean(scores) < 0.12  # chance alone: 0.03 with 200 held-out series


def test_what_is_obviously_different_is_told_apart():
    assert discriminative_score(waves(100), waves(100) + 3.0, n_iter=250, random_state=0) > 0.4


def test_noise_teaches_less_than_waves_do():
    real = waves(100, n_channels=4)
    noise = np.random.default_rng(0).uniform(-1, 1, real.shape)
    as_good, useless = (
        predictive_score(real, X, n_iter=250, random_state=0) for X in (waves(100, n_channels=4), noise)
    )
    assert as_good < 0.85 * useless


@pytest.mark.parametrize("score", [discriminative_score, predictive_score])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_units_do_not_matter(score, n_channels):
    real, drawn = waves(30, n_channels=n_channels), waves(30, n_channels=n_channels, seed=1)
    same = [score(a, b, n_iter=5, random_state=0) for a, b in ((real, drawn), (64 * real + 8, 64 * drawn + 8))]
    assert same[0] == pytest.approx(same[1], abs=1e-6)


@pytest.mark.parametrize("score", [discriminative_score, predictive_score])
@pytest.mark.parametrize(
    ("real", "drawn", "options", "message"),
    [
        (waves(9)[..., 0], waves(9), {}, r"shapes \(9, 12\)"),
        (waves(9), waves(9)[:, 1:], {}, "same length"),
        (waves(3), waves(9), {}, "at least five"),
        (waves(9), np.full((9, 12, 2), np.inf), {}, "finite values in X_drawn"),
        (waves(9), waves(9), {"n_iter": 0}, "n_iter"),
    ],
)
def test_wrong_input_is_refused(score, real, drawn, options, message):
    with pytest.raises(InputError, match=message):
        score(real, drawn, **options)


def test_a_fair_coin_has_one_bit():
    assert bits_per_dim(np.full(5, 8 * np.log(0.5)), 8) == pytest.approx(1.0)
    assert bits_per_dim([np.log(0.25), 0.0], 1) == pytest.approx(1.0)
    with pytest.raises(InputError, match="n_dims=0"):
        bits_per_dim([0.0], 0)
    with pytest.raises(InputError, match="shape"):
        bits_per_dim([], 2)
