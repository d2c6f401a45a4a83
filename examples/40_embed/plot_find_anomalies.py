"""
Where in a long sensor record is something wrong?
=================================================

20,000 steps of a wave with noise, and now and then a spike, a dip or a burst of noise of twelve steps. Nobody has
marked them: the network learns on the first 6,000 steps, faults among them, to fill in what it is not shown. What it
then cannot fill in is suspicious.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import median_filter
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

from skts import MomentEmbedder
from skts.datasets import make_annotated_series
from skts.inspection import EmbeddingDisplay

record, faulty = make_annotated_series("outliers", 20_000, random_state=0)
past, new, faulty = record[:6000], record[6000:], faulty[6000:]
windows = np.lib.stride_tricks.sliding_window_view(past, 256)[::16, None]
network = {"d_model": 64, "d_ff": 128, "n_layers": 4, "n_heads": 4, "d_kv": 16}
untrained = MomentEmbedder(weights="random", module_kwargs=network, random_state=0).fit(windows)
model = MomentEmbedder(
    weights="random", module_kwargs=network, max_epochs=30, lr=2e-3, validation_fraction=0.2, random_state=0
).pretrain(windows)
print({name: model.tuning_[name] for name in ("n_train", "n_valid", "start_loss", "end_loss")})

# %%
# Two ways to a score for every step. ``anomaly_score`` hides a quarter of the patches at a time and compares them with
# what comes back. ``transform_windows`` embeds windows: how far are those of the past? The baselines ask the same
# without a network: how far is a value from the median of those around it, and a window, as it is, from the past?
size, stride = 48, 4


def by_step(score_of_windows):
    """The mean, for every step, over the windows that cover it."""
    total, count = np.zeros(len(new)), np.full(len(new), 1e-9)
    for i, score in enumerate(score_of_windows):
        total[i * stride : i * stride + size] += score
        count[i * stride : i * stride + size] += 1
    return total / count


def distance_to_the_past(old, found):
    spread = old.std(0) + 1e-9
    return by_step(NearestNeighbors(n_neighbors=5).fit(old / spread).kneighbors(found / spread)[0][:, -1])


def plain(series):
    return np.lib.stride_tricks.sliding_window_view(series, size)[::stride]


def embedded(model):
    return distance_to_the_past(*(model.transform_windows(series, size, stride) for series in (past, new)))


scores = {
    "filled in, trained": model.anomaly_score(new[None, None])[0, 0],
    "filled in, untrained": untrained.anomaly_score(new[None, None])[0, 0],
    "embedded windows, trained": embedded(model),
    "embedded windows, untrained": embedded(untrained),
    "moving median": np.abs(new - median_filter(new, 25)),
    "windows as they are": distance_to_the_past(plain(past), plain(new)),
}

# %%
# The precision of the list of suspicious patches of eight steps, averaged over its length; chance is the share of
# patches with a fault.
patches = {name: score.reshape(-1, 8).max(1) for name, score in scores.items()}
truth = faulty.reshape(-1, 8).max(1)
for name, score in patches.items():
    print(f"{name:28} {average_precision_score(truth, score):.3f}")
print(f"{'chance':28} {truth.mean():.3f}")

# %%
# Training helps a great deal, and a line of code is still better: short spikes on a smooth wave are what a moving
# median is made for. Ask it first.
part = slice(1000, 3000)
steps = np.arange(len(new))[part]
fig, axes = plt.subplots(3, sharex=True, figsize=(9, 5), layout="constrained")
axes[0].plot(steps, new[part], lw=0.7, color="0.3")
axes[0].set_ylabel("record")
for ax, name in zip(axes[1:], ["filled in, trained", "moving median"], strict=True):
    ax.plot(steps, scores[name][part], lw=0.8)
    ax.set_ylabel(name)
for ax in axes:
    ax.fill_between(
        steps, 0, 1, where=faulty[part] > 0, transform=ax.get_xaxis_transform(), color="tab:red", alpha=0.25
    )
axes[-1].set_xlabel("step (red: faults)")
plt.show()

# %%
# On the map of the windows, the faults lie between the phases of the wave.
label = np.where(faulty[:8000] > 0, "fault", "none")
EmbeddingDisplay.from_estimator(model, new[:8000], label, window=size, label_by="event", path=False)
