r"""Selective scan: the linear recurrence of a state space whose step size and projections depend on the input.

.. math::

    h_t = \exp(\Delta_t A) \odot h_{t-1} + (\Delta_t u_t) \otimes B_t, \qquad
    y_t = h_t C_t + D \odot u_t, \qquad \text{out}_t = y_t \odot \operatorname{SiLU}(z_t)

References
----------
A. Gu, T. Dao: Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023,
https://arxiv.org/abs/2312.00752. As its implementations do, the input matrix is discretised by Euler's rule.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["selective_scan"]

_BACKENDS = ("auto", "loop", "recompute")


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    h0: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Run the selective state space over axis 1.

    Parameters
    ----------
    u : Tensor of shape (B, L, D)
        Input.
    delta : Tensor of shape (B, L, D)
        Step sizes, positive.
    A : Tensor of shape (D, S)
        Rates, negative: the state then decays and nothing can overflow.
    B, C : Tensor of shape (B, L, S)
        Input and output projections of the state.
    D : Tensor of shape (D,), optional
        Weight of the input in the output.
    z : Tensor of shape (B, L, D), optional
        Gate; the output is multiplied by SiLU(z).
    h0 : Tensor of shape (B, D, S), optional
        State before the first step; zero by default.
    return_state : bool, default=False
        Also return the state after the last step: a scan of two halves equals the scan of the whole.
    backend : {"auto", "loop", "recompute"}, default="auto"
        "loop" is the plain recurrence under autograd. "recompute" keeps only the states at the starts of chunks of
        about sqrt(L) steps and recomputes the others in the backward pass: faster, and several times smaller for long
        sequences. "auto" is "recompute".

    Returns
    -------
    out : Tensor of shape (B, L, D)
        The output, in the precision of ``u``.
    h : Tensor of shape (B, D, S)
        The state after the last step; only with ``return_state``.

    Notes
    -----
    Half-precision inputs are computed in float32, under autocast too, since small steps vanish in half precision; the
    output comes back in the input's precision.

    Examples
    --------
    >>> import torch
    >>> from skts.nn.scan import selective_scan
    >>> u, delta = torch.ones(1, 3, 2), torch.ones(1, 3, 2)
    >>> A, B, C = -torch.ones(2, 1), torch.ones(1, 3, 1), torch.ones(1, 3, 1)
    >>> selective_scan(u, delta, A, B, C)[0, :, 0]
    tensor([1.0000, 1.3679, 1.5032])
    """
    if backend not in _BACKENDS:
        raise ValueError(f"Expected backend to be one of {_BACKENDS}. Got {backend!r}. Choose one of these names.")
    dtype = u.dtype
    half = dtype in (torch.float16, torch.bfloat16)
    with torch.autocast(u.device.type, enabled=False):
        wide = torch.float32 if half else dtype
        u, delta, A, B, C = (t.to(wide) for t in (u, delta, A, B, C))
        h = u.new_zeros(u.shape[0], *A.shape) if h0 is None else h0.to(wide)
        # Inside, states are (B, S, D): the wide axis last makes every product with a step a run over memory.
        y, h = (_loop if backend == "loop" else _recompute)(u, delta, A.T.contiguous(), B, C, h.transpose(1, 2))
        if D is not None:
            y = y + D.to(wide) * u
        if z is not None:
            y = y * F.silu(z.to(wide))
    y = y.to(dtype)
    return (y, h.transpose(1, 2)) if return_state else y


def _loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    decay = torch.exp(delta.unsqueeze(-2) * A)  # (B, L, S, D)
    drive = (delta * u).unsqueeze(-2) * B.unsqueeze(-1)  # (B, L, S, D)
    states = []
    # unbind, not decay[:, t]: the backward of indexing fills a whole zero tensor at every step, O(L^2) in all.
    for a_t, b_t in zip(decay.unbind(1), drive.unbind(1), strict=True):
        h = torch.addcmul(b_t, a_t, h)
        states.append(h)
    y = torch.matmul(C.unsqueeze(-2), torch.stack(states, 1)).squeeze(-2)  # (B, L, D)
    return y, h


def _recompute(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    y, h = _Recompute.apply(u, delta, A, B, C, h)  # type: ignore[no-untyped-call]
    return y, h


class _Recompute(torch.autograd.Function):
    """The scan in chunks; backward recomputes the states of a chunk from the state at its start."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, h0: Tensor
    ) -> tuple[Tensor, Tensor]:
        u, delta, B, C = (t.transpose(0, 1).contiguous() for t in (u, delta, B, C))  # time first: steps are slabs
        length = u.shape[0]
        size = math.isqrt(max(length - 1, 0)) + 1
        y, h, starts = torch.empty_like(u), h0.contiguous(), []
        for chunk in _chunks(length, size):
            starts.append(h)
            _, states = _states(u[chunk], delta[chunk], A, B[chunk], h)
            torch.matmul(C[chunk].unsqueeze(-2), states, out=y[chunk].unsqueeze(-2))
            h = states[-1].clone()
        ctx.save_for_backward(u, delta, A, B, C, *starts)
        ctx.size = size
        return y.transpose(0, 1), h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_h: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, *starts = ctx.saved_tensors
        grad_y = grad_y.transpose(0, 1)
        grad_u, grad_delta, grad_B, grad_C = (torch.empty_like(t) for t in (u, delta, B, C))
        grad_A = torch.zeros_like(A)
        chunks = _chunks(len(u), ctx.size)
        for chunk, h in zip(reversed(chunks), reversed(starts), strict=True):
            u_c, delta_c, B_c, gy = u[chunk], delta[chunk], B[chunk], grad_y[chunk]
            decay, states = _states(u_c, delta_c, A, B_c, h)
            grad_C[chunk] = torch.matmul(states, gy.unsqueeze(-1)).squeeze(-1)
            # g_t = C_t gy_t + decay_{t+1} g_{t+1}, from the right; grad_h is what comes from the chunk after this one
            g = C[chunk].unsqueeze(-1) * gy.unsqueeze(-2)  # (Q, B, S, D)
            slabs = g.unbind(0)
            slabs[-1].add_(grad_h)
            for t in range(len(slabs) - 2, -1, -1):
                slabs[t].addcmul_(decay[t + 1], slabs[t + 1])
            g_B = torch.matmul(B_c.unsqueeze(-2), g).squeeze(-2)  # (Q, B, D)
            grad_B[chunk] = torch.matmul(g, (delta_c * u_c).unsqueeze(-1)).squeeze(-1)
            grad_u[chunk] = delta_c * g_B
            grad_h = decay[0] * g[0]
            g[0].mul_(h)
            g[1:].mul_(states[:-1])
            g.mul_(decay)  # gradient of the exponent delta_t A
            grad_delta[chunk] = (g * A).sum(-2) + u_c * g_B
            grad_A += g.mul_(delta_c.unsqueeze(-2)).sum((0, 1))
        over_time = (grad_u, grad_delta, grad_B, grad_C)
        grad_u, grad_delta, grad_B, grad_C = (t.transpose(0, 1) for t in over_time)
        return grad_u, grad_delta, grad_A, grad_B, grad_C, grad_h


def _chunks(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _states(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Decays and states of one chunk, time first: (Q, B, S, D) each."""
    decay = (delta.unsqueeze(-2) * A).exp_()
    states = (delta * u).unsqueeze(-2) * B.unsqueeze(-1)
    for a_t, state in zip(decay.unbind(0), states.unbind(0), strict=True):
        h = state.addcmul_(a_t, h)
    return decay, states
