"""How a FlowMapSimulator comes to its model: describe the trajectories, build, train, finalise."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches, FitRun
from skts.errors import InputError, ParameterError
from skts.flowmap.choices import (
    check_stepper,
    coordinates_for,
    kinds_for,
    n_components_for,
    named,
    one_or_all,
    steps_for,
)
from skts.flowmap.closed_forms import ClosedForms
from skts.flowmap.coordinates import OwnCoordinates
from skts.flowmap.judging import best_of
from skts.flowmap.module import FlowMap
from skts.flowmap.online import as_arrays, as_pieces, kept_pieces, update
from skts.flowmap.resampling import as_times, resampled
from skts.flowmap.training import Pieces, Recipe, Training
from skts.flowmap.trajectories import as_inputs, as_trajectories, split_at_gaps, split_trajectories
from skts.validation import check_options, check_table

__all__ = ["SimulatorFitting"]

_RARE: dict[str, list[Any]] = {
    "hidden": [tuple, list],
    "ridge": [Interval(Real, 0, None, closed="left")],
    "n_batches": [Interval(Integral, 1, None, closed="left")],
    "joint_epochs": [Interval(Integral, 0, None, closed="left")],
    "n_replay": [Interval(Integral, 0, None, closed="left")],
    "fields": [Interval(Integral, 1, None, closed="left")],
    "augment": [callable, None],
    "invariant": [callable, None],
}


class SimulatorFitting(TorchEstimatorMixin):
    """Describe, build, train, finalise; see :class:`~skts.flowmap.FlowMapSimulator`."""

    _n_stages = None  # coordinates, and as many steppers as there are step sizes

    def _describe(self, X: Any, y: Any, times: Any, u: Any, params: Any, update: bool = False) -> ArrayBatches:
        check_stepper(self.stepper)
        trajectories = self._trajectories(X, reset=not update)
        pieces = self._pieces_of(trajectories, times, u, params)
        n_context = pieces[0][1].shape[1]
        self._data = [tuple(torch.from_numpy(a).float() for a in piece) for piece in pieces]
        self._updating = update
        if update and n_context != self.n_context_:
            raise InputError(f"the {self.n_context_} controls and parameters of fit", f"{n_context}", "Pass the same.")
        if not update:
            self.n_context_ = n_context
            go_on = self.warm_start and hasattr(self, "stepper_")
            kinds = [self.stepper_] if go_on else kinds_for(self.stepper, self.n_features_in_)
            self._configs = [self._config(kind, [states for states, _ in pieces]) for kind in kinds]
            self.module_config_ = self._configs[0]
        return ArrayBatches.of(torch.cat([states for states, _ in self._data]))

    def _config(self, kind: Any, pieces: list[np.ndarray]) -> dict[str, Any]:
        coordinates = coordinates_for(self.coordinates, kind, self.n_features_in_)
        steppers = steps_for(self.step_sizes, kind, pieces, self.n_forward)
        return {
            "n_features": self.n_features_in_,
            "n_components": n_components_for(self.n_components, coordinates, np.concatenate(pieces), self._n_fields()),
            "n_context": self.n_context_,
            "coordinates": coordinates,
            "steppers": steppers,
            "n_members": self.n_ensemble,
            "dt": float(self.dt),
            "hidden": tuple(self._rare("hidden", (200, 200, 200))),
        }

    def _rare(self, key: str, default: Any) -> Any:
        return check_options(self.module_kwargs, _RARE, "module_kwargs").get(key, default)

    def _n_fields(self) -> int:
        n_fields = self._rare("fields", self.n_features_in_)
        if self.n_features_in_ % n_fields:
            got = f"{n_fields} for {self.n_features_in_} features"
            raise ParameterError("fields of equally many features", got, "Correct module_kwargs['fields'].")
        return n_fields

    def _trajectories(self, X: Any, reset: bool) -> list[np.ndarray]:
        """A list of trajectories; two dimensions go through scikit-learn's checks, the others through ours."""
        several = isinstance(X, list | tuple) and len(X) > 0 and getattr(X[0], "ndim", 0) == 2
        if not several and getattr(X, "ndim", 2) != 3:
            return [np.asarray(check_table(self, X, reset=reset, ensure_min_samples=2), dtype=np.float64)]
        trajectories = as_trajectories(X, None if reset else self.n_features_in_)
        self.n_features_in_ = trajectories[0].shape[1]
        return trajectories

    def _pieces_of(
        self, trajectories: list[np.ndarray], times: Any, u: Any, params: Any
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """States and what stands beside them, without gaps, ``dt`` apart."""
        when = as_times(times, trajectories)
        beside = [rows for rows in (as_inputs(u, trajectories, "u"), as_inputs(params, trajectories, "params")) if rows]
        pieces: list[Any] = []
        for number, states in enumerate(trajectories):
            context = np.concatenate([rows[number] for rows in beside], 1) if beside else np.zeros((len(states), 0))
            if when is None:
                pieces += [piece for piece in split_at_gaps(states, context) if len(piece[0]) > 1]
            else:
                pieces += resampled(states, context, when[number], self.dt)
        if not pieces:
            raise InputError("a trajectory of at least two samples without NaN", "none", "Pass longer records.")
        return pieces

    def _build(self, **config: Any) -> nn.Module:
        return FlowMap(**config)

    def _recipe(self) -> Recipe:
        return Recipe(
            max_epochs=self.max_epochs,
            n_batches=self._rare("n_batches", 100),
            batch_size=self.batch_size,
            n_forward=self.n_forward,
            noise_std=self.noise_std,
            selection=self.selection,
            ridge=self._rare("ridge", 1e-6),
            joint_epochs=self._rare("joint_epochs", 0),
            augment=self._rare("augment", None),
            invariant=self._rare("invariant", None),
            n_fields=self._n_fields(),
        )

    def _train(self, run: FitRun, module: FlowMap, batches: ArrayBatches) -> None:
        generator = torch.Generator().manual_seed(run.settings.seed)
        split = split_trajectories(self._data, self.validation_fraction, generator)
        module.cpu()  # windows are small: what costs is the number of steps, and they are the device's
        if self._updating:
            self._train_on(run, module, split)
        else:
            self._train_anew(run, module, split)

    def _train_anew(self, run: FitRun, module: FlowMap, split: tuple[Pieces, Pieces]) -> None:
        """Every stepper that is to be tried; the one with the best held-out rollouts stays."""
        tried = []
        for number, config in enumerate(self._configs):
            model = module if not number else self._build(**config)
            name = f"{named(one_or_all(config['steppers']))}: " if len(self._configs) > 1 else ""
            kind = ClosedForms if one_or_all(config["steppers"]) == "polynomial" else Training
            tried.append((model, config, kind(run, model, *split, self._recipe(), name)))
            self._chosen = tried[0]  # what an interrupt leaves
            tried[-1][2].all_stages()
        self._chosen = best_of(tried, split[1] or split[0])
        self._chosen[2].refit()
        self._keep(*split, ([], []), run.settings.seed)

    def _train_on(self, run: FitRun, module: FlowMap, split: tuple[Pieces, Pieces]) -> None:
        if isinstance(module.coordinates, OwnCoordinates):
            module.coordinates = self.module_.coordinates
        old = tuple(as_pieces(self.replay_[part]) for part in ("train", "valid"))
        run.history = list(self.history_)
        if not update(run, module, old, split, self._recipe(), self.selected_steps_):
            self.n_rollbacks_ += 1
        else:
            self._keep(*split, old, run.settings.seed)

    def _keep(self, train: Pieces, valid: Pieces, old: tuple[Pieces, Pieces], seed: int) -> None:
        """What an update will replay."""
        n, rng = self._rare("n_replay", 5000), np.random.default_rng(seed)
        self.replay_ = {
            "train": as_arrays(kept_pieces(old[0], train, n, rng)),
            "valid": as_arrays(kept_pieces(old[1], valid, n // 2, rng)),
        }

    def _finalise(self, run: FitRun, module: nn.Module, *args: Any) -> None:
        if not self._updating:
            module, config, training = self._chosen
            self.module_config_ = config
            self.stepper_ = one_or_all(config["steppers"])
            self.coordinates_, self.n_components_ = config["coordinates"], config["n_components"]
            self.step_sizes_ = [int(step) for step in config["steppers"]]
            self.selected_steps_, self.selection_errors_ = training.selected, training.tried
            self.n_rollbacks_ = 0
        module.to(run.settings.device)
        super()._finalise(run, module.eval(), *args)
        for name in ("_data", "_configs", "_chosen", "_updating"):
            self.__dict__.pop(name, None)
