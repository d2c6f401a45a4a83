"""JointEBMClassifier: joint probabilities over label sets, classes and rankings."""

from skts.jointebm.estimator import JointEBMClassifier
from skts.jointebm.spaces import OutputSpace

__all__ = ["JointEBMClassifier", "OutputSpace"]
