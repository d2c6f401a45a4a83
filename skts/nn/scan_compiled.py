"""The selective scan compiled by numba for the CPU; needs the extra ``fast``.

The work is cut by the shapes alone, so that the results do not depend on the number of threads.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skts.nn import scan_kernel
from skts.nn.lanes import lanes_of
from skts.nn.scan import first_derivative_only
from skts.nn.threads import share

__all__ = ["compiled_scan"]

_ITEMS = 64  # pieces of work to aim at: enough for the threads of a large machine
_SMALL = 1 << 20  # below this number of state updates (about 1 ms) one thread is faster than waking others


def compiled_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Output (B, L, D) and last state (B, S, D); A is (S, D) and h (B, S, D). All of one precision, on the CPU."""
    n_channels = u.shape[-1]
    u, delta, A, h = (_whole_registers(t) for t in (u, delta, A, h))
    D = u.new_zeros(u.shape[-1]) if D is None else _whole_registers(D)
    z = None if z is None else _whole_registers(z)
    y, h = _Compiled.apply(u, delta, A, B.contiguous(), C.contiguous(), D, z, h)  # type: ignore[no-untyped-call]
    return (y, h) if y.shape[-1] == n_channels else (y[..., :n_channels], h[..., :n_channels])


def _whole_registers(t: Tensor) -> Tensor:
    """Channels filled up to a multiple of the lanes, the last axis of everything."""
    missing = -t.shape[-1] % lanes_of(t.dtype)
    return (F.pad(t, (0, missing)) if missing else t).contiguous()


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None, h: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = (u, delta, A, B, C, D)
        h, y = h.clone(), torch.empty_like(u)
        starts = u.new_empty(len(u), -(-u.shape[1] // scan_kernel.CHUNK), *A.shape)
        _run(scan_kernel.forward, inputs, z, h, starts, y)
        ctx.save_for_backward(*inputs, z, starts)
        return y, h

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, g_y: Tensor, g_h: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, z, starts = ctx.saved_tensors
        u, delta, A, B, C, D = inputs
        g_u, g_delta = torch.empty_like(u), torch.empty_like(delta)
        g_z = None if z is None else torch.empty_like(z)
        g_h = g_h.clone(memory_format=torch.contiguous_format)
        # Sums over what different items hold: one term for each, added at the end, in the same order always.
        g_A, g_D = u.new_empty(len(u), *A.shape), u.new_zeros(len(u), *D.shape)
        g_B, g_C = u.new_zeros(_parts(u), *B.shape), u.new_zeros(_parts(u), *C.shape)
        grads = (g_u, g_delta, g_A, g_B, g_C, g_D, g_h)
        _run(scan_kernel.backward, tuple(inputs), z, starts, g_y.contiguous(), grads, g_z)
        return g_u, g_delta, g_A.sum(0), g_B.sum(0), g_C.sum(0), g_D.sum(0), g_z, g_h


def _parts(u: Tensor) -> int:
    """Pieces into which the channels of one row of the batch are cut."""
    return min(u.shape[-1] // lanes_of(u.dtype), -(-_ITEMS // max(len(u), 1)))


def _run(kernel: Callable[..., None], inputs: tuple[Tensor, ...], *others: Any) -> None:
    """Share the items of a kernel among threads, each with a scratch of its own."""
    u, A = inputs[0], inputs[2]
    parts, arrays = _parts(u), _arrays((inputs, *others))

    def work(first: int, last: int) -> None:
        scratch = u.new_empty(scan_kernel.scratch_rows, A.shape[0], lanes_of(u.dtype))
        kernel(first, last, parts, *arrays, scratch.numpy())

    small = u.numel() * A.shape[0] < _SMALL
    share(work, n_items=len(u) * parts, n_threads=1 if small else torch.get_num_threads())


def _arrays(given: Any) -> Any:
    """The memory of tensors, in tuples as they come."""
    if isinstance(given, tuple):
        return tuple(_arrays(g) for g in given)
    return None if given is None else given.detach().numpy()
