"""sktime's own suite, as :func:`skts.testing.check_estimator` runs it."""

from collections.abc import Sequence
from typing import Any

from sktime.utils.estimator_checks import check_estimator

__all__ = ["run_sktime_suite"]


def run_sktime_suite(estimator: Any, skip: Sequence[str], raise_errors: bool) -> dict[str, str]:
    """Outcome of every check of sktime's suite, "passed" or the failure's message."""
    rows = check_estimator(estimator, raise_exceptions=raise_errors, tests_to_exclude=list(skip) or None, verbose=False)
    return {name: "passed" if result == "PASSED" else str(result) for name, result in rows.items()}
