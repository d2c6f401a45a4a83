"""
How far can chaos be foreseen, and does it pay?
===============================================

The Kuramoto-Sivashinsky equation: a field of 64 points in which any error grows by a factor e in one Lyapunov time,
20.83 time units. Trajectories come from a solver; the last 20 are held out whole.
"""

# %%
import numpy as np
import pandas as pd

from skts import FlowMapSimulator
from skts.datasets import kuramoto_sivashinsky_solver, make_kuramoto_sivashinsky
from skts.inspection import SpaceTimeDisplay, SpeedAccuracyDisplay

lyapunov_time = 20.83
X = make_kuramoto_sivashinsky(n_trajectories=60, n_times=600, dt=0.25, random_state=0)
X_train, X_test = X[:40, :400], X[40:]

# %%
# Two simulators, and two simple ones. "opinf" is a quadratic differential equation by least squares; "network" is the
# default, cut to half the epochs and one step size to be quick.
quadratic = FlowMapSimulator(dt=0.25, stepper="opinf", n_components=16, step_sizes=[2, 8], random_state=0)
network = FlowMapSimulator(dt=0.25, step_sizes=[2], max_epochs=4, random_state=0)
models = {"opinf": quadratic, "network": network, **quadratic.baselines()}
for model in models.values():
    model.fit(X_train)

# %%
# Lyapunov times until the error passes half of the field's spread, the median of 20; and whether simulations look like
# the truth after that: their spread over the true one, the distance of their histograms and of their spectra.
rows = {
    name: {
        "valid for": np.median(model.valid_prediction_time(X_test, lyapunov_time=lyapunov_time)),
        **model.climate_error(X_test),
        "fit CPU s": model.cost_["cpu_seconds"],
    }
    for name, model in models.items()
}
print(pd.DataFrame(rows).T.round(2).to_string())

# %%
# "opinf" fits so well because this equation has no terms beyond quadratic ones and the data are clean. One held-out
# trajectory:
SpaceTimeDisplay.from_estimator(quadratic, X_test[1], time_unit=lyapunov_time)

# %%
# Does it pay? Beside solvers with small and larger steps, over 40 time units from all held-out starts at once.
solvers = {f"solver, step {step:g}": kuramoto_sivashinsky_solver(step) for step in (0.05, 0.25)}
display = SpeedAccuracyDisplay.from_estimator(quadratic, solvers, X_test[:, 0], horizon=40.0)
print(display.table.round(4).to_string())

# %%
# A solver's step is cheap here. A surrogate pays where it is not, or where there are data and no equation.
print(display.sentence_)
