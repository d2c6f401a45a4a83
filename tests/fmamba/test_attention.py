"""Kernel attention: its weights, its limit, its symmetry."""

import pytest
import torch

from skts.fmamba.attention import KERNELS, FastAttention, break_even, random_features


def tokens(N=9, d=16, seed=0):
    return torch.randn(3, N, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_forward_equals_the_weights_written_out(kernel, gated):
    torch.manual_seed(0)
    attention = FastAttention(16, 4, kernel, "row", gated)
    E = tokens()
    A = attention.weights(E)
    v = attention._heads(E)[2].transpose(1, 2)
    O = (A @ v).transpose(1, 2).flatten(2)  # noqa: E741
    O = O * torch.sigmoid(attention.gate(E)) if gated else O  # noqa: E741
    assert torch.allclose(attention(E), attention.out(O), atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_sum_to_one(kernel):
    torch.manual_seed(0)
    A = FastAttention(16, 4, kernel).weights(tokens())
    assert torch.allclose(A.sum(-1), torch.ones(()), atol=1e-5)
    assert (A >= 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_permuted_variates_give_permuted_tokens(kernel):
    torch.manual_seed(0)
    attention, E = FastAttention(16, 4, kernel), tokens()
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


def test_softmax_is_cheaper_for_few_variates():
    assert 7 < break_even(128, 8) < 200
