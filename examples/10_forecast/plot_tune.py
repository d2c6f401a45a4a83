"""
How do I cross-validate and tune?
=================================

With sktime's splitters and search, or scikit-learn's: both take the forecaster as it is. The context length is the
first thing to tune.
"""

# %%
# sktime's search.
import warnings

from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter

from skts import FMambaForecaster
from skts.datasets import load_us_change

warnings.filterwarnings("ignore", category=FutureWarning)  # sktime's search still warns of its own defaults
y = load_us_change()
forecaster = FMambaForecaster(d_model=16, max_epochs=3, random_state=0)
folds = ExpandingWindowSplitter(initial_window=150, step_length=15, fh=[1, 2, 3, 4])
lengths = [4, 12, 24, 48]
search = ForecastingGridSearchCV(forecaster, folds, {"context_length": lengths}).fit(y, fh=[1, 2, 3, 4])
print(search.best_params_)

# %%
# scikit-learn's search; the series takes the place of X.
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from skts.metrics import make_forecast_scorer

folds = TimeSeriesSplit(n_splits=3, test_size=8)
grid = GridSearchCV(forecaster, {"context_length": lengths}, cv=folds, scoring=make_forecast_scorer()).fit(y)
print(grid.best_params_)

# %%
# What the search saw.
from matplotlib import pyplot as plt

errors, spread = -grid.cv_results_["mean_test_score"], grid.cv_results_["std_test_score"]
_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.errorbar(lengths, errors, spread, marker="o", color="#0072b2", capsize=3)
ax.set(xlabel="context length, quarters", ylabel="mean squared error of 8 quarters", ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
