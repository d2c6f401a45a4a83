"""FlowMapSimulator beside its peers: how far held-out trajectories are foreseen, and at what cost.

Trajectories are held out whole. Settings are the defaults unless a row says so. "fit s" are CPU seconds on one thread,
of a machine that was not idle. "alarms" is the part of the trajectories that the guard has flagged.

*Kuramoto-Sivashinsky*: L = 22, 64 points, 300 trajectories of 400 time units every 0.25, 40 of them held out: 80
windows of 140 time units. Valid prediction time (VPT): until the error passes half of the field's spread, in Lyapunov
times of 20.83. std_ratio, pdf_l1 and spectrum_log10 are of the last half of the windows. "one record" is 15,000
samples; "augmented", by translations and reflections. "fine" is 60 trajectories of 100 time units every 0.05 (PySINDy:
40), and 10 windows, 6.7 Lyapunov times long. "1 % noise" is on training data and on starts. The echo-state network
is tuned and trained on 48 of the training trajectories, and knows the 25 time units before each start; its grid was
moved once after it had failed on the windows (0.1). "fno1d" takes steps of one time unit, 50 epochs; of the same
windows, two cheaper settings (23 and 33 s) gave 2.2 and 2.3.

*Long runs*: from 40 held-out starts over 400 time units, and over 4000; joint_l1 is the L1 distance of the joint
histograms of slope and curvature, 40 x 40 bins; "truth" is 10 new trajectories against 30 others. The Lyapunov
exponent is 0.048 in truth. *Guard*: 40 held-out states, moved in random directions by 3 spreads at each point or in
all, over 400 time units; "late" is the part that left twice the range before it was flagged; "error of 10" is over 10
time units, against the solver from the moved state.

*FitzHugh-Nagumo*: the setting of Vlachas et al. with starts of our own; five trajectories of 451 or 5000 samples, and
a sixth over 8000 time units; the seed is that of the data. MNAD is the mean absolute difference over the range; their
best is about 0.006. "defaults" has two coordinates; "polynomial" is ``stepper="polynomial"`` with two fields. "best
single" is chosen by the sixth trajectory itself; "from 1000" is a start at time 1000. An alarm is that of the start,
which is like none of the five; that of seed 2 lies outside of all that they reach. The table of speed is of
"polynomial", 451 samples, seed 0.
*Ordinary differential equations*: 340 trajectories of 5121 samples, 60 held out, truth to 1e-9. "best single" is the
best of all step sizes by the held-out data themselves; "published" is by Liu et al., whose truth is to 1e-3.
*Pendulum*: 23 records of 2.7 s every 10 ms, 7 held out; errors after so many seconds, in spreads. *Learning on*:
``partial_fit`` on FitzHugh-Nagumo trajectories of a slow rate of 0.0065 after ``fit`` on those of 0.006, "told" as a
parameter or not; MNAD over 1000 time units.

Solver and surrogate: error over the horizon in spreads of the first row, the reference; wall seconds, best of three;
speedup over the cheapest solver that is as accurate as the surrogate.

Run by `python benchmarks/bench_flowmap.py [--quick] [--only ks long guard speed fhn odes pendulum online]
[--rows expression]`; --quick measures a few cheap rows. Rows that were measured before are kept in a file; the tables
go to docs/bench_flowmap.md once every table has rows, unless --quick.
"""

import argparse
import json
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bench_flowmap_systems as systems
import flowmap_peers as peers
import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from skts import FlowMapSimulator
from skts.datasets import kuramoto_sivashinsky_solver, make_kuramoto_sivashinsky
from skts.metrics import climate_error, largest_lyapunov_exponent, valid_prediction_time

TABLE = Path(__file__).parent.parent / "docs" / "bench_flowmap.md"
KEPT = Path(tempfile.gettempdir()) / "skts_bench_flowmap.json"
DT, LYAPUNOV_TIME, SPREAD, LENGTH, LARGEST = 0.25, 20.83, 1.186, 22.0, 3.1
FNO = {"stepper": "fno1d", "step_sizes": [4], "n_forward": 2, "batch_size": 256, "max_epochs": 50}
NEEDS = {"PyDMD, rank 24": "pydmd", "PySINDy, 16 components, fine": "pysindy"}  # left out where it is not installed
OPINF = {"stepper": "opinf", "step_sizes": [1]}
QUICK = {"ks": "persistence|exact DMD|opinf, 16 components$", "online": ""}  # nothing that has to be downloaded


@cache
def ks(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Training trajectories, and held-out windows (n, 661, 64), the first 100 samples of which are the past."""
    if kind == "fine":
        X = make_kuramoto_sivashinsky(70, 2803, 0.05, random_state=1)
        return X[:60, :2001], X[60:]
    X = make_kuramoto_sivashinsky(300, 1601, DT, random_state=0)
    windows = np.concatenate([X[260:, t : t + 661] for t in (0, 800)])
    if kind == "one record":
        return make_kuramoto_sivashinsky(1, 15_000, DT, random_state=2), windows
    return (with_noise(X[:260], 1) if kind == "noisy" else X[:260]), windows


def with_noise(X: np.ndarray, seed: int) -> np.ndarray:
    """One percent of the spread."""
    return X + 0.01 * SPREAD * np.random.default_rng(seed).normal(size=X.shape)


def moved(windows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random translations and reflections u(x) -> -u(-x), each of which the equation allows."""
    n, _, d = windows.shape
    sign = rng.choice([-1, 1], size=(n, 1))
    places = (sign * np.arange(d) + rng.integers(d, size=(n, 1))) % d
    return sign[..., None] * np.take_along_axis(windows, np.broadcast_to(places[:, None], windows.shape), 2)


@cache
def default_model(seed: int) -> tuple[FlowMapSimulator, float]:
    """The default on the large set."""
    start = time.process_time()
    model = FlowMapSimulator(dt=DT, validation_fraction=20 / 260, random_state=seed).fit(ks("large")[0])
    return model, time.process_time() - start


def ks_row(kind: str = "large", seed: int = 0, **settings: Any) -> dict[str, Any]:
    """One simulator."""
    train, windows = ks(kind)
    dt, past = (0.05, 0) if kind == "fine" else (DT, 100)
    if settings or kind != "large":
        start = time.process_time()
        held_out = 0.1 if kind in ("one record", "fine") else 20 / 260
        model = FlowMapSimulator(dt=dt, validation_fraction=held_out, random_state=seed, **settings).fit(train)
        seconds = time.process_time() - start
    else:
        model, seconds = default_model(seed)
    true = windows[:, past:]
    starts = with_noise(true[:, 0], 2) if kind == "noisy" else true[:, 0]
    found, info = model.simulate(starts, n_steps=true.shape[1] - 1, return_info=True)
    alarms = (info["status"] == "left").mean()
    chosen = f"{model.stepper_}: {systems.steps(model)}"
    return {**scores(true, found, dt), "alarms": alarms, "steps": chosen, "fit s": seconds}


def ks_peer(learn: Callable[..., peers.Simulate], kind: str = "large") -> dict[str, Any]:
    """A peer; on fine data 40 trajectories, as PySINDy keeps all its terms in memory."""
    train, windows = ks(kind)
    dt, past = (0.05, 0) if kind == "fine" else (DT, 100)
    start = time.process_time()
    simulate = learn(train[:40] if kind == "fine" else train, dt)
    seconds = time.process_time() - start
    with np.errstate(all="ignore"):
        found = simulate(windows[:, : past + 1], windows.shape[1] - past - 1)
    return {**scores(windows[:, past:], found, dt), "fit s": seconds}


def scores(true: np.ndarray, found: np.ndarray, dt: float) -> dict[str, float]:
    """How far it is right, and whether it stays like the truth after that."""
    vpt = valid_prediction_time(true, found, dt=dt, scale=SPREAD, time_unit=LYAPUNOV_TIME)
    half = true.shape[1] // 2
    climate = climate_error(true[:, half:], found[:, half:])
    return {"VPT median": np.median(vpt), "VPT mean": vpt.mean(), **climate, "largest": np.abs(found).max()}


# ---- long runs, guard, speed ----------------------------------------------------------------------------------------


def climate(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Climate errors with the joint histogram of slope and curvature."""
    waves = 2j * np.pi / LENGTH * np.arange(true.shape[-1] // 2 + 1)

    def histogram(X: np.ndarray) -> np.ndarray:
        slope, curvature = (np.fft.irfft(np.fft.rfft(X) * waves**k, n=X.shape[-1]).ravel() for k in (1, 2))
        bins = np.clip([slope / 3.5, curvature / 6.0], -1, 1)
        counts = np.histogram2d(*bins, bins=40, range=[[-1, 1], [-1, 1]])[0]
        return counts / counts.sum()

    return {**climate_error(true, found), "joint_l1": np.abs(histogram(true) - histogram(found)).sum()}


def truth_row() -> dict[str, Any]:
    """What two samples of one climate differ by."""
    X = make_kuramoto_sivashinsky(40, 1601, DT, random_state=5)
    return {**climate(X[10:], X[:10]), "largest": np.abs(X).max()}


def long_row() -> dict[str, Any]:
    """The default from held-out starts."""
    model, _ = default_model(0)
    true = ks("large")[1][:40]
    found = model.simulate(true[:, 0], n_steps=1600)
    begun = time.process_time()
    far = model.simulate(true[:, 0], times=np.arange(0.0, 4001.0))
    seconds, size = time.process_time() - begun, max(model.selected_steps_)
    exponent, error = largest_lyapunov_exponent(
        lambda x: model.simulate(x, n_steps=size)[:, -1],
        true[:, 100],
        n_steps=round(1000 / (size * DT)),
        dt=size * DT,
        perturbation=1e-2,
    )
    return {
        **climate(make_kuramoto_sivashinsky(40, 1601, DT, random_state=5), found[:10]),
        "largest": np.abs(found).max(),
        "beyond 4": (~(np.abs(found) <= 4)).any((1, 2)).mean(),
        "beyond 4, 4000": (~(np.abs(far) <= 4)).any((1, 2)).mean(),
        "exponent": exponent,
        "+-": error,
        "4000 s": seconds,
    }


def guard_row(push: float, policy: str = "warn") -> dict[str, Any]:
    """Held-out states, moved by so many spreads at each point."""
    model, _ = default_model(0)
    model.set_params(on_divergence=policy, solver=kuramoto_sivashinsky_solver(DT))
    rng, x0 = np.random.default_rng(0), ks("large")[1][:40, 100]
    kick = rng.normal(size=x0.shape)
    x0 = x0 + push * SPREAD * 8 * kick / np.linalg.norm(kick, axis=1, keepdims=True)
    found, info = model.simulate(x0, n_steps=1600, return_info=True)
    model.set_params(on_divergence="warn", solver=None)
    beyond = (~(np.abs(found) <= 2 * LARGEST)).any(2)
    left = np.where(beyond.any(1), beyond.argmax(1), 10**6)
    flagged = np.where(info["first_flagged"] >= 0, info["first_flagged"], 10**7)
    true = kuramoto_sivashinsky_solver(DT)(x0, DT, 40)
    error = np.sqrt(np.square(found[:, 1:41] - true[:, 1:]).mean()) / SPREAD
    late = ((flagged > left) & (left < 10**6)).mean()
    return {"flagged": (flagged < 10**7).mean(), "late": late, "largest": np.abs(found).max(), "error of 10": error}


def speed_table(n: int, kind: str = "default") -> pd.DataFrame:
    """The solver at several steps and the surrogate, 40 time units."""
    model, _ = default_model(0) if kind == "default" else systems.fitted(ks("large")[0], DT, **OPINF, n_components=16)
    solvers = {f"solver, step {s:g}": kuramoto_sivashinsky_solver(s) for s in (0.05, 0.25)}
    solvers |= {f"solver, step {k * DT:g}": partial(coarse, k) for k in (4, 8)}
    starts = np.concatenate(ks("large")[1][:, [100, 500]].transpose(1, 0, 2))[:n]
    return model.speedup(solvers, starts, horizon=40.0)


def coarse(factor: int, x0: np.ndarray, dt: float, n_steps: int) -> np.ndarray:
    """The solver with one step for several samples; states between are interpolated by lines."""
    states = kuramoto_sivashinsky_solver(factor * dt)(x0, factor * dt, -(-n_steps // factor))
    at = np.arange(n_steps + 1) / factor
    left = np.minimum(at.astype(int), states.shape[1] - 2)
    part = (at - left)[:, None]
    return states[:, left] * (1 - part) + states[:, left + 1] * part


# ---- which rows there are, and where they are kept ------------------------------------------------------------------

TABLES = {
    "ks": "Kuramoto-Sivashinsky",
    "long": "Kuramoto-Sivashinsky: long runs of the default",
    "guard": "Kuramoto-Sivashinsky: guard of the default",
    "speed": "Kuramoto-Sivashinsky: solver and surrogate, 40 time units",
    **systems.TABLES,
}
GROUPS: dict[str, dict[str, Callable[[], Any]]] = {
    "ks": {
        "persistence": partial(ks_peer, peers.persistence),
        "exact DMD, rank 24": partial(ks_peer, peers.exact_dmd),
        "PyDMD, rank 24": partial(ks_peer, peers.pydmd),
        "echo-state network, 2000 units": partial(ks_peer, peers.echo_state_network),
        "opinf, 16 components": partial(ks_row, n_components=16, **OPINF),
        "opinf, 16 components, 1 % noise": partial(ks_row, "noisy", n_components=16, **OPINF),
        "opinf, 20 components, fine": partial(ks_row, "fine", n_components=20, **OPINF),
        "opinf, 24 components, fine": partial(ks_row, "fine", n_components=24, **OPINF),
        "PySINDy, 16 components, fine": partial(ks_peer, peers.pysindy, "fine"),
        **{f"defaults, seed {s}": partial(ks_row, seed=s) for s in range(3)},
        "fno1d": partial(ks_row, **FNO),
        "defaults, 1 % noise": partial(ks_row, "noisy"),
        "defaults, one record": partial(ks_row, "one record"),
        "defaults, one record, augmented": partial(ks_row, "one record", module_kwargs={"augment": moved}),
        "fno1d, 1 % noise": partial(ks_row, "noisy", **FNO),
        "auto": partial(ks_row, **(FNO | {"stepper": "auto"})),
    },
    "long": {"truth": truth_row, "defaults": long_row},
    "guard": {
        "not moved": partial(guard_row, 0.0),
        "3 spreads at each point": partial(guard_row, 3.0),
        "3 spreads in all": partial(guard_row, 3.0 / 8),
        "3 spreads at each point, fallback": partial(guard_row, 3.0, "fallback"),
    },
    "speed": {
        **{f"defaults, {n}": partial(speed_table, n) for n in (1, 100)},
        **{f"opinf, {n}": partial(speed_table, n, "opinf") for n in (1, 100)},
    },
    **systems.GROUPS,
}


def rows_of(name: str, found: Any) -> dict[str, dict[str, Any]]:
    """A row, or the rows of a speed table, as plain numbers and texts."""
    rows = {name: found} if isinstance(found, dict) else {f"{name}: {k}": v for k, v in found.T.to_dict().items()}
    return {row: {k: v if isinstance(v, str) else float(v) for k, v in values.items()} for row, values in rows.items()}


def in_order(group: str, rows: dict[str, Any]) -> dict[str, Any]:
    """As they stand in ``GROUPS``, whenever they were measured."""
    places = {name: place for place, name in enumerate(GROUPS[group])}
    return dict(sorted(rows.items(), key=lambda row: places.get(row[0].split(":")[0], len(places))))


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """A table for the pages; what a row has no figure for is empty."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| model | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = (row.get(column, "") for column in columns)
        texts = (v if isinstance(v, str) else "" if v != v else f"{v:.3g}" for v in cells)
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure rows and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cheap rows, printed alone")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="groups of rows")
    parser.add_argument("--rows", default="", help="of these groups, rows that this expression finds")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where rows that were measured before are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    wanted = QUICK if options.quick else dict.fromkeys(options.only, options.rows)
    kept = json.loads(options.kept.read_text()) if options.kept.exists() and not options.quick else {}
    with threadpool_limits(1):
        for group, expression in wanted.items():
            for name, measure in GROUPS[group].items():
                if re.search(expression, name) and find_spec(NEEDS.get(name, "numpy")):
                    rows = rows_of(name, measure())
                    kept.setdefault(group, {}).update(rows)
                    print(group, rows, flush=True)
                    if not options.quick:
                        options.kept.write_text(json.dumps(kept))
    if options.quick or set(kept) != set(TABLES):
        print("the tables in docs/ stay as they are: not every one of them has been measured")
        return
    tables = [f"## {title}\n\n{markdown(in_order(group, kept[group]))}" for group, title in TABLES.items()]
    TABLE.write_text("\n\n".join([f"# Dynamics\n\n{__doc__}", *tables]) + "\n")


if __name__ == "__main__":
    main()
