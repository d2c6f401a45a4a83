"""Training of the network: which weights move, towards what, and what judges them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skts.engine import FitRun
from skts.engine.batches import iterate
from skts.moment.batching import Runner
from skts.moment.features import mean_of_channels
from skts.moment.holdout import held_out, overlap
from skts.moment.lora import low_rank
from skts.moment.module import MomentNet
from skts.moment.objectives import (
    Contrast,
    Masking,
    Probe,
    Supervision,
    contrastive_loss,
    masked_loss,
    supervised_loss,
)
from skts.moment.panel import Panel
from skts.moment.readout import Readout
from skts.moment.sequences import Sequences, SeriesBatches
from skts.moment.targets import Head, Target

__all__ = ["DEFAULTS", "OBJECTIVES", "STRATEGIES", "Plan"]

STRATEGIES = ("head", "lora", "last_k", "full")
OBJECTIVES = ("masked", "contrastive", "supervised")
DEFAULTS: dict[str, Any] = {"lora_rank": 8, "last_k": 2, "mask_ratio": 0.3}
_PROJECTION = 64  # width in which views are compared
_FASTER = 10.0  # low-rank matrices begin at zero, and move by products


@dataclass(frozen=True)
class Plan:
    """One training of the network.

    Parameters
    ----------
    strategy : {"head", "lora", "last_k", "full"}
        The weights that move.
    objective : {"masked", "contrastive", "supervised"}
        What they move for.
    options : dict
        lora_rank, last_k, mask_ratio.
    panel : Panel
        The series.
    target : Target or None
        For "supervised".
    groups : array-like or None
        Series of one group are on one side of the split.
    """

    strategy: str
    objective: str
    options: Mapping[str, Any]
    panel: Panel
    target: Target | None = None
    groups: Any = None

    def about(self) -> dict[str, Any]:
        """What is trained for what."""
        return {"strategy": self.strategy, "objective": self.objective}

    def carry_out(
        self, run: FitRun, runner: Runner, readout: Readout, concat: bool, fraction: float, about: dict[str, Any]
    ) -> None:
        """Train ``runner.net`` in place.

        Parameters
        ----------
        run : FitRun
            Of this fit.
        runner : Runner
            The network, and how series are fed to it.
        readout : Readout
            The features that are trained for.
        concat : bool
            Channels side by side in front of a supervised head.
        fraction : float
            Share of the series that are held out.
        about : dict
            Gets the size of both parts, and the loss of the held-out one at the start and at the end.
        """
        seed, labels = run.settings.seed, None if self.target is None else self.target.labels
        train, valid = held_out(self.panel, fraction, np.random.default_rng(seed), labels, self.groups)
        about |= {"n_train": len(train), "n_valid": len(valid)}
        about["overlap"] = overlap(self.panel) if self.groups is None else 0
        module, view, loss = self._task(runner, readout, concat, train)
        module.to(run.settings.device)
        sequences = Sequences.of(self.panel, runner.recipe)
        batches = SeriesBatches(sequences, torch.from_numpy(train), view)
        judge = SeriesBatches(sequences, torch.from_numpy(valid), view, seed) if len(valid) else None
        about["start_loss"] = _mean_loss(module, judge, loss, run.settings.batch_size)
        lr = run.settings.lr * (_FASTER if self.strategy == "lora" else 1)
        try:
            with self._movable(runner.net, readout):
                run.train(module, batches, loss, valid=judge, keep_start=True, lr=lr, stage=self.strategy)
        finally:
            about["end_loss"] = _mean_loss(module, judge, loss, run.settings.batch_size)

    def _task(self, runner: Runner, readout: Readout, concat: bool, train: np.ndarray) -> tuple[nn.Module, Any, Any]:
        """Module, view of a batch, and loss."""
        net, n_channels = runner.net, self.panel.n_channels
        if self.objective == "masked":
            return net, Masking(self.options["mask_ratio"]), masked_loss
        if self.objective == "contrastive":
            wide = nn.Sequential(nn.Linear(readout.width, _PROJECTION), nn.GELU(), nn.Linear(_PROJECTION, _PROJECTION))
            return (
                Probe(net, readout, wide, n_channels, concat),
                Contrast(runner.recipe.short != "raw"),
                contrastive_loss,
            )
        assert self.target is not None, "the estimator makes one for this objective"
        net.eval()
        features, seen = runner.embed(self.panel, readout)
        features = features.reshape(len(features), -1) if concat else mean_of_channels(features, seen)
        values = self.target.values
        n_outputs = int(values.max()) + 1 if values.ndim == 1 else values.shape[1]
        head = Head(features[train], values[train], n_outputs)
        return Probe(net, readout, head, n_channels, concat), Supervision(values), supervised_loss

    @contextmanager
    def _movable(self, net: MomentNet, readout: Readout) -> Iterator[None]:
        """Inside of the block only the weights of the strategy are trained."""
        read = len(net.encoder.block) if self.objective == "masked" else max(readout.layers) + 1
        blocks = net.encoder.block[:read]
        if self.strategy != "full":
            net.requires_grad_(False)
            net.head.requires_grad_(True)
        if self.strategy == "last_k":
            for part in (*blocks[-self.options["last_k"] :], net.encoder.final_layer_norm):
                part.requires_grad_(True)
        attention = [block.layer[0].SelfAttention for block in blocks]
        layers = [linear for a in attention for linear in (a.q, a.v)]
        changed = low_rank(layers, self.options["lora_rank"]) if self.strategy == "lora" else nullcontext()
        try:
            with changed:
                yield
        finally:
            net.requires_grad_(True)


@torch.no_grad()
def _mean_loss(module: nn.Module, batches: SeriesBatches | None, loss: Any, size: int) -> float | None:
    """Mean loss over the series of ``batches``, in evaluation mode."""
    if batches is None:
        return None
    module.eval()
    device = next(module.parameters()).device
    total = 0.0
    for batch, _, n in iterate(batches, size):
        total += float(loss(module, *(t.to(device) for t in batch)).mean()) * n
    return total / len(batches)
