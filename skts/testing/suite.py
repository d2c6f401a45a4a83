"""One call that runs everything an estimator has to pass."""

from collections.abc import Sequence
from typing import Any

from skts.testing.case import Case
from skts.testing.contracts import CONTRACTS

__all__ = ["check_estimator"]


def check_estimator(
    estimator: Any, *, suite: bool = True, skip: Sequence[str] = (), raise_errors: bool = True
) -> dict[str, str]:
    """Run scikit-learn's or sktime's suite and the contracts of skts on an estimator.

    Parameters
    ----------
    estimator : estimator
        An instance with small settings; it is cloned. It derives from :class:`skts.base.TorchEstimatorMixin`, and its
        class is registered by :func:`skts.persistence.register`.
    suite : bool, default=True
        Whether to run the suite of scikit-learn or sktime first.
    skip : sequence of str, default=()
        Names of contracts or of scikit-learn's checks that are known to fail.
    raise_errors : bool, default=True
        Raise the first failure; otherwise return all.

    Returns
    -------
    dict of str to str
        "passed" or the failure's message, by the name of the check.

    Raises
    ------
    AssertionError
        If a contract is broken (or whatever a suite raises), with ``raise_errors``.
    """
    results: dict[str, str] = {}
    if suite:
        from skts.interop import run_sktime_suite

        run = run_sktime_suite if Case(estimator).is_forecaster else _sklearn_suite
        results.update(run(estimator, skip, raise_errors))
    for check in CONTRACTS:
        if check.__name__ in skip:
            continue
        try:
            check(estimator)
            results[check.__name__] = "passed"
        except Exception as error:
            if raise_errors:
                raise
            results[check.__name__] = f"{type(error).__name__}: {error}"
    return results


def _sklearn_suite(estimator: Any, skip: Sequence[str], raise_errors: bool) -> dict[str, str]:
    from sklearn.utils import estimator_checks

    rows = estimator_checks.check_estimator(
        estimator,
        on_fail="raise" if raise_errors else None,
        on_skip=None,
        expected_failed_checks=dict.fromkeys(skip, "skipped by the caller"),
    )
    return {row["check_name"]: row["status"] if row["exception"] is None else str(row["exception"]) for row in rows}
