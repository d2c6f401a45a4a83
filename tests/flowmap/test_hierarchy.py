"""Bookkeeping of the hierarchy, interpolation, and the choice of steps."""

import numpy as np
import pytest
import torch

from skts.flowmap.hierarchy import compose, hermite, schedule
from skts.flowmap.selection import select_steps


@pytest.mark.parametrize("seed", range(40))
def test_every_time_is_computed_once_from_one_that_is_known(seed):
    rng = np.random.default_rng(seed)
    steps = sorted(rng.choice(np.arange(1, 20), size=rng.integers(1, 5), replace=False).tolist())
    n = int(rng.integers(0, 120))
    known = {0}
    for step, rounds in schedule(steps, n):
        for start, stop in rounds:
            assert set(start) <= known
            assert [b - a for a, b in zip(start, stop, strict=True)] == [step] * len(start)
            assert not set(stop) & known  # a state that a coarser step has set is never overwritten
            assert len(set(stop)) == len(stop)
            known |= set(stop)
    assert n <= max(known) < n + min(steps)
    if 1 in steps:
        assert known == set(range(max(known) + 1))
    gaps = np.diff(sorted(known))
    assert not len(gaps) or gaps.max() <= max(steps)


@pytest.mark.parametrize("steps", [[1], [3], [1, 2, 4], [2, 6], [1, 5, 7]])
def test_composition_of_exact_maps_is_exact(steps):
    rate = torch.tensor([0.99, 1.01], dtype=torch.float64)

    def advance(step, z, at):
        return z * rate**step

    z0 = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    times, states = compose(z0, steps, 23, advance)
    torch.testing.assert_close(states, z0[:, None] * rate ** times[:, None])


def test_long_steps_need_few_rounds():
    rounds = sum(len(r) for _, r in schedule([1, 2, 4, 8, 16, 32], 512))
    assert rounds == 16 + 5  # sixteen long steps, then one round for each finer level: all gaps at once


def test_interpolation_keeps_known_states_and_reproduces_straight_lines_and_is_of_third_order():
    times = torch.tensor([0, 2, 5, 9])
    line = (3.0 + 0.5 * times)[None, :, None].double()
    torch.testing.assert_close(
        hermite(times, line, torch.tensor([1.0, 3.7, 9.0]))[0, :, 0], torch.tensor([3.5, 4.85, 7.5]).double()
    )
    errors = []
    for m in (40, 80):
        t = torch.linspace(0, 6, m + 1, dtype=torch.float64)
        fine = (t[:-1] + t[1:]) / 2
        found = hermite(t, torch.sin(t)[None, :, None], fine)[0, :, 0]
        errors.append((found - torch.sin(fine)).abs()[2:-2].max())
    assert errors[0] / errors[1] > 7
    torch.testing.assert_close(hermite(times, line, times.double()), line)


def test_selection_drops_what_does_harm():
    def error(steps):
        return sum({1: 0.5, 2: 0.1, 4: 0.0, 8: 0.9}[s] for s in steps) + 0.1 / len(steps)

    best, tried = select_steps([1, 2, 4, 8], error, "range")
    assert best == [4]
    assert select_steps([1, 2, 4, 8], error, "greedy")[0] == [4]
    assert select_steps([1, 2, 4, 8], error, "none")[0] == [1, 2, 4, 8]
    assert tried["4"] == pytest.approx(0.1)
