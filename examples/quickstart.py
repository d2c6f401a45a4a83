"""Forecast how people move: FMambaForecaster on real data, held against simple baselines.

A smartwatch measured 80 recordings of ten seconds (acceleration and rotation, ten times a second). The model learns on
40 of them, is then shown the first 7.6 seconds of each of the other 40, and forecasts the last 2.4 seconds. The table
is printed as it is, also where a baseline wins. Pictures go to demo/.

Run it by `make demo`, or by `python examples/quickstart.py`.
"""

from pathlib import Path

import matplotlib
import numpy as np

from skts import FMambaForecaster
from skts.datasets import load_motions
from skts.inspection import ComparisonDisplay, ForecastDisplay, LossCurveDisplay, compare

matplotlib.use("Agg")
pictures = Path("demo")
pictures.mkdir(exist_ok=True)
steps = 24

train, test = load_motions()
print(f"train {train.shape}, test {test.shape}: rows are (recording, time), columns {list(train.columns)}\n")

forecaster = FMambaForecaster(context_length=48, d_model=64, lr=1e-3, max_epochs=15, random_state=0)
bare = forecaster.clone().set_params(guard=None)  # the network alone

# The pilot: learn on one set of recordings, forecast the rest of others, beside what a few lines of algebra can do.
table = compare({"FMamba": forecaster, "FMamba, network alone": bare}, (train, test), cv=steps)
print(f"Held-out {table.attrs['score']}, lower is better:\n")
print(table.round({"score": 4, "gain_percent": 1, "fit_seconds": 2, "predict_ms": 0, "peak_memory_mb": 0}).to_string())
ComparisonDisplay(table).plot().figure_.savefig(pictures / "comparison.png", dpi=120)

# The same as a user would do it: learn across recordings, then fit to the ones to be forecast.
fh = np.arange(1, steps + 1)
seen = test[test.groupby(level="recording").cumcount(ascending=False) >= steps]
bare.pretrain(train, fh=fh).fit(seen, fh=fh)
forecast = bare.predict()
print(f"\nforecast of {forecast.index.get_level_values(0).nunique()} recordings: {forecast.shape}")
print(f"learned in {len(bare.pretrained_['history'])} epochs; cost of the last fit: {bare.cost_}")

running = 12  # a recording with something to see in it
figure = ForecastDisplay.from_estimator(bare, test, instance=running).figure_
figure.savefig(pictures / "forecast.png", dpi=120)
LossCurveDisplay(bare.pretrained_["history"], "learning across recordings").plot().figure_.savefig(
    pictures / "loss.png", dpi=120
)
print(f"pictures: {', '.join(sorted(str(p) for p in pictures.glob('*.png')))}")
