"""sktime's side: what turns a model of windows into an sktime forecaster."""

from skts.interop.flowmap_forecaster import FlowMapForecaster
from skts.interop.suite import run_sktime_suite
from skts.interop.window_forecaster import WindowForecaster

__all__ = ["FlowMapForecaster", "WindowForecaster", "run_sktime_suite"]
