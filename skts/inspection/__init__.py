"""Look at a model: how it learned, what it forecasts, and whether it beats something simple."""

from skts.inspection.compare import ComparisonDisplay, compare
from skts.inspection.forecast import ForecastDisplay
from skts.inspection.loss_curve import LossCurveDisplay

__all__ = ["ComparisonDisplay", "ForecastDisplay", "LossCurveDisplay", "compare"]
