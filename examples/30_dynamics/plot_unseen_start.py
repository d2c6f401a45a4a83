"""
What does a simulator say of a start that it has never seen?
============================================================

A damped pendulum, angle and velocity with 1 % noise: simulated, so that this page needs no file
(:func:`~skts.datasets.fetch_double_pendulum` reads a measured one). The model learns from swings of moderate height;
then one starts almost upside down.
"""

# %%
import warnings

import numpy as np
from scipy.integrate import solve_ivp

from skts import FlowMapSimulator
from skts.errors import DivergenceError
from skts.inspection import LatentPathDisplay, SpaceTimeDisplay


def swing(x0, dt, n_steps):
    """States (n, n_steps + 1, 2) from starts (n, 2): angle, and velocity."""

    def rates(_, state):
        angle, velocity = state.reshape(2, -1)
        return np.concatenate([velocity, -np.sin(angle) - 0.1 * velocity])

    times = dt * np.arange(n_steps + 1)
    found = solve_ivp(rates, (0, times[-1]), np.ravel(np.transpose(x0)), t_eval=times, rtol=1e-8, atol=1e-8)
    return found.y.reshape(2, len(x0), -1).transpose(1, 2, 0)


rng = np.random.default_rng(0)
starts = rng.uniform((-1.5, -0.5), (1.5, 0.5), size=(24, 2))
clean = swing(starts, 0.1, 300)
X = clean + 0.01 * clean.std((0, 1)) * rng.normal(size=clean.shape)
model = FlowMapSimulator(dt=0.1, max_epochs=2, random_state=0).fit(X[:20])
print(f"swings of up to {np.degrees(np.abs(X[:20, :, 0]).max()):.0f} degrees")
print(f"steps of {model.selected_steps_} samples, score {model.score(clean[20:]):.3f}, {model.cost_}")

# %%
# Two starts: one like those of training, and one of 160 degrees. The errors need the truth; the guard does not have it.
new = np.array([[1.3, 0.3], [2.8, 0.0]])
truth = swing(new, 0.1, 300)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found, info = model.simulate(new, n_steps=300, return_info=True)
print(caught[-1].message)
for row in (0, 1):
    error = np.sqrt(np.square(found[row] - truth[row]).mean())
    print(f"{info['status'][row]}, range {info['range'][row]:.2f}, error {error:.3f}")

# %%
# In the plane of angle and velocity: the border is that of the guard, beyond it nothing has been learned.
LatentPathDisplay.from_estimator(model, [*X[:20], truth[1]], trajectory=20)

# %%
# The status is there for a program to act on; or ask for an error.
try:
    model.set_params(on_divergence="raise").simulate(new, n_steps=300)
except DivergenceError as error:
    print(error)

# %%
# With a solver to fall back on, steps from states that are not known are the solver's, all others the network's.
model.set_params(on_divergence="fallback", solver=swing)
found, info = model.simulate(new, n_steps=300, return_info=True)
error = np.sqrt(np.square(found - truth).mean((1, 2)))
print(f"{info['status']}, steps from unknown states {info['n_flagged']}, error {error.round(3)}")

# %%
# The status stays "left", and the display grey: the alarm is about states, whoever made the step after them.
SpaceTimeDisplay.from_estimator(model, truth[1], unit_name="seconds", time_unit=1.0)
