"""Coarse steps first, finer ones in between: a hierarchy of flow maps as one simulator of all trajectories at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["compose", "hermite", "schedule"]

# advance(level, z, at) -> the states one step of the level later; at are the times of z in samples
Advance = Callable[[int, Tensor, list[int]], Tensor]


def schedule(steps: Sequence[int], n: int) -> list[tuple[int, list[tuple[list[int], list[int]]]]]:
    """Which states each level computes, from which: (step, rounds of (from, to)), the coarsest level first.

    Every level starts from all states that are known and goes on until the next known one, so that no time is computed
    twice and a coarse state is never overwritten. The finest level also goes on behind the last one until n is reached.

    Parameters
    ----------
    steps : sequence of int
        Step sizes in samples.
    n : int
        Last sample that is wanted.
    """
    known, levels = [0], []
    ordered = sorted(set(steps), reverse=True)
    for step in ordered:
        finest = step == ordered[-1]
        ends = [*known[1:], n + step if finest else n + 1]
        rounds: list[tuple[list[int], list[int]]] = []
        front = list(zip(known, ends, strict=True))
        while front := [(at, end) for at, end in front if at + step < end]:
            rounds.append(([at for at, _ in front], [at + step for at, _ in front]))
            front = [(at + step, end) for at, end in front]
        levels.append((step, rounds))
        known = sorted({*known, *(time for _, to in rounds for time in to)})
    return levels


def compose(z0: Tensor, steps: Sequence[int], n: int, advance: Advance) -> tuple[Tensor, Tensor]:
    """States at all times that the hierarchy reaches.

    Parameters
    ----------
    z0 : Tensor of shape (B, z)
        Where the trajectories start.
    steps : sequence of int
        Step sizes in samples.
    n : int
        Last sample that is wanted; the last state may lie up to one finest step later.
    advance : callable
        ``advance(step, z, at)``: states (B * m, z) at times (m,), trajectories first, one step later.

    Returns
    -------
    times : Tensor of shape (m,)
        Samples, in order, beginning with 0.
    states : Tensor of shape (B, m, z)
        The states there.
    """
    levels = schedule(steps, n)
    times = sorted({0, *(time for _, rounds in levels for _, to in rounds for time in to)})
    place = {time: i for i, time in enumerate(times)}
    states = z0.new_zeros(len(z0), len(times), z0.shape[1])
    states[:, 0] = z0
    for step, rounds in levels:
        for start, stop in rounds:
            if len(start) == 1:  # thousands of long steps one after another: every microsecond counts
                states[:, place[stop[0]]] = advance(step, states[:, place[start[0]]], start)
                continue
            here = states[:, [place[t] for t in start]]
            states[:, [place[t] for t in stop]] = advance(step, here.flatten(0, 1), start).view_as(here)
    return torch.tensor(times), states


def hermite(times: Tensor, states: Tensor, wanted: Tensor) -> Tensor:  # (m,), (B, m, z), (k,) -> (B, k, z)
    """Cubic Hermite interpolation with slopes by differences; at known times it is the state itself."""
    if len(times) == 1:
        return states.expand(-1, len(wanted), -1)
    t, wanted = times.to(states.dtype), wanted.to(states.dtype)
    left = (torch.searchsorted(t, wanted, right=True) - 1).clamp(0, len(t) - 2)
    known = torch.searchsorted(t, wanted).clamp_max(len(t) - 1)
    between = t[known] != wanted
    found = states.index_select(1, known)
    if bool(between.any()):
        found[:, between] = _cubic(t, states, wanted[between], left[between])
    return found


def _cubic(t: Tensor, states: Tensor, wanted: Tensor, left: Tensor) -> Tensor:
    """Between the known times ``left`` and those after them."""
    secant = (states[:, 1:] - states[:, :-1]) / (t[1:] - t[:-1])[:, None]
    first, inner, last = secant[:, :1], secant[:, :0], secant[:, -1:]
    if len(t) > 2:
        before, after = (t[1:-1] - t[:-2])[:, None], (t[2:] - t[1:-1])[:, None]
        inner = (after * secant[:, :-1] + before * secant[:, 1:]) / (before + after)
        first, last = 2 * first - inner[:, :1], 2 * last - inner[:, -1:]  # of the parabola through three points
    slope = torch.cat([first, inner, last], 1)
    width = (t[left + 1] - t[left])[:, None]
    x = (wanted - t[left])[:, None] / width
    found = ((1 + 2 * x) * (1 - x) ** 2) * states[:, left]
    found += (x * (1 - x) ** 2 * width) * slope[:, left]
    found += (x**2 * (3 - 2 * x)) * states[:, left + 1]
    return found.add_((x**2 * (x - 1) * width) * slope[:, left + 1])
