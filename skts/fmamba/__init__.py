"""FMamba: fast attention across variates, then a selective state space, for multivariate forecasting."""

from skts.fmamba.baselines import LinearForecaster
from skts.fmamba.estimator import FMambaForecaster

__all__ = ["FMambaForecaster", "LinearForecaster"]
