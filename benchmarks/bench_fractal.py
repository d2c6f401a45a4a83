"""FractalSampler beside simple densities: held-out likelihood, classes, windows, what is filled in, and the cost.

Settings are the defaults unless a row says so; they were chosen on held-out parts of training data. "fit s" are CPU
seconds on one thread, of a machine that was not idle. Three seeds where "seeds" says so (median).

*Digits*: scikit-learn's 8 x 8 digits, 17 grey levels, a stratified quarter held out; bits for each pixel, lower is
better. A kernel density is scored by the mass of each pixel's cell (bandwidth by the held-out tenth), a Gaussian
mixture and zuko's spline flow by a uniform draw within it, which bounds the mass. "masked leaves": 2 x 2 pixels by a
masked network, ``generator=["ar", "made"]``, with sizes and dropout that the held-out tenth chose (``MASKED`` in the
script). *Binary tables*: official parts;
the training and the validation part are fitted together, and a tenth of them is held out; nats a row, higher is
better. "tree" has for each column the earlier one that tells most about it (Chow and Liu's idea). *Rows of ETTh1*: 7
standardised columns with normal jitter of 0.001, random parts of 80 and 20 %; nats a row. *MNIST*: pixels are black
or white at random, once for the test rows and once for the training rows; nats an image. *Windows*: 24 days of 6
columns of stock prices; as many samples as windows; discriminative and predictive score, 0 and the score of real
windows are best. *Filling in*: half of the pixels of held-out digits, missing at random; mean absolute error.
*Scores of incomplete rows*: dependent columns of three values of which some are
missing at random; gap to the sum of the model's own probabilities over all that the missing ones may be, nats a row,
mean and largest of 50 rows. Up to 256 completions are summed over by the model itself; beyond, ``mask_rate`` trains
for gaps, and without it 64 particles estimate.
*Samples*: 1000 digits at once.

Run by `python benchmarks/bench_fractal.py [--quick] [--seeds 3] [--only digits binary rows mnist windows filling
missing samples]`. Rows that were measured before are kept in a file; the tables go to docs/bench_fractal.md once every
table has rows, unless --quick.
"""

import argparse
import json
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_limits

from skts import FractalSampler
from skts.datasets import fetch_binary_table, fetch_ett, fetch_mnist, fetch_stock_windows
from skts.errors import DataNotFoundError
from skts.metrics import discriminative_score, predictive_score

TABLE = Path(__file__).parent.parent / "docs" / "bench_fractal.md"
KEPT = Path(tempfile.gettempdir()) / "skts_bench_fractal.json"
TITLES = {
    "digits": "Digits",
    "binary": "Binary tables",
    "rows": "Rows of ETTh1",
    "mnist": "MNIST, binary",
    "windows": "Windows of stock prices",
    "filling": "Filling in",
    "missing": "Scores of incomplete rows",
    "samples": "Samples",
}
SEEDS = [3]
MASKED = {
    "generator": ["ar", "made"],
    "dims": [96, 48],
    "depths": [2, 1],
    "lr": 4e-3,
    "batch_size": 32,
    "max_epochs": 40,
    "module_kwargs": {"dropout": 0.2, "label_drop": 0.0},
}
Row = dict[str, Any]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    start = time.process_time()
    return call(), time.process_time() - start


def median_of(measure: Callable[[int], Row], seeds: int | None = None) -> Row:
    """Medians over the seeds of the estimator."""
    seeds = SEEDS[0] if seeds is None else seeds
    rows = pd.DataFrame([measure(seed) for seed in range(seeds)])
    return {**rows.median(numeric_only=True).to_dict(), "seeds": seeds}


# ---- digits ---------------------------------------------------------------------------------------------------------


@cache
def digits() -> tuple[np.ndarray, ...]:
    """Training and test images (n, 8, 8) and their classes."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8).astype(np.uint8)
    return tuple(train_test_split(images, y, test_size=0.25, random_state=0, stratify=y))


def ours_on_digits(params: Row, with_classes: bool, seed: int) -> Row:
    """Bits for each pixel, and the accuracy where classes are known."""
    train, test, y, y_test = digits()
    model, fit = timed(
        lambda: FractalSampler(layout="image", random_state=seed, **params).fit(train, y if with_classes else None)
    )
    row = {"bits a pixel": model.bits_per_dim(test), "fit s": fit}
    return {**row, "accuracy": float((model.predict(test) == y_test).mean())} if with_classes else row


def kernel_density_on_digits() -> Row:
    """Exact mass of every pixel's cell under a Gaussian kernel density."""
    train, test = (part.reshape(len(part), -1).astype(float) for part in digits()[:2])
    held = len(train) // 10

    def bits(at: np.ndarray, kernels: np.ndarray, h: float) -> float:
        log_mass = np.empty(len(at))
        for i, row in enumerate(at):
            # The outermost cells take the tails, so that 17 masses sum to one.
            high = np.where(row == 16, np.inf, (row + 0.5 - kernels) / h)
            low = np.where(row == 0, -np.inf, (row - 0.5 - kernels) / h)
            each = np.log(np.maximum(norm.cdf(high) - norm.cdf(low), 1e-300)).sum(1)
            log_mass[i] = np.logaddexp.reduce(each) - math.log(len(kernels))
        return float(-log_mass.mean() / (at.shape[1] * math.log(2)))

    start = time.process_time()
    best = min((0.5, 1.0, 2.0, 3.0), key=lambda h: bits(train[:held], train[held:], h))
    return {"bits a pixel": bits(test, train, best), "fit s": time.process_time() - start}


def gaussian_mixture_on_digits() -> Row:
    """Ten components with full covariances on dequantised pixels."""
    train, test = (part.reshape(len(part), -1).astype(float) for part in digits()[:2])
    rng = np.random.default_rng(0)
    model, fit = timed(lambda: GaussianMixture(10, reg_covar=1e-2, random_state=0).fit(train + rng.random(train.shape)))
    return {"bits a pixel": -model.score(test + rng.random(test.shape)) / (64 * math.log(2)), "fit s": fit}


def spline_flow_on_digits(seconds: float = 60.0) -> Row:
    """The neural spline flow of zuko on dequantised, scaled pixels."""
    import zuko

    train, test = (part.reshape(len(part), -1).astype(np.float32) for part in digits()[:2])
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    def cells(rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((rows + rng.random(rows.shape)) / 17 * 6 - 3).astype(np.float32))

    flow = zuko.flows.NSF(64, transforms=3, hidden_features=(128, 128))
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    held, best, stale, state = cells(train[:134]), math.inf, 0, None
    start = time.process_time()
    while time.process_time() - start < seconds and stale < 10:
        for rows in torch.randperm(len(train) - 134).split(64):
            loss = -flow().log_prob(cells(train[134:][rows.numpy()])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            now = float(-flow().log_prob(held).mean())
        stale = 0 if now < best else stale + 1
        if now < best:
            best, state = now, {k: v.clone() for k, v in flow.state_dict().items()}
    fit = time.process_time() - start
    flow.load_state_dict(state)
    with torch.no_grad():
        nats = -flow().log_prob(cells(test)).mean() - 64 * math.log(6 / 17)
    return {"bits a pixel": float(nats) / (64 * math.log(2)), "fit s": fit}


# ---- tables ---------------------------------------------------------------------------------------------------------


def binary(name: str, params: Row, seed: int) -> Row:
    """Log-likelihood of a row of a binary table."""
    bunch = fetch_binary_table(name)
    X = np.concatenate([bunch.train, bunch.valid])
    model, fit = timed(lambda: FractalSampler(random_state=seed, **params).fit(X))
    return {"nats": model.score(bunch.test), "fit s": fit}


@cache
def etth1() -> tuple[np.ndarray, np.ndarray]:
    """Random parts of the rows."""
    y = fetch_ett("ETTh1")
    rng = np.random.default_rng(0)
    X = np.asarray(y, dtype=float)
    X = (X - X.mean(0)) / X.std(0) + rng.normal(0, 1e-3, X.shape)
    order, cut = rng.permutation(len(X)), round(0.8 * len(X))
    return X[order[:cut]], X[order[cut:]]


def on_rows(make: Callable[[int], Any], seed: int) -> Row:
    """Log-likelihood of a row of ETTh1."""
    train, test = etth1()
    model, fit = timed(lambda: make(seed).fit(train))
    return {"nats": model.score(test) / (len(test) if isinstance(model, KernelDensity) else 1), "fit s": fit}


# ---- images, windows, holes, samples --------------------------------------------------------------------------------


def on_mnist(params: Row, seed: int) -> Row:
    """Log-likelihood of a binary image."""
    bunch = fetch_mnist(binary=True)
    model, fit = timed(lambda: FractalSampler(layout="image", random_state=seed, **params).fit(bunch.data))
    return {"nats": model.score(bunch.test_data), "epochs": model.n_iter_, "fit s": fit}


@cache
def windows() -> np.ndarray:
    """All windows (n, 24, 6), each column scaled to 0 .. 1."""
    X = fetch_stock_windows().data
    low, high = X.min((0, 1)), X.max((0, 1))
    return (X - low) / (high - low)


def on_windows(params: Row, seed: int) -> Row:
    """Scores of drawn windows."""
    real = windows()
    model, fit = timed(lambda: FractalSampler(random_state=seed, **params).fit(real))
    drawn, draw = timed(lambda: np.clip(model.sample(len(real), random_state=seed), 0, 1))
    return {**scores_of(real, drawn, seed), "fit s": fit, "draw s": draw}


def scores_of(real: np.ndarray, drawn: np.ndarray, seed: int) -> Row:
    """Both scores."""
    return {
        "discriminative": discriminative_score(real, drawn, random_state=seed),
        "predictive": predictive_score(real, drawn, random_state=seed),
    }


def gaussian_windows(seed: int) -> Row:
    """One normal distribution with a full covariance."""
    real = windows()
    flat = real.reshape(len(real), -1)
    model, fit = timed(lambda: GaussianMixture(10, reg_covar=1e-6, random_state=seed).fit(flat))
    drawn = np.clip(model.sample(len(real))[0], 0, 1)
    drawn = drawn[np.random.default_rng(seed).permutation(len(drawn))].reshape(real.shape)
    return {**scores_of(real, drawn, seed), "fit s": fit}


def filling(fill: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Row:
    """Mean absolute error of missing pixels."""
    train, test = digits()[:2]
    missing = np.random.default_rng(0).random(test.shape) < 0.5
    holes = np.where(missing, np.nan, test)
    filled, seconds = timed(lambda: fill(train, holes))
    return {"error": float(np.abs(filled - test)[missing].mean()), "fit and fill s": seconds}


def ours_fills(params: Row, train: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """The mean of particles."""
    model = FractalSampler(layout="image", random_state=0, **params).fit(train.astype(np.float32))
    return model.impute(holes, random_state=0, n_particles=64)


def column_wise(imputer: Any, train: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """scikit-learn's imputers on flat rows."""
    imputer.fit(train.reshape(len(train), -1).astype(float))
    return np.clip(imputer.transform(holes.reshape(len(holes), -1)), 0, 16).reshape(holes.shape)


def scores_with_gaps(params: Row, d: int, n_missing: int, seed: int) -> Row:
    """How far the score of an incomplete row is from the sum over all that the missing values may be."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (4050, d)).astype(float)
    for j in range(1, d):  # each column repeats one before it, shifted or not, or is free
        kept = rng.random(len(X)) < 0.7
        X[kept, j] = (X[kept, rng.integers(0, j)] + j) % 3
    model, fit = timed(lambda: FractalSampler(random_state=seed, **params).fit(X[:4000]))
    rows, fillings = X[4000:], np.array(list(product(range(3), repeat=n_missing)), dtype=float)
    gaps = []
    for row in rows:
        missing = rng.choice(d, n_missing, replace=False)
        completed, incomplete = np.tile(row, (len(fillings), 1)), row.copy()
        completed[:, missing], incomplete[missing] = fillings, np.nan
        marginal = np.logaddexp.reduce(model.score_samples(completed))
        gaps.append(abs(model.score_samples(incomplete[None])[0] - marginal))
    return {"mean gap": float(np.mean(gaps)), "largest gap": float(np.max(gaps)), "fit s": fit}


def drawing() -> Row:
    """Digits drawn in a second, and how far the sampler's word is from the density's."""
    model = FractalSampler(layout="image", random_state=0, max_epochs=5).fit(digits()[0])
    model.sample(10, random_state=0)
    (drawn, log_prob), seconds = timed(lambda: model.sample(1000, random_state=0, return_log_prob=True))
    gap = float(np.abs(model.score_samples(drawn) - log_prob).max())
    return {"samples/s": 1000 / seconds, "largest gap of log-densities": gap}


# ---- tables of rows -------------------------------------------------------------------------------------------------


def all_rows() -> dict[str, dict[str, Callable[[], Row]]]:
    """For each table its rows: name and measurement."""
    alone: Row = {"generator": None}
    found: dict[str, dict[str, Callable[[], Row]]] = {
        "digits": {
            "FractalSampler": lambda: median_of(partial(ours_on_digits, {}, False)),
            "FractalSampler, with classes": lambda: median_of(partial(ours_on_digits, {}, True)),
            "FractalSampler, masked leaves": lambda: median_of(partial(ours_on_digits, MASKED, False)),
            "FractalSampler, masked leaves, with classes": lambda: median_of(partial(ours_on_digits, MASKED, True)),
            "FractalSampler, mixture=None": lambda: median_of(partial(ours_on_digits, {"mixture": None}, False)),
            "one masked network (MADE)": lambda: median_of(
                partial(
                    ours_on_digits,
                    {"generator": "made", "splits": [8], "dims": 16, "depths": 2, "mixture": None},
                    False,
                )
            ),
            "mixture alone": lambda: ours_on_digits(alone, False, 0),
            "independent pixels": lambda: ours_on_digits({**alone, "mixture": None}, False, 0),
            "kernel density": kernel_density_on_digits,
            "Gaussian mixture, 10": gaussian_mixture_on_digits,
            "neural spline flow (zuko)": spline_flow_on_digits,
        },
        "binary": {},
        "rows": {
            "FractalSampler": lambda: median_of(partial(on_rows, lambda s: FractalSampler(random_state=s))),
            "mixture alone": lambda: median_of(partial(on_rows, lambda s: FractalSampler(random_state=s, **alone))),
            "FractalSampler, mixture=None": lambda: median_of(
                partial(on_rows, lambda s: FractalSampler(random_state=s, mixture=None))
            ),
            "Gaussian mixture, 60": lambda: median_of(partial(on_rows, lambda s: GaussianMixture(60, random_state=s))),
            "kernel density": lambda: on_rows(lambda s: KernelDensity(bandwidth=0.1, rtol=1e-3), 0),
        },
        "mnist": {
            "FractalSampler, generator=['ar', 'made'], 1 epoch": lambda: median_of(
                partial(on_mnist, {"max_epochs": 1, "dims": [96, 48], "batch_size": 128, "generator": ["ar", "made"]})
            ),
            "mixture alone": lambda: on_mnist(alone, 0),
            "independent pixels": lambda: on_mnist({**alone, "mixture": None}, 0),
        },
        "windows": {
            "FractalSampler": lambda: median_of(partial(on_windows, {})),
            "FractalSampler, scaling='normal'": lambda: median_of(partial(on_windows, {"scaling": "normal"})),
            "mixture alone": lambda: median_of(partial(on_windows, alone)),
            "mixture alone, scaling='normal'": lambda: median_of(partial(on_windows, {**alone, "scaling": "normal"})),
            "Gaussian mixture, 10": lambda: median_of(gaussian_windows),
            "real windows": lambda: median_of(lambda s: scores_of(windows(), windows(), s)),
        },
        "filling": {
            "FractalSampler": lambda: filling(partial(ours_fills, {})),
            "mixture alone": lambda: filling(partial(ours_fills, alone)),
            "IterativeImputer": lambda: filling(partial(column_wise, IterativeImputer(random_state=0))),
            "mean of the pixel": lambda: filling(partial(column_wise, SimpleImputer())),
        },
        "missing": {
            f"{n_missing} of {d} columns missing: {name}": lambda params=params, d=d, n=n_missing: median_of(
                partial(scores_with_gaps, params, d, n)
            )
            for d, n_missing in ((5, 2), (12, 7))
            for name, params in (
                ("FractalSampler", {}),
                ("FractalSampler, mask_rate=0.3", {"mask_rate": 0.3}),
                ("mixture alone", alone),
            )
        },
        "samples": {"FractalSampler, 1000 digits": drawing},
    }
    for name in ("dna", "nltcs", "plants", "jester"):
        given = {"ordering": "given"}
        few = {"max_epochs": 6} if name in ("plants", "jester") else {}
        rows = {
            f"FractalSampler{', 6 epochs' if few else ''}": few,
            f"FractalSampler{', 6 epochs' if few else ''}, ordering='given'": {**given, **few},
            "mixture alone": alone,
            "tree": {**alone, **given, "mixture": 1},
            "independent columns": {**alone, "mixture": None},
        }
        for label, params in rows.items():
            seeds = None if label in ("FractalSampler", "FractalSampler, 6 epochs") else 1
            found["binary"][f"{name}: {label}"] = partial(median_of, partial(binary, name, params), seeds)
    return found


QUICK = {
    "digits": ["mixture alone", "independent pixels", "Gaussian mixture, 10"],
    "binary": ["dna: FractalSampler", "dna: tree", "dna: independent columns"],
}


def main() -> None:
    """Measure what is asked for, print it, and write the page when it is whole."""
    parser = argparse.ArgumentParser(description="See the top of the file.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(TITLES))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    SEEDS[0] = chosen.seeds
    warnings.filterwarnings("ignore")
    kept: dict[str, dict[str, Row]] = json.loads(KEPT.read_text()) if KEPT.exists() and not chosen.quick else {}
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for table, rows in all_rows().items():
            wanted = QUICK.get(table, []) if chosen.quick else list(rows)
            if chosen.only and table not in chosen.only:
                continue
            for name in wanted:
                if name in kept.get(table, {}):
                    continue
                try:
                    kept.setdefault(table, {})[name] = rows[name]()
                except (DataNotFoundError, ModuleNotFoundError) as error:
                    print(f"{table}, {name}: left out ({str(error).splitlines()[0]})")
                    continue
                print(f"{table}, {name}: {kept[table][name]}", flush=True)
                if not chosen.quick:
                    KEPT.write_text(json.dumps(kept))
    page = [__doc__.split("\n", 1)[0], "", __doc__.split("\n", 2)[2].strip(), ""]
    for table, title in TITLES.items():
        if kept.get(table):
            order = [name for name in all_rows()[table] if name in kept[table]]
            frame = pd.DataFrame([kept[table][name] for name in order], index=order)
            page += [f"## {title}", "", markdown(frame), ""]
    print("\n".join(page))
    if all(kept.get(table) for table in TITLES) and not chosen.quick:
        TABLE.write_text("# " + "\n".join(page))


def markdown(frame: pd.DataFrame) -> str:
    """A table with the names of its rows."""
    lines = [["", *frame.columns], ["---"] * (1 + frame.shape[1])]
    lines += [[name, *map(shown, row)] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(value: Any) -> str:
    """Four significant digits."""
    return "" if pd.isna(value) else f"{value:.4g}"


if __name__ == "__main__":
    main()
