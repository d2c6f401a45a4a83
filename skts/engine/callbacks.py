"""What happens between epochs: best weights, early stopping, time, printing, and scikit-learn's callbacks."""

import math
import time
from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback
from torch import Tensor, nn

from skts.engine.net import EngineNet

try:  # experimental in scikit-learn 1.9; older versions have none, and the estimators work without
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Stands in where scikit-learn has no callbacks."""
        return method


__all__ = [
    "BestWeights",
    "CallbackSupportMixin",
    "EpochRow",
    "FitTask",
    "SklearnBridge",
    "Stop",
    "StopTraining",
    "with_callbacks",
]


class StopTraining(Exception):  # noqa: N818  (a signal, as StopIteration is)
    """A callback ends the stage; ``reason`` becomes ``stopped_by_``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EpochRow(Callback):
    """Completes the epoch's history row and prints it on request.

    Parameters
    ----------
    stage : str
        Name of the stage.
    verbose : int
        Whether to print.
    """

    def __init__(self, stage: str, verbose: int) -> None:
        self.stage, self.verbose = stage, verbose

    def on_epoch_begin(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        self._start = time.perf_counter()

    def on_epoch_end(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        net.history.record("stage", self.stage)
        net.history.record("seconds", time.perf_counter() - self._start)
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
        if self.verbose:
            row = net.history[-1]
            valid = f"  valid {row['valid_loss']:.5g}" if "valid_loss" in row else ""
            print(  # the user asked for it
                f"[{self.stage}] epoch {row['epoch']:>3}  train {row['train_loss']:.5g}{valid}  {row['seconds']:.2f} s"
            )


class BestWeights(Callback):
    """Keeps the weights with the lowest validation loss in memory and stops when they no longer improve.

    Without a validation part there is nothing to choose by: the last weights stand.

    Parameters
    ----------
    patience : int or None
        Epochs without improvement before it stops.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self._best, self._since = math.inf, 0
        self._weights: dict[str, Tensor] | None = None

    def on_train_begin(self, net: EngineNet, X: Any = None, y: Any = None, **_: Any) -> None:  # noqa: D102
        if net.settings.keep_start and y is not None:
            self._best = net.mean_loss(y)
            self._keep(net)

    def on_epoch_end(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        row = net.history[-1]
        if net.diverged:
            net.stop_reason = "divergence"
            return
        if "valid_loss" not in row:
            return
        better = row["valid_loss"] < self._best
        net.history.record("best", better)
        net.history.record("valid_loss_best", better)  # the name under which skorch's Checkpoint looks for it
        if better:
            self._best, self._since = row["valid_loss"], 0
            self._keep(net)
            return
        self._since += 1
        if self.patience is not None and self._since >= self.patience:
            net.stop_reason = "patience"

    def _keep(self, net: EngineNet) -> None:
        self._weights = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}

    def restore(self, module: nn.Module) -> bool:
        """Put the best weights back; False where none were kept."""
        if self._weights is None:
            return False
        module.load_state_dict(self._weights)
        self._weights = None
        return True


class Stop(Callback):
    """The last callback: ends the stage once every other one has seen the epoch."""

    def on_epoch_end(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        if net.stop_reason is None and net.out_of_time:
            net.stop_reason = "max_time"
        if net.stop_reason is not None:
            raise StopTraining(net.stop_reason)


class FitTask:
    """One fit as scikit-learn's callbacks see it: a task whose subtasks are the epochs of all stages.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    max_epochs : int or None
        Number of epochs at the most; None where the number of stages is not known beforehand.
    X, y : array-like or None
        What monitors may score on.
    """

    def __init__(self, estimator: Any, max_epochs: int | None, X: Any = None, y: Any = None) -> None:
        self.estimator, self.X, self.y = estimator, X, y
        open_context = getattr(estimator, "_init_callback_context", None)
        self.context = open_context(max_subtasks=max_epochs) if open_context else None
        if self.context is not None:
            self.context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    @property
    def listening(self) -> bool:
        """Whether any callback is set."""
        return self.context is not None and bool(getattr(self.estimator, "_skl_callbacks", None))

    def finish(self) -> None:
        """Close the task; the estimator is fitted."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, X=self.X, y=self.y, reconstruction_attributes=dict
            )
        self.X = self.y = None  # the net remembers its callbacks; it must not keep the data alive


class SklearnBridge(Callback):
    """Opens one scikit-learn subtask for each epoch; a callback that returns True stops the training.

    Parameters
    ----------
    task : FitTask
        The fit.
    fitted : callable
        ``fitted()`` gives the attributes with which a copy of the estimator predicts as if training ended now.
    """

    def __init__(self, task: FitTask, fitted: Callable[[], dict[str, Any]]) -> None:
        self.task, self.fitted = task, fitted

    def on_epoch_begin(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        task = self.task
        assert task.context is not None, "there is a bridge only where there are callbacks"
        self._epoch = task.context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=task.estimator, X=task.X, y=task.y)

    def on_epoch_end(self, net: EngineNet, **_: Any) -> None:  # noqa: D102
        task = self.task
        stop = self._epoch.call_on_fit_task_end(
            estimator=task.estimator, X=task.X, y=task.y, reconstruction_attributes=self.fitted
        )
        if stop:
            net.stop_reason = "callback"
