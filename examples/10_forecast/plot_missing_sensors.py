"""
What do missing sensors cost?
=============================

Twelve sensors along a ring road. Radio links fail for a moment or an hour, and one sensor dies for good. Should the
holes be filled before the forecaster sees them? And how much is lost? The truth behind the holes is known here, so both
can be counted, on days that nothing has seen.
"""

# %%
# The same road three times: complete; with a fifth of all values missing and whole hours; and with sensor 5 dead from
# the seventh day on as well.
import numpy as np
import pandas as pd

from skts import FMambaForecaster
from skts.datasets import make_traffic

complete = make_traffic(n_sensors=12, n_steps=10 * 288, random_state=0)
new = 8 * 288  # first row that is not learned from
rng = np.random.default_rng(1)
gone = rng.random(complete.shape) < 0.1
for start in np.flatnonzero(rng.random(complete.size) < 0.01):
    row, sensor = divmod(start, 12)
    gone[row : row + 12, sensor] = True  # an hour
dead, died = 5, 6 * 288
gone[died:, dead] = True
holed = complete.mask(gone)
print(f"missing: {gone.mean():.0%} of all values, {gone[:, [s for s in range(12) if s != dead]].mean():.0%} without")

# %%
from matplotlib import pyplot as plt
from matplotlib.dates import DateFormatter

_, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
shown = holed.iloc[died - 144 : died + 144]
mesh = ax.pcolormesh(shown.index, range(12), shown.T, cmap="viridis", shading="nearest")
ax.figure.colorbar(mesh, label="km/h")
ax.xaxis.set_major_formatter(DateFormatter("%H:%M"))
ax.set(ylabel="sensor", yticks=range(0, 12, 2), title="white: missing", xlabel=f"{shown.index[-1]:%d %B}, to noon")
plt.show()

# %%
# The forecaster takes the holes as they are; or somebody fills them first: by the last value, or by the sensor's mean
# at that time of the day. An hour ahead from every step of two new days; what is forecast from has holes as well.
import warnings

horizon = 12
daily = holed.iloc[:new].groupby(holed.index[:new].time).mean()
by_day = pd.DataFrame(daily.loc[holed.index.time].to_numpy(), holed.index, holed.columns)
ways = {
    "complete data": complete,
    "holes as they are": holed,
    "last value first": holed.ffill().bfill(),
    "daily course first": holed.fillna(by_day),
}


def errors(y):
    """Squared errors in (km/h)^2, windows x steps x sensors, against the complete data."""
    settings = {"context_length": 24, "d_model": 32, "lr": 5e-3, "max_epochs": 5, "batch_size": 64}
    forecaster = FMambaForecaster(**settings, random_state=0).fit(y.iloc[:new], fh=range(1, horizon + 1))
    length = forecaster.context_length_
    starts = np.arange(new - length, len(y) - length - horizon)[:, None]
    contexts = y.to_numpy()[starts + np.arange(length)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it names the sensor of which nothing is known
        forecast = forecaster.predict_windows(contexts, cutoffs=y.index[starts[:, 0] + length - 1])
    return np.square(forecast - complete.to_numpy()[starts + length + np.arange(horizon)])


found = {name: errors(y) for name, y in ways.items()}

# %%
# Root mean squared errors, km/h. Congestion comes from the sensor with the next higher number, so the one that the dead
# one would have warned is the one below.
groups = {"all": list(range(12)), "dead sensor": [dead], "sensor below": [dead - 1]}
groups["all others"] = [s for s in range(12) if s not in (dead, dead - 1)]
table = pd.DataFrame({name: {g: np.sqrt(e[..., s].mean()) for g, s in groups.items()} for name, e in found.items()}).T
print(table.round(2).to_string())

# %%
colors = ["#b8b8b8", "#0072b2", "#cc79a7", "#009e73"]
_, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
for number, (name, row) in enumerate(table.iterrows()):
    bars = ax.bar(np.arange(len(groups)) + 0.2 * (number - 1.5), row, 0.18, color=colors[number], label=name)
    ax.bar_label(bars, fmt="%.1f", fontsize="small")
ax.set_xticks(range(len(groups)), list(groups))
ax.set(ylabel="root mean squared error, km/h")
ax.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
loss = 100 * (table["all others"] / table.loc["complete data", "all others"] - 1)
print("lost on sensors that are alive, %:", loss.round(1).to_dict())

# %%
# So: a fifth of all values missing costs the sensors that are alive less than a fifth, if the forecaster gets the holes
# as they are; repeating the last value first is worse, and ruinous for the dead sensor, whose last value may have been
# taken in a jam. On this road, where a value says little about the next one and the hour says much, the daily course is
# the best thing to put into a hole: the forecaster itself draws a straight line between neighbours. Of a sensor that is
# silent it forecasts the daily course by itself.
