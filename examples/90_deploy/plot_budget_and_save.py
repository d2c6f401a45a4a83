"""
How do I bound the time, and take the model elsewhere?
======================================================

``max_time`` is a budget in seconds: the best weights so far are kept, and ``stopped_by_`` says why training ended.
Ctrl-C does the same. ``skts.save`` writes JSON and safetensors; loading executes nothing of the file.
"""

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np

import skts
from skts.datasets import make_traffic
from skts.inspection import LossCurveDisplay

y = make_traffic(n_sensors=10, n_steps=3000, random_state=0)
forecaster = skts.FMambaForecaster(
    context_length=48, d_model=32, max_epochs=500, patience=None, max_time=5, random_state=0
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    forecaster.fit(y, fh=range(1, 13))
print(caught[-1].message)
print(forecaster.stopped_by_, forecaster.n_iter_, forecaster.cost_)

# %%
# What was saved forecasts the same to the last bit.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "traffic.skts"
    skts.save(forecaster, path)
    loaded = skts.load(path)
    print(f"{path.stat().st_size / 1024:.0f} kB")
assert np.array_equal(loaded.predict(), forecaster.predict())

# %%
LossCurveDisplay.from_estimator(loaded)
