"""Does a lower loss make the latent space more readable? MomentEmbedder before and after training, in numbers.

The study that asked this (Santamaria-Valenzuela et al. 2025, https://arxiv.org/abs/2504.20099) looked at windows of 12
steps and at maps by eye. Here a small network (four blocks of width 64, random weights: the released ones cannot be
downloaded everywhere) is measured before training and after it, by `skts.inspection.interpretability_report`:
"masked" and "contrastive" training see no labels, "supervised" training finds them with a linear head; all weights are
trained, 20 epochs, the best ones on held-out stretches are kept.

The first five sets are generated after those of the study (windows of 96, 48, 96, 40 and 26 steps); training has one
series, the report another one that was drawn anew. The other sets are labelled series from SKTS_DATA: training has the
official training part, the report the test part (Daphnet and ECG5000, which are not to be had without network, are not
among them). A set that is not there is left out.

Lines "before" have values, the others changes against the same network before training: mean over the seeds (of
network, training and generated series) and its 95 % interval by Student's t; bold where that is all above or all below
0. "loss" is by how much the held-out loss has fallen. Of all measures higher is better, but for Davies-Bouldin and path
smoothness. Maps are PCA. Chance is 0.5 for trustworthiness and continuity, and 0 for local continuity and clusters.

The second table counts the sets in which a measure became better, or worse, by more than its interval, and has
Spearman's correlation, over sets, between the fall of the loss and the gain of the measure. The third sweeps the window
on the regimes, trained at each length: the hit of neighbourhoods in the embedding of a record of 14,400 steps, which
has enough windows of any length.

What it says: masked training takes 44 to 83 % of the loss, and neighbours share their label more often in 3 sets of 12
and less often in 1; how far the loss falls hardly foretells whether labels become more readable (correlations from -0.4
to 0.2), a little how faithful the map is (0.3 to 0.5). Contrastive training helps neighbours in 5 sets and harms them
in 1, labels help in 7, and there a larger fall means more (0.5 and 0.7). The length of the window moves the same number
further than masked training does in any set.

Run by `python benchmarks/bench_moment_readability.py [--quick] [--seeds 5]`; the tables go to
docs/bench_moment_readability.md unless --quick.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from bench_moment import NETWORK, SEVEN, as_markdown, printed, sets
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skts import MomentEmbedder
from skts.datasets import make_annotated_series
from skts.inspection import interpretability_report
from skts.inspection.windows import cut, labels_of

TABLE = Path(__file__).parent.parent / "docs" / "bench_moment_readability.md"
GENERATED = {
    "regimes": (96, "majority"),
    "outliers": (48, "event"),
    "trends": (96, "majority"),
    "anomalies": (40, "event"),
    "seasonal": (26, "event"),
}
QUICK = ["regimes", "ECG200"]
SWEEP = [12, 24, 48, 96, 192]
TRAININGS = ["masked", "contrastive", "supervised"]
SHOWN = [
    *(("embedding", m) for m in ("neighbourhood hit", "distance consistency", "silhouette", "Davies-Bouldin")),
    *(("embedding", m) for m in ("cluster agreement", "probe accuracy", "path smoothness")),
    *(("map", m) for m in ("trustworthiness", "continuity", "local continuity", "neighbourhood hit")),
]
LOWER = ("Davies-Bouldin", "path smoothness")


class Scene(NamedTuple):
    """Series to train on with a label each, and what a report is given."""

    X: Any
    y: np.ndarray
    shown: Any
    labels: np.ndarray
    options: dict[str, Any]


def generated(kind: str, seed: int, window: int | None = None, steps: int | None = None) -> Scene:
    """Windows of one series, and another series of so many steps."""
    usual, label_by = GENERATED[kind]
    window = window or usual
    train, y = make_annotated_series(kind, random_state=seed)
    shown, labels = make_annotated_series(kind, steps, random_state=seed + 100)
    windows = cut(train, window, max(8, window // 4))
    return Scene(
        windows.values, labels_of(windows, y, label_by), shown, labels, {"window": window, "label_by": label_by}
    )


def scenes(names: list[str]) -> Iterator[tuple[str, Callable[[int], Scene]]]:
    """Name of each set, and the set for a seed."""
    for name in names:
        if name in GENERATED:
            yield name, lambda seed, kind=name: generated(kind, seed)
        else:
            for _, X, y, Z, z in sets([name]):
                labelled = Scene(X, y, Z, z, {})
                yield name, lambda seed, scene=labelled: scene


def models(scene: Scene, seed: int, trainings: list[str]) -> dict[str, MomentEmbedder]:
    """One network before training, and after each kind of it."""
    shape = {"module_kwargs": NETWORK, "random_state": seed, "device": "cpu"}
    training = {"max_epochs": 20, "lr": 1e-3, "validation_fraction": 0.2}
    found = {"before": MomentEmbedder("random", **shape).fit(scene.X)}
    for objective in trainings:
        model = MomentEmbedder("random", finetune="full", objective=objective, **shape, **training)
        found[objective] = model.fit(scene.X, scene.y)
    return found


def report_rows(name: str, scene: Scene, seed: int, trainings: list[str]) -> Iterator[dict[str, Any]]:
    """Every measure of every model."""
    fitted = models(scene, seed, trainings)
    report = interpretability_report(fitted, scene.shown, scene.labels, **scene.options)
    for model, tuning in ((name_, each.tuning_) for name_, each in fitted.items()):
        fall = 1 - tuning["end_loss"] / tuning["start_loss"] if tuning else np.nan
        rows = report[report["model"] == model].set_index(["space", "measure"])["value"]
        shown = {("map: " if s == "map" else "") + m: rows.get((s, m), np.nan) for s, m in SHOWN}
        yield {"set": name, "model": model, "seed": seed, "loss": fall, **shown}


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and half an interval, over seeds, of the change against the network before training."""
    measures = rows.columns[4:]
    before = rows[rows["model"] == "before"].set_index(["set", "seed"])[measures]
    after = rows[rows["model"] != "before"].set_index(["set", "seed", "model"])
    change = after[measures] - before.reindex(after.index.droplevel("model")).to_numpy()
    each = change.assign(loss=after["loss"]).groupby(level=["set", "model"], sort=False)
    half = stats.t.ppf(0.975, each.size() - 1).reshape(-1, 1) * each.sem()
    return pd.concat({"mean": each.mean(), "half": half}, axis=1)


def figures(rows: pd.DataFrame, change: pd.DataFrame) -> pd.DataFrame:
    """The first table: values before, changes after."""
    measures, lines = rows.columns[4:], []
    for name, group in rows.groupby("set", sort=False):
        start = group[group["model"] == "before"][measures].mean()
        lines.append({"set": name, "model": "before", "loss": "", **{m: cell(start[m]) for m in measures}})
        for model, row in change.loc[name].iterrows():
            found = {m: cell(row["mean", m], row["half", m]) for m in measures}
            lines.append({"set": name, "model": model, "loss": f"-{100 * row['mean', 'loss']:.0f} %", **found})
    return pd.DataFrame(lines)


def cell(value: float, half: float | None = None) -> str:
    """A value, or a change with its interval, in bold where that does not hold 0."""
    if np.isnan(value):
        return ""
    if half is None:
        return f"{value:.2f}"
    text = f"{value:+.2f}" if np.isnan(half) else f"{value:+.2f} ± {half:.2f}"
    return f"**{text}**" if abs(value) > half else text


def verdict(change: pd.DataFrame) -> pd.DataFrame:
    """The second table: in how many sets each measure became better or worse, and whether the loss foretells it."""
    lines = []
    for model, group in change.groupby(level="model", sort=False):
        line = {"training": model}
        for measure in group["mean"].columns.drop("loss"):
            sign = -1 if measure.startswith(LOWER) else 1
            gain, half = sign * group["mean", measure].dropna(), group["half", measure].dropna()
            rank = stats.spearmanr(group["mean", "loss"][gain.index], gain)[0] if len(gain) > 2 else np.nan
            known = "" if np.isnan(rank) else f", {rank:+.2f}"
            line[measure] = f"{(gain > half).sum()} / {(-gain > half).sum()} of {len(gain)}{known}"
        lines.append(line)
    return pd.DataFrame(lines)


def sweep_rows(windows: list[int], seeds: int) -> Iterator[dict[str, Any]]:
    """Neighbourhood hit on the regimes for each length of a window."""
    for window in windows:
        for seed in range(seeds):
            for row in report_rows("regimes", generated("regimes", seed, window, 14_400), seed, TRAININGS[:1]):
                yield {"window": window, "model": row["model"], "seed": seed, "hit": row["neighbourhood hit"]}


def main() -> None:
    """Run the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sets, two windows, two seeds")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    names, windows = (QUICK, SWEEP[::3]) if options.quick else ([*GENERATED, *SEVEN], SWEEP)
    seeds = 2 if options.quick else options.seeds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        found = [
            row
            for name, scene in scenes(names)
            for seed in range(seeds)
            for row in printed(report_rows(name, scene(seed), seed, TRAININGS))
        ]
        swept = pd.DataFrame(printed(sweep_rows(windows, seeds)))
    rows = pd.DataFrame(found)
    change = changes(rows)
    hits = swept.pivot_table(index="model", columns="window", values="hit", sort=False)
    hits.columns = [f"{size} steps" for size in hits.columns]
    tables = "\n\n".join(map(as_markdown, (figures(rows, change), verdict(change), hits.reset_index())))
    print(tables)
    if not options.quick:
        TABLE.write_text(f"# Readability of embeddings\n\n{__doc__}\n{tables}\n")


if __name__ == "__main__":
    main()
