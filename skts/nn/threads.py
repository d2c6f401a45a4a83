"""A pool of threads for compiled loops that hold no lock.

numba's own threads are not used: its portable threading layer ends the process when two threads enter a parallel loop
at once, as a grid search with joblib's threading backend does. Here every caller does a share itself and hands the
others to one pool, whose threads wait for nobody: any number of callers may use it at once.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["share"]

_pool: ThreadPoolExecutor | None = None


def share(work: Callable[[int, int], None], n_items: int, n_threads: int) -> None:
    """Call ``work(first, last)`` on ranges that make up ``n_items``, in up to ``n_threads`` threads at once."""
    n_threads = max(min(n_threads, n_items), 1)
    edges = [n_items * i // n_threads for i in range(n_threads + 1)]
    others: list[Future[None]] = []
    if n_threads > 1:
        pool = _threads()
        others = [pool.submit(work, first, last) for first, last in itertools.pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        # Also when the own share fails: the arrays must outlive whoever writes to them.
        failures = [future.exception() for future in others]
    for failure in failures:
        if failure is not None:
            raise failure


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skts")
    return _pool


def _forget() -> None:
    """After a fork: the child has the pool, but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
