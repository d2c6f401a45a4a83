"""How a stage is trained: one frozen record, with the rare keys that ``net_kwargs`` may set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch

from skts.engine.optimization import OPTIMIZERS, SCHEDULES
from skts.errors import ParameterError

__all__ = ["PRECISIONS", "TrainSettings"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
    schedule : {"cosine", "constant"}
        Course of the learning rate (cosine: 5 % warm-up, then to zero at ``max_epochs``); key of ``net_kwargs``.
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

    RARE = ("optimizer", "weight_decay", "schedule", "clip_norm", "precision")

    def with_rare(self, net_kwargs: Mapping[str, Any] | None) -> Self:
        """The settings with the keys of ``net_kwargs`` on top.

        Raises
        ------
        ParameterError
            If a key is unknown or a value is none of the choices.
        """
        rare = dict(net_kwargs or {})
        unknown = sorted(set(rare) - set(self.RARE))
        if unknown:
            raise ParameterError(
                f"net_kwargs with keys among {list(self.RARE)}", f"{unknown}", "Remove or rename these keys."
            )
        choices: dict[str, Mapping[str, Any]] = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "precision": PRECISIONS,
        }
        for key, allowed in choices.items():
            if key in rare and rare[key] not in allowed:
                raise ParameterError(
                    f"net_kwargs[{key!r}] to be one of {list(allowed)}",
                    repr(rare[key]),
                    "Choose one of these names.",
                )
        return replace(self, **rare)

    def changed(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        known = {f.name for f in fields(self)}
        assert set(changes) <= known, f"unknown settings {set(changes) - known}"
        return replace(self, **changes)
