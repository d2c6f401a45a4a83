"""What scikit-learn and sktime lack: a scorer for forecasters, scores of label sets, rankings, joint probabilities.

A scorer makes a forecaster fit into scikit-learn's searches. The other functions take the arguments in
scikit-learn's order, ``y_true`` before ``y_pred``, and give a float.
"""

from skts.metrics.forecast import make_forecast_scorer
from skts.metrics.structured import example_f1_score, joint_calibration_error, joint_log_loss, kendall_tau_score

__all__ = [
    "example_f1_score",
    "joint_calibration_error",
    "joint_log_loss",
    "kendall_tau_score",
    "make_forecast_scorer",
]
