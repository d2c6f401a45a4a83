"""FlowMapSimulator: learned coordinates and a hierarchy of flow maps."""

from skts.flowmap.estimator import FlowMapSimulator
from skts.flowmap.steppers import Stepper

__all__ = ["FlowMapSimulator", "Stepper"]
