"""
What is a weather forecast worth?
=================================

Temperature and holidays of the next day are known ahead, more or less. ``fit(y, X=...)`` learns what they do to the
series, and ``predict(X=...)`` reckons with it. Here the truth is simulated, so that the learned effect can be held
against the true one: heating below 15 degrees, cooling above 21, and people who stay at home on holidays.
"""

# %%
import numpy as np
import pandas as pd

rng, n = np.random.default_rng(0), 24 * 150
index = pd.date_range("2024-02-01", periods=n, freq="h")
hour, day = np.arange(n) % 24, np.arange(n) / 24
weather = np.zeros(n)
for t in range(1, n):
    weather[t] = 0.98 * weather[t - 1] + 0.8 * rng.standard_normal()
temperature = 6 + 0.12 * day + 4 * np.sin(2 * np.pi * (hour - 9) / 24) + weather
holiday = np.repeat(rng.random(n // 24) < 0.06, 24)
X = pd.DataFrame({"temperature": temperature, "holiday": holiday.astype(float)}, index)


def true_effect(temperature, holiday):
    return 2.0 * np.maximum(15 - temperature, 0) + 3.0 * np.maximum(temperature - 21, 0) - 20 * holiday


load, drift = 60 + 15 * np.sin(2 * np.pi * (hour - 8) / 24) + true_effect(temperature, holiday), np.zeros(n)
for t in range(1, n):
    drift[t] = 0.95 * drift[t - 1] + 1.2 * rng.standard_normal()
y = pd.DataFrame({"load": load + drift}, index)

# %%
# A day ahead, from several origins, with and without what is known. The baselines get the same data.
from sktime.split import ExpandingWindowSplitter

from skts import FMambaForecaster
from skts.inspection import compare

forecaster = FMambaForecaster(context_length=72, d_model=32, max_epochs=3, random_state=0)
folds = ExpandingWindowSplitter(fh=range(1, 25), initial_window=n - 10 * 24, step_length=3 * 24)
tables = {"with X": compare(forecaster, y, cv=folds, X=X), "without": compare(forecaster, y, cv=folds)}
print(pd.concat({name: table["score"] for name, table in tables.items()}, axis=1).round(3))

# %%
# The effect in the units of the load, above its mean in training: no black box, but a curve to argue with.
import matplotlib.pyplot as plt

fitted = forecaster.fit(y, X=X, fh=range(1, 25))
grid = pd.DataFrame({"temperature": np.linspace(temperature.min(), temperature.max(), 100), "holiday": 0.0})
rows = [pd.concat([row.to_frame().T] * 40, ignore_index=True) for _, row in grid.iterrows()]  # each lasting for a while
learned = np.array([fitted.exogenous_effect(part, "temperature").iloc[-1, 0] for part in rows])
truth = true_effect(grid["temperature"], 0)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.4), layout="constrained")
left.plot(grid["temperature"], truth - truth.mean(), color="0.6", linewidth=4, label="truth")
left.plot(grid["temperature"], learned - learned.mean(), label="learned")
left.set(xlabel="temperature in °C", ylabel="effect on the load", title="What temperature does")
left.legend(frameon=False)
effects = fitted.exogenous_effect(X[-14 * 24 :])["load"]
right.plot(y["load"].iloc[-14 * 24 :], color="0.6", label="load")
right.plot(effects + y["load"].mean(), label="mean load and effect of X")
right.set(title="The last two weeks")
right.tick_params(axis="x", rotation=30)
right.legend(frameon=False)
plt.show()
