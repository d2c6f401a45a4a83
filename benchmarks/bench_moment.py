"""Features of MomentEmbedder beside statistics, catch22 and MiniRocket; and its speed beside the padded way.

Accuracy on official test parts. Every row but the last has the same classifier: StandardScaler and LogisticRegression,
C by cross-validation in the training part; MiniRocket has its own ridge classifier. The weights are random (four blocks
of width 64, mean of the seeds, channels side by side), since the released ones cannot be downloaded everywhere: what
is compared is how the same network is read. "patch statistics" are mean, standard deviation, minimum and maximum of
eight segments; "quantiles" are what `scale_features=True` adds. Which of them there are was chosen by cross-validation
in training parts of the first seven, ArrowHead, GunPoint, ItalyPowerDemand and OSULeaf. The first seven sets come from
SKTS_DATA, the others with sktime; a set that is not there, and a peer that is not installed (pycatch22; numba for
sktime's MiniRocket), is left out. Seconds are CPU seconds on one thread for the features of both parts, without the
classifier.

Speed: milliseconds for a series, random weights of the released small size, float32, one thread, best of three. The
padded way is the same network on all 64 patches with a mask.

Run by `make bench`, or `python benchmarks/bench_moment.py [--quick] [--seeds 2]`; the tables go to docs/bench_moment.md
unless --quick.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skts import MomentEmbedder
from skts.moment.packing import pack_dense
from skts.moment.revin import standardise
from skts.moment.statistics import quantile_statistics

TABLE = Path(__file__).parent.parent / "docs" / "bench_moment.md"
SEVEN = ["Coffee", "ECG200", "ERing", "Epilepsy", "GestureMidAirD1", "Plane", "SyntheticControl"]
BUNDLED = {
    "ArrowHead": "load_arrow_head",
    "BasicMotions": "load_basic_motions",
    "GunPoint": "load_gunpoint",
    "ItalyPowerDemand": "load_italy_power_demand",
    "JapaneseVowels": "load_japanese_vowels",
    "OSULeaf": "load_osuleaf",
    "ACSF1": "load_acsf1",
}
QUICK = ["ECG200", "Plane", "SyntheticControl", "ArrowHead", "GunPoint"]
NETWORK = {"d_model": 64, "d_ff": 128, "n_layers": 4, "n_heads": 4, "d_kv": 16}
READ: dict[str, dict[str, Any]] = {
    "last layer": {},
    "all layers": {"layer": "all"},
    "all layers, maximum": {"layer": "all", "pooling": "max"},
    "all layers, quantiles": {"layer": "all", "scale_features": True},
    "all layers, quantiles, differences": {"layer": "all", "scale_features": True, "diff_features": True},
    "all layers, maximum, quantiles": {"layer": "all", "pooling": "max", "scale_features": True},
}

Panel = np.ndarray | list[np.ndarray]
Features = tuple[np.ndarray, np.ndarray]


def sets(names: list[str]) -> Iterator[tuple[str, Panel, np.ndarray, Panel, np.ndarray]]:
    """Name, training series (n, C, T) or a list, their classes, and the same of the test part."""
    for name in names:
        if name in BUNDLED:
            yield name, *bundled(name)
            continue
        file = Path(os.environ.get("SKTS_DATA", "")) / "classification" / f"{name}.npz"
        if file.is_file():
            with np.load(file) as data:
                yield name, data["X_train"], data["y_train"], data["X_test"], data["y_test"]
        else:
            print(f"{name} is left out: SKTS_DATA does not hold it")


def bundled(name: str) -> list[Any]:
    """A set of sktime."""
    import sktime.datasets

    found: list[Any] = []
    for split in ("train", "test"):
        frames, y = getattr(sktime.datasets, BUNDLED[name])(split=split, return_type="df-list", return_X_y=True)
        series = [frame.to_numpy(np.float64).T for frame in frames]
        found += [np.stack(series) if len({x.shape for x in series}) == 1 else series, np.asarray(y)]
    return found


def classifier(y: np.ndarray) -> Any:
    """The one for all features; the rotation changes nothing but the seconds where features outnumber series."""
    folds = StratifiedKFold(min(5, np.unique(y, return_counts=True)[1].min()), shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), PCA(svd_solver="full"), LogisticRegression(max_iter=300))
    return GridSearchCV(model, {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]}, cv=folds)


def each(X: Panel, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Features of panels (m, C, T), channels side by side."""
    if isinstance(X, np.ndarray):
        return function(X).reshape(len(X), -1)
    return np.concatenate([function(x[None]).reshape(1, -1) for x in X])


def patch_statistics(x: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, minimum and maximum of eight segments."""
    length = x.shape[-1]
    cuts = [(i * length // 8, -(-(i + 1) * length // 8)) for i in range(8)]
    parts = [x[..., start:stop] for start, stop in cuts]
    return np.stack([f(part, -1) for part in parts for f in (np.mean, np.std, np.min, np.max)], -1)


def catch22(x: np.ndarray) -> np.ndarray:
    """Twenty-two features of each channel, with its mean and standard deviation."""
    from pycatch22 import catch22_all

    rows = [[catch22_all(c.astype(float).tolist(), catch24=True)["values"] for c in row] for row in x]
    return np.nan_to_num(np.array(rows))


def minirocket(X: Panel, Z: Panel) -> Features:
    """MiniRocket of sktime."""
    from sktime.transformations.panel import rocket

    if not isinstance(X, np.ndarray):
        X, Z = ([pd.DataFrame(x.T) for x in part] for part in (X, Z))
        model = rocket.MiniRocketMultivariateVariable(random_state=0)
    else:
        kind = rocket.MiniRocket if X.shape[1] == 1 else rocket.MiniRocketMultivariate
        X, Z, model = X.astype(np.float64), Z.astype(np.float64), kind(random_state=0)
    return model.fit_transform(X).to_numpy(), model.transform(Z).to_numpy()


def embedding(seed: int, settings: dict[str, Any]) -> Callable[[Panel, Panel], Features]:
    """Features by a random network."""

    def features(X: Panel, Z: Panel) -> Features:
        settings_ = {"module_kwargs": NETWORK, "channels": "concat", "random_state": seed, **settings}
        model = MomentEmbedder("random", **settings_).fit(X)
        return model.transform(X), model.transform(Z)

    return features


def candidates(seeds: int) -> Iterator[tuple[str, int, Callable[[Panel, Panel], Features]]]:
    """Name, seed and features of every row."""
    for name, function in (("patch statistics", patch_statistics), ("quantiles", quantile_statistics)):
        yield name, 0, lambda X, Z, f=function: (each(X, f), each(Z, f))
    for name, settings in READ.items():
        for seed in range(seeds):
            yield name, seed, embedding(seed, settings)
    yield "catch22", 0, lambda X, Z: (each(X, catch22), each(Z, catch22))
    yield "MiniRocket, ridge", 0, minirocket


def accuracy_rows(names: list[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Every candidate on every set."""
    for name, X, y, Z, z in sets(names):
        for method, seed, features in candidates(seeds):
            start = time.process_time()
            try:
                train, test = features(X, Z)
            except (ImportError, ValueError) as error:  # not installed, or series too short for it
                print(f"{name}, {method}: left out ({str(error).splitlines()[0][:80]})")
                continue
            seconds = time.process_time() - start
            ridge = make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(np.logspace(-3, 3, 10)))
            model = ridge if "ridge" in method else classifier(y)
            score = model.fit(np.asarray(train, np.float64), y).score(np.asarray(test, np.float64), z)
            yield {"set": name, "features": method, "seed": seed, "accuracy": score, "seconds": seconds}


def accuracy_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One line for each kind of features, one column for each set, and means."""
    frame = pd.DataFrame(rows)
    wide = frame.pivot_table(index="features", columns="set", values="accuracy", sort=False)
    first = [name for name in SEVEN if name in wide]
    table = wide.assign(**{f"mean of the first {len(first)}": wide[first].mean(axis=1)} if first else {})
    table["mean of all"] = wide.mean(axis=1).where(wide.notna().all(axis=1))
    table["seconds"] = (
        frame.groupby("features", sort=False)["seconds"].sum() / frame.groupby("features")["seed"].nunique()
    )
    return table.reset_index()


def throughput_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Milliseconds for a series, packed and padded."""
    rng = np.random.default_rng(0)
    model = MomentEmbedder("random", random_state=0, device="cpu", strict_parity=True).fit(
        rng.standard_normal((2, 512))
    )
    cases = {
        "32, mean of 16 to 48": rng.integers(16, 49, 128),
        "150, mean of 50 to 250": rng.integers(50, 251, 64),
        "512": np.full(32, 512),
    }
    for name, lengths in cases.items():
        series = [rng.standard_normal(n).cumsum() for n in lengths]
        packed, found = best(lambda s=series: model.transform(s), repeats)
        padded, expected = best(lambda s=series: padded_way(model, s), repeats)
        yield {
            "length": name,
            "packed, ms": 1e3 * packed / len(series),
            "padded, ms": 1e3 * padded / len(series),
            "times faster": padded / packed,
            "largest difference": float(np.abs(found - expected).max()),
        }


@torch.inference_mode()
def padded_way(model: MomentEmbedder, series: list[np.ndarray], size: int = 32) -> np.ndarray:
    """Zeros on the left and a mask, all 64 patches computed."""
    found = []
    for start in range(0, len(series), size):
        some = series[start : start + size]
        x = torch.stack([torch.from_numpy(np.r_[np.zeros(512 - len(s)), s]) for s in some])[:, None]
        seen = torch.stack([torch.arange(512) >= 512 - len(s) for s in some])[:, None]
        z, *_ = standardise(x, seen)
        keys = seen.unfold(-1, 8, 8).all(-1).flatten(0, 1)
        tokens = model.module_(pack_dense(z.unfold(-1, 8, 8).flatten(0, 1), keys, keys))[-1].view(*keys.shape, -1)
        found.append((tokens * keys[..., None]).sum(1) / keys.sum(1, keepdim=True))
    return torch.cat(found).numpy()


def best(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The fewest CPU seconds of some calls, and what the last gives."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        found = call()
        seconds.append(time.process_time() - start)
    return min(seconds), found


def as_markdown(table: pd.DataFrame) -> str:
    """A table for the pages."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" * table.shape[1] + "|"]
    for row in table.itertuples(index=False):
        cells = ["" if isinstance(v, float) and np.isnan(v) else f"{v:.3g}" if isinstance(v, float) else v for v in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def printed(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, each shown as it comes."""
    found = []
    for row in rows:
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
        found.append(row)
    return found


def main() -> None:
    """Run the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five sets, one seed, one repeat")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    names, seeds = (QUICK, 1) if options.quick else ([*SEVEN, *BUNDLED], options.seeds)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        accuracy = accuracy_table(printed(accuracy_rows(names, seeds)))
        throughput = pd.DataFrame(printed(throughput_rows(1 if options.quick else 3)))
    tables = f"{as_markdown(accuracy)}\n\n{as_markdown(throughput)}\n"
    print(tables)
    if not options.quick:
        TABLE.write_text(f"# Embeddings\n\n{__doc__}\n{tables}")


if __name__ == "__main__":
    main()
