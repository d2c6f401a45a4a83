"""
Which sensor failed, and when?
==============================

Windows of four sensors of a pump: speed, flow, pressure, temperature. In some, one sensor fails for a quarter of the
window, and shows values that it also shows on good days. A density that has learned how the sensors go together finds
the window; the surprise of the single numbers finds sensor and time.
"""

# %%
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skts import FractalSampler
from skts.datasets import make_sensor_windows
from skts.inspection import SeriesFanDisplay, SurpriseDisplay

sensors = ["speed", "flow", "pressure", "temperature"]
good, _ = make_sensor_windows(1000, random_state=0)
new, is_fault = make_sensor_windows(300, faulty=0.2, random_state=1)
faulty = is_fault.any((1, 2))
model = FractalSampler(mixture=None, dims=48, depths=1, lr=4e-3, max_epochs=25, random_state=0).fit(good)
print(model.splits_, f"stopped by {model.stopped_by_} after {model.n_iter_} epochs")

# %%
# Which windows are odd? Beside the model three classics on the flattened windows.
scaler = StandardScaler().fit(good.reshape(len(good), -1))
flat_good, flat_new = (scaler.transform(X.reshape(len(X), -1)) for X in (good, new))
pca = PCA(0.99).fit(flat_good)
scores = {"FractalSampler": -model.score_samples(new)}
scores["GaussianMixture"] = -GaussianMixture(2, reg_covar=1e-3, random_state=0).fit(flat_good).score_samples(flat_new)
scores["PCA"] = np.square(flat_new - pca.inverse_transform(pca.transform(flat_new))).sum(1)
scores["IsolationForest"] = -IsolationForest(random_state=0).fit(flat_good).score_samples(flat_new)
windows = {
    name: {"AUROC": roc_auc_score(faulty, s), "precision": average_precision_score(faulty, s)}
    for name, s in scores.items()
}
print(pd.DataFrame(windows).T.round(3))

# %%
# Where in a faulty window? Each number's surprise, less what is usual in its place; PCA has squared errors. The density
# finds more of the windows, the errors name the sensor more often: a number is surprising given those before it, so
# that a sensor that has failed makes those after it surprising, whereas PCA looks at all numbers at once. Ask the one
# whether, the other which.
usual = model.score_slots(good).mean(0)
places = {
    "FractalSampler": model.score_slots(new) - usual,
    "PCA": np.square(flat_new - pca.inverse_transform(pca.transform(flat_new))).reshape(new.shape),
}
table = {}
for name, place in places.items():
    sensor_right = place[faulty].mean(1).argmax(1) == is_fault[faulty].any(1).argmax(1)
    precision = average_precision_score(is_fault[faulty].ravel(), place[faulty].ravel())
    table[name] = {"sensor right": sensor_right.mean(), "precision of numbers": precision}
print(pd.DataFrame(table).T.round(3))

# %%
# Three windows with a fault, and one without. Below each: white is as usual, red is odd.
shown = np.concatenate([new[faulty][:3], new[~faulty][:1]])
SurpriseDisplay.from_estimator(model, shown, reference=good[:300], feature_names=sensors)

# %%
# When does it begin? Here the order helps: nothing before the fault is surprising.
surprise = model.score_slots(shown) - usual
for window, fault in zip(surprise[:3], is_fault[faulty][:3], strict=True):
    step, sensor = np.argwhere(fault)[0]
    first = int(np.argmax(window.max(1) > 10))
    print(f"fault: {sensors[sensor]} from step {step}; first surprise above 10 nats: step {first}")

# %%
# The same model says what should follow: quantiles of 200 draws, given twelve steps of a good window. Of 30 such
# windows, how much of what came lies in the band of 90 %?
partial = new[~faulty][:30].copy()
partial[:, 12:] = np.nan
draws = model.sample_conditional(partial, 100, random_state=0)
low, high = np.quantile(draws[:, :, 12:], (0.05, 0.95), axis=1)
came = new[~faulty][:30, 12:]
print(f"in the band: {((low <= came) & (came <= high)).mean():.2f}")
SeriesFanDisplay.from_estimator(model, new[~faulty][1], 12, feature_names=sensors, random_state=0)
