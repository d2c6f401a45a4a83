"""Two estimators on real data, held against simple baselines; no network is needed.

Forecast how people move (FMambaForecaster): a smartwatch measured 80 recordings of ten seconds (acceleration and
rotation, ten times a second). The model learns on 40 of them, is then shown the first 7.6 seconds of each of the other
40, and forecasts the last 2.4 seconds.

Which blood values are high together (JointEBMClassifier): age, sex, body mass index and blood pressure of 442 people
with diabetes say how probable each of 64 sets of six high values is.

The tables are printed as they are, also where a baseline wins. Pictures go to demo/.

Run it by `make demo`, or by `python examples/quickstart.py`.
"""

from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skts import FMambaForecaster, JointEBMClassifier
from skts.datasets import load_motions
from skts.inspection import ComparisonDisplay, ForecastDisplay, JointProbabilityDisplay, LossCurveDisplay, compare
from skts.metrics import joint_log_loss

matplotlib.use("Agg")
pictures = Path("demo")
pictures.mkdir(exist_ok=True)
steps = 24
digits = {"score": 4, "score_std": 4, "gain_percent": 1, "fit_seconds": 2, "predict_ms": 0, "peak_memory_mb": 0}

train, test = load_motions()
print(f"train {train.shape}, test {test.shape}: rows are (recording, time), columns {list(train.columns)}\n")

forecaster = FMambaForecaster(context_length=48, d_model=64, lr=1e-3, max_epochs=15, random_state=0)
bare = forecaster.clone().set_params(guard=None)  # the network alone

# The pilot: learn on one set of recordings, forecast the rest of others, beside what a few lines of algebra can do.
table = compare({"FMamba": forecaster, "FMamba, network alone": bare}, (train, test), cv=steps)
print(f"Held-out {table.attrs['score']}, lower is better:\n")
print(table.round(digits).to_string())
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

# The second estimator answers with a whole set of labels, and knows how probable it is.
people = load_diabetes(as_frame=True, scaled=False).data
blood = people[["s1", "s2", "s3", "s4", "s5", "s6"]].set_axis(["total", "LDL", "HDL", "ratio", "fats", "sugar"], axis=1)
X, Y = people[["age", "sex", "bmi", "bp"]], (blood > blood.median()).astype(int)
model = JointEBMClassifier(random_state=0)
table = compare(model, (X, Y), cv=3)
print("\nBlood values above their median: held-out share of label sets that are right as a whole, higher is better:\n")
print(table.round(digits).to_string())

X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
unary = JointEBMClassifier(coupling="unary", random_state=0)
joint, apart = (joint_log_loss(each.fit(X_train, Y_train), X_test, Y_test) for each in (model, unary))
print(f"\nnats that a whole set costs: {joint:.2f}, {apart:.2f} as a product of its labels' probabilities")
figure = JointProbabilityDisplay.from_estimator(model, X_test, row=1, y_true=Y_test).figure_
figure.savefig(pictures / "joint.png", dpi=120)
print(f"pictures: {', '.join(sorted(str(p) for p in pictures.glob('*.png')))}")
