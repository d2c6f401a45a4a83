"""The skorch net underneath: skorch's loop, callbacks and history around a step over whole-tensor batches."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import skorch
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from skts.engine.averaging import RunningAverage
from skts.engine.batches import Batches, iterate
from skts.engine.optimization import cosine, make_optimizer
from skts.engine.settings import PRECISIONS, TrainSettings

__all__ = ["EngineNet", "Loss"]

# loss(module, *batch) -> a scalar, or one value for each sample (needed for sample weights)
Loss = Callable[..., Tensor]

_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class EngineNet(skorch.NeuralNet):
    """A skorch net whose loss sees the module and the batch.

    skorch's own step indexes the data item by item, walks over the module to set its mode, synchronises with the device
    and writes a history row at every batch; this one does each of these once an epoch, and calls a callback's batch
    hooks only if it has any.

    Parameters
    ----------
    module : nn.Module
        The network, trained in place.
    loss : callable
        ``loss(module, *batch)``.
    settings : TrainSettings
        See there.
    callbacks : list
        Named skorch callbacks.
    """

    def __init__(
        self, module: nn.Module, loss: Loss, settings: TrainSettings, callbacks: list[tuple[str, Callback]]
    ) -> None:
        super().__init__(
            module,
            criterion=loss,
            lr=settings.lr,
            max_epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            callbacks=callbacks,
            device=settings.device,
            verbose=0,
        )
        self.loss = loss
        self.settings = settings
        self.stop_reason: str | None = None  # a callback sets it; the last callback obeys

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return []

    def initialize_criterion(self) -> "EngineNet":
        """The loss is a function of module and batch: there is nothing to construct."""
        self.criterion_ = self.loss
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> "EngineNet":
        """The optimiser over the module's two parameter groups."""
        s = self.settings
        self.optimizer_ = make_optimizer(s.optimizer, self.module_, s.lr, s.weight_decay)
        self._base_lrs = [group["lr"] for group in self.optimizer_.param_groups]
        self._average = RunningAverage(self.module_) if s.schedule == "averaged" else None
        return self

    def get_split_datasets(self, X: Any, y: Any = None, **_: Any) -> tuple[Batches, Batches | None]:
        """The engine splits before it trains: X is the training part, y the validation part."""
        return X, y

    def get_iterator(self, dataset: Batches, training: bool = False) -> "_Passes":
        """Batches in a new order at each pass when training, in their own order otherwise."""
        generator = torch.Generator().manual_seed(self.settings.seed) if training else None
        return _Passes(dataset.to(self.settings.device), self.settings.batch_size, generator)

    def run_single_epoch(self, iterator: "_Passes | None", training: bool, prefix: str, step_fn: Any, **_: Any) -> None:
        """One pass; records the mean loss over the samples."""
        if iterator is None:
            return
        self._set_training(training)
        if training and self._average is not None:
            self._average.put(False)
        hooked = [cb for _, cb in self.callbacks_ if _has_batch_hooks(cb)]
        total, weight = torch.zeros((), device=self.settings.device), 0.0
        for number, (batch, weights, n) in enumerate(iterator):
            batch = tuple(t.to(self.settings.device, non_blocking=True) for t in batch)
            if hooked:
                self.notify("on_batch_begin", batch=batch, training=training)
            if training:
                self._set_learning_rate(number / iterator.n_batches)
            loss = self._train_batch(batch, weights, bool(hooked)) if training else self._valid_batch(batch, weights)
            mass = n if weights is None else float(weights.sum())
            total += loss * mass
            weight += mass
            if hooked:
                self.history.record_batch(f"{prefix}_loss", loss.item())
                self.history.record_batch(f"{prefix}_batch_size", n)
                self.notify("on_batch_end", batch=batch, training=training, loss=loss, y_pred=None)
            if training and self.out_of_time:
                break
        if training and self._average is not None:
            self._average.put(True)  # validation, callbacks and the end of training see the averages
        mean = (total / max(weight, 1e-12)).item()
        if not hooked:  # skorch's file-writing callbacks expect at least one row of batches
            self.history.new_batch()
            self.history.record_batch(f"{prefix}_loss", mean)
        self.history.record(f"{prefix}_loss", mean)
        self.history.record(f"{prefix}_batch_count", number + 1)

    def mean_loss(self, batches: Batches) -> float:
        """Mean loss over the samples, without training."""
        self._set_training(False)
        total, weight = 0.0, 0.0
        for batch, weights, n in self.get_iterator(batches):
            batch = tuple(t.to(self.settings.device) for t in batch)
            mass = n if weights is None else float(weights.sum())
            total += self._valid_batch(batch, weights).item() * mass
            weight += mass
        return total / weight

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's losses are not finite."""
        losses = [v for k, v in (self.history[-1] if self.history else {}).items() if k in ("train_loss", "valid_loss")]
        return not all(math.isfinite(v) for v in losses)

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        return self.settings.deadline is not None and time.monotonic() >= self.settings.deadline

    def _train_batch(self, batch: tuple[Tensor, ...], weights: Tensor | None, hooked: bool) -> Tensor:
        self.optimizer_.zero_grad()
        loss = self._loss(batch, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        if hooked:
            self.notify("on_grad_computed", named_parameters=list(self.module_.named_parameters()), training=True)
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module_.parameters(), self.settings.clip_norm)
        self.optimizer_.step()
        if self._average is not None:
            self._average.update()
        return loss.detach()

    @torch.no_grad()
    def _valid_batch(self, batch: tuple[Tensor, ...], weights: Tensor | None) -> Tensor:
        return self._loss(batch, weights)

    def _loss(self, batch: tuple[Tensor, ...], weights: Tensor | None) -> Tensor:
        dtype = PRECISIONS[self.settings.precision]
        with torch.autocast(self.settings.device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = self.loss(self.module_, *batch)
        if weights is not None:
            assert loss.ndim, "sample weights need a loss of one value for each sample"
            weights = weights.to(loss.device)
            return (loss * weights).sum() / weights.sum().clamp_min(1e-12)
        return loss.mean() if loss.ndim else loss

    def _set_learning_rate(self, part_of_epoch: float) -> None:
        if self.settings.schedule != "cosine":
            return  # a callback may set it
        progress = (len(self.history) - 1 + part_of_epoch) / self.max_epochs
        factor = cosine(min(progress, 1.0))
        for group, base in zip(self.optimizer_.param_groups, self._base_lrs, strict=True):
            group["lr"] = base * factor


class _Passes:
    """Iterable over one part of the data, once an epoch."""

    def __init__(self, batches: Batches, batch_size: int, generator: torch.Generator | None) -> None:
        self.batches, self.batch_size, self.generator = batches, batch_size, generator
        self.n_batches = max(1, -(-len(batches) // batch_size))

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor | None, int]]:
        return iterate(self.batches, self.batch_size, self.generator)


def _has_batch_hooks(callback: Callback) -> bool:
    return any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in _BATCH_HOOKS)
