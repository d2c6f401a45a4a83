"""
Which coordinates and which steps does a field of 202 numbers need?
===================================================================

The FitzHugh-Nagumo equations: a front wanders to and fro, fast beside slow, 101 points for each of two fields. An
autoencoder brings them to two coordinates; flow maps of several step sizes live in these.
"""

# %%
import numpy as np

from skts import FlowMapSimulator
from skts.datasets import make_fitzhugh_nagumo
from skts.inspection import LatentPathDisplay, SpaceTimeDisplay, StepSelectionDisplay
from skts.metrics import mean_normalised_absolute_difference

X = make_fitzhugh_nagumo(n_trajectories=6, n_times=1001, random_state=0)
X_train, X_test = X[:5, :451], X[5:]
model = FlowMapSimulator(n_components=2, max_epochs=3, random_state=0).fit(X_train)
print(model.cost_)

# %%
# Every step size was trained for a quarter of the epochs. Rollouts of a held-out trajectory then said which of them get
# the rest: the errors are of that moment, of a model that was not trained to the end.
StepSelectionDisplay.from_estimator(model)

# %%
# A trajectory of which nothing was seen, more than twice as long as those in training: mean absolute error of the two
# fields in parts of their range, beside two simple simulators.
for name, candidate in {"FlowMapSimulator": model, **model.baselines()}.items():
    fitted = candidate if candidate is model else candidate.fit(X_train)
    found = fitted.simulate(X_test[:, 0], n_steps=1000)
    print(f"{name}: {mean_normalised_absolute_difference(X_test, found, fields=2).round(3)}")

# %%
# The way through the two coordinates, over all states that are known: from the start onto the limit cycle.
LatentPathDisplay.from_estimator(model, X, trajectory=5)

# %%
# The first field in space and time. What is left is mostly the phase: fronts that turn a little early or late.
SpaceTimeDisplay.from_estimator(
    model, X_test[0], features=slice(0, 101), space=np.linspace(0, 20, 101), time_unit=185.87, unit_name="periods"
)
