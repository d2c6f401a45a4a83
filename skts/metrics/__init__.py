"""What scikit-learn and sktime lack: scorers for forecasters inside of scikit-learn's searches."""

from skts.metrics.forecast import make_forecast_scorer

__all__ = ["make_forecast_scorer"]
