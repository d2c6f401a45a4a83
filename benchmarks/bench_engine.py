"""What the engine costs over plain torch: one epoch of a small module, both in one run, on array and memory map.

Run by `make bench`, or `python benchmarks/bench_engine.py [--quick]`; the table goes to docs/bench_engine.md.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from skts.engine import ArrayBatches, TrainSettings, seeded, train

N, D, BATCH, EPOCHS = 50_000, 32, 256, 3
TABLE = Path(__file__).parent.parent / "docs" / "bench_engine.md"


def make_module() -> nn.Module:
    """A small MLP: the worst case, since the step itself takes little time."""
    with seeded(0):
        return nn.Sequential(nn.Linear(D, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def loss(module: nn.Module, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Squared error of each row."""
    return (module(X).squeeze(-1) - y).square()


def plain(X: np.ndarray, y: np.ndarray) -> None:
    """The loop as one writes it by hand: index batches, the same steps and optimiser, a loss per epoch."""
    module = make_module()
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    for _ in range(EPOCHS):
        total = torch.zeros(())
        for index in torch.randperm(N).split(BATCH):
            optimizer.zero_grad()
            value = loss(module, X[index], y[index]).mean()
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            total += value.detach() * len(index)
        total.item()


def engine(X: np.ndarray, y: np.ndarray) -> None:
    """The same through the engine."""
    settings = TrainSettings(max_epochs=EPOCHS, batch_size=BATCH, lr=1e-3, schedule="constant")
    train(make_module(), ArrayBatches.of(X, y), loss, settings)


def seconds(run: Callable[[np.ndarray, np.ndarray], None], X: np.ndarray, y: np.ndarray) -> float:
    """Wall seconds of one epoch."""
    start = time.perf_counter()
    run(X, y)
    return (time.perf_counter() - start) / EPOCHS


def main() -> None:
    """Measure in turns, so that noise of the machine hits both, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repetitions = 5 if parser.parse_args().quick else 15
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, D), dtype=np.float32), rng.standard_normal(N, dtype=np.float32)
    lines = [
        f"One epoch of {N} x {D}, batches of {BATCH}, small MLP, one thread; median of {repetitions} alternating runs.",
        "",
        "| data | plain torch, s | engine, s | ratio |",
        "|---|---|---|---|",
    ]
    with tempfile.NamedTemporaryFile() as file:
        disk = np.memmap(file.name, dtype=np.float32, mode="w+", shape=X.shape)
        disk[:] = X
        for name, data in (("array", X), ("memory map", disk)):
            seconds(plain, data, y), seconds(engine, data, y)  # warm up
            pairs = [(seconds(plain, data, y), seconds(engine, data, y)) for _ in range(repetitions)]
            one, other = (median(column) for column in zip(*pairs, strict=True))
            ratio = median(b / a for a, b in pairs)
            lines.append(f"| {name} | {one:.3f} | {other:.3f} | {ratio:.2f} |")
    text = "\n".join(lines)
    print(text)
    TABLE.write_text(f"# Training overhead\n\n{text}\n\n`python benchmarks/bench_engine.py`\n")


if __name__ == "__main__":
    main()
