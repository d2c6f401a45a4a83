"""What newer rows change: how far forecasts are known to miss, and the network where that pays.

A network that has learned new rows has forgotten some of what it knew. On the straight way between its weights before
and after, most of the gain comes early and most of the loss late: the longest step that spoils nothing is taken.

References
----------
M. Wortsman et al.: Robust Fine-Tuning of Zero-Shot Models, 2021, https://arxiv.org/abs/2109.01903.
"""

import copy
import time
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from skts.engine import draw_seed, forward, resolve_device, seeded, train
from skts.fmamba.blend import blended
from skts.fmamba.conformal import errors_by_target, held_out_errors, most_errors
from skts.fmamba.evidence import NETWORK
from skts.fmamba.missing import told
from skts.fmamba.replay import Replay
from skts.fmamba.windows import DatedWindows
from skts.interop.panel import instances, last_rows

__all__ = ["LearningOn"]

_ROWS = 4096  # that are kept for learning on, at least two windows
_LEAST = 50  # new rows that are worth an update of the weights; at least two horizons
_SHARE = 0.2  # epochs of an update, over those of a fit
_STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)  # of the way to the trained weights that are tried
_HELD_OUT = 0.2  # where the fit held nothing out
_ALLOWED = 1.1  # how much the held-out error of earlier rows may rise


class LearningOn:
    """Comes before :class:`~skts.interop.WindowForecaster` in :class:`~skts.fmamba.FMambaForecaster`."""

    def update(self, y: Any, X: Any = None, update_params: bool = True) -> Self:
        """Move the forecast origin to the end of newer rows, and learn from them.

        Parameters
        ----------
        y : same kind as in fit
            Rows after those seen so far, with the columns of fit.
        X : same kind as in fit, optional
            A row for each row of y; needed where fit was given X.
        update_params : bool, default=True
            Whether the network is trained on, as soon as 50 rows and two horizons of a series have come since it last
            was: on new windows and as many old ones (``replay_``), for a fifth of the epochs of a fit. Of the way to
            the new weights it goes as far (1, 1/2, ... 1/16, or not at all) as the forecast of held-out new rows gets
            better, and that of old ones not worse by more than 10 %; ``updates_`` tells. Closed forms and the weights
            of the guard are those of fit in any case; where the network has no share in the forecast nothing is
            trained. Intervals take the errors of the new rows into account either way.

        Returns
        -------
        self
            The forecaster with its new cutoff.

        Raises
        ------
        InputError, InputTypeError
            If the rows are not numbers, have other columns or another index, leave a gap after those seen so far, or
            lie before them.
        """
        return super().update(y, X=X, update_params=update_params)

    def _remember(self, y: pd.DataFrame) -> None:
        self.replay_, self.updates_ = last_rows(y, self._n_replay), []
        self.unlearned_ = np.zeros(len(instances(y)), dtype=np.int64)

    @property
    def _n_replay(self) -> int:
        """Rows of each series that are kept."""
        return max(_ROWS, 2 * (self.context_length_ + self.horizon_))

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Self:
        before = self.replay_
        super()._update(y, X, update_params)
        grown = self._continued(before, y)
        n_new = n_new_rows(before, grown)
        self._recalibrate(n_new, grown)
        self.replay_ = last_rows(grown, self._n_replay)
        waiting = np.pad(self.unlearned_, (0, len(n_new) - len(self.unlearned_)))
        self.unlearned_ = waiting + np.array(list(n_new.values()))
        if update_params and self.unlearned_.max() >= max(_LEAST, 2 * self.horizon_):
            self._learn_on()
        return self

    # ---- the network --------------------------------------------------------------------------------------------

    def _learn_on(self) -> None:
        """Train a copy of the network on, and go as far towards it as nothing is spoilt."""
        frames = instances(self.replay_).values()
        scaled = [((f.to_numpy(np.float64) - self.center_) / self.scale_).astype(np.float32) for f in frames]
        lengths = [len(rows) for rows in scaled]
        parts = Replay.of(
            lengths,
            np.minimum(self.unlearned_, lengths).tolist(),
            self.context_length_,
            self.horizon_,
            self.validation_fraction or _HELD_OUT,
        )
        if not (parts.enough() and self.guard_weights_[NETWORK].any()):
            return
        self.unlearned_ = np.zeros_like(self.unlearned_)
        every = self._windows_of(scaled, [frame.index for frame in frames])
        trained = self._trained_on(every, parts)
        judged_on = {"old": _some(every, parts.old_held_out), "new": _some(every, parts.new_held_out)}
        before = {name: self._held_out_error(self.module_, windows) for name, windows in judged_on.items()}
        step = 0.0
        for share in _STEPS:
            module = between(self.module_, trained, share)
            after = {name: self._held_out_error(module, windows) for name, windows in judged_on.items()}
            if after["new"] < before["new"] and after["old"] <= _ALLOWED * before["old"]:
                step, self.module_ = share, module
                break
        errors = {name: [before[name], after[name]] for name in before}
        self.updates_ = [*self.updates_, {"step": step, **errors}]

    def _trained_on(self, every: DatedWindows, parts: Replay) -> nn.Module:
        module, device = copy.deepcopy(self.module_), resolve_device(self.device_)
        seed, started = draw_seed(self.random_state), time.monotonic()
        with seeded(seed, device):
            epochs = max(1, round(_SHARE * self.max_epochs))
            settings = self._settings(started, device, seed).changed(
                max_epochs=epochs, keep_start=True, stage="update", callbacks=()
            )
            generator = torch.Generator().manual_seed(seed)
            drawn = told(_some(every, parts.mixed(self._windows_per_epoch, generator)))
            held_out = told(_some(every, torch.cat([parts.old_held_out, parts.new_held_out])))
            train(module, drawn, self._loss, settings, valid=held_out.sampled(self._windows_per_epoch))
        return module.eval()

    def _held_out_error(self, module: nn.Module, windows: DatedWindows) -> float:
        """Mean squared error of the blend with this network, by the windows' widths."""
        network = partial(forward, module, batch_size=self.batch_size, device=torch.device(self.device_))

        def forecast(contexts: np.ndarray, angles: np.ndarray, *masks: np.ndarray) -> np.ndarray:
            return blended(network, contexts, angles, self.guard_weights_, self.guard_coef_, self._sizes, *masks)

        return float(np.nanmean(np.square(held_out_errors(forecast, told(windows)))))

    # ---- how far forecasts miss ---------------------------------------------------------------------------------

    def _recalibrate(self, n_new: dict[Any, int], grown: pd.DataFrame) -> None:
        """Add the errors of the forecasts that the new rows have answered; the oldest ones make room."""
        most = most_errors(self.horizon_, self.n_variates_)
        for key, frame in instances(grown).items():
            n = min(n_new[key], most)
            if n:
                self.residuals_ = np.concatenate([self.residuals_, self._errors_of(frame, n, True)])[-most:]
                if self.undated_:
                    errors = np.concatenate([self.undated_["residuals"], self._errors_of(frame, n, False)])[-most:]
                    self.undated_ = {**self.undated_, "residuals": errors}

    def _errors_of(self, frame: pd.DataFrame, n_new: int, dated: bool) -> np.ndarray:
        """Errors of the forecasts of the last rows, with their times known or not."""

        def forecast(contexts: np.ndarray, ends: np.ndarray) -> np.ndarray:
            times = frame.index[ends]
            if not dated:
                times = pd.Index(times.to_series().reset_index(drop=True).reindex([-1] * len(times)))
            told = self._forecast(contexts * self.scale_ + self.center_, cutoffs=times)
            return (told - self.center_) / self.scale_

        rows = (frame.to_numpy(np.float64) - self.center_) / self.scale_
        return errors_by_target(rows, n_new, self.context_length_, self.horizon_, forecast)


def n_new_rows(before: pd.DataFrame, grown: pd.DataFrame) -> dict[Any, int]:
    """Of each series how many rows have come behind its end."""
    seen = instances(before)
    return {
        key: int((frame.index > seen[key].index[-1]).sum()) if key in seen else len(frame)
        for key, frame in instances(grown).items()
    }


def between(start: nn.Module, end: nn.Module, share: float) -> nn.Module:
    """The network whose weights lie so far on the straight way from one to the other."""
    module, target = copy.deepcopy(end), end.state_dict()
    mixed = {
        name: torch.lerp(value, target[name], share) if value.is_floating_point() else value
        for name, value in start.state_dict().items()
    }
    module.load_state_dict(mixed)
    return module


def _some(windows: DatedWindows, starts: Tensor) -> DatedWindows:
    """The windows that begin in these rows."""
    return replace(windows, windows=replace(windows.windows, starts=starts))
