"""Look at a model: how it learned, what it says and why, whether to trust it, and whether it beats something simple."""

from skts.inspection.compare import ComparisonDisplay, compare
from skts.inspection.coupling import CouplingDisplay
from skts.inspection.forecast import ForecastDisplay
from skts.inspection.joint_calibration import JointCalibrationDisplay
from skts.inspection.joint_probability import JointProbabilityDisplay
from skts.inspection.label_effect import LabelEffectDisplay
from skts.inspection.loss_curve import LossCurveDisplay
from skts.inspection.normaliser import NormaliserDisplay

__all__ = [
    "ComparisonDisplay",
    "CouplingDisplay",
    "ForecastDisplay",
    "JointCalibrationDisplay",
    "JointProbabilityDisplay",
    "LabelEffectDisplay",
    "LossCurveDisplay",
    "NormaliserDisplay",
    "compare",
]
