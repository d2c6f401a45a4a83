"""How a MomentEmbedder comes to its weights: read or drawn, and trained where that is asked for."""

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval
from torch import nn

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches, FitRun
from skts.errors import ParameterError
from skts.moment.checkpoint import SIZES, Checkpoint, open_checkpoint
from skts.moment.module import MomentNet
from skts.moment.panel import Panel, as_panel
from skts.moment.preparation import PATCH
from skts.moment.targets import Target
from skts.moment.tuning import DEFAULTS, Plan
from skts.validation import check_options

__all__ = ["MomentFitting"]

_COUNT = Interval(Integral, 1, None, closed="left")
_SIZES: dict[str, list[Any]] = {key: [_COUNT] for key in SIZES["small"]}
_TRAINING: dict[str, list[Any]] = {
    "lora_rank": [_COUNT],
    "last_k": [_COUNT],
    "mask_ratio": [Interval(Real, 0, 1, closed="neither")],
}


class MomentFitting(TorchEstimatorMixin):
    """Describe, build, train, finalise."""

    @property
    def _n_stages(self) -> int:  # type: ignore[override]
        return int(self._plan is not None)

    def _describe(self, X: Any, y: Any, groups: Any, strategy: str | None, objective: str) -> ArrayBatches:
        if self.seq_len % PATCH:
            raise ParameterError("seq_len as a multiple of 8", f"{self.seq_len}", "Round it up.")
        panel = as_panel(self, X, reset=True)
        options = check_options(self.module_kwargs, {**_SIZES, **_TRAINING}, "module_kwargs")
        self._plan = _plan(panel, y, groups, strategy, objective, {k: options.get(k, v) for k, v in DEFAULTS.items()})
        if self.weights is None and self._plan is None:
            warnings.warn(
                "MomentEmbedder has random weights, since weights=None: its features are those of an untrained "
                "network. Pass weights='hub:AutonLab/MOMENT-1-small' or a folder, or 'random' where this is meant.",
                UserWarning,
                stacklevel=2,
            )
        random = self.weights is None or self.weights == "random"
        self._found: Checkpoint | None = None if random else open_checkpoint(self.weights)
        own = {key: value for key, value in options.items() if key in _SIZES}
        if self._found is not None and own:
            got = f"module_kwargs={own} beside weights={self.weights!r}"
            raise ParameterError("sizes in module_kwargs for random weights alone", got, "Drop module_kwargs.")
        self.module_config_ = {**SIZES[self.size], **own} if self._found is None else dict(self._found.sizes)
        self.layers_ = _layers(self.layer, self.module_config_["n_layers"])
        return ArrayBatches.of(np.arange(panel.n_series))

    def _build(self, **config: Any) -> nn.Module:
        return MomentNet(**config)

    def _train(self, run: FitRun, module: nn.Module, batches: Any) -> None:
        going_on = self.warm_start and hasattr(self, "module_")
        if self._found is not None and not going_on:
            self._found.load_into(module)
            self.checkpoint_ = self._found.about()
        elif not going_on:
            self.checkpoint_ = {"source": "random", "revision": None, "sha256": None}
        self.tuning_ = None
        if self._plan is None:
            run.stopped_by = "frozen"
            return
        readout = self._features().readout
        self.tuning_ = self._plan.about()
        self._plan.carry_out(
            run, self._runner(module), readout, self.channels != "mean", self.validation_fraction, self.tuning_
        )

    def _finalise(self, run: FitRun, module: nn.Module, *args: Any) -> None:
        super()._finalise(run, module, *args)
        for name in ("_found", "_plan"):
            self.__dict__.pop(name)


def _plan(
    panel: Panel, y: Any, groups: Any, strategy: str | None, objective: str, options: dict[str, Any]
) -> Plan | None:
    """What is to be trained."""
    if strategy is None:
        return None
    if objective == "auto":
        objective = "masked" if y is None else "supervised"
    if objective == "supervised" and y is None:
        raise ParameterError("y for objective='supervised'", "y=None", "Pass y, or another objective.")
    if objective == "contrastive" and strategy == "head":
        got = "finetune='head', of which no feature takes notice"
        raise ParameterError("weights that move for objective='contrastive'", got, "Set finetune='lora'.")
    target = Target.of(y, panel.n_series) if objective == "supervised" else None
    return Plan(strategy, objective, options, panel, target, groups)


def _layers(layer: Any, n_layers: int) -> list[int]:
    """Increasing indices from 0 of what the user asks for."""
    if isinstance(layer, str):
        return list(range(n_layers))
    asked = np.atleast_1d(np.asarray(layer))
    whole = asked.ndim == 1 and len(asked) and asked.dtype.kind in "iu"
    if not whole or asked.min() < -n_layers or asked.max() >= n_layers:
        got = f"layer={layer!r}"
        raise ParameterError(f"layers from {-n_layers} to {n_layers - 1} of {n_layers} blocks", got, "Change layer.")
    return sorted({int(i) % n_layers for i in asked})
