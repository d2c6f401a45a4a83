"""How the cost of a training step grows with the number of variates: FMamba, and softmax attention beside it.

Batch 1, context and horizon 96, the default widths, forward and backward on one thread: the least of five steps by the
processor's clock, and the peak of the process above what it held before the step, each way and number in a process of
its own. Linear growth is 4x from 200 to 800 variates and from 800 to 3200, and 16x from 200 to 3200. "auto" is the
default: exact softmax attention where that is cheaper, FAVOR+ beyond; its line is not one curve.

Run by `make bench`, or `python benchmarks/bench_variates.py`; the tables go to docs/bench_variates.md.
"""

import multiprocessing
import time
from pathlib import Path

import torch

from skts.fmamba.attention import break_even
from skts.fmamba.module import FMambaNet

TABLE = Path(__file__).parent.parent / "docs" / "bench_variates.md"
COUNTS = (200, 800, 3200)
WIRINGS: dict[str, dict[str, str | None]] = {
    "FMamba (FAVOR+, two directions)": {"attention": "favor+"},
    "FMamba (auto, two directions)": {"attention": "auto"},
    "fast attention alone (FAVOR+)": {"attention": "favor+", "mamba": None},
    "state space alone, two directions": {"attention": None},
    "FMamba with softmax attention": {"attention": "softmax"},
    "softmax attention alone": {"attention": "softmax", "mamba": None},
}


def cost(wiring: dict[str, str | None], n_variates: int) -> tuple[float, float]:
    """Seconds of a training step, and megabytes above what the process held before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step(FMambaNet(96, 96, 2, **wiring), torch.randn(1, 96, 2))  # type: ignore[arg-type]  # what is loaded once
    module, window = FMambaNet(96, 96, n_variates, **wiring), torch.randn(1, 96, n_variates)  # type: ignore[arg-type]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    step(module, window)
    megabytes = (status("VmHWM") - before) / 1024
    seconds = [step(module, window) for _ in range(5)]
    return min(seconds), megabytes


def step(module: FMambaNet, window: torch.Tensor) -> float:
    """Forward and backward; the processor's seconds."""
    start = time.process_time()
    module(window).square().mean().backward()
    return time.process_time() - start


def status(key: str) -> float:
    """A line of Linux's account of this process, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key))


def as_table(unit: str, found: dict[str, list[float]], digits: int) -> str:
    """A table of one cost, with its growth."""
    growth = [f"{late} / {early}" for early, late in ((200, 800), (800, 3200), (200, 3200))]
    header = [f"{unit} at N =", *map(str, COUNTS), *growth]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, (few, some, many) in found.items():
        cells = [f"{value:.{digits}f}" for value in (few, some, many)]
        cells += [f"{ratio:.1f}x" for ratio in (some / few, many / some, many / few)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write the tables."""
    seconds: dict[str, list[float]] = {name: [] for name in WIRINGS}
    megabytes: dict[str, list[float]] = {name: [] for name in WIRINGS}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, wiring in WIRINGS.items():
            for n_variates in COUNTS:
                took, held = pool.apply(cost, (wiring, n_variates))
                seconds[name].append(took)
                megabytes[name].append(held)
            print(name, [f"{s:.3f} s, {m:.0f} MB" for s, m in zip(seconds[name], megabytes[name], strict=True)])
    text = f"{as_table('seconds', seconds, 3)}\n\n{as_table('MB', megabytes, 0)}"
    text += f"\n\nauto takes exact softmax attention up to {break_even(128, 8)} variates at these widths."
    print(text)
    TABLE.write_text(f"# Cost by number of variates\n\n{__doc__}\n{text}\n")


if __name__ == "__main__":
    main()
