r"""Kernels of the compiled scan: one register of neighbouring channels at a time, from the first step to the last.

All states of a register pass through the processor's first cache: a step reads the inputs and writes the output, and no
array of the size (B, L, D, S) exists. Forward keeps the states at the starts of chunks. Backward replays a chunk on a
small tape, then runs it from the right:

.. math::

    g_t = C_t \bar y_t + \bar A_{t+1} g_{t+1}, \quad
    \bar u_t = \Delta_t \textstyle\sum_s g_t B_t, \quad
    \bar \Delta_t = \textstyle\sum_s g_t \bar A_t h_{t-1} A + u_t \sum_s g_t B_t

with :math:`\bar A_t = \exp(\Delta_t A)` and :math:`\bar y` the gradient that comes in.

``inputs`` is (u, delta, A, B, C, D) throughout, with A (S, D); b is the row of the batch, d the register's first
channel, t a step, s a state. Nothing here checks an index: the caller has checked the shapes.
"""

import numba

from skts.nn.lanes import exp, fma, inverse, load, mul, store, total, zero

__all__ = ["CHUNK", "backward", "forward", "scratch_rows"]

CHUNK = 32  # steps between kept states: 1/32 of their memory, and the tape stays in the second cache

scratch_rows = 3 + (CHUNK + 1) + CHUNK  # rates, carry, sum into A; states and decays of a chunk


def _jit(function):
    """Compile without the interpreter's lock; kept on disk where there is a writable place for it.

    numba compiles anew when this file has another date, not when lanes.py has: touch this one when that one changes.
    """
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no such place
        return numba.njit(nogil=True, error_model="numpy")(function)


@_jit
def _sigmoid(x):
    return inverse(fma(exp(mul(x, -1.0)), 1.0, 1.0))


@_jit
def _registers(item, parts, u, lanes):
    """Row of the batch, and first and last register, of one of the ``parts`` of that row."""
    n_registers, part = u.shape[2] // lanes, item % parts
    return item // parts, n_registers * part // parts, n_registers * (part + 1) // parts


@_jit
def forward(first, last, parts, inputs, z, h, starts, y, scratch):
    """Outputs, last states (in place of the first) and states at the starts of chunks, for a range of items."""
    lanes = scratch.shape[2]
    for item in range(first, last):
        b, low, high = _registers(item, parts, y, lanes)
        for register in range(low, high):
            _forward_register(b, register * lanes, inputs, z, h, starts, y, scratch[0], scratch[1])


@_jit
def _forward_register(b, d, inputs, z, h, starts, y, rates, states):
    u, delta, A, B, C, D = inputs
    S = A.shape[0]
    for s in range(S):
        store(rates, (s, 0), load(A, (s, d)))
        store(states, (s, 0), load(h, (b, s, d)))
    for t in range(u.shape[1]):
        if t % CHUNK == 0:
            for s in range(S):
                store(starts, (b, t // CHUNK, s, d), load(states, (s, 0)))
        x, step = load(u, (b, t, d)), load(delta, (b, t, d))
        drive, out = mul(x, step), mul(x, load(D, (d,)))
        for s in range(S):
            decay = exp(mul(step, load(rates, (s, 0))))
            state = fma(decay, load(states, (s, 0)), mul(drive, B[b, t, s]))
            store(states, (s, 0), state)
            out = fma(state, C[b, t, s], out)
        if z is not None:
            gate = load(z, (b, t, d))
            out = mul(out, mul(gate, _sigmoid(gate)))
        store(y, (b, t, d), out)
    for s in range(S):
        store(h, (b, s, d), load(states, (s, 0)))


@_jit
def backward(first, last, parts, inputs, z, starts, g_y, grads, g_z, scratch):
    """Gradients of the inputs and of the first state, which arrives as that of the last, for a range of items."""
    A = inputs[2]
    _, _, g_A, _, _, _, g_h = grads
    S, lanes, length = A.shape[0], scratch.shape[2], g_y.shape[1]
    rates, carry, into_A = scratch[0], scratch[1], scratch[2]
    tape = (rates, carry, into_A, scratch[3 : CHUNK + 4], scratch[CHUNK + 4 :])
    for item in range(first, last):
        b, first_register, last_register = _registers(item, parts, g_y, lanes)
        for register in range(first_register, last_register):
            d = register * lanes
            for s in range(S):
                store(rates, (s, 0), load(A, (s, d)))
                store(carry, (s, 0), load(g_h, (b, s, d)))
                store(into_A, (s, 0), zero(A))
            for chunk in range((length - 1) // CHUNK, -1, -1):
                low, high = chunk * CHUNK, min((chunk + 1) * CHUNK, length)
                _replay(low, high, b, d, inputs, z, starts, g_y, g_z, tape)
                _reverse(low, high, b, d, item % parts, inputs, z, g_y, grads, tape)
            for s in range(S):
                store(g_A, (b, s, d), load(into_A, (s, 0)))
                store(g_h, (b, s, d), load(carry, (s, 0)))


@_jit
def _replay(low, high, b, d, inputs, z, starts, g_y, g_z, tape):
    """States and decays of one chunk anew, and the gradient of the gate, which needs the ungated output."""
    u, delta, _, B, C, D = inputs
    rates, _, _, states, decays = tape
    S = rates.shape[0]
    for s in range(S):
        store(states, (0, s, 0), load(starts, (b, low // CHUNK, s, d)))
    for t in range(low, high):
        q = t - low
        x, step = load(u, (b, t, d)), load(delta, (b, t, d))
        drive, out = mul(x, step), mul(x, load(D, (d,)))
        for s in range(S):
            decay = exp(mul(step, load(rates, (s, 0))))
            state = fma(decay, load(states, (q, s, 0)), mul(drive, B[b, t, s]))
            store(decays, (q, s, 0), decay)
            store(states, (q + 1, s, 0), state)
            if z is not None:
                out = fma(state, C[b, t, s], out)
        if z is not None:
            gate = load(z, (b, t, d))
            share = _sigmoid(gate)
            slope = fma(mul(gate, share), fma(share, -1.0, 1.0), share)  # of SiLU
            store(g_z, (b, t, d), mul(mul(out, slope), load(g_y, (b, t, d))))


@_jit
def _reverse(low, high, b, d, part, inputs, z, g_y, grads, tape):
    """One chunk from the right; the carry is the gradient of the state that leaves it, then of the one that enters."""
    u, delta, _, B, C, D = inputs
    g_u, g_delta, _, g_B, g_C, g_D, _ = grads
    rates, carry, into_A, states, decays = tape
    S = rates.shape[0]
    into_D = load(g_D, (b, d))
    for t in range(high - 1, low - 1, -1):
        q = t - low
        x, step, into_y = load(u, (b, t, d)), load(delta, (b, t, d)), load(g_y, (b, t, d))
        if z is not None:
            gate = load(z, (b, t, d))
            into_y = mul(into_y, mul(gate, _sigmoid(gate)))
        drive, into_drive, into_step = mul(x, step), zero(u), zero(u)
        for s in range(S):
            into_state = fma(into_y, C[b, t, s], load(carry, (s, 0)))
            g_B[part, b, t, s] += total(mul(into_state, drive))
            g_C[part, b, t, s] += total(mul(into_y, load(states, (q + 1, s, 0))))
            into_drive = fma(into_state, B[b, t, s], into_drive)
            into_state = mul(into_state, load(decays, (q, s, 0)))
            store(carry, (s, 0), into_state)
            into_exponent = mul(into_state, load(states, (q, s, 0)))
            into_step = fma(into_exponent, load(rates, (s, 0)), into_step)
            store(into_A, (s, 0), fma(into_exponent, step, load(into_A, (s, 0))))
        store(g_u, (b, t, d), fma(into_y, load(D, (d,)), mul(step, into_drive)))
        store(g_delta, (b, t, d), fma(x, into_drive, into_step))
        into_D = fma(into_y, x, into_D)
    store(g_D, (b, d), into_D)
