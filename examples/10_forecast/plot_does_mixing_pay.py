"""
Does it pay to let variates see each other?
===========================================

Attention and the state space run across variates. ``attention=None, mamba=None`` takes both out and leaves the same
network without mixing: the honest way to ask. On a road, congestion travels from sensor to sensor, so neighbours know
something. Whether a network learns it from a few days is what the table says.
"""

# %%
from skts import FMambaForecaster
from skts.datasets import make_traffic
from skts.inspection import ComparisonDisplay, compare

y = make_traffic(n_sensors=12, n_steps=1200, random_state=0)
common = {"context_length": 24, "d_model": 16, "guard": None, "random_state": 0}
common |= {"lr": 3e-3, "max_epochs": 3, "batch_size": 64}
mixing = FMambaForecaster(**common)
alone = FMambaForecaster(attention=None, mamba=None, **common)

# %%
# Several origins, an hour ahead, by one of sktime's splitters.
from sktime.split import ExpandingWindowSplitter

folds = ExpandingWindowSplitter(initial_window=1100, step_length=44, fh=list(range(1, 13)))
table = compare({"with mixing": mixing, "without mixing": alone}, y, cv=folds)
print(table.round(3).to_string())

# %%
ComparisonDisplay(table).plot()
