"""Seeds stay inside of their block."""

import threading

import numpy as np
import pytest
import torch

from skts.engine import CostMeter, draw_seed, resolve_device, seeded
from skts.errors import DeviceError


def test_block_is_repeatable_and_leaves_no_trace():
    before = torch.random.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(5):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(before, torch.random.get_rng_state())


def test_threads_do_not_read_each_others_numbers():
    found = {}

    def work(seed):
        with seeded(seed):
            found[seed] = torch.cat([torch.rand(1) for _ in range(200)])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for seed, numbers in found.items():
        with seeded(seed):
            assert torch.equal(numbers, torch.cat([torch.rand(1) for _ in range(200)]))


def test_an_error_inside_restores_too():
    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(-1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_draw_seed_follows_sklearns_rules():
    assert draw_seed(3) == draw_seed(3)
    state = np.random.RandomState(0)
    assert draw_seed(state) != draw_seed(state)


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps:7", ""])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(DeviceError, match=r"Expected .* Got .* Pass"):
        resolve_device(name)


def test_cost_counts_memory_above_the_start():
    meter = CostMeter(torch.device("cpu"))
    block = np.ones(40 * 2**20, np.uint8)
    cost = meter.read()
    assert cost["peak_memory_mb"] > 30
    assert cost["fit_seconds"] > 0
    assert block.sum() > 0
