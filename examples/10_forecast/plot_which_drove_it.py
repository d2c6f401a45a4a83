"""
Which sensors, and which hours, drove this forecast?
====================================================

A river, simulated so that the truth is known: rain in the north and in the south reaches three gauges after 3 and 6
hours, and nothing else does. Wind, sun and a counter of visitors stand in the same table and have no say. The
forecaster is not told any of this. Does its explanation find it?
"""

# %%
import numpy as np
import pandas as pd

from skts import FMambaForecaster

names = ["rain north", "wind", "gauge A", "gauge B", "rain south", "sun", "gauge C", "visitors"]
north, south, gauges = 0, 4, [2, 3, 6]


def simulated_river(n_hours, random_state):
    """Deviations from the usual, in standard deviations of the rain."""
    noise = np.random.default_rng(random_state).standard_normal((n_hours, len(names)))
    y = noise.copy()
    for t in range(6, n_hours):
        y[t] = 0.5 * y[t - 1] + noise[t]
        y[t, gauges] = 0.8 * y[t - 3, north] + 0.6 * y[t - 6, south] + 0.3 * noise[t, gauges]
    return pd.DataFrame(y, pd.date_range("2025-04-01", periods=n_hours, freq="h"), names)


# %%
# By default each window is forecast relative to its own mean and spread. Here all columns stay around zero and it
# matters how heavy the rain was, so that is switched off.
y = simulated_river(3000, random_state=0)
seen, new = y.iloc[:2600], y.iloc[2600:]
forecaster = FMambaForecaster(
    context_length=12,
    d_model=32,
    module_kwargs={"instance_norm": False, "dropout": 0.05},
    lr=6e-3,
    batch_size=64,
    max_epochs=20,
    random_state=0,
)
forecaster.fit(seen, fh=[1, 2, 3])

# %%
# First things first: has the network learned anything that is worth an explanation? Its validation error beside those
# of forecasts that look at each column alone.
print({name: round(float(errors[gauges].mean()), 3) for name, errors in forecaster.guard_errors_.items()})
print("share of the network:", forecaster.guard_weights_["network"][gauges].round(2))

# %%
# One forecast. What does each past value add to gauge A in the next hour? Blue raises it, red lowers it. The black
# frames are the truth: the rain 2 hours ago in the north and 5 hours ago in the south arrive within the hour.
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from skts.inspection import AttributionDisplay

length, moment = forecaster.context_length_, 100
context, cutoff = new.to_numpy()[moment - length : moment], new.index[moment - 1]
display = AttributionDisplay.from_estimator(forecaster, "gauge A", context, step=1, cutoff=cutoff)
for step, column in ((-2, north), (-5, south)):
    display.axes_[0].add_patch(Rectangle((step - 0.5, column - 0.5), 1, 1, fill=False, lw=1.5))

# %%
# Is it right for other forecasts too? The system is linear, so the right attribution of a value is its weight times
# what sets it apart from the typical courses the explanation compares with.
moments = np.arange(length, len(new), 8)
contexts = np.stack([new.to_numpy()[m - length : m] for m in moments])
found = forecaster.attributions(contexts, "gauge A", step=1, cutoffs=new.index[moments - 1])
typical = contexts.mean(1, keepdims=True) + contexts.std(1, keepdims=True) * forecaster.references_.mean(0)
truth = np.zeros_like(found)
for weight, step, column in ((0.8, -3, north), (0.6, -6, south)):  # the last row is -1 here
    truth[:, step, column] = weight * (contexts - typical)[:, step, column]

in_frames = np.abs(found)[truth != 0].sum() / np.abs(found).sum()
frames = {"north": (-3, north), "south": (-6, south)}
agreement = {k: round(np.corrcoef(found[:, i, j], truth[:, i, j])[0, 1].item(), 2) for k, (i, j) in frames.items()}
largest = np.abs(found).reshape(len(found), -1).argmax(1)
hits = np.isin(largest, [(length + i) * len(names) + j for i, j in frames.values()]).mean()
print(f"{len(moments)} forecasts; the largest attribution is in a frame: {hits:.0%}")
print(f"share of all attributions that lies in the two frames of {found[0].size} cells: {in_frames:.0%}")
by_column = np.abs(found).sum((0, 1)) / np.abs(found).sum()
print(f"in the other hours of the rain: {by_column[[north, south]].sum() - in_frames:.0%}", end=", ")
print(f"in the gauge's own past: {by_column[names.index('gauge A')]:.0%}")
print("correlation with the truth:", agreement)

# %%
# Over all forecasts and columns: who drives the system? The two kinds of rain should come first.
importances = pd.Series(forecaster.feature_importances_, names).sort_values()
_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
colors = ["#0072b2" if name.startswith("rain") else "#b8b8b8" for name in importances.index]
ax.barh(importances.index, importances, color=colors)
ax.set(xlabel="share of the variance of the forecasts", title="blue: the true drivers")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Who listens to whom inside of the network? Left the truth, then where its attention looks, then what its state space
# carries along. The gauges' rows should be dark in the columns of the rain.
from skts.inspection import InfluenceDisplay

true_matrix = np.zeros((len(names), len(names)))
true_matrix[gauges, north], true_matrix[gauges, south] = 0.8, 0.6
_, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
InfluenceDisplay(true_matrix, names, "true weight").plot(ax=axes[0])
InfluenceDisplay.from_estimator(forecaster, contexts, kind="attention", ax=axes[1])
InfluenceDisplay.from_estimator(forecaster, contexts, kind="mamba", ax=axes[2])
for ax, title in zip(axes, ["truth", "attention", "state space"], strict=True):
    ax.set_title(title)
plt.show()

# %%
# So, is the explanation right? In the large: the two kinds of rain come first by far, the largest cell of nearly every
# forecast is one of the two true ones, and these go up and down with the truth. Not in the small: more than half of the
# attributions is spread in little pieces over all other cells, most of all the other hours of the rain. Believe the
# dark cells, not the pale ones. The attention looks where the water comes from; the state space hands things on from
# column to column, and says little here.
