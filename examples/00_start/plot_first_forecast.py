"""
How do I forecast, and is it better than something simple?
===========================================================

Five growth rates of the US economy, 187 quarters. We hold back the last four, forecast them, and look at the pilot
before we believe the picture.
"""

# %%
# Fit and forecast as in sktime: ``y`` is time x variates, ``fh`` the steps ahead.
from skts import FMambaForecaster
from skts.datasets import load_us_change
from skts.inspection import ComparisonDisplay, ForecastDisplay, compare

y = load_us_change()
past = y.iloc[:-4]
forecaster = FMambaForecaster(context_length=24, d_model=32, random_state=0)
forecaster.fit(past, fh=[1, 2, 3, 4])
print(forecaster.predict().round(2))

# %%
# Beside the network stand closed forms. For each variate the one with the lowest validation error forecasts, and
# ``selected_`` says which: with so few quarters, that is seldom the network.
print(forecaster.selected_)

# %%
ForecastDisplay.from_estimator(forecaster, y)

# %%
# The pilot: the same forecaster with and without that choice, and its baselines, on the quarters that none has seen.
bare = forecaster.clone().set_params(guard=None)
table = compare({"FMamba": forecaster, "network alone": bare}, y, cv=4)
print(table.round(3).to_string())

# %%
# If a line of algebra wins, use the line of algebra.
ComparisonDisplay(table).plot()
