"""Kernel attention: its weights, its limit, its symmetry, its cost, its random numbers."""

import copy
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from skts.fmamba.attention import KERNELS, FastAttention, break_even, default_features, random_features

# Each kernel by its defaults, and the two that take random projections on demand.
MIXERS = [*((kernel, None) for kernel in KERNELS), ("gauss", 24), ("relu", 24)]


def tokens(N=9, d=16, seed=0):
    return torch.randn(3, N, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("kernel", "n_features"), MIXERS)
def test_forward_equals_the_weights_written_out(kernel, n_features, gated):
    torch.manual_seed(0)
    attention = FastAttention(16, 4, kernel, "row", gated, n_features)
    E = tokens()
    A = attention.weights(E)
    v = attention._heads(E)[2].transpose(1, 2)
    O = (A @ v).transpose(1, 2).flatten(2)  # noqa: E741
    O = O * torch.sigmoid(attention.gate(E)) if gated else O  # noqa: E741
    assert torch.allclose(attention(E), attention.out(O), atol=1e-5)


@pytest.mark.parametrize(("kernel", "n_features"), MIXERS)
def test_rows_sum_to_one(kernel, n_features):
    torch.manual_seed(0)
    A = FastAttention(16, 4, kernel, n_features=n_features).weights(tokens())
    assert torch.allclose(A.sum(-1), torch.ones(()), atol=1e-5)
    assert (A >= 0).all()


@pytest.mark.parametrize(("kernel", "n_features"), MIXERS)
def test_permuted_variates_give_permuted_tokens(kernel, n_features):
    torch.manual_seed(0)
    attention, E = FastAttention(16, 4, kernel, n_features=n_features), tokens()
    order = torch.randperm(9)
    assert torch.allclose(attention(E)[:, order], attention(E[:, order]), atol=1e-5)


def test_favor_approaches_softmax_with_more_features():
    E = tokens(N=20, d=32)

    def error(m, seed):
        torch.manual_seed(seed)
        exact, fast = FastAttention(32, 2, "softmax"), FastAttention(32, 2, "favor+", n_features=m)
        fast.load_state_dict(exact.state_dict(), strict=False)
        return (fast(E) - exact(E)).abs().mean().item()

    few, many = (sum(error(m, seed) for seed in range(6)) for m in (64, 4096))
    assert many <= few / 4


def test_literal_gauss_kernel_is_the_papers_formula():
    torch.manual_seed(0)
    attention, E = FastAttention(8, 1, "gauss", "kdim"), tokens(5, 8)
    q, k, v = (t.squeeze(2) for t in attention._heads(E))
    F = lambda x: torch.exp(-(x**2) / 2)  # noqa: E731
    expected = attention.out(F(q) @ (F(k).transpose(1, 2) @ v) / 8)
    assert torch.allclose(attention(E), expected, atol=1e-6)


def test_random_features_are_orthogonal_in_blocks():
    W = random_features(20, 8, torch.Generator().manual_seed(0))
    for block in (W[:8], W[8:16], W[16:]):
        gram = block @ block.T
        assert torch.allclose(gram, torch.diag(gram.diag()), atol=1e-4)


def test_random_features_are_normal_one_by_one():
    W = random_features(8000, 4, torch.Generator().manual_seed(0))
    assert torch.allclose(W.mean(0), torch.zeros(4), atol=0.04)
    assert torch.allclose(W.T @ W / 8000, torch.eye(4), atol=0.05)
    assert W.pow(4).mean().item() == pytest.approx(3, abs=0.3)


def test_the_mean_of_favor_features_is_the_softmax_kernel():
    q, k = 0.5 * torch.randn(2, 1, 1, 5, 8, generator=torch.Generator().manual_seed(0))
    draws = []
    for seed in range(400):
        torch.manual_seed(seed)
        attention = FastAttention(8, 1, n_features=32)
        fq, fk = (attention.log_features(x).exp() for x in (q, k))
        draws.append(fq @ fk.transpose(-1, -2) / 32)
    found, error = torch.stack(draws).mean(0), torch.stack(draws).std(0) / math.sqrt(len(draws))
    exact = torch.exp(q @ k.transpose(-1, -2) / math.sqrt(8))
    assert ((found - exact).abs() <= 4 * error).all()
    assert (error <= 0.1 * exact).all()  # or the line above would say nothing


def test_logits_far_out_of_range_stay_finite():
    attention = FastAttention(16, 2, "favor+")
    E = 200 * tokens()
    assert attention(E).isfinite().all()
    assert torch.allclose(attention.weights(E).sum(-1), torch.ones(()), atol=1e-5)


def test_literal_gauss_kernel_on_projections():
    torch.manual_seed(0)
    attention, E = FastAttention(8, 1, "gauss", "kdim", n_features=12), tokens(5, 8)
    q, k, v = (t.squeeze(2) for t in attention._heads(E))
    F = lambda x: torch.exp(-((x / 8**0.25 @ attention.projection.T) ** 2) / 2)  # noqa: E731
    assert torch.allclose(attention(E), attention.out(F(q) @ (F(k).transpose(1, 2) @ v) / 12), atol=1e-6)


class Multiplications(TorchDispatchMode):
    """Multiply-adds of the matrix products."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm):
            self.total += out.numel() * args[-2].shape[-1]  # the last two are the factors
        return out


@pytest.mark.parametrize("kernel", ["gauss", "relu", "favor+"])
def test_multiplications_are_linear_in_the_number_of_variates(kernel):
    attention = FastAttention(16, 2, kernel)

    def count(call, N):
        with Multiplications() as counter:
            call(tokens(N))
        return counter.total

    assert count(attention, 800) == 4 * count(attention, 200)
    assert count(attention.weights, 800) > 8 * count(attention.weights, 200)  # what forward never writes down


def test_softmax_is_taken_for_few_variates():
    assert break_even(128, 8) > 7
    assert break_even(128, 8) < break_even(512, 8) < 3200
    assert break_even(128, 8) == 6 * default_features(16)


def test_projections_change_in_training_only():
    torch.manual_seed(0)
    attention, E = FastAttention(16, 2, "favor+", redraw_every=3), tokens()
    first = attention.projection.clone()
    attention.eval()
    for _ in range(5):
        attention(E)
    assert torch.equal(attention.projection, first)
    attention.train()
    changed = []
    for _ in range(6):
        before = attention.projection.clone()
        attention(E)
        changed.append(not torch.equal(attention.projection, before))
    assert changed == [False, False, True] * 2


def test_projections_that_are_kept():
    attention = FastAttention(16, 2, "favor+", redraw_every=None)
    first = attention.projection.clone()
    attention(tokens())
    assert torch.equal(attention.projection, first)


def test_new_projections_take_nothing_from_the_global_generator():
    attention, E = FastAttention(16, 2, "favor+", redraw_every=1), tokens()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    attention(E)
    assert torch.equal(torch.rand(3), expected)


def test_training_goes_on_from_saved_weights_as_if_never_stopped():
    torch.manual_seed(0)
    attention, E = FastAttention(16, 2, "favor+", redraw_every=2), tokens()
    attention(E)
    loaded = FastAttention(16, 2, "favor+", redraw_every=2)
    loaded.load_state_dict(attention.state_dict())
    twin = copy.deepcopy(attention)
    for _ in range(4):
        expected = attention(E)
        assert torch.equal(loaded(E), expected)
        assert torch.equal(twin(E), expected)


def test_a_redraw_leaves_a_waiting_graph_alone():
    attention, E = FastAttention(16, 2, "favor+", redraw_every=1), tokens()
    (attention(E).sum() + attention(E).sum()).backward()
    assert attention.to_qkv.weight.grad.isfinite().all()
