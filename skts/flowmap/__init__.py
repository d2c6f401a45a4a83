"""FlowMapSimulator: learned coordinates and a hierarchy of flow maps."""

from skts.flowmap.estimator import FlowMapSimulator

__all__ = ["FlowMapSimulator"]
