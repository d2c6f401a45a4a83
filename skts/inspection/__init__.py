"""Look at a model: how it learned, what it says and why, whether to trust it, and whether it beats something simple."""

from skts.inspection.attribution import AttributionDisplay
from skts.inspection.compare import ComparisonDisplay, compare
from skts.inspection.coupling import CouplingDisplay
from skts.inspection.embedding import EmbeddingDisplay
from skts.inspection.explorer import explore, read_selection
from skts.inspection.forecast import ForecastDisplay
from skts.inspection.generation import GenerationDisplay
from skts.inspection.influence import InfluenceDisplay
from skts.inspection.interpretability import InterpretabilityDisplay, interpretability_report
from skts.inspection.joint_calibration import JointCalibrationDisplay
from skts.inspection.joint_probability import JointProbabilityDisplay
from skts.inspection.label_effect import LabelEffectDisplay
from skts.inspection.latent_path import LatentPathDisplay
from skts.inspection.loss_curve import LossCurveDisplay
from skts.inspection.normaliser import NormaliserDisplay
from skts.inspection.sample_grid import SampleGridDisplay
from skts.inspection.series_fan import SeriesFanDisplay
from skts.inspection.space_time import SpaceTimeDisplay
from skts.inspection.speed_accuracy import SpeedAccuracyDisplay
from skts.inspection.step_selection import StepSelectionDisplay
from skts.inspection.surprise import SurpriseDisplay

__all__ = [
    "AttributionDisplay",
    "ComparisonDisplay",
    "CouplingDisplay",
    "EmbeddingDisplay",
    "ForecastDisplay",
    "GenerationDisplay",
    "InfluenceDisplay",
    "InterpretabilityDisplay",
    "JointCalibrationDisplay",
    "JointProbabilityDisplay",
    "LabelEffectDisplay",
    "LatentPathDisplay",
    "LossCurveDisplay",
    "NormaliserDisplay",
    "SampleGridDisplay",
    "SeriesFanDisplay",
    "SpaceTimeDisplay",
    "SpeedAccuracyDisplay",
    "StepSelectionDisplay",
    "SurpriseDisplay",
    "compare",
    "explore",
    "interpretability_report",
    "read_selection",
]
