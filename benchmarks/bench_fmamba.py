"""FMambaForecaster beside the closed forms on public data, by the protocol of the field.

Standardised by the training part; MSE and MAE over every test window, step and variate; lookback 96 (36 for illness,
which is weekly); seconds are those of all threads. The settings are the defaults of the estimator. Data come from
SKTS_DATA, the user's cache or the network; a set that is not there is left out.

Run by `make bench`, or `python benchmarks/bench_fmamba.py [--quick] [--sets ETTh1 weather ...] [--horizons 96 ...]
[--seeds 3] [--set name=value ...]`; the table goes to docs/bench_fmamba.md unless parameters are changed by --set.
"""

import argparse
import ast
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skts import FMambaForecaster
from skts.datasets import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.errors import DataNotFoundError
from skts.fmamba import LinearForecaster

TABLE = Path(__file__).parent.parent / "docs" / "bench_fmamba.md"
LOOKBACK = 96


def by_months(rows: int) -> tuple[int, int, int]:
    """12, 4 and 4 months of 30 days."""
    unit = 30 * 24 * (4 if rows > 20_000 else 1)
    return 12 * unit, 16 * unit, 20 * unit


def by_share(rows: int) -> tuple[int, int, int]:
    """70, 10 and 20 percent."""
    return int(rows * 0.7), rows - int(rows * 0.2), rows


SETS: dict[str, tuple[Callable[[], pd.DataFrame], Callable[[int], tuple[int, int, int]]]] = {
    **{name: ((lambda name=name: fetch_ett(name)), by_months) for name in ("ETTh1", "ETTh2", "ETTm1", "ETTm2")},
    "weather": (fetch_weather, by_share),
    "exchange": (fetch_exchange, by_share),
    "illness": (fetch_illness, by_share),
}


def test_errors(forecaster: Any, values: np.ndarray, start: int, horizon: int) -> tuple[float, float]:
    """MSE and MAE over all windows whose forecast lies after row ``start``; none is dropped."""
    length = forecaster.context_length_
    windows = np.lib.stride_tricks.sliding_window_view(values[start - length :], length + horizon, axis=0)
    squared = absolute = 0.0
    for chunk in np.array_split(np.arange(len(windows)), max(1, len(windows) // 512)):
        block = windows[chunk].transpose(0, 2, 1)
        error = forecaster.predict_windows(block[:, :length])[:, :horizon] - block[:, length:]
        squared += np.square(error).mean((1, 2)).sum()
        absolute += np.abs(error).mean((1, 2)).sum()
    return squared / len(windows), absolute / len(windows)


def candidates(lookback: int, held_out: float, changes: dict[str, Any], seeds: int) -> Iterator[tuple[str, int, Any]]:
    """Name, seed and forecaster of every row of the table."""
    for kind in ("last value", "linear", "linear per variate"):
        yield kind, 0, LinearForecaster(kind, lookback, validation_fraction=held_out)
    for guard, name in ((None, "FMamba, bare"), ("validation", "FMamba, guarded")):
        for seed in range(seeds):
            shared = {"context_length": lookback, "validation_fraction": held_out, "random_state": seed}
            yield name, seed, FMambaForecaster(guard=guard, **{**shared, **changes})


def run(name: str, horizon: int, changes: dict[str, Any], seeds: int, only: str) -> list[dict[str, Any]]:
    """All candidates on one data set at one horizon."""
    load, split = SETS[name]
    values = load().to_numpy(dtype=np.float64)
    train, valid, test = split(len(values))
    values = (values[:test] - values[:train].mean(0)) / values[:train].std(0)
    lookback = 36 if name == "illness" else LOOKBACK
    rows = []
    for label, seed, forecaster in candidates(lookback, 1 - train / valid, changes, seeds):
        if only not in label:
            continue
        start = time.process_time()
        forecaster.fit(pd.DataFrame(values[:valid]), fh=range(1, horizon + 1))
        seconds = time.process_time() - start
        mse, mae = test_errors(forecaster, values, valid, horizon)
        best = min((row.get("valid_loss", np.nan) for row in getattr(forecaster, "history_", [])), default=np.nan)
        row = {"set": name, "H": horizon, "model": label, "mse": mse, "mae": mae, "valid": best, "cpu s": seconds}
        rows.append({**row, "epochs": getattr(forecaster, "n_iter_", 0), "seed": seed})
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
    parser.add_argument("--only", default="", help="only candidates with this in their name")
    options = parser.parse_args()
    changes = {key: _value(text) for key, _, text in (item.partition("=") for item in options.set)}
    if options.quick:
        options.sets, options.horizons, options.seeds = ["ETTh1"], [96], 1
        changes = {"max_epochs": 3, "d_model": 64, **changes}
    rows: list[dict[str, Any]] = []
    for name in options.sets:
        for horizon in options.horizons:
            try:
                rows += run(name, horizon, changes, options.seeds, options.only)
            except DataNotFoundError as error:
                print(f"{name} is left out: {error}")
    if not rows:
        return
    frame = pd.DataFrame(rows)
    columns = ["mse", "mae", "valid", "cpu s", "epochs"]
    table = frame.groupby(["set", "H", "model"], sort=False)[columns].mean().round(4).reset_index()
    table["seeds"] = frame.groupby(["set", "H", "model"], sort=False)["seed"].nunique().to_numpy()
    print(table.to_string(index=False))
    if not changes:
        header = " | ".join(map(str, table.columns))
        body = "\n".join("| " + " | ".join(map(_shown, row)) + " |" for row in table.itertuples(index=False))
        lines = f"| {header} |\n{'|---' * table.shape[1]}|\n{body}"
        TABLE.write_text(f"# Forecasting\n\n{__doc__}\n{lines}\n")


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
