"""JointEBMClassifier beside scikit-learn's estimators: label sets, rankings, and how good the normaliser is.

Label sets: official splits, mean of seeds; cal500 has none, so random 80/20 splits, the same for all. NLL is the joint
negative log-likelihood, nats a row; subset, Hamming and MAP micro-F1 are of the most probable set; micro, macro and
example F1 are of the F1 decoder (peers: the prefix rule on their marginals). Rankings: Kendall's tau in five folds.
Seconds are CPU seconds on one thread. The settings are the defaults of the estimator; they were chosen by
cross-validation on training parts. Data come from SKTS_DATA; a set that is not there is left out.

Run by `make bench`, or `python benchmarks/bench_jointebm.py [--quick] [--sets emotions ...] [--rankings iris ...]
[--seeds 3]`; the tables go to docs/bench_jointebm.md unless sets are chosen.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, hamming_loss
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from threadpoolctl import threadpool_limits

from skts import JointEBMClassifier
from skts.datasets import fetch_label_ranking, fetch_multilabel
from skts.errors import DataNotFoundError
from skts.metrics import example_f1_score, kendall_tau_score

TABLE = Path(__file__).parent.parent / "docs" / "bench_jointebm.md"
LABELS = ["emotions", "scene", "yeast", "cal500", "bibtex"]
RANKINGS = ["iris", "wine", "glass", "authorship", "vowel"]
# Training that draws, on sets where the exact answer is known; and couplings that no enumeration reaches.
TRUST: dict[str, list[dict[str, Any]]] = {
    "emotions": [{}, {"proposal": "meanfield"}, {"proposal": "prior"}, {"proposal": "meanfield", "tau": "net"}],
    "scene": [{}, {"proposal": "meanfield"}],
    "yeast": [{}, {"proposal": "meanfield"}],
    "cal500": [
        {"coupling": "unary"},
        {"coupling": "unary", "proposal": "meanfield"},
        {},
        {"module_kwargs": {"rank": 2}},
        {"module_kwargs": {"rank": 8}},
        {"coupling": "pairwise", "proposal": "marginal"},
    ],
}


def prefix_rule(p: np.ndarray) -> np.ndarray:
    """The F1 decoder for marginals alone."""
    order = np.argsort(-p, axis=1)
    f1 = 2 * np.take_along_axis(p, order, 1).cumsum(1) / (np.arange(1, p.shape[1] + 1) + p.sum(1, keepdims=True))
    return (np.argsort(order, axis=1) <= f1.argmax(1)[:, None]).astype(int)


def marginals(model: Any, X: Any) -> np.ndarray:
    """Probability of each label from whatever shape a scikit-learn estimator gives."""
    p, classes = model.predict_proba(X), getattr(model, "classes_", None)
    if isinstance(p, np.ndarray):
        return p
    columns = [q[:, list(c).index(1)] if 1 in c else np.zeros(len(q)) for q, c in zip(p, classes, strict=True)]
    return np.stack(columns, 1)


def chain_log_likelihood(chain: ClassifierChain, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The joint probability that a chain implies: each label given the true ones before it."""
    total = np.zeros(len(Y))
    for step, label in enumerate(chain.order_):
        p = chain.estimators_[step].predict_proba(np.hstack([X, Y[:, chain.order_[:step]]]))
        where = np.searchsorted(chain.estimators_[step].classes_, Y[:, label])
        total += np.log(p[np.arange(len(Y)), where].clip(1e-12))
    return total


def label_scores(Y: np.ndarray, most_probable: np.ndarray, f1_sets: np.ndarray) -> dict[str, float]:
    """Scores of predictions of label sets."""
    return {
        "subset": float((most_probable == Y).all(1).mean()),
        "mi-F1 MAP": f1_score(Y, most_probable, average="micro", zero_division=0),
        "mi-F1": f1_score(Y, f1_sets, average="micro", zero_division=0),
        "ma-F1": f1_score(Y, f1_sets, average="macro", zero_division=0),
        "ex-F1": example_f1_score(Y, f1_sets),
        "Hamming": hamming_loss(Y, most_probable),
    }


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    start = time.process_time()
    return call(), time.process_time() - start


def joint_row(model: JointEBMClassifier, train: tuple, test: tuple) -> dict[str, Any]:
    """Fit and score ours."""
    _, fit = timed(lambda: model.fit(*train))
    X, Y = test
    found, predict = timed(lambda: (model.predict(X), model.predict(X, decode="f1")))
    error = np.abs(model.log_partition(X, "tau") - model.log_partition(X, "importance")).mean()
    nll = -model.score_samples(X, Y).mean()
    return {"NLL": nll, "tau error": error, **label_scores(Y, *found), "fit s": fit, "predict s": predict}


def peer_row(name: str, model: Any, train: tuple, test: tuple) -> dict[str, Any]:
    """Fit and score a peer."""
    _, fit = timed(lambda: model.fit(*train))
    X, Y = test
    p, predict = timed(lambda: marginals(model, X))
    nll = np.nan
    if name == "one for each label":
        nll = -np.log(np.where(Y == 1, p, 1 - p).clip(1e-12)).sum(1).mean()
    if name == "chain":
        nll = -chain_log_likelihood(model[-1], model[0].transform(X), Y).mean()
    hard = model.predict(X) if name == "chain" else (p > 0.5).astype(int)
    return {"NLL": nll, **label_scores(Y, hard, prefix_rule(p)), "fit s": fit, "predict s": predict}


def peers(sparse: bool) -> dict[str, Any]:
    """scikit-learn's estimators for label sets, with the settings of the specification."""
    scale, linear = MaxAbsScaler() if sparse else StandardScaler(), LogisticRegression(C=0.1, max_iter=300)
    found = {
        "one for each label": make_pipeline(
            scale, MultiOutputClassifier(LogisticRegression(C=1.0 if sparse else 0.1, max_iter=300))
        ),
        "extra trees": ExtraTreesClassifier(100 if sparse else 300, random_state=0),
        "nearest neighbours": make_pipeline(scale, KNeighborsClassifier(10)),
    }
    return found if sparse else {**found, "chain": make_pipeline(scale, ClassifierChain(linear, random_state=0))}


def splits(name: str, seeds: int) -> Iterator[tuple[int, tuple, tuple]]:
    """Seed, training and test part: the official one for every seed, or a random one for each of five."""
    data = fetch_multilabel(name)
    X, Y = data.data, data.target.astype(int)
    for seed in range(seeds if data.n_train else max(seeds, 5)):
        train, test = np.arange(data.n_train or 0), np.arange(data.n_train or 0, X.shape[0])
        if not data.n_train:
            train, test = next(ShuffleSplit(1, test_size=0.2, random_state=seed).split(X))
        yield seed, (X[train], Y[train]), (X[test], Y[test])


def label_rows(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """All candidates on one multilabel set."""
    for seed, train, test in splits(name, seeds):
        ours = {"JointEBM": {}, "JointEBM, linear": {"encoder": "linear"}}
        for label, settings in ours.items():
            model = JointEBMClassifier(random_state=seed, **settings)
            yield {"set": name, "model": label, "seed": seed, **joint_row(model, train, test)}
        constant = any(len(np.unique(column)) < 2 for column in train[1].T)
        if seed == 0 or train[0].shape[0] < 500:
            for label, model in peers(issparse(train[0])).items():
                if not constant or label in ("extra trees", "nearest neighbours"):
                    yield {"set": name, "model": label, "seed": seed, **peer_row(label, model, train, test)}


def ranking_rows(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """All candidates on one ranking set: means over five folds."""
    data = fetch_label_ranking(name)
    X, R = data.data, data.target
    candidates: dict[str, Any] = {
        "JointEBM": JointEBMClassifier(output="ranking"),
        "JointEBM, birkhoff": JointEBMClassifier(output="ranking", coupling="birkhoff"),
        "extra trees": ExtraTreesRegressor(300, random_state=0),
        "kernel ridge": make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.1)),
        "linear ridge": make_pipeline(StandardScaler(), Ridge()),
        "nearest neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(10)),
    }
    for seed in range(seeds):
        for label, model in candidates.items():
            taus, fits, nlls = [], [], []
            for train, test in KFold(5, shuffle=True, random_state=seed).split(X):
                target = R if "JointEBM" in label else R - R.mean(0)
                _, seconds = timed(lambda m=model, t=train, y=target: m.fit(X[t], y[t]))
                predicted = model.predict(X[test]) + (0 if "JointEBM" in label else R.mean(0))
                taus.append(kendall_tau_score(R[test], predicted))
                fits.append(seconds)
                if "JointEBM" in label:
                    nlls.append(-model.score_samples(X[test], R[test]).mean())
            nll = np.mean(nlls) if nlls else np.nan
            yield {
                "set": name,
                "model": label,
                "seed": seed,
                "Kendall tau": np.mean(taus),
                "NLL": nll,
                "fit s": np.mean(fits),
            }


def trust_rows(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """The normaliser under several proposals: its error on test rows, and what fit said of it."""
    for settings in TRUST.get(name, []):
        for seed, train, test in splits(name, seeds):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                model = JointEBMClassifier(random_state=seed, **settings).fit(*train)
            reference = model.log_partition(test[0], "importance")
            error = np.abs(model.log_partition(test[0], "tau") - reference).mean()
            label = ", ".join(f"{k}={v}" for k, v in settings.items()) or "defaults"
            yield {
                "set": name,
                "settings": label,
                "seed": seed,
                "NLL": -model.score_samples(*test).mean(),
                "tau error": error,
                "said by fit": model.normalization_error_,
                "effective draws": model.ess_,
                "divergence": model.normalizer_["divergence"],
                "warned": float(any("normaliser" in str(w.message) for w in caught)),
            }
            if name == "cal500" and seed >= seeds - 1:
                break


def averaged(rows: list[dict[str, Any]], key: str) -> pd.DataFrame:
    """Means over seeds, with their number."""
    frame = pd.DataFrame(rows)
    grouped = frame.groupby(["set", key], sort=False)
    table = grouped.mean(numeric_only=True).drop(columns="seed").round(3)
    return table.assign(seeds=grouped["seed"].nunique()).reset_index()


def as_markdown(table: pd.DataFrame) -> str:
    """A table for the pages."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" * table.shape[1] + "|"]
    for row in table.itertuples(index=False):
        cells = [
            "" if isinstance(v, float) and np.isnan(v) else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def collect(names: list[str], seeds: int, rows_of: Callable[..., Iterator[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of all sets that are there."""
    rows: list[dict[str, Any]] = []
    for name in names:
        try:
            for row in rows_of(name, seeds):
                rows.append(row)
                print(
                    "  ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()),
                    flush=True,
                )
        except DataNotFoundError as error:
            print(f"{name} is left out: {error}")
    return rows


def main() -> None:
    """Run the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="emotions and iris, one seed")
    parser.add_argument("--sets", nargs="*", default=LABELS)
    parser.add_argument("--rankings", nargs="*", default=RANKINGS)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    whole = not options.quick and (options.sets, options.rankings) == (LABELS, RANKINGS)
    if options.quick:
        options.sets, options.rankings, options.seeds = ["emotions"], ["iris"], 1
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        labels = collect(options.sets, options.seeds, label_rows)
        rankings = collect(options.rankings, options.seeds, ranking_rows)
        trust = collect(options.sets, options.seeds, trust_rows)
    parts = []
    for title, rows, key in [
        ("Label sets", labels, "model"),
        ("Rankings", rankings, "model"),
        ("The normaliser", trust, "settings"),
    ]:
        if rows:
            table = averaged(rows, key)
            print(table.to_string(index=False))
            parts.append(f"## {title}\n\n{as_markdown(table)}")
    if whole and len(parts) == 3:
        TABLE.write_text(f"# Label sets and rankings\n\n{__doc__}\n" + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
