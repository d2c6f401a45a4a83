"""How the cost of a training step grows with the number of variates: FMamba, and softmax attention beside it.

Batch 1, context and horizon 96, the default widths, one thread; median of five steps (forward and backward).
Run by `python benchmarks/bench_variates.py`; the table goes to docs/bench_variates.md.
"""

import time
from pathlib import Path
from statistics import median

import torch

from skts.fmamba.module import FMambaNet

TABLE = Path(__file__).parent.parent / "docs" / "bench_variates.md"
COUNTS = (200, 800, 3200)


def step_seconds(n_variates: int, **wiring: str | None) -> float:
    """Median seconds of one training step."""
    module = FMambaNet(96, 96, n_variates, **wiring)  # type: ignore[arg-type]
    window, seconds = torch.randn(1, 96, n_variates), []
    for _ in range(6):
        start = time.perf_counter()
        module(window).square().mean().backward()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    wirings: dict[str, dict[str, str | None]] = {
        "FMamba (FAVOR+, two directions)": {"attention": "favor+"},
        "fast attention alone": {"attention": "favor+", "mamba": None},
        "softmax attention alone": {"attention": "softmax", "mamba": None},
    }
    lines = [
        f"| seconds at N = | {' | '.join(map(str, COUNTS))} | 3200 to 800 |",
        "|---" * (len(COUNTS) + 2) + "|",
    ]
    for name, wiring in wirings.items():
        found = [step_seconds(n, **wiring) for n in COUNTS]
        lines.append(f"| {name} | {' | '.join(f'{s:.3f}' for s in found)} | {found[2] / found[1]:.1f}x |")
    text = "\n".join(lines)
    print(text)
    TABLE.write_text(f"# Cost by number of variates\n\n{__doc__}\n{text}\n\nLinear growth is 4x in the last column.\n")


if __name__ == "__main__":
    main()
