"""Pre-training on drawn series: whether a small encoder sees real ones better, frozen, than random weights do.

Series are drawn by skts.moment.corpus (nothing is downloaded), a small encoder is trained on them by
`MomentEmbedder.pretrain`, and its features stand beside those of the same network with random weights and beside plain
patch statistics, on labelled sets that it never saw: the sets, the classifier and the statistics of bench_moment.py.
Channels side by side, one thread, one seed: differences below about 0.02 say nothing.

With the defaults (contrastive, 40,000 series, two passes, 658,824 parameters) training takes 462 CPU seconds, and the
loss of held-out series falls from 4.06 to 0.94. In the mean of the patches of the last layer the trained network is far
better than the random one; in the maximum over the patches of all layers, which is better for both, it is not. So no
weights are shipped.

Run by `make pretrain`, or `python benchmarks/pretrain_moment.py [--objective contrastive] [--series 40000] [--epochs 2]
[--folder FOLDER] [--weights FOLDER]`; the weights go to the first folder, in the layout that `weights=` reads, or come
from the second without training. The table goes to docs/pretrain_moment.md.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench_moment import BUNDLED, SEVEN, as_markdown, classifier, each, patch_statistics, sets
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skts import MomentEmbedder
from skts.moment.corpus import draw_series

TABLE = Path(__file__).parent.parent / "docs" / "pretrain_moment.md"
NETWORK = {"d_model": 128, "d_ff": 256, "n_layers": 4, "n_heads": 4, "d_kv": 32}
READ: dict[str, dict[str, Any]] = {
    "last layer": {},
    "all layers": {"layer": "all"},
    "all layers, maximum": {"layer": "all", "pooling": "max"},
}


def trained(options: argparse.Namespace) -> MomentEmbedder:
    """The encoder, trained on drawn series or read."""
    if options.weights:
        return MomentEmbedder(options.weights).fit(np.zeros((1, 8)))
    start = time.process_time()
    model = MomentEmbedder(
        "random",
        module_kwargs=NETWORK,
        max_epochs=options.epochs,
        batch_size=128,
        lr=1e-3,
        validation_fraction=0.02,
        device="cpu",
        random_state=0,
        verbose=1,
    )
    model.pretrain(draw_series(options.series, random_state=0), objective=options.objective)
    print(model.tuning_, f"{time.process_time() - start:.0f} CPU seconds", flush=True)
    if options.folder:
        model.export(options.folder)
    return model


def score_rows(model: MomentEmbedder) -> list[dict[str, Any]]:
    """Accuracy of each kind of features on each set."""
    rows = []
    for name, X, y, Z, z in sets([*SEVEN, *BUNDLED]):
        features = {"patch statistics": [each(part, patch_statistics) for part in (X, Z)]}
        for label, state in (("trained", model.module_.state_dict()), ("random", None)):
            for how, settings in READ.items():
                shape = {"module_kwargs": NETWORK, "channels": "concat", "random_state": 0}
                reader = MomentEmbedder("random", **shape, **settings).fit(X)
                if state is not None:
                    reader.module_.load_state_dict(state)
                features[f"{label}, {how}"] = [reader.transform(part) for part in (X, Z)]
        for label, (train, test) in features.items():
            score = classifier(y).fit(train.astype(np.float64), y).score(test.astype(np.float64), z)
            rows.append({"features": label, "set": name, "accuracy": score})
            print(name, label, round(score, 3), flush=True)
    return rows


def main() -> None:
    """Draw, train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objective", choices=["masked", "contrastive"], default="contrastive")
    parser.add_argument("--series", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folder")
    parser.add_argument("--weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        table = pd.DataFrame(score_rows(trained(options)))
    wide = table.pivot_table(index="features", columns="set", values="accuracy", sort=False)
    first = [name for name in SEVEN if name in wide]
    means = {f"mean of the first {len(first)}": wide[first].mean(axis=1), "mean of all": wide.mean(axis=1)}
    text = as_markdown(wide.assign(**means).reset_index())
    print(text)
    TABLE.write_text(f"# Pre-training\n\n{__doc__}\n{text}\n")


if __name__ == "__main__":
    main()
