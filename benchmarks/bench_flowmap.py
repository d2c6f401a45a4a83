"""FlowMapSimulator on the Kuramoto-Sivashinsky equation: how far held-out trajectories are foreseen, and at what cost.

L = 22, 64 points, 300 trajectories of 400 time units sampled every 0.25, of which 40 are held out whole; 80 windows of
140 time units from them. Valid prediction time: until the error passes half of the field's spread, in Lyapunov times of
20.83; climate errors over the last half of the windows. Seconds are CPU seconds on one thread. One seed. "persistence"
repeats the first state. The second table holds the default against the solver at several steps, for 100 trajectories of
40 time units: at equal accuracy a surrogate of this equation is not faster than its solver.

Run by `python benchmarks/bench_flowmap.py [--quick]`; the tables go to docs/bench_flowmap.md unless --quick.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from skts import FlowMapSimulator
from skts.datasets import kuramoto_sivashinsky_solver, make_kuramoto_sivashinsky
from skts.metrics import climate_error, valid_prediction_time

TABLE = Path(__file__).parent.parent / "docs" / "bench_flowmap.md"
DT, LYAPUNOV_TIME, SPREAD = 0.25, 20.83, 1.186
MODELS: dict[str, dict[str, Any]] = {
    "defaults (autoencoder, resmlp)": {},
    "fno1d": {"stepper": "fno1d", "step_sizes": [4], "n_forward": 2, "batch_size": 64, "max_epochs": 20},
    "opinf, 16 components": {"stepper": "opinf", "step_sizes": [1], "n_components": 16},
}


def scores(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """How far it is right, and whether it stays like the truth after that."""
    vpt = valid_prediction_time(true, found, dt=DT, scale=SPREAD, time_unit=LYAPUNOV_TIME)
    half = true.shape[1] // 2
    climate = climate_error(true[:, half:], found[:, half:])
    return {"VPT median": np.median(vpt), "VPT mean": vpt.mean(), **climate, "largest": np.abs(found).max()}


def markdown(frame: pd.DataFrame) -> str:
    """A table for the pages."""
    rows = [f"| {frame.index.name} | {' | '.join(frame.columns)} |", "|---" * (frame.shape[1] + 1) + "|"]
    for row in frame.itertuples():
        rows.append(f"| {row[0]} | {' | '.join('' if v != v else f'{v:.3g}' for v in row[1:])} |")
    return "\n".join(rows)


def main() -> None:
    """Run and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 trajectories, opinf alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    n = 60 if options.quick else 300
    with threadpool_limits(1):
        X = make_kuramoto_sivashinsky(n, 1601, DT, random_state=0)
        train, test = X[: n - 40], X[n - 40 :]
        starts = np.concatenate([test[:, 0], test[:, 800]])
        true = np.concatenate([test[:, :561], test[:, 800:1361]])
        rows = {"persistence": scores(true, np.repeat(starts[:, None], 561, 1))}
        models = {k: v for k, v in MODELS.items() if not options.quick or "opinf" in k}
        for name, settings in models.items():
            start = time.process_time()
            model = FlowMapSimulator(dt=DT, validation_fraction=0.05, random_state=0, **settings).fit(train)
            seconds = time.process_time() - start
            found, info = model.simulate(starts, n_steps=560, return_info=True)
            alarms = (info["status"] == "left").mean()
            rows[name] = {**scores(true, found), "alarms": alarms, "fit s": seconds}
            print(name, rows[name], model.selected_steps_, flush=True)
            if not settings or options.quick:
                solvers = {f"solver, step {s:g}": kuramoto_sivashinsky_solver(s) for s in (0.05, 0.25)}
                solvers |= {f"solver, step {k * DT:g}": _coarse(k) for k in (4, 8)}
                speed = model.speedup(solvers, np.concatenate([starts, starts])[:100], horizon=40.0)
    table = pd.DataFrame(rows).T.rename_axis("model")
    speed["good_enough"] = speed["good_enough"].astype(float)
    speed = speed.astype(float)
    print(table.to_string(), speed.to_string(), sep="\n\n")
    if not options.quick:
        text = f"# Dynamics\n\n{__doc__}\n{markdown(table)}\n\n{markdown(speed)}\n"
        TABLE.write_text(text)


def _coarse(factor: int) -> Any:
    """The solver with one step for several samples; states between are interpolated by lines."""

    def solve(x0: np.ndarray, dt: float, n_steps: int) -> np.ndarray:
        coarse = kuramoto_sivashinsky_solver(factor * dt)(x0, factor * dt, -(-n_steps // factor))
        at = np.arange(n_steps + 1) / factor
        left = np.minimum(at.astype(int), coarse.shape[1] - 2)
        part = (at - left)[:, None]
        return coarse[:, left] * (1 - part) + coarse[:, left + 1] * part

    return solve


if __name__ == "__main__":
    main()
