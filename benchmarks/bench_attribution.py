"""Whether `feature_importances_` name the two variates that drive a system of eight.

Ten systems of 1500 rows. Two columns, drawn anew for each, are autoregressive (0.5) and drive the other six with lags
of 3 and 5 and weights 0.8 and -0.6, beside noise of 0.3; nothing else goes from one column to another. Forecasts three
steps ahead, by the bare network (`guard=None`), which is what the importances are about.

"named" counts the systems where the two drivers are the two most important variates. "by others" counts them for
another measure, which leaves out what a variate says of itself: the mean squared change of the forecasts of the other
seven when its course, and nothing else, is replaced by that of another window at the same mean and spread, over 64
windows. "drivers' share" is what the two have of the importances, "MSE" the error on 500 rows that nothing has seen
over that of one linear map, and "least" what an ideal forecaster would reach; means over the systems.

Run by `make bench`, or `python benchmarks/bench_attribution.py [--quick] [--set name=value ...]` (three systems); the
table goes to docs/bench_attribution.md unless --quick or --set.
"""

import argparse
import ast
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skts import FMambaForecaster
from skts.fmamba import LinearForecaster

TABLE = Path(__file__).parent.parent / "docs" / "bench_attribution.md"
SEEDS, SEEN, NEW, VARIATES, STEPS = 10, 1500, 500, 8, 3
AUTOREGRESSION, WEIGHTS, LAGS, NOISE = 0.5, (0.8, -0.6), (3, 5), 0.3
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no closed forms": {"module_kwargs": {"skip": False}},
    "no closed forms, lr=2e-3": {"lr": 2e-3, "module_kwargs": {"skip": False}},
}


def system(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows, seen and new, and the numbers of the two drivers."""
    rng = np.random.default_rng(seed)
    drivers = rng.choice(VARIATES, 2, replace=False)
    followers = np.setdiff1d(np.arange(VARIATES), drivers)
    y = rng.standard_normal((SEEN + NEW, VARIATES))
    y[:, followers] *= NOISE
    for t in range(max(LAGS), len(y)):
        y[t, drivers] += AUTOREGRESSION * y[t - 1, drivers]
        for driver, weight, lag in zip(drivers, WEIGHTS, LAGS, strict=True):
            y[t, followers] += weight * y[t - lag, driver]
    return pd.DataFrame(y, columns=[f"v{i}" for i in range(VARIATES)]), drivers


def least_error() -> float:
    """Mean squared error of a forecaster that knows the system: the followers' noise, and what drivers do anew."""
    own = [sum(AUTOREGRESSION ** (2 * k) for k in range(step)) for step in range(1, STEPS + 1)]
    return (2 * float(np.mean(own)) + (VARIATES - 2) * NOISE**2) / VARIATES


def test_windows(y: pd.DataFrame, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and what came, for every step of the new rows."""
    values = y.to_numpy()[SEEN - length :]
    windows = np.lib.stride_tricks.sliding_window_view(values, length + STEPS, axis=0).transpose(0, 2, 1)
    return windows[:, :length], windows[:, length:]


def effect_on_others(forecaster: Any, contexts: np.ndarray) -> np.ndarray:
    """How far the forecasts of the others move, (n_variates,), when a variate takes the course of another window."""
    contexts = contexts[np.linspace(0, len(contexts) - 1, 64).astype(int)]
    mean, spread = contexts.mean(1, keepdims=True), contexts.std(1, keepdims=True)
    other = mean + spread * np.roll((contexts - mean) / spread, 32, axis=0)
    before, found = forecaster.predict_windows(contexts), np.empty(VARIATES)
    for j in range(VARIATES):
        changed = contexts.copy()
        changed[:, :, j] = other[:, :, j]
        moves = (forecaster.predict_windows(changed) - before) / forecaster.scale_
        found[j] = np.delete(np.square(moves), j, axis=2).mean()
    return found


def trials(changes: dict[str, Any], seeds: int) -> Iterator[dict[str, float]]:
    """A row for each system."""
    for seed in range(seeds):
        y, drivers = system(seed)
        start = time.process_time()
        forecaster = FMambaForecaster(**{"guard": None, "random_state": seed, **changes})
        forecaster.fit(y.iloc[:SEEN], fh=range(1, STEPS + 1))
        seconds = time.process_time() - start
        contexts, came = test_windows(y, forecaster.context_length_)
        plain = LinearForecaster(context_length=forecaster.context_length_).fit(y.iloc[:SEEN], fh=range(1, STEPS + 1))
        error, bar = (np.square(f.predict_windows(contexts) - came).mean() for f in (forecaster, plain))
        importances = forecaster.feature_importances_
        row = {
            "named": set(np.argsort(-importances)[:2]) == set(drivers),
            "by others": set(np.argsort(-effect_on_others(forecaster, contexts))[:2]) == set(drivers),
            "drivers' share": importances[drivers].sum(),
            "MSE": error / bar,
            "least": least_error() / bar,
            "epochs": forecaster.n_iter_,
            "CPU s": seconds,
        }
        print(seed, drivers, importances.round(3), {k: round(float(v), 3) for k, v in row.items()}, flush=True)
        yield row


def main() -> None:
    """Run the systems and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three systems; writes nothing")
    parser.add_argument("--set", nargs="*", default=[], help="parameters of FMambaForecaster, name=value")
    options = parser.parse_args()
    changes = {key: ast.literal_eval(text) for key, _, text in (item.partition("=") for item in options.set)}
    settings = {" ".join(options.set): changes} if changes else SETTINGS
    seeds = 3 if options.quick else SEEDS
    lines = []
    for name, some in settings.items():
        rows = pd.DataFrame(list(trials(some, seeds))).astype(float)
        counts = [f"{rows[column].sum():.0f} of {seeds}" for column in ("named", "by others")]
        means = [f"{rows[column].mean():.2f}" for column in ("drivers' share", "MSE", "least")]
        costs = [f"{rows[column].mean():.1f}" for column in ("epochs", "CPU s")]
        lines.append(f"| {' | '.join([name, *counts, *means, *costs])} |")
    header = ["settings", *rows.columns]
    text = "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *lines])
    print(text)
    if not (options.quick or changes):
        TABLE.write_text(f"# Attribution\n\n{__doc__}\n{text}\n")


if __name__ == "__main__":
    main()
