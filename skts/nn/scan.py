r"""Selective scan: the linear recurrence of a state space whose step size and projections depend on the input.

.. math::

    h_t = \exp(\Delta_t A) \odot h_{t-1} + (\Delta_t u_t) \otimes B_t, \qquad
    y_t = h_t C_t + D \odot u_t, \qquad \text{out}_t = y_t \odot \operatorname{SiLU}(z_t)

References
----------
A. Gu, T. Dao: Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023,
https://arxiv.org/abs/2312.00752. As its implementations do, the input matrix is discretised by Euler's rule.
"""

import functools
import importlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["first_derivative_only", "selective_scan"]

_BACKENDS = ("auto", "compiled", "recompute", "loop", "mamba_ssm")
_HALF = (torch.float16, torch.bfloat16)


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
    backend : {"auto", "compiled", "recompute", "loop", "mamba_ssm"}, default="auto"
        "compiled" is a kernel for the CPU made by numba (``pip install skts[fast]``): states stay in registers and
        cache, and its results do not depend on the number of threads (``torch.set_num_threads``). "recompute" is plain
        torch: it keeps only the states at the starts of chunks of about sqrt(L) steps and recomputes the others in the
        backward pass. "loop" is the recurrence itself under autograd. "mamba_ssm" calls the CUDA kernel of that package
        (without ``h0`` and ``return_state``); our tests hold only the call against a stand-in, since they run without a
        GPU. "auto" is "loop" while a graph is traced or exported, else "compiled" where it can be had, else
        "recompute".

    Returns
    -------
    out : Tensor of shape (B, L, D)
        The output, in the precision of ``u``.
    h : Tensor of shape (B, D, S)
        The state after the last step; only with ``return_state``.

    Raises
    ------
    ValueError
        If ``backend`` or a shape is not as above, or if ``backend`` cannot do what is asked for.
    ImportError
        If the package of ``backend`` is not installed.

    Notes
    -----
    Half-precision inputs are computed in float32, under autocast too, since small steps vanish in half precision; the
    output comes back in the input's precision.

    The first compiled call of a precision takes one to two seconds forward and as many backward, while numba compiles;
    the result is kept on disk beside the package or in the user's cache folder, and the first call of a later process
    takes about half a second, most of it numba's own import. All backends are differentiable once, "loop" as often as
    you like.

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
    _check_shapes(u, delta, A, B, C, D, z, h0)
    dtype = u.dtype
    wide = torch.float32 if dtype in _HALF else dtype
    name = _choose(u) if backend == "auto" else backend
    compiled = _compiled(wide, u.device) if name == "compiled" else None
    with _no_autocast(u.device.type):
        u, delta, A, B, C = (t.to(wide) for t in (u, delta, A, B, C))
        D, z, h0 = (None if t is None else t.to(wide) for t in (D, z, h0))
        if name == "mamba_ssm":
            return _mamba_ssm(u, delta, A, B, C, D, z, h0, return_state).to(dtype)
        # Inside, states are (B, S, D): the wide axis last makes every product with a step a run over memory.
        h = u.new_zeros(u.shape[0], *A.T.shape) if h0 is None else h0.transpose(1, 2)
        if compiled is not None:
            y, h = compiled(u, delta, A.T, B, C, D, z, h)
        else:
            y, h = (_loop if name == "loop" else _recompute)(u, delta, A.T.contiguous(), B, C, h)
            y = y if D is None else y + D * u
            y = y if z is None else y * F.silu(z)
    y = y.to(dtype)
    return (y, h.transpose(1, 2)) if return_state else y


def _no_autocast(device_type: str) -> AbstractContextManager[object]:
    """Nothing where autocast is off: an exported graph would keep the switch as an operation of its own."""
    on = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if on else nullcontext()


def _check_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, h0: Tensor | None
) -> None:
    """Compiled code reads memory without asking: shapes that disagree end here."""
    if u.ndim != 3 or A.ndim != 2 or u.shape[1] == 0:
        raise ValueError(
            f"Expected u of shape (B, L, D) with L >= 1 and A of shape (D, S). Got {tuple(u.shape)} and "
            f"{tuple(A.shape)}. Give one row for each sequence and one step at least."
        )
    (batch, length, width), states = u.shape, A.shape[1]
    expected = {
        "delta": (delta, (batch, length, width)),
        "A": (A, (width, states)),
        "B": (B, (batch, length, states)),
        "C": (C, (batch, length, states)),
        "D": (D, (width,)),
        "z": (z, (batch, length, width)),
        "h0": (h0, (batch, width, states)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"Expected {name} of shape {shape}, to go with u {tuple(u.shape)} and A {tuple(A.shape)}. "
                f"Got {tuple(tensor.shape)}. Expand or transpose it."
            )


def _choose(u: Tensor) -> str:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return "loop"  # a graph that others run holds plain operations only
    on_cpu = u.device.type == "cpu" and u.dtype in (torch.float32, torch.float64, *_HALF)
    return "compiled" if on_cpu and _compiled_scan() is not None else "recompute"


@functools.cache
def _compiled_scan() -> Callable[..., tuple[Tensor, Tensor]] | None:
    """The compiled scan; imported at the first call, since numba takes a third of a second."""
    try:
        return importlib.import_module("skts.nn.scan_compiled").compiled_scan  # type: ignore[no-any-return]
    except ImportError:  # not installed, or too old for the numpy at hand
        return None


def _compiled(dtype: torch.dtype, device: torch.device) -> Callable[..., tuple[Tensor, Tensor]]:
    scan = _compiled_scan()
    if scan is None:
        raise ImportError(
            "Expected numba for backend='compiled'. It cannot be imported here. "
            "Install it by pip install 'skts[fast]', or take backend='auto'."
        )
    if device.type != "cpu" or dtype not in (torch.float32, torch.float64):
        raise ValueError(
            "Expected tensors on the CPU, of float32, float64 or half precision, for backend='compiled'. "
            f"Got {dtype} on {device}. Take backend='auto'."
        )
    return scan


def _mamba_ssm(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    h0: Tensor | None,
    return_state: bool,
) -> Tensor:
    if h0 is not None or return_state:
        raise ValueError(
            "Expected neither h0 nor return_state with backend='mamba_ssm', whose kernel starts at zero and gives no "
            "gradient of its last state. Got one of them. Take backend='recompute'."
        )
    try:
        kernel = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except ImportError as error:
        raise ImportError(
            "Expected the package mamba_ssm for backend='mamba_ssm'. It cannot be imported here. "
            "Install it on a machine with CUDA, or take backend='auto'."
        ) from error
    u, delta, B, C = (t.transpose(1, 2).contiguous() for t in (u, delta, B, C))  # time goes last there
    y: Tensor = kernel(u, delta, A, B, C, D, None if z is None else z.transpose(1, 2).contiguous())
    return y.transpose(1, 2)


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


def first_derivative_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse ``create_graph``: torch would take a backward written by hand for a constant where the gradient is one."""

    @functools.wraps(backward)
    def checked(*args: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Expected a first derivative of selective_scan. Got create_graph=True, for a second one, which this "
                "backend does not have. Take backend='loop'."
            )
        return backward(*args)

    return checked


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
        slabs = u.new_empty(2, size, *h.shape)
        for chunk in _chunks(length, size):
            starts.append(h)
            _, states = _states(u[chunk], delta[chunk], A, B[chunk], h, slabs)
            torch.matmul(C[chunk].unsqueeze(-2), states, out=y[chunk].unsqueeze(-2))
            h = states[-1].clone()
        ctx.save_for_backward(u, delta, A, B, C, *starts)
        ctx.size = size
        return y.transpose(0, 1), h

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, grad_y: Tensor, grad_h: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, *starts = ctx.saved_tensors
        grad_y = grad_y.transpose(0, 1).contiguous()
        grad_u, grad_delta, grad_B, grad_C = (torch.empty_like(t) for t in (u, delta, B, C))
        grad_A = torch.zeros_like(A)
        slabs = u.new_empty(3, ctx.size, *grad_h.shape)  # reused: memory fresh from the system costs as much as a sum
        chunks = _chunks(len(u), ctx.size)
        for chunk, h in zip(reversed(chunks), reversed(starts), strict=True):
            u_c, delta_c, B_c, gy = u[chunk], delta[chunk], B[chunk], grad_y[chunk]
            decay, states = _states(u_c, delta_c, A, B_c, h, slabs)
            grad_C[chunk] = _over_channels(gy, states)
            # g_t = C_t gy_t + decay_{t+1} g_{t+1}, from the right; grad_h is what comes from the chunk after this one
            g = torch.mul(C[chunk].unsqueeze(-1), gy.unsqueeze(-2), out=slabs[2, : len(gy)])  # (Q, B, S, D)
            steps, decays = g.unbind(0), decay.unbind(0)
            steps[-1].add_(grad_h)
            for t in range(len(steps) - 2, -1, -1):
                steps[t].addcmul_(decays[t + 1], steps[t + 1])
            g_B = torch.matmul(B_c.unsqueeze(-2), g).squeeze(-2)  # (Q, B, D)
            grad_B[chunk] = _over_channels(delta_c * u_c, g)
            grad_u[chunk] = delta_c * g_B
            grad_h = decay[0] * g[0]
            g[0].mul_(h)
            g[1:].mul_(states[:-1])
            g.mul_(decay)  # gradient of the exponent delta_t A
            grad_delta[chunk] = torch.mul(g, A, out=states).sum(-2).addcmul_(u_c, g_B)
            grad_A += g.mul_(delta_c.unsqueeze(-2)).sum((0, 1))
        over_time = (grad_u, grad_delta, grad_B, grad_C)
        grad_u, grad_delta, grad_B, grad_C = (t.transpose(0, 1) for t in over_time)
        return grad_u, grad_delta, grad_A, grad_B, grad_C, grad_h


def _over_channels(x: Tensor, states: Tensor) -> Tensor:
    """Sum over D of (Q, B, D) times (Q, B, S, D): a row times a matrix, 8 times as fast as a matrix times a column."""
    return torch.matmul(x.unsqueeze(-2), states.transpose(-1, -2)).squeeze(-2)


def _chunks(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _states(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, h: Tensor, slabs: Tensor) -> tuple[Tensor, Tensor]:
    """Decays and states of one chunk, time first, written into the first two slabs: (Q, B, S, D) each."""
    # To the base 2, which torch computes two to three times as fast as to the base e.
    decay = torch.mul(delta.unsqueeze(-2), A / math.log(2), out=slabs[0, : len(u)]).exp2_()
    states = torch.mul((delta * u).unsqueeze(-2), B.unsqueeze(-1), out=slabs[1, : len(u)])
    for a_t, state in zip(decay.unbind(0), states.unbind(0), strict=True):
        h = state.addcmul_(a_t, h)
    return decay, states
