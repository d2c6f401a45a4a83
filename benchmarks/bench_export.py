"""A forecaster as an ONNX file: its size, whether it forecasts the same, and how fast, where torch is not installed.

Default widths, context and horizon 96, on a simulated ring road, with `guard=None`: the whole network is in the file.
(With the guard, one more matrix is, and the network only where it has a share.) One epoch of training with lr=2e-3, so
that no part stays at zero. "difference" is the largest one between onnxruntime and `predict_windows` over
64 windows, in standard deviations of each variate in training. One window is forecast by onnxruntime in a new process
that never imports torch, and by `predict_windows` in torch: medians of 200 calls. "start" is what that process spends
until it can forecast, importing numpy and onnxruntime and reading the file, and "memory" its peak. All times are the
processor's, on one thread. The int8 file has its matrices quantised by one call of
`onnxruntime.quantization.quantize_dynamic`.

Needs the extra `onnx`. Run by `make bench`, or `python benchmarks/bench_export.py [--quick]` (7 variates alone); the
table goes to docs/bench_export.md unless --quick.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from skts import FMambaForecaster
from skts.datasets import make_traffic
from skts.fmamba.export import export_onnx

TABLE = Path(__file__).parent.parent / "docs" / "bench_export.md"
COUNTS = (7, 21, 100)
LENGTH, RUNS = 96, 200

# Runs in a process of its own, with numpy and onnxruntime alone.
ELSEWHERE = """
import json, sys, time
start = time.process_time()
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("{file}", options)
seconds = time.process_time() - start
given = dict(np.load("given.npz"))
np.save("told.npy", session.run(None, given)[0])
one, times = {{name: array[:1] for name, array in given.items()}}, []
for _ in range({runs} + 20):
    start = time.process_time()
    session.run(None, one)
    times.append(1e3 * (time.process_time() - start))
assert "torch" not in sys.modules
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({{"start": seconds, "ms": sorted(times[20:])[{runs} // 2], "mb": int(peak.split()[1]) / 1024}}))
"""


def fitted(n_variates: int) -> tuple[FMambaForecaster, np.ndarray, Any]:
    """A forecaster with defaults, and 64 windows with the times of their last rows."""
    y = make_traffic(n_sensors=n_variates, n_steps=1200, random_state=0)
    forecaster = FMambaForecaster(context_length=LENGTH, guard=None, lr=2e-3, max_epochs=1, random_state=0)
    forecaster.fit(y, fh=range(1, LENGTH + 1))
    ends = np.arange(LENGTH, len(y), (len(y) - LENGTH) // 63)[:64]
    return forecaster, np.stack([y.to_numpy()[end - LENGTH : end] for end in ends]), y.index[ends - 1]


def in_torch(forecast: Callable[[], Any]) -> float:
    """Median milliseconds of a call."""
    found = []
    for _ in range(RUNS + 20):
        start = time.process_time()
        forecast()
        found.append(1e3 * (time.process_time() - start))
    return median(found[20:])


def without_torch(folder: Path, file: str) -> tuple[dict[str, float], np.ndarray]:
    """What a process with onnxruntime alone measures, and what it forecasts."""
    code = ELSEWHERE.format(file=file, runs=RUNS)
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout), np.load(folder / "told.npy")


def row(n_variates: int, folder: Path) -> list[list[str]]:
    """The lines of the table for one number of variates."""
    from onnxruntime.quantization import quantize_dynamic

    forecaster, contexts, cutoffs = fitted(n_variates)
    start = time.process_time()
    export_onnx(forecaster, folder / "full.onnx")
    seconds = time.process_time() - start
    quantize_dynamic(folder / "full.onnx", folder / "int8.onnx")
    given = {"contexts": contexts}
    if forecaster.cycle_ is not None:
        given["angle"] = forecaster._angles_at(cutoffs, 1).astype(np.float32)
    np.savez(folder / "given.npz", **given)  # type: ignore[arg-type]
    expected = forecaster.predict_windows(contexts, cutoffs=cutoffs)
    torch_ms = in_torch(lambda: forecaster.predict_windows(contexts[:1], cutoffs=cutoffs[:1]))
    lines = []
    for precision in ("full", "int8"):
        found, told = without_torch(folder, f"{precision}.onnx")
        difference = np.abs((told - expected) / forecaster.scale_).max()
        size = os.path.getsize(folder / f"{precision}.onnx")
        lines.append(
            [
                str(n_variates),
                "float32" if precision == "full" else precision,
                f"{forecaster.complexity_['n_parameters']:,}",
                f"{size / 1e6:.2f}",
                f"{difference:.0e}",
                f"{found['ms']:.2f}",
                f"{torch_ms:.2f}",
                f"{found['start']:.2f}",
                f"{found['mb']:.0f}",
                f"{seconds:.0f}" if precision == "full" else "",
            ]
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="7 variates alone; writes nothing")
    quick = parser.parse_args().quick
    if not all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
        print("onnx, onnxruntime and onnxscript are not installed (extra `onnx`): nothing is measured")
        return
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # the exporter misses torchvision, the quantiser a simpler graph
    header = ["variates", "weights", "parameters", "MB", "difference", "onnxruntime, ms", "torch, ms"]
    header += ["start, s", "memory, MB", "export, CPU s"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for n_variates in COUNTS[:1] if quick else COUNTS:
            lines += [f"| {' | '.join(cells)} |" for cells in row(n_variates, Path(folder))]
    text = "\n".join(lines)
    print(text)
    if not quick:
        TABLE.write_text(f"# Export\n\n{__doc__}\n{text}\n")


if __name__ == "__main__":
    main()
