"""Five estimators, held against simple baselines; no network is needed.

Forecast how people move (FMambaForecaster): a smartwatch measured 80 recordings of ten seconds (acceleration and
rotation, ten times a second). The model learns on 40 of them, is then shown the first 7.6 seconds of each of the other
40, and forecasts the last 2.4 seconds.

Which blood values are high together (JointEBMClassifier): age, sex, body mass index and blood pressure of 442 people
with diabetes say how probable each of 64 sets of six high values is.

How far chaos can be foreseen (FlowMapSimulator): 40 trajectories of the Kuramoto-Sivashinsky equation, 20 others to
foresee. These are simulated: no record of a system's full state comes with scikit-learn or sktime. The other data are
real.

What somebody does (MomentEmbedder): the smartwatch once more, 80 recordings of four activities, of which only two each
are marked. Its weights are random, since the released ones have to be downloaded.

What digits look like (FractalSampler): 1347 handwritten digits to learn from, 450 others to be coded in as few bits as
possible; new ones are drawn.

The tables are printed as they are, also where a baseline wins. Pictures go to demo/.

Run it by `make demo`, or by `python examples/quickstart.py`.
"""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skts import FlowMapSimulator, FMambaForecaster, FractalSampler, JointEBMClassifier, MomentEmbedder
from skts.datasets import load_motions, make_kuramoto_sivashinsky
from skts.inspection import (
    ComparisonDisplay,
    EmbeddingDisplay,
    ForecastDisplay,
    JointProbabilityDisplay,
    LossCurveDisplay,
    SampleGridDisplay,
    SpaceTimeDisplay,
    compare,
)
from skts.metrics import joint_log_loss
from skts.moment.statistics import quantile_statistics

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

# The third one simulates. In a Lyapunov time, any error of this system grows by a factor e.
lyapunov_time = 20.83
fields = make_kuramoto_sivashinsky(n_trajectories=60, n_times=600, dt=0.25, random_state=0)
train, test = fields[:40], fields[40:]
simulator = FlowMapSimulator(dt=0.25, stepper="opinf", n_components=16, step_sizes=[2, 8], random_state=0)
rows = {}
for name, model in {"FlowMapSimulator": simulator, **simulator.baselines()}.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the guard; the table says how often it spoke
        found, info = model.fit(train).simulate(test[:, 0], n_steps=80, return_info=True)
    error = np.sqrt(np.square(found - test[:, :81]).mean(axis=(0, 2))) / test.std()
    rows[name] = {
        "valid_for": np.median(model.valid_prediction_time(test, lyapunov_time=lyapunov_time)),
        "error_10": error[40],
        "error_20": error[80],
        "spread": model.climate_error(test)["std_ratio"],
        "flagged": (info["status"] == "left").sum(),
        "fit_seconds": model.cost_["fit_seconds"],
    }
print(
    "\nA simulated chaotic field, 20 held-out starts: Lyapunov times until the error passes half of the field's spread,"
)
print("errors after 10 and 20 time units in spreads, the simulations' own spread over the true one, how many the guard")
print("flagged:\n")
print(pd.DataFrame(rows).T.round(2).to_string())

# The guard says when a start is unlike all that was learned from; "clip" moves it back to the edge of what is known.
simulator.set_params(on_divergence="clip")
noise = 3 * fields.std() * np.random.default_rng(0).normal(size=fields.shape[2])
for name, start in {"a held-out start": test[1, 0], "the same with noise of three spreads": test[1, 0] + noise}.items():
    _, info = simulator.simulate(start, n_steps=80, return_info=True)
    print(f"guard, {name}: {info['status'][0]}, at {info['range'][0]:.2f} of the known range")
figure = SpaceTimeDisplay.from_estimator(simulator, test[1], time_unit=lyapunov_time).figure_
figure.savefig(pictures / "dynamics.png", dpi=120)

# The fourth one makes features of series. They are scaled and read by a linear model, all in one pipeline.
*frames, y_train, y_test = load_motions(return_labels=True)
motions = np.concatenate([frame.to_numpy().reshape(40, 100, 6).transpose(0, 2, 1) for frame in frames])
activity = np.concatenate([y_train, y_test])
sizes = {"d_model": 64, "d_ff": 128, "n_layers": 4, "n_heads": 4, "d_kv": 16}
embedder = MomentEmbedder("random", module_kwargs=sizes, layer="all", channels="concat", random_state=0)
features = {
    "MomentEmbedder, with quantiles": embedder.set_params(scale_features=True),
    "MomentEmbedder, network alone": clone(embedder).set_params(scale_features=False),
    "quantiles": FunctionTransformer(lambda X: quantile_statistics(X).reshape(len(X), -1)),
    "mean and spread": FunctionTransformer(lambda X: np.concatenate([X.mean(2), X.std(2)], axis=1)),
    "values": FunctionTransformer(lambda X: X.reshape(len(X), -1)),
}
candidates = {
    name: make_pipeline(each, StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    for name, each in features.items()
}
candidates["nearest neighbour"] = make_pipeline(features["values"], KNeighborsClassifier(1))
draws = StratifiedShuffleSplit(10, train_size=8, random_state=0)
table = compare(candidates, (motions, activity), cv=draws)
print("\nActivities from two marked recordings of each, ten draws: held-out share that is right, higher is better:\n")
print(table.round(digits).to_string())
figure = EmbeddingDisplay.from_estimator(embedder.fit(motions), motions, activity, projection="tsne").figure_
figure.savefig(pictures / "embedding.png", dpi=120)

# The fifth one knows how probable an image is, pixel by pixel, and with that draws, completes and classifies.
X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8).astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
sizes = {"generator": ["ar", "made"], "dims": [96, 48], "depths": [2, 1], "mixture": None}
sampler = FractalSampler("image", **sizes, lr=4e-3, max_epochs=22, random_state=0)
rows = {}
for name, model in {"FractalSampler": sampler, **sampler.baselines()}.items():
    bits = model.fit(X_train, y_train).bits_per_dim(X_test)
    rows[name] = {"bits": bits, "right": (model.predict(X_test) == y_test).mean(), **model.cost_}
print("\nDigits that were not learned from: bits for a pixel of 17 grey levels, and the share of classes that are")
print("right by Bayes' rule:\n")
print(pd.DataFrame(rows).T[["bits", "right", "fit_seconds"]].round(2).to_string())
classes = np.tile(np.arange(10), 4)
real = np.stack([X_train[y_train == c][:4] for c in range(10)], axis=1).reshape(-1, 8, 8)
drawn = sampler.sample(40, y=classes, random_state=0)
SampleGridDisplay(drawn, real, columns=10).plot().figure_.savefig(pictures / "digits.png", dpi=120)
print(f"pictures: {', '.join(sorted(str(p) for p in pictures.glob('*.png')))}")
