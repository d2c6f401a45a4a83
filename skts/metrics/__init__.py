"""What scikit-learn and sktime lack: scores of forecasters, label sets, rankings, joint probabilities, simulations.

A scorer makes a forecaster fit into scikit-learn's searches. The other functions take the arguments in
scikit-learn's order, ``y_true`` before ``y_pred``. Scores of structured targets are floats; those of simulations
are one number for each trajectory or field, or several named ones.
"""

from skts.metrics.dynamics import (
    climate_error,
    largest_lyapunov_exponent,
    mean_normalised_absolute_difference,
    valid_prediction_time,
)
from skts.metrics.forecast import make_forecast_scorer
from skts.metrics.structured import example_f1_score, joint_calibration_error, joint_log_loss, kendall_tau_score

__all__ = [
    "climate_error",
    "example_f1_score",
    "joint_calibration_error",
    "joint_log_loss",
    "kendall_tau_score",
    "largest_lyapunov_exponent",
    "make_forecast_scorer",
    "mean_normalised_absolute_difference",
    "valid_prediction_time",
]
