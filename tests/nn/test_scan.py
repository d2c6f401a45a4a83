"""The selective scan against the recurrence written step by step in float64."""

import pytest
import torch

from skts.nn.scan import selective_scan


def inputs(L, B=2, D=3, S=4, dtype=torch.float64, seed=0, grad=False):
    g = torch.Generator().manual_seed(seed)
    u, z = (torch.randn(B, L, D, generator=g, dtype=dtype) for _ in range(2))
    delta = torch.rand(B, L, D, generator=g, dtype=dtype)
    A = -torch.rand(D, S, generator=g, dtype=dtype) * 2
    Bm, C = (torch.randn(B, L, S, generator=g, dtype=dtype) for _ in range(2))
    skip, h0 = torch.randn(D, generator=g, dtype=dtype), torch.randn(B, D, S, generator=g, dtype=dtype)
    return tuple(t.requires_grad_(grad) for t in (u, delta, A, Bm, C, skip, z, h0))


def step_by_step(u, delta, A, B, C, D, z, h):
    out = torch.empty_like(u)
    for b in range(u.shape[0]):
        state = h[b].clone()
        for t in range(u.shape[1]):
            state = torch.exp(delta[b, t, :, None] * A) * state + (delta[b, t] * u[b, t])[:, None] * B[b, t]
            out[b, t] = (state @ C[b, t] + D * u[b, t]) * z[b, t] * torch.sigmoid(z[b, t])
    return out


@pytest.mark.parametrize("backend", ["loop", "recompute", "auto"])
@pytest.mark.parametrize("L", [1, 2, 7, 64, 883])
def test_scan_equals_the_recurrence(L, backend):
    args = inputs(L)
    expected = step_by_step(*args)
    assert torch.allclose(selective_scan(*args, backend=backend), expected, rtol=0, atol=1e-10)
    single = selective_scan(*(a.float() for a in args), backend=backend)
    assert torch.allclose(single.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("L", [1, 2, 7, 26])
def test_gradients_of_the_recomputing_backward_are_right(L):
    args = inputs(L, B=2, D=2, S=3, grad=True)

    def scan(*args):
        return selective_scan(*args, return_state=True, backend="recompute")

    assert torch.autograd.gradcheck(scan, args, fast_mode=L > 7)


@pytest.mark.parametrize("backend", ["loop", "recompute"])
def test_two_halves_equal_the_whole(backend):
    u, delta, A, B, C, D, z, h0 = inputs(50)
    whole, h = selective_scan(u, delta, A, B, C, D, z, h0, return_state=True, backend=backend)
    state, parts = h0, []
    for half in (slice(0, 21), slice(21, 50)):
        part, state = selective_scan(
            u[:, half], delta[:, half], A, B[:, half], C[:, half], D, z[:, half], state, True, backend
        )
        parts.append(part)
    assert torch.allclose(torch.cat(parts, 1), whole)
    assert torch.allclose(state, h)


def test_backends_give_the_same_gradients():
    grads = []
    for backend in ("loop", "recompute"):
        args = inputs(40, grad=True)
        selective_scan(*args, backend=backend).square().sum().backward()
        grads.append([a.grad for a in args])
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-10) for a, b in zip(*grads, strict=True))


def test_half_precision_is_computed_in_float32():
    args = [a.to(torch.bfloat16) for a in inputs(200)]
    out = selective_scan(*args, backend="recompute")
    expected = selective_scan(*(a.float() for a in args), backend="recompute")
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, expected.to(torch.bfloat16))


def test_unknown_backend_is_an_error():
    with pytest.raises(ValueError, match="one of"):
        selective_scan(*inputs(3), backend="cuda")
