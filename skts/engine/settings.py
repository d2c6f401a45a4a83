"""How a stage is trained: one frozen record, with the rare keys that ``net_kwargs`` may set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any, Self

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skts.engine.optimization import OPTIMIZERS, SCHEDULES
from skts.validation import check_options

__all__ = ["PRECISIONS", "TrainSettings"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# What net_kwargs may set.
_RARE: dict[str, list[Any]] = {
    "optimizer": [StrOptions(set(OPTIMIZERS))],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "schedule": [StrOptions(set(SCHEDULES))],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "precision": [StrOptions(set(PRECISIONS))],
}


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training stage.

    Parameters
    ----------
    max_epochs : int
        Passes over the training part.
    batch_size : int
        Samples of one step.
    lr : float
        Highest learning rate.
    patience : int or None
        Epochs without a better validation loss before the stage stops; None never stops.
    deadline : float or None
        ``time.monotonic()`` at which the stage stops.
    device : torch.device
        Where it computes.
    seed : int
        Seed of the order of the batches.
    verbose : int
        0 is silent, 1 prints a line for each epoch.
    callbacks : sequence
        The user's skorch callbacks; they are cloned, never changed.
    keep_start : bool
        The weights at the start compete as well: training never ends with a worse validation loss.
    stage : str
        Name in the rows of the history.
    optimizer : {"adamw", "adam", "sgd"}
        Key of ``net_kwargs``.
    weight_decay : float
        Decay of weight matrices; key of ``net_kwargs``.
    schedule : {"cosine", "constant", "averaged"}
        Course of the learning rate (cosine: 5 % warm-up, then to zero at ``max_epochs``; averaged: constant, and the
        weights are averages over about the last tenth of the steps); key of ``net_kwargs``. A callback that sets
        learning rates needs "constant".
    clip_norm : float or None
        Bound of the gradient's norm; key of ``net_kwargs``.
    precision : {"float32", "bfloat16"}
        With bfloat16 the loss is computed under autocast; key of ``net_kwargs``.
    """

    max_epochs: int = 10
    batch_size: int = 32
    lr: float = 1e-3
    patience: int | None = None
    deadline: float | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    verbose: int = 0
    callbacks: Sequence[Any] = ()
    keep_start: bool = False
    stage: str = "fit"
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    schedule: str = "cosine"
    clip_norm: float | None = 1.0
    precision: str = "float32"

    def with_rare(self, net_kwargs: Mapping[str, Any] | None) -> Self:
        """The settings with the keys of ``net_kwargs`` on top.

        Raises
        ------
        ParameterError
            If a key is unknown or a value is outside of its range.
        """
        return replace(self, **check_options(net_kwargs, _RARE, "net_kwargs"))

    def changed(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        known = {f.name for f in fields(self)}
        assert set(changes) <= known, f"unknown settings {set(changes) - known}"
        return replace(self, **changes)
