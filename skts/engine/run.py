"""One fit: its settings, and what its stages have left so far."""

from collections.abc import Callable
from typing import Any

from torch import nn

from skts.engine.batches import Batches
from skts.engine.callbacks import FitTask, SklearnBridge
from skts.engine.net import EngineNet, Loss
from skts.engine.settings import TrainSettings
from skts.engine.train import TrainingInterrupted, TrainResult, train

__all__ = ["FitRun"]


class FitRun:
    """Collects the stages of one fit.

    Parameters
    ----------
    settings : TrainSettings
        What every stage starts from.
    task : FitTask
        The fit as scikit-learn's callbacks see it.
    fitted : callable
        ``fitted()`` gives the attributes with which a copy of the estimator predicts as if training ended now.
    """

    def __init__(self, settings: TrainSettings, task: FitTask, fitted: Callable[[], dict[str, Any]]) -> None:
        self.settings = settings
        self.history: list[dict[str, Any]] = []
        self.stopped_by = "max_epochs"
        self.net: EngineNet | None = None
        self._bridge = SklearnBridge(task, fitted) if task.listening else None

    def train(
        self, module: nn.Module, batches: Batches, loss: Loss, *, valid: Batches | None = None, **changes: Any
    ) -> None:
        """Train one stage (see :func:`skts.engine.train`); ``changes`` are fields of the settings."""
        settings = self.settings.changed(**changes)
        try:
            self._keep(train(module, batches, loss, settings, valid=valid, bridge=self._bridge))
        except TrainingInterrupted as stop:
            self._keep(stop.result)
            raise

    def _keep(self, result: TrainResult) -> None:
        self.history += result.history
        self.stopped_by, self.net = result.stopped_by, result.net
