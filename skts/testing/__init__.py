"""Checks that scikit-learn's and sktime's suites miss, for the estimators of skts and for your own."""

from skts.testing.contracts import CONTRACTS
from skts.testing.suite import check_estimator

__all__ = ["CONTRACTS", "check_estimator"]
