"""The selective scan forward and backward, beside mambapy's parallel scan and the unbind loop, in one run.

float32, step sizes between 0 and 0.1, rates -1 to -16, with D and without a gate. Milliseconds are of the processor on
one thread, the least of several runs, all ways taken in turn; those by the clock mean something on an idle machine
only. MB is the peak of the process above what it held before, forward and backward.

The floor is the time of a torch copy that moves as many bytes as a scan must: u and delta read twice, the incoming
gradient read once, the output and the gradients of u and delta written once. The compiled scan stays far above it
because it computes: each of the S states of a number read takes two exponentials and some thirty other operations.
mambapy is the peer of the extra `bench`; without it its columns are left out.

Run by `make bench`, or `python benchmarks/bench_scan.py [--quick]` (two runs, no memory, no first calls); the tables
go to docs/bench_scan.md unless --quick.
"""

import argparse
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from skts.nn.scan import selective_scan

TABLE = Path(__file__).parent.parent / "docs" / "bench_scan.md"
SHAPES = ((16, 137, 512, 16), (4, 862, 512, 16), (8, 321, 128, 16), (8, 862, 128, 16), (32, 7, 128, 16))
Scan = Callable[..., Tensor]


def mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The scan of mambapy's Mamba block, from its pscan."""
    from mambapy.pscan import pscan

    drive = (delta.unsqueeze(-1) * B.unsqueeze(2)) * u.unsqueeze(-1)
    states = pscan(torch.exp(delta.unsqueeze(-1) * A), drive)
    return (states @ C.unsqueeze(-1)).squeeze(3) + D * u


SCANS: dict[str, Scan] = {
    "mambapy": mambapy,
    "loop": partial(selective_scan, backend="loop"),
    "torch": partial(selective_scan, backend="recompute"),
    "compiled": partial(selective_scan, backend="compiled"),
}
RATIOS = (("loop", "torch"), ("mambapy", "torch"), ("mambapy", "compiled"), ("compiled", "floor"))


def inputs(B: int, L: int, D: int, S: int) -> list[Tensor]:
    """Arguments of a scan, the same at every call."""
    g = torch.Generator().manual_seed(0)
    u, by, c = (torch.randn(B, L, n, generator=g) for n in (D, S, S))
    delta = torch.rand(B, L, D, generator=g) * 0.1
    rates = -torch.arange(1.0, S + 1).repeat(D, 1)
    return [t.requires_grad_() for t in (u, delta, rates, by, c, torch.ones(D))]


def step(scan: Scan, args: list[Tensor], gradient: Tensor) -> None:
    """Forward and backward."""
    torch.autograd.grad(scan(*args), args, gradient)


def milliseconds(
    ways: dict[str, Scan], shape: tuple[int, ...], repeats: int, clock: Callable[[], float]
) -> list[float]:
    """Least time of each way; they take turns, so that a busy moment hits all."""
    args, gradient = inputs(*shape), torch.randn(shape[:3])
    found = [float("inf")] * len(ways)
    for repeat in range(repeats + 1):
        for i, scan in enumerate(ways.values()):
            start = clock()
            step(scan, args, gradient)
            if repeat:  # the first round compiles and warms up
                found[i] = min(found[i], 1e3 * (clock() - start))
    return found


def megabytes(name: str, shape: tuple[int, ...]) -> float:
    """Peak of this process above what it holds now."""
    torch.set_num_threads(1)
    step(SCANS[name], inputs(1, 2, 16, 2), torch.ones(1, 2, 16))  # what is loaded or compiled once
    args, gradient = inputs(*shape), torch.randn(shape[:3])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    step(SCANS[name], args, gradient)
    return (status("VmHWM") - before) / 1024


def status(key: str) -> float:
    """A line of Linux's account of this process, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key))


def copied_per_millisecond() -> float:
    """Bytes read and written by a copy of 256 MB, on one thread."""
    source = torch.ones(64 << 20)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        target.copy_(source)
        seconds.append(time.process_time() - start)
    return 2 * source.numel() * 4 / (1e3 * min(seconds[1:]))


def first_call(cache: str) -> str:
    """Seconds of the first call forward and backward in a new process."""
    code = (
        "import time, torch; from skts.nn.scan import selective_scan; torch.set_num_threads(1)\n"
        "u, A, B = torch.ones(1, 2, 16, requires_grad=True), -torch.ones(16, 2), torch.ones(1, 2, 2)\n"
        "start = time.process_time(); y = selective_scan(u, u, A, B, B, backend='compiled')\n"
        "middle = time.process_time(); y.sum().backward()\n"
        "print(f'{middle - start:.1f} s forward, {time.process_time() - middle:.1f} s backward')"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def speed_table(names: list[str], repeats: int) -> str:
    """Milliseconds on one thread, ratios, and the floor."""
    bandwidth, rows = copied_per_millisecond(), []
    ratios = {f"{slow} / {fast}": (slow, fast) for slow, fast in RATIOS if slow in names}
    for shape in SHAPES:
        ways = {name: SCANS[name] for name in names}
        found = dict(zip(names, milliseconds(ways, shape, repeats, time.process_time), strict=True))
        found["floor"] = 8 * 4 * math.prod(shape[:3]) / bandwidth
        compared = [f"{found[slow] / found[fast]:.1f}" for slow, fast in ratios.values()]
        rows.append([str(shape), *(f"{v:.2f}" for v in found.values()), *compared])
        print(rows[-1], flush=True)
    table = as_markdown(["(B, L, D, S)", *(f"{name}, ms" for name in [*names, "floor"]), *ratios], rows)
    return f"{table}\n\nA copy reads and writes {bandwidth / 1e6:.1f} GB a second."


def thread_table(repeats: int) -> str:
    """The compiled scan on one and on all processors: by the clock, and the time of all processors together."""
    clocks = {"by the clock": time.perf_counter, "of all processors": time.process_time}
    counts, ways = sorted({1, os.cpu_count() or 1}), {"compiled": SCANS["compiled"]}
    rows = []
    for shape in SHAPES[:2]:
        cells = []
        for count in counts:
            torch.set_num_threads(count)
            cells += [milliseconds(ways, shape, 3 * repeats, clock)[0] for clock in clocks.values()]
        torch.set_num_threads(1)
        rows.append([str(shape), *(f"{v:.1f}" for v in cells)])
        print(rows[-1], flush=True)
    columns = [f"ms {clock}, threads: {count}" for count in counts for clock in clocks]
    table = as_markdown(["(B, L, D, S), compiled", *columns], rows)
    return f"{table}\n\nLoad of the machine's {os.cpu_count()} processors meanwhile: {os.getloadavg()[0]:.1f}."


def memory_table(names: list[str]) -> str:
    """Peak of each way in a process of its own."""
    rows = []
    for shape in SHAPES[:4]:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found = [pool.apply(megabytes, (name, shape)) for name in names]
        rows.append([str(shape), *(f"{v:.0f}" for v in found)])
        print(rows[-1], flush=True)
    return as_markdown(["(B, L, D, S)", *(f"{n}, MB" for n in names)], rows)


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table for the pages."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two runs, no memory, no first calls")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    names = [name for name in SCANS if name != "mambapy" or find_spec("mambapy")]
    if "mambapy" not in names:
        print("mambapy is not installed (extra `bench`): its columns are left out")
    repeats = 2 if quick else 5
    tables = [speed_table(names, repeats), thread_table(repeats)]
    if not quick:
        tables.append(memory_table(names))
        with tempfile.TemporaryDirectory() as cache:
            calls = [first_call(cache) for _ in range(2)]
        tables.append(f"The first call of a precision compiles: {calls[0]}. In a later process: {calls[1]}.")
    text = "\n\n".join(tables)
    print(text)
    if not quick:
        TABLE.write_text(f"# Selective scan\n\n{__doc__}\n{text}\n")


if __name__ == "__main__":
    main()
