"""The engine's one verb: train a module on batches by a loss."""

import contextlib
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from torch import nn

from skts.engine.batches import Batches
from skts.engine.callbacks import BestWeights, EpochRow, SklearnBridge, Stop, StopTraining
from skts.engine.net import EngineNet, Loss
from skts.engine.settings import TrainSettings
from skts.errors import DivergenceError, ParameterError

__all__ = ["TrainResult", "TrainingInterrupted", "train"]


@dataclass
class TrainResult:
    """What one stage leaves behind.

    Parameters
    ----------
    history : list of dict
        One row for each epoch.
    stopped_by : str
        Why it ended.
    net : EngineNet or None
        The skorch net.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    stopped_by: str = "max_epochs"
    net: EngineNet | None = None


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training. The module holds the best weights so far; ``result`` says what was done."""

    def __init__(self, result: TrainResult | None = None) -> None:
        super().__init__("training was interrupted; the best weights so far are in place")
        self.result = result or TrainResult()


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    settings: TrainSettings,
    *,
    valid: Batches | None = None,
    bridge: SklearnBridge | None = None,
) -> TrainResult:
    """Train ``module`` in place and leave it in evaluation mode, with its best weights.

    Parameters
    ----------
    module : nn.Module
        The network.
    batches : Batches
        Training samples.
    loss : callable
        ``loss(module, *batch)``: a scalar, or one value for each sample.
    settings : TrainSettings
        Epochs, batch size, learning rate, patience, device and the rest.
    valid : Batches, optional
        Validation samples: the weights with the lowest loss on them are kept. Without them the last weights stand.
    bridge : SklearnBridge, optional
        Passes epochs on to scikit-learn's callbacks.

    Returns
    -------
    TrainResult
        The rows of its history hold stage, epoch, train_loss, valid_loss, lr, seconds and best.

    Raises
    ------
    DivergenceError
        If the loss is not finite before any usable weights were found.
    TrainingInterrupted
        On Ctrl-C, after the best weights were put back.
    """
    assert len(batches), "train needs at least one sample; the estimator's checks let an empty set through"
    best = BestWeights(settings.patience)
    row = EpochRow(settings.stage, settings.verbose)
    callbacks: list[tuple[str, Callback]] = [("skts_row", row), ("skts_best", best)]
    if bridge is not None:
        callbacks.append(("skts_bridge", bridge))
    callbacks += [*_users(settings.callbacks), ("skts_stop", Stop())]
    net = EngineNet(module, loss, settings, callbacks)
    result = TrainResult(net=net)
    net.initialize()
    try:
        net.notify("on_train_begin", X=batches, y=valid)
        result.stopped_by = _loop(net, batches, valid)
        with contextlib.suppress(StopTraining):
            net.notify("on_train_end", X=batches, y=valid)
    except KeyboardInterrupt:
        result.stopped_by = "interrupt"
    finally:
        result.history = [_plain(row) for row in net.history if "train_loss" in row and "stage" in row]
        found = best.restore(module)
        module.eval()
    if result.stopped_by == "interrupt":
        raise TrainingInterrupted(result)
    if net.diverged or not _finite(module):
        result.stopped_by = "divergence"
        _report_divergence(result, found and _finite(module), settings)
    return result


def _loop(net: EngineNet, batches: Batches, valid: Batches | None) -> str:
    """All epochs; returns why they ended."""
    try:
        net.fit_loop(batches, valid)
    except StopTraining as stop:
        return stop.reason
    except KeyboardInterrupt as stop:
        # skorch's callbacks (EarlyStopping) say "stop" by KeyboardInterrupt: theirs is no Ctrl-C.
        *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
        if frame.f_globals.get("__name__", "").startswith("skorch.callbacks"):
            return "callback"
        raise
    return "max_epochs"


def _users(callbacks: Sequence[Any]) -> list[tuple[str, Callback]]:
    """Clones of the user's callbacks under names of their own."""
    named: dict[str, Callback] = {}
    for number, entry in enumerate(callbacks):
        pair = entry if isinstance(entry, tuple) else (f"user_{number}", entry)
        if len(pair) != 2 or not isinstance(pair[1], Callback) or pair[0] in named:
            raise ParameterError(
                "callbacks to be a list of skorch callbacks or (name, callback) pairs with names of their own",
                f"{entry!r} of type {type(entry).__name__} at position {number}",
                "Derive it from skorch.callbacks.Callback, or use set_callbacks(...) for scikit-learn's callbacks.",
            )
        if isinstance(pair[1], EpochScoring | BatchScoring):
            raise ParameterError(
                "callbacks that need no dataset of skorch's kind",
                f"{type(pair[1]).__name__} at position {number}",
                "Scores by epoch come from scikit-learn: set_callbacks(ScoringMonitor(scoring=...)).",
            )
        named[pair[0]] = clone(pair[1], safe=False)
    return list(named.items())


def _finite(module: nn.Module) -> bool:
    return all(bool(p.isfinite().all()) for p in module.parameters())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A history row of plain numbers and words (skorch's rows carry batches as well)."""
    keys = ("stage", "epoch", "train_loss", "valid_loss", "best", "lr", "seconds")
    return {key: row[key] for key in keys if key in row}


def _report_divergence(result: TrainResult, found: bool, settings: TrainSettings) -> None:
    epoch = len(result.history)
    if not found:
        raise DivergenceError(
            "a finite training loss",
            f"a loss that is not finite in epoch {epoch} of stage {settings.stage!r} with lr={settings.lr:g}",
            "Lower lr, scale the input, or check it for extreme values.",
        )
    warnings.warn(
        f"The loss of stage {settings.stage!r} stopped being finite in epoch {epoch}; the best weights before that are "
        "used. A lower lr usually helps.",
        ConvergenceWarning,
        stacklevel=2,
    )
