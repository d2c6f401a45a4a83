"""What scikit-learn and sktime lack: scores of forecasters, structured targets, simulations, embeddings and samples.

A scorer makes a forecaster fit into scikit-learn's searches. The other functions take the arguments in
scikit-learn's order, ``y_true`` before ``y_pred``. Scores of structured targets are floats; those of simulations
are one number for each trajectory or field, or several named ones; those of embeddings are floats, or one number for
each sample. Drawn samples come after the real ones.
"""

from skts.metrics.dynamics import (
    climate_error,
    largest_lyapunov_exponent,
    mean_normalised_absolute_difference,
    valid_prediction_time,
)
from skts.metrics.embedding import (
    cluster_agreement,
    continuity,
    distance_consistency,
    local_continuity,
    neighborhood_hit,
    neighborhood_overlap,
    path_smoothness,
)
from skts.metrics.forecast import make_forecast_scorer
from skts.metrics.generation import bits_per_dim, discriminative_score, predictive_score
from skts.metrics.probes import block_folds, probe_predictions, probe_score
from skts.metrics.structured import example_f1_score, joint_calibration_error, joint_log_loss, kendall_tau_score

__all__ = [
    "bits_per_dim",
    "block_folds",
    "climate_error",
    "cluster_agreement",
    "continuity",
    "discriminative_score",
    "distance_consistency",
    "example_f1_score",
    "joint_calibration_error",
    "joint_log_loss",
    "kendall_tau_score",
    "largest_lyapunov_exponent",
    "local_continuity",
    "make_forecast_scorer",
    "mean_normalised_absolute_difference",
    "neighborhood_hit",
    "neighborhood_overlap",
    "path_smoothness",
    "predictive_score",
    "probe_predictions",
    "probe_score",
    "valid_prediction_time",
]
