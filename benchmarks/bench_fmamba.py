"""FMambaForecaster beside the closed forms on public data, by the protocol of the field.

Standardised by the training part; MSE and MAE over every test window, step and variate (every `stride`-th window where
that column says so); lookback 96 (36 for illness, which is weekly); seconds are CPU seconds. The settings
are the defaults of the estimator, the same on every set. "linear" and "linear per variate" are ridge regressions
(OLS-s, OLS-v), solved on the training part; "periodic" is the closed form of skts.fmamba.periodic, with its size and
penalty chosen on validation data and then solved over training and validation part, as the guard uses it. "bare" is the
network alone (guard=None), with that closed form inside it; "guarded" is the default, and the same fit. Every window's
forecast is told its time; "undated" is the guarded forecast that is not, and reads the time of day off each window by
itself. Weather repeats one time stamp, which is moved by five minutes. Data come from SKTS_DATA, the user's cache or
the network; a set that is not there is left out.

Run by `make bench`, or `python benchmarks/bench_fmamba.py [--quick] [--sets ETTh1 weather ...] [--horizons 96 ...]
[--seeds 3] [--stride 4] [--set name=value ...]`. The rows of a run replace those of the same set and horizon in
docs/bench_fmamba.md, unless --quick or --set change the parameters. For illness the horizons 96, 192, 336 and 720 mean
24, 36, 48 and 60. "sensors" is simulated: 60 sensors on a road, 12 steps ahead, split 60/20/20; there the network
without mixing across variates stands beside.
"""

import argparse
import ast
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from skts import FMambaForecaster
from skts.datasets import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.engine import cut_last_part
from skts.errors import DataNotFoundError
from skts.fmamba import LinearForecaster
from skts.fmamba.closed_forms import PERIODIC, fit_closed_forms
from skts.fmamba.cycle import Cycle
from skts.fmamba.defaults import WIDE, defaults
from skts.fmamba.evidence import NETWORK
from skts.fmamba.linear import linear_forecast
from skts.fmamba.windows import DatedWindows

TABLE = Path(__file__).parent.parent / "docs" / "bench_fmamba.md"
LOOKBACK = 96
NO_MIXING = {"attention": None, "mamba": None, "guard": None}
SENSORS = 12  # steps, an hour, whatever the horizon asked for
ILLNESS = {96: 24, 192: 36, 336: 48, 720: 60}  # the weekly set's horizons, as they are published


def by_months(rows: int) -> tuple[int, int, int]:
    """12, 4 and 4 months of 30 days."""
    unit = 30 * 24 * (4 if rows > 20_000 else 1)
    return 12 * unit, 16 * unit, 20 * unit


def by_share(rows: int) -> tuple[int, int, int]:
    """70, 10 and 20 percent."""
    return int(rows * 0.7), rows - int(rows * 0.2), rows


def by_60_20_20(rows: int) -> tuple[int, int, int]:
    """60, 20 and 20 percent."""
    return int(rows * 0.6), int(rows * 0.8), rows


def sensors(n_rows: int = 2016, n_sensors: int = 60, n_waves: int = 3) -> pd.DataFrame:
    """A road: waves of congestion reach each sensor after a delay of its own; a daily course, noise of measurement."""
    rng, most = np.random.default_rng(0), 24
    delays = rng.integers(0, most, n_sensors)
    waves = np.zeros((n_rows + most, n_waves))
    for k in range(1, len(waves)):
        waves[k] = 0.97 * waves[k - 1] + 0.25 * rng.standard_normal(n_waves)
    felt = rng.dirichlet(np.ones(n_waves), n_sensors) * rng.uniform(0.5, 1.5, (n_sensors, 1))
    passing = np.stack([waves[most - d : most - d + n_rows] @ felt[i] for i, d in enumerate(delays)], axis=1)
    turns = 2 * np.pi * np.arange(n_rows)[:, None] / 288 + rng.uniform(-0.5, 0.5, n_sensors)
    values = passing + 0.5 * np.cos(turns) + 0.3 * rng.standard_normal((n_rows, n_sensors))
    return pd.DataFrame(values, index=pd.date_range("2024-03-01", periods=n_rows, freq="5min"))


SETS: dict[str, tuple[Callable[[], pd.DataFrame], Callable[[int], tuple[int, int, int]]]] = {
    **{name: ((lambda name=name: fetch_ett(name)), by_months) for name in ("ETTh1", "ETTh2", "ETTm1", "ETTm2")},
    "weather": (fetch_weather, by_share),
    "exchange": (fetch_exchange, by_share),
    "illness": (fetch_illness, by_share),
    "sensors": (sensors, by_60_20_20),
}


Forecast = Callable[[np.ndarray, pd.Index], np.ndarray]


def test_errors(
    forecast: Forecast, frame: pd.DataFrame, start: int, lengths: tuple[int, int], stride: int
) -> tuple[float, float]:
    """MSE and MAE over the windows whose forecast lies after row ``start``."""
    length, horizon = lengths
    values = frame.to_numpy()
    firsts = np.arange(start - length, len(values) - length - horizon + 1, stride)
    squared = absolute = 0.0
    for chunk in np.array_split(firsts, max(1, len(firsts) // 256)):
        block = values[chunk[:, None] + np.arange(length + horizon)]
        error = forecast(block[:, :length], frame.index[chunk + length - 1]) - block[:, length:]
        squared += np.square(error).mean((1, 2)).sum()
        absolute += np.abs(error).mean((1, 2)).sum()
    return squared / len(firsts), absolute / len(firsts)


def periodic(frame: pd.DataFrame, lookback: int, horizon: int, held_out: float) -> Forecast:
    """The periodic closed form by itself."""
    cycle = Cycle.of(frame.index, "auto")
    rows = cut_last_part(len(frame), held_out, horizon)
    sizes = defaults(frame.shape[1], lookback, horizon, rows, cycle)
    harmonics, modulations = sizes["n_harmonics"], sizes["n_modulations"]
    assert cycle is not None
    dated = DatedWindows.of([frame.to_numpy(np.float32)], [cycle.angles(frame.index)], lookback, horizon)
    train, valid = dated.split(held_out, torch.Generator())
    assert valid is not None
    coef = fit_closed_forms(train, valid, harmonics, modulations).final[PERIODIC].numpy()
    return lambda windows, ends: linear_forecast(windows, coef, cycle.angles(ends, 1), harmonics, modulations)


def bare(forecaster: FMambaForecaster) -> FMambaForecaster:
    """The same network as with guard=None, which changes nothing of the training."""
    alone = copy.copy(forecaster)
    alone.guard_weights_ = {NETWORK: np.ones(forecaster.n_variates_)}
    return alone


def candidates(
    frame: pd.DataFrame, horizon: int, held_out: float, lookback: int, changes: dict[str, Any], seeds: int
) -> Iterator[tuple[str, int, float, Any, Forecast]]:
    """Name, seed, CPU seconds of the fit, fitted object and forecast of every row of the table."""
    fh = range(1, horizon + 1)
    for kind in ("last value", "linear", "linear per variate"):
        start = time.process_time()
        plain = LinearForecaster(kind, lookback, validation_fraction=held_out).fit(frame, fh=fh)
        yield kind, 0, time.process_time() - start, plain, lambda windows, ends, f=plain: f.predict_windows(windows)
    start = time.process_time()
    closed = periodic(frame, lookback, horizon, held_out)
    yield PERIODIC, 0, time.process_time() - start, None, closed
    for seed in range(seeds):
        shared = {"context_length": lookback, "validation_fraction": held_out, "random_state": seed}
        start = time.process_time()
        fitted = FMambaForecaster(**{**shared, **changes}).fit(frame, fh=fh)
        seconds = time.process_time() - start
        for name, f in (("bare", bare(fitted)), ("guarded", fitted)):
            dated = lambda windows, ends, f=f: f.predict_windows(windows, cutoffs=ends)  # noqa: E731
            yield f"FMamba, {name}", seed, seconds, fitted, dated
        undated = lambda windows, ends, f=fitted: f.predict_windows(windows)  # noqa: E731
        yield "FMamba, guarded, undated", seed, seconds, fitted, undated
        if frame.shape[1] >= WIDE:
            start = time.process_time()
            alone = FMambaForecaster(**{**shared, **changes, **NO_MIXING}).fit(frame, fh=fh)
            dated = lambda windows, ends, f=alone: f.predict_windows(windows, cutoffs=ends)  # noqa: E731
            yield "bare, no mixing", seed, time.process_time() - start, alone, dated


def run(name: str, horizon: int, changes: dict[str, Any], seeds: int, stride: int) -> list[dict[str, Any]]:
    """All candidates on one data set at one horizon."""
    load, split = SETS[name]
    data = load()
    values = data.to_numpy(dtype=np.float64)
    train, valid, test = split(len(values))
    values = (values[:test] - values[:train].mean(0)) / values[:train].std(0)
    index = data.index.where(~data.index.duplicated(), data.index + pd.Timedelta("5min"))[:test]
    frame = pd.DataFrame(values, index=index, columns=data.columns)
    lookback, horizon = (36, ILLNESS[horizon]) if name == "illness" else (LOOKBACK, horizon)
    if name == "sensors":
        horizon = SENSORS
    rows = []
    for label, seed, seconds, fitted, forecast in candidates(
        frame[:valid], horizon, 1 - train / valid, lookback, changes, seeds
    ):
        mse, mae = test_errors(forecast, frame, valid, (lookback, horizon), stride)
        best = min((row.get("valid_loss", np.nan) for row in getattr(fitted, "history_", [])), default=np.nan)
        row = {"set": name, "H": horizon, "model": label, "mse": mse, "mae": mae, "valid": best, "cpu s": seconds}
        rows.append({**row, "epochs": getattr(fitted, "n_iter_", 0), "stride": stride, "seed": seed})
        print(
            "  ".join(f"{k}={v:.4f}" if isinstance(v, float) else f"{k}={v}" for k, v in rows[-1].items()), flush=True
        )
    return rows


def main() -> None:
    """Run the protocol and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ETTh1, horizon 96, one seed, three epochs, d_model 64")
    parser.add_argument("--sets", nargs="*", default=["ETTh1", "exchange", "illness"], help=f"among {list(SETS)}")
    parser.add_argument("--horizons", nargs="*", type=int, default=[96])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], help="parameters of FMambaForecaster, name=value")
    parser.add_argument("--stride", type=int, default=1, help="take every so many-th test window")
    options = parser.parse_args()
    changes = {key: _value(text) for key, _, text in (item.partition("=") for item in options.set)}
    if options.quick:
        options.sets, options.horizons, options.seeds = ["ETTh1"], [96], 1
        changes = {"max_epochs": 3, "d_model": 64, **changes}
    rows: list[dict[str, Any]] = []
    for name in options.sets:
        for horizon in options.horizons:
            try:
                rows += run(name, horizon, changes, options.seeds, options.stride)
            except DataNotFoundError as error:
                print(f"{name} is left out: {error}")
    if not rows:
        return
    frame = pd.DataFrame(rows)
    columns = ["mse", "mae", "valid", "cpu s", "epochs", "stride"]
    table = frame.groupby(["set", "H", "model"], sort=False)[columns].mean().round(4).reset_index()
    table["seeds"] = frame.groupby(["set", "H", "model"], sort=False)["seed"].nunique().to_numpy()
    print(table.to_string(index=False))
    if not changes:
        write(table)


def write(table: pd.DataFrame) -> None:
    """Put the rows into the page, in the place of older ones of the same set and horizon."""
    new = {
        key: ["| " + " | ".join(map(_shown, row)) + " |" for row in part.itertuples(index=False)]
        for key, part in table.groupby(["set", "H"], sort=False)
    }
    kept: dict[tuple[str, int], list[str]] = {}
    for line in TABLE.read_text().splitlines() if TABLE.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == table.shape[1] and cells[1].isdigit():
            kept.setdefault((cells[0], int(cells[1])), []).append(line)
    order = {name: number for number, name in enumerate(SETS)}
    blocks = sorted({**kept, **new}.items(), key=lambda block: (order.get(block[0][0], 99), block[0][1]))
    head = f"| {' | '.join(map(str, table.columns))} |\n{'|---' * table.shape[1]}|"
    lines = "\n".join(line for _, block in blocks for line in block)
    TABLE.write_text(f"# Forecasting\n\n{__doc__}\n{head}\n{lines}\n")


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if np.isnan(value) else f"{value:.4f}" if value < 20 and value % 1 else f"{value:.0f}"


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    main()
