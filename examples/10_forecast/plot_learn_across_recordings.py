"""
Can it learn from some recordings and forecast others?
======================================================

A smartwatch measured people who stand, walk, run or play badminton. ``pretrain`` learns from all recordings of a panel
at once; ``fit`` then takes the start of new ones, and ``predict`` continues them.
"""

# %%
import numpy as np

from skts import FMambaForecaster
from skts.datasets import load_motions
from skts.inspection import ForecastDisplay, LossCurveDisplay

train, test = load_motions()
fh = np.arange(1, 25)  # 2.4 seconds
forecaster = FMambaForecaster(context_length=48, d_model=32, lr=2e-3, max_epochs=6, random_state=0)
forecaster.pretrain(train, fh=fh)

# %%
# How it learned: training and validation error over the epochs, on recordings that were held out as a whole.
LossCurveDisplay(forecaster.pretrained_["history"], "learning across 40 recordings").plot()

# %%
# New recordings: we show their first 7.6 seconds. Fine-tuning keeps the pretrained weights wherever it does not help.
seen = test[test.groupby(level="recording").cumcount(ascending=False) >= 24]
forecaster.fit(seen, fh=fh)
print(forecaster.predict().shape, forecaster.cost_)

# %%
ForecastDisplay.from_estimator(forecaster, test, instance=12, variates=["accel_x", "accel_y", "gyro_z"])
