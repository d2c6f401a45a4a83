"""sktime's own suite, for every object of sktime's kind."""

from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from skts.fmamba import FMambaForecaster, LinearForecaster
from skts.interop import FlowMapForecaster, MomentPanelTransformer


@parametrize_with_checks(
    [FMambaForecaster, LinearForecaster, FlowMapForecaster, MomentPanelTransformer],
    obj_varname="estimator",
    check_varname="check",
)
def test_sktime_suite(estimator, check, record_property):
    results = check_estimator(estimator, raise_exceptions=True, tests_to_run=check, verbose=False)
    record_property("n_checks", len(results))
    assert all(result == "PASSED" for result in results.values()), results
