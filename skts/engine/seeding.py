"""Seeds that stay inside one fit: a process-wide lock around a forked generator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

__all__ = ["draw_seed", "seeded"]

# torch.random.fork_rng swaps the generator of the whole process: two fits in two threads would read each other's
# numbers. One lock makes the threads of a grid search give the serial result.
_LOCK = threading.RLock()


def draw_seed(random_state: Any) -> int:
    """One seed from whatever scikit-learn accepts as ``random_state``; None draws fresh entropy.

    scikit-learn's reading of None, numpy's global generator, would move a generator that is not ours.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Run a block with torch seeded, and leave torch's global generators as they were.

    Parameters
    ----------
    seed : int
        The seed of the block.
    device : torch.device, optional
        Where the block computes; a CUDA device's generator is forked as well.

    Yields
    ------
    None
        Nothing; the block runs under the lock.
    """
    cuda = [device] if device is not None and device.type == "cuda" else []
    with _LOCK, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            with torch.cuda.device(index):
                torch.cuda.manual_seed(seed)
        yield
