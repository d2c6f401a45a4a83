"""The guard: weights on the simplex, and only what validation can vouch for."""

import numpy as np
import pandas as pd
import pytest
import torch

from skts import FMambaForecaster
from skts.fmamba.evidence import Evidence
from skts.fmamba.guard import choose, simplex_weights


def products(*errors):
    """Mean products (1, K, K) of error series."""
    e = torch.tensor(np.stack(errors))
    return (e @ e.T / e.shape[1])[None]


def test_weights_lie_on_the_simplex_and_no_other_point_is_better():
    rng = np.random.default_rng(0)
    S = torch.cat([products(*(rng.standard_normal((4, 50)) + rng.standard_normal(50))) for _ in range(5)])
    w = simplex_weights(S)
    assert (w >= 0).all()
    torch.testing.assert_close(w.sum(1), torch.ones(5, dtype=w.dtype))
    lowest = torch.einsum("ni,nij,nj->n", w, S, w)
    for other in torch.from_numpy(rng.dirichlet(np.full(4, 0.5), size=2000)):
        assert (torch.einsum("i,nij,j->n", other, S, other) >= lowest - 1e-9).all()


def test_candidates_that_are_one_and_the_same_are_no_trouble():
    error = np.random.default_rng(0).standard_normal(40)
    w = simplex_weights(products(error, error, 2 * error))
    assert w[0, 2] == 0
    assert w.sum().item() == pytest.approx(1)


def evidence(gain, n_blocks, noise=0.1, horizon=10, seed=0):
    """Three candidates; the network is better than the linear map by ``gain`` on average."""
    rng = np.random.default_rng(seed)
    level = 1 + np.repeat(noise * rng.standard_normal((n_blocks, 1)), horizon, axis=0)
    linear, last = np.ones_like(level), np.full_like(level, 3.0)
    by_window = np.concatenate([linear - gain + level - 1, last, linear], axis=1)
    S = torch.diag(torch.tensor(by_window.mean(0)))[None].expand(2, 3, 3)
    return Evidence(["network", "last value", "linear"], S, by_window, horizon)


def test_a_clear_gain_is_trusted_and_luck_is_not():
    assert evidence(0.2, 30).trusted() == ["network", "linear"]
    assert evidence(0.01, 30, noise=0.2).trusted() == ["linear"]
    assert evidence(0.2, 1).trusted() == ["linear"]


def test_untrusted_candidates_get_no_weight():
    maps = {"last value": torch.zeros(1, 4, 10), "linear": torch.ones(1, 4, 10)}
    guard = choose(evidence(0.2, 1), maps)
    assert (guard.weights["network"] == 0).all()
    assert (guard.weights["linear"] == 1).all()
    np.testing.assert_array_equal(guard.coef, np.ones((2, 4, 10)))


def test_reported_weights_sum_to_one_and_reproduce_the_forecast():
    t, rng = np.arange(600)[:, None], np.random.default_rng(0)
    values = np.exp(np.cos(2 * np.pi * t / 24 + np.arange(3))) + 0.2 * rng.standard_normal((600, 3))
    y = pd.DataFrame(values, index=pd.date_range("2024-01-01", periods=600, freq="h"))
    settings = {"context_length": 24, "d_model": 8, "max_epochs": 1, "random_state": 0}
    guarded = FMambaForecaster(**settings).fit(y, fh=[1, 2])
    bare = FMambaForecaster(**settings, guard=None).fit(y, fh=[1, 2])
    shares = np.stack(list(guarded.guard_weights_.values()))
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(0), 1)
    assert set(guarded.guard_weights_) == {*guarded.guard_errors_}
    for name, value in guarded.module_.state_dict().items():  # the guard changes nothing of the network
        assert torch.equal(value, bare.module_.state_dict()[name])


def test_pretrained_parts_of_single_variates_are_found_by_name():
    t, rng = np.arange(300)[:, None], np.random.default_rng(0)
    values = np.sin(2 * np.pi * t / 24 + np.arange(4)) + 0.1 * rng.standard_normal((300, 4))
    y = pd.DataFrame(values, columns=list("abcd"), index=pd.date_range("2024-01-01", periods=300, freq="h"))
    panel = pd.concat({"p": y[:200], "q": y[100:]})
    wiring = {"attention": None, "mamba": None, "guard": None, "context_length": 12, "d_model": 8, "horizon": 2}
    teacher = FMambaForecaster(**wiring, max_epochs=1, random_state=0).pretrain(panel)
    short = y[-14:]  # too short to train on: the pretrained network stands
    whole = teacher.clone().fit(short, fh=[1, 2]).predict()
    some = teacher.clone().fit(short[["d", "a"]], fh=[1, 2]).predict()
    np.testing.assert_allclose(some, whole[["d", "a"]], rtol=1e-4, atol=1e-4)
