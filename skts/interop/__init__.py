"""sktime's side: models of windows as forecasters, embeddings as transformers of panels."""

from skts.interop.flowmap_forecaster import FlowMapForecaster
from skts.interop.moment_transformer import MomentPanelTransformer
from skts.interop.quantiles import WindowQuantiles
from skts.interop.suite import run_sktime_suite
from skts.interop.window_forecaster import WindowForecaster

__all__ = ["FlowMapForecaster", "MomentPanelTransformer", "WindowForecaster", "WindowQuantiles", "run_sktime_suite"]
