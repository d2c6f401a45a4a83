"""The Mamba block: its order, its start, its precision, its export."""

import pytest
import torch
from torch.nn import functional as F

from skts.fmamba.mamba import BiMamba, Mamba


def tokens(N=9, d=16, seed=0):
    return torch.randn(2, N, d, generator=torch.Generator().manual_seed(seed))


def test_a_token_sees_those_before_it_alone():
    torch.manual_seed(0)
    mamba, E = Mamba(16, 4), tokens()
    later = E.clone()
    later[:, 5] += 1
    assert torch.allclose(mamba(later)[:, :5], mamba(E)[:, :5], atol=1e-6)
    assert (mamba(later)[:, 5:] - mamba(E)[:, 5:]).abs().amax((0, 2)).gt(0).all()


def test_two_directions_see_all_and_swap_when_the_order_turns():
    torch.manual_seed(0)
    both, E = BiMamba(16, 4), tokens()
    later = E.clone()
    later[:, 5] += 1
    assert (both(later) - both(E)).abs().amax((0, 2)).gt(0).all()
    turned = BiMamba(16, 4)
    turned.forth, turned.back = both.back, both.forth
    assert torch.allclose(turned(E.flip(1)).flip(1), both(E), atol=1e-6)


def test_steps_start_between_a_thousandth_and_a_tenth():
    torch.manual_seed(0)
    steps = F.softplus(Mamba(256).to_step.bias)
    assert 9e-4 < steps.min() < 2e-3
    assert 0.05 < steps.max() < 0.11


def test_tokens_in_turn_equal_the_recurrence():
    torch.manual_seed(0)
    mamba, E = Mamba(8, 3, d_conv=2, expand=2).double(), tokens(6, 8).double()
    x, z = mamba.to_xz(E).chunk(2, -1)
    before = F.pad(x, (0, 0, 1, 0))[:, :-1]
    x = F.silu(before * mamba.conv.weight[:, 0, 0] + x * mamba.conv.weight[:, 0, 1] + mamba.conv.bias)
    step, B, C = mamba.to_delta_B_C(x).split(mamba.sizes, -1)
    delta, A = F.softplus(mamba.to_step(step)), -mamba.A_log.exp()
    h, out = torch.zeros(2, 16, 3, dtype=torch.float64), []
    for t in range(6):
        h = torch.exp(delta[:, t, :, None] * A) * h + (delta[:, t] * x[:, t])[..., None] * B[:, t, None]
        out.append((h * C[:, t, None]).sum(-1) + mamba.D * x[:, t])
    assert torch.allclose(mamba(E), mamba.out(torch.stack(out, 1) * F.silu(z)), atol=1e-12)


@pytest.mark.parametrize(("N", "d_conv"), [(9, 1), (9, 2), (9, 4), (3, 4), (1, 4)])
def test_the_convolution_by_taps_is_torchs(N, d_conv):
    mamba, x = Mamba(16, 2, d_conv), tokens(N)
    padded = F.pad(x, (0, 0, d_conv - 1, 0)).transpose(1, 2)
    assert torch.allclose(mamba._convolve(x), mamba.conv(padded).transpose(1, 2), atol=1e-6)


def test_autocast_leaves_the_state_in_single_precision():
    torch.manual_seed(0)
    mamba, E = Mamba(16, 4), tokens(64)
    with torch.autocast("cpu", torch.bfloat16):
        found = mamba(E)
    assert found.isfinite().all()
    assert torch.allclose(found.float(), mamba(E), atol=0.02)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_block_exports_as_plain_operations():
    torch.manual_seed(0)
    mamba, E = BiMamba(8, 2).eval(), tokens(3, 8)
    program = torch.export.export(mamba, (E,))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert all("aten." in name or "getitem" in name for name in called)
    other = tokens(3, 8, seed=1)
    assert torch.allclose(program.module()(other), mamba(other), atol=1e-5)
