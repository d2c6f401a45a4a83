"""How a FMambaForecaster comes to its model: describe the series, build, train, finalise."""

import warnings
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import FitRun, cut_last_part, forward
from skts.errors import InputError, ParameterError
from skts.fmamba.across import error_with, fit_across
from skts.fmamba.attention import NORMS
from skts.fmamba.blend import blended
from skts.fmamba.clock import WindowClock
from skts.fmamba.closed_forms import ClosedForms, fit_closed_forms, without_validation
from skts.fmamba.conformal import held_out_errors
from skts.fmamba.course import fit_course
from skts.fmamba.cycle import Cycle
from skts.fmamba.defaults import WIDE, carried, defaults
from skts.fmamba.evidence import NETWORK, judge
from skts.fmamba.guard import Guard, choose
from skts.fmamba.missing import HoledWindows, told, warn_of_unknown
from skts.fmamba.module import PRESETS, FMambaNet
from skts.fmamba.periodic import PeriodicMap
from skts.fmamba.scaling import training_scale
from skts.fmamba.windows import DatedWindows
from skts.validation import check_options

__all__ = ["ForecasterFitting"]


class ForecasterFitting(TorchEstimatorMixin):
    """Describe, build, train, finalise; see :class:`~skts.fmamba.FMambaForecaster`."""

    def _fit_windows(self, series: list[np.ndarray], times: list[pd.Index]) -> None:
        source = getattr(self, "pretrained_", self.__dict__.get("_start_from"))
        start = None if source is None else carried(source["weights"], source["columns"], list(self.context_.columns))
        self._fit_torch(series, times, start_from=start)

    def _describe(self, series: list[np.ndarray], times: list[pd.Index]) -> DatedWindows:
        self.center_, self.scale_ = training_scale(series, self.validation_fraction, self.horizon_)
        scaled = [((s - self.center_) / self.scale_).astype(np.float32) for s in series]
        holes = any(np.isnan(rows).any() for rows in scaled)
        unknown = np.all([np.isnan(rows).all(0) for rows in scaled], axis=0)
        warn_of_unknown(self.context_.columns[unknown], "in fit", "zero is forecast")
        self.cycle_ = Cycle.of(max(times, key=len), self.period, [np.nan_to_num(rows) for rows in scaled])
        lengths = {"context_length": self.context_length_, "horizon": self.horizon_, "n_variates": self.n_variates_}
        cuts = [max(1, cut_last_part(len(s), self.validation_fraction, self.horizon_)) for s in scaled]
        made_for = defaults(self.n_variates_, self.context_length_, self.horizon_, sum(cuts), self.cycle_)
        seen = [(s[:cut], self._angles_at(index[:cut])) for s, cut, index in zip(scaled, cuts, times, strict=True)]
        self.course_ = fit_course(*zip(*seen, strict=True), made_for["n_harmonics"])
        plain = self.variant != "auto" or not (self.module_kwargs or {}).get("skip", True)
        if plain or (self.attention is None and self.mamba is None):
            made_for["n_across"] = 0  # a paper's network, or one without mixing
        if "_start_from" in self.__dict__ and not plain:  # what the last fit decided stays
            earlier = self._start_from["weights"]
            made_for["skip"] = "skip.coef" in earlier
            made_for["n_across"] *= "across.coef" in earlier
        made_for = {**made_for, "missing_embed": holes, **getattr(self, "pretrained_", {}).get("config", {})}
        self.module_config_ = {**made_for, **lengths}
        return self._windows_of(scaled, times)

    def _windows_of(self, scaled: list[np.ndarray], times: list[pd.Index]) -> DatedWindows:
        """All windows of standardised series with these indices."""
        kind = HoledWindows if any(np.isnan(rows).any() for rows in scaled) else DatedWindows
        angles = [self._angles_at(index) for index in times]
        return kind.of(scaled, angles, self.context_length_, self.horizon_)

    def _build(self, **config: Any) -> nn.Module:
        return FMambaNet(**{**config, "d_model": self.d_model, "n_layers": self.n_layers, **self._wiring()})

    def _loss(self, module: nn.Module, contexts: Tensor, targets: Tensor, angles: Tensor, *masks: Tensor) -> Tensor:
        error = module(contexts, angles, *masks[:1]) - targets
        # Absolute errors teach, squared errors judge: the weights that are kept have the lowest mean squared error.
        absolute = module.training and self._training_loss() == "l1"
        loss = error.abs() if absolute else error.square()
        if not masks:
            return loss.mean((1, 2))
        answered = masks[1].to(loss.dtype)
        return (loss * answered).sum((1, 2)) / answered.sum((1, 2)).clamp_min(1)

    def _train(self, run: FitRun, module: nn.Module, batches: DatedWindows) -> None:
        assert isinstance(module, FMambaNet)
        self._guard = self._guard_undated = Guard.network_alone(self.n_variates_)
        self._residuals = self._residuals_undated = np.empty((0, self.horizon_, self.n_variates_), np.float32)
        self._clock = None
        train, valid = batches.split(self.validation_fraction, torch.Generator().manual_seed(run.settings.seed))
        held_out = train if valid is None else valid  # errors of the training part are too small, but all there are
        self._probes = held_out
        if valid is None and hasattr(self, "pretrained_"):
            self._stay_pretrained(run)
            return
        if valid is None and self.validation_fraction > 0:
            warnings.warn(
                f"The longest series has {max(batches.windows.lengths)} time points, too few for a validation part: "
                "neither early stopping nor the guard can work. A LinearForecaster may do better.",
                UserWarning,
                stacklevel=2,
            )
        fresh = not hasattr(self, "pretrained_") and "_start_from" not in self.__dict__
        as_judged = self._fitted_clock(module, train)
        self._clock = as_judged if valid is None else self._fitted_clock(module, batches)
        forms, skip = self._closed_forms(run, module, train, valid, fresh)
        self._train_network(run, module, train, valid, fresh)
        if fresh and module.skip is None and module.across is not None:
            skip = self._try_closed_forms(run, module, forms, train, valid)
        self._guard, self._residuals = self._weighed(run, module, forms, held_out)
        if as_judged is not None:
            timeless = held_out.told_by(as_judged)
            self._guard_undated, self._residuals_undated = self._weighed(run, module, forms, timeless)
        if forms is not None and module.skip is not None and fresh:
            module.skip.set(forms.final[skip])

    def _stay_pretrained(self, run: FitRun) -> None:
        """There is nothing to hold a fine-tuned network against: the pretrained one stands."""
        run.stopped_by = "pretrained"
        guard = _fitting(self.pretrained_["guard"], self.n_variates_)
        if guard is not None:
            self._guard = self._guard_undated = guard
            self._residuals = self._residuals_undated = self.pretrained_["residuals"]

    def _train_network(
        self, run: FitRun, module: FMambaNet, train: DatedWindows, valid: DatedWindows | None, fresh: bool
    ) -> None:
        per_epoch = self._windows_per_epoch
        drawn = told(train).sampled(per_epoch, run.settings.seed)
        rate = run.settings.lr * (_FROM_NOTHING if fresh and self._from_nothing else 1)
        how: dict[str, Any] = {"valid": None if valid is None else told(valid).sampled(per_epoch), "lr": rate}
        scans = [layer for layer in module.layers if layer.gate is not None] if fresh and self._from_nothing else []
        if not scans or self.attention is None:
            run.train(module, drawn, self._loss, keep_start=hasattr(self, "pretrained_"), **how)
            return
        # Attention first; the scan, which knows no order of the variates to go by, stays only if it helps.
        for layer in scans:
            layer.closed = True
        run.train(module, drawn, self._loss, stage="attention", **how)
        for layer in scans:
            layer.closed = False
        run.train(module, drawn, self._loss, stage="scan", keep_start=True, **how)

    @property
    def _windows_per_epoch(self) -> int:
        wanted = check_options(self.module_kwargs, _RARE, "module_kwargs").get("windows_per_epoch")
        return wanted or max(_FEWEST, min(_MOST, _TOKENS // self.n_variates_))

    def _fitted_clock(self, module: FMambaNet, windows: DatedWindows) -> WindowClock | None:
        """What reads the time of day off windows, where anything asks for it."""
        n_harmonics = max(*self._sizes, module.phase_embed)
        if self.cycle_ is None or not n_harmonics or not len(windows):
            return None
        return WindowClock.fit(windows, Cycle(*self.cycle_).period, n_harmonics)

    def _weighed(
        self, run: FitRun, module: FMambaNet, forms: ClosedForms | None, windows: DatedWindows
    ) -> tuple[Guard, np.ndarray]:
        """The guard's blend, and the errors of its forecasts on windows that training has not seen."""
        guard = as_judged = Guard.network_alone(self.n_variates_)
        device = run.settings.device
        if forms is not None and self.guard is not None:
            evidence = judge(forms.maps, told(windows), self._sizes, device, module.eval())
            # The final forms have seen these windows: their errors there would be too small.
            guard, as_judged = choose(evidence, forms.final), choose(evidence, forms.maps)
        network = partial(forward, module.eval(), batch_size=self.batch_size, device=device)

        def forecast(contexts: np.ndarray, angles: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
            return blended(network, contexts, angles, as_judged.weights, as_judged.coef, self._sizes, known)

        return guard, held_out_errors(forecast, told(windows))

    def _closed_forms(
        self, run: FitRun, module: FMambaNet, train: DatedWindows, valid: DatedWindows | None, fresh: bool
    ) -> tuple[ClosedForms | None, str]:
        """The closed forms where anything needs them, and the name of the one that is the network's skip."""
        skip = module.skip if fresh else None
        if skip is not None and valid is None:
            skip.set(without_validation(train))
        if valid is None or (self.guard is None and skip is None and module.across is None):
            return None, ""
        forms = fit_closed_forms(train, valid, *self._sizes)
        if skip is None:
            return forms, ""
        best = judge(forms.maps, told(valid), self._sizes, run.settings.device).best_map()
        skip.set(forms.maps[best])
        if module.across is not None:
            fit_across(module.across.cpu(), skip.cpu(), train, valid)
            module.to(run.settings.device)
        return forms, best

    def _try_closed_forms(
        self,
        run: FitRun,
        module: FMambaNet,
        forms: ClosedForms | None,
        train: DatedWindows,
        valid: DatedWindows | None,
    ) -> str:
        """Of many sensors: a second training, from closed forms, if these alone beat the network on validation windows.

        Returns the name of the form, "" where the network stays as it is, without a map across variates.
        """
        if forms is not None and valid is not None:
            best = judge(forms.maps, told(valid), self._sizes, run.settings.device).best_map()
            skip = PeriodicMap(self.context_length_, self.horizon_, self.n_variates_, *self._sizes)
            skip.set(forms.maps[best])
            across = module.across.cpu()
            fit_across(across, skip, train, valid)
            judged = told(valid).sampled(self._windows_per_epoch)
            reached = min((row["valid_loss"] for row in run.history), default=np.inf)
            if bool(across.coef.any()) and error_with(across, skip, judged) < reached:
                module.start_from(skip)
                module.to(run.settings.device)
                self.module_config_["skip"] = True
                drawn = told(train).sampled(self._windows_per_epoch, run.settings.seed)
                run.train(module, drawn, self._loss, valid=judged, stage="closed forms", keep_start=True)
                return best
        module.across, self.module_config_["n_across"] = None, 0
        return ""

    @property
    def _from_nothing(self) -> bool:
        """Whether no closed form stands beside the network by default: for many sensors."""
        return self.variant == "auto" and not self.module_config_["skip"]

    @property
    def _n_stages(self) -> int | None:  # type: ignore[override]
        return None if self._from_nothing else 1

    @property
    def _sizes(self) -> tuple[int, int]:
        """Harmonics and modulations of the periodic closed form."""
        return self.module_config_["n_harmonics"], self.module_config_["n_modulations"]

    def _finalise(self, *args: Any) -> None:
        super()._finalise(*args)
        guard = self.__dict__.pop("_guard")
        self.selected_ = dict(zip(self.context_.columns, guard.selected, strict=True))
        self.guard_weights_, self.guard_errors_, self.guard_coef_ = guard.weights, guard.errors, guard.coef
        undated, clock = self.__dict__.pop("_guard_undated"), self.__dict__.pop("_clock")
        self.residuals_, residuals_undated = self.__dict__.pop("_residuals"), self.__dict__.pop("_residuals_undated")
        self.undated_ = {}
        if clock is not None:
            blend = {"weights": undated.weights, "coef": undated.coef, "residuals": residuals_undated}
            self.undated_ = {**blend, **clock.stored()}

    def _angles_at(self, times: pd.Index, ahead: int = 0) -> np.ndarray:
        """Angles in the cycle; NaN without a cycle."""
        if self.cycle_ is None:
            return np.full(len(times), np.nan, dtype=np.float32)
        cycle = Cycle(*self.cycle_)
        if not cycle.fits(times):
            hint = "Pass times of the kind of the index in fit."
            raise InputError("times" if cycle.dated else "row numbers", f"an index of {times.dtype}", hint)
        return cycle.angles(times, ahead)

    # ---- what it needs ------------------------------------------------------------------------------------------

    def _wiring(self) -> dict[str, Any]:
        """The network's keywords from ``attention``, ``mamba``, ``variant`` and ``module_kwargs``."""
        rare = check_options(self.module_kwargs, _RARE, "module_kwargs")
        heads = rare.get("n_heads", 8)
        if self.d_model % heads:
            raise ParameterError(
                "d_model to be a multiple of the number of attention heads",
                f"d_model={self.d_model} with n_heads={heads}",
                "Change d_model, or pass module_kwargs={'n_heads': ...}.",
            )
        rare = {key: value for key, value in rare.items() if key not in _NOT_OF_THE_NETWORK}
        return {"attention": self.attention, "mamba": self.mamba, **PRESETS[self.variant], **rare}

    def _training_loss(self) -> str:
        """Absolute errors, which a few wild stretches do not lead; squared ones for many sensors and the papers."""
        chosen = (self.module_kwargs or {}).get("loss", "auto")
        if chosen != "auto":
            return str(chosen)
        return "mse" if self.variant != "auto" or self.n_variates_ >= WIDE else "l1"


_COUNT = [Interval(Integral, 1, None, closed="left")]
# What module_kwargs may set.
_RARE: dict[str, list[Any]] = {
    "d_ff": [*_COUNT, None],
    "n_heads": _COUNT,
    "n_features": [*_COUNT, None],
    "attention_norm": [StrOptions(set(NORMS))],
    "gated": ["boolean"],
    "d_state": _COUNT,
    "d_conv": _COUNT,
    "expand": _COUNT,
    "pos_embed": [StrOptions({"none", "time", "variate"})],
    "instance_norm": ["boolean"],
    "mlp_embed": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "norm": [StrOptions({"post", "pre"})],
    "mix_gate": ["boolean", StrOptions({"mamba"})],
    "phase_embed": [Interval(Integral, 0, None, closed="left")],
    "skip": ["boolean"],
    "loss": [StrOptions({"auto", "l1", "mse"})],
    "windows_per_epoch": [*_COUNT, None],
    "missing_sentinel": [Real, None],
}
_FROM_NOTHING = 5.0  # times the learning rate
_NOT_OF_THE_NETWORK = ("loss", "windows_per_epoch", "missing_sentinel")
# Windows that an epoch draws: so many variates in all, within bounds.
_FEWEST, _MOST, _TOKENS = 1024, 8192, 120_000


def _fitting(guard: dict[str, Any], n_variates: int) -> Guard | None:
    """A pretrained guard's choice, where it was made for the same number of variates."""
    return Guard(**guard) if len(guard["weights"][NETWORK]) == n_variates else None
