"""The one way in which a module becomes an estimator: describe the data, build, train, finalise."""

import copy
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skts.engine import (
    Batches,
    CallbackSupportMixin,
    CostMeter,
    FitRun,
    FitTask,
    TrainingInterrupted,
    TrainSettings,
    draw_seed,
    forward,
    resolve_device,
    seeded,
    with_callbacks,
)
from skts.errors import ParameterError
from skts.validation import check_params

__all__ = ["SHARED_CONSTRAINTS", "TorchEstimatorMixin", "keeping_last_state"]

# The constructor parameters that all estimators share, in this order, after their own.
SHARED_CONSTRAINTS: dict[str, list[Any]] = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "callbacks": [list, tuple, None],
    "net_kwargs": [dict, None],
}


@contextmanager
def keeping_last_state(estimator: Any) -> Iterator[None]:
    """Put every attribute back if the block fails; an interrupted training counts as finished."""
    before = estimator.__dict__.copy()
    try:
        yield
    except TrainingInterrupted:
        raise
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


class TorchEstimatorMixin(CallbackSupportMixin):
    """Turns a torch module into a scikit-learn or sktime estimator.

    A family derives from this and from scikit-learn's ``BaseEstimator`` or sktime's ``BaseForecaster``, stores its
    parameters in ``__init__``, calls ``self._fit_torch(*data)`` in ``fit``, and says four things:

    ``_describe(*data)``
        Checks the data, sets ``module_config_`` (plain values: what the network must know of the data) and returns
        the training samples as :class:`~skts.engine.Batches`.
    ``_build(**module_config)``
        The network, from the estimator's parameters and that config alone.
    ``_loss(module, *batch)``
        One number for each sample, or their mean.
    ``_parameter_constraints``
        scikit-learn's table of legal values; :data:`SHARED_CONSTRAINTS` are added.

    Everything else (seed, device, split, early stopping, best weights, time budget, Ctrl-C, cost, callbacks, pickling)
    is here or in the engine. An estimator with several stages overrides ``_train``.
    """

    _parameter_constraints: dict[str, list[Any]] = {}  # noqa: RUF012
    _schedule = "cosine"  # unless net_kwargs says otherwise

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_parameter_constraints" in cls.__dict__:
            cls._parameter_constraints = {**cls._parameter_constraints, **SHARED_CONSTRAINTS}

    # ---- what a family says -------------------------------------------------------------------------------------

    def _train(self, run: FitRun, module: nn.Module, batches: Batches) -> None:
        """One stage, with a validation part of ``validation_fraction``. Override it for more."""
        generator = torch.Generator().manual_seed(run.settings.seed)
        train, valid = batches.split(self.validation_fraction, generator)
        run.train(module, train, self._loss, valid=valid)

    _n_stages: int | None = 1  # None where it depends on the data

    # ---- the steps ----------------------------------------------------------------------------------------------

    def _fit_torch(self, *data: Any, start_from: Mapping[str, Tensor] | None = None) -> Any:
        """Describe the data, build, train, finalise. On an error the estimator stays as it was."""
        with keeping_last_state(self):
            return self._fit_steps(*data, start_from=start_from)

    @with_callbacks
    def _fit_steps(self, *data: Any, start_from: Mapping[str, Tensor] | None = None) -> Any:
        check_params(self)
        device, seed = resolve_device(self.device), draw_seed(self.random_state)
        if start_from is None and self.warm_start:
            start_from = self.module_.state_dict() if hasattr(self, "module_") else None
        interrupted = None
        with seeded(seed, device):
            # Time and cost start inside of the lock: waiting for another fit is not this fit's doing.
            settings, meter = self._settings(time.monotonic(), device, seed), CostMeter(device)
            batches = self._describe(*data)
            module = self._build(**self.module_config_).to(device)
            if start_from is not None:
                _copy_weights(start_from, module)
            epochs = None if self._n_stages is None else self._n_stages * self.max_epochs
            task = FitTask(self, epochs, *data[:2])
            run = FitRun(settings, task, fitted=lambda: _snapshot(module, device))
            try:
                self._train(run, module, batches)
            except KeyboardInterrupt as stop:
                if not run.history:
                    raise KeyboardInterrupt from stop  # nothing was learned: the estimator stays as it was
                run.stopped_by, interrupted = "interrupt", stop
            module.eval()
            self._finalise(run, module, meter)
        if interrupted is not None:
            raise TrainingInterrupted from interrupted
        task.finish()
        return self

    def _finalise(self, run: FitRun, module: nn.Module, meter: CostMeter) -> None:
        self.module_ = module
        self.history_ = run.history
        self.n_iter_ = len(run.history)
        self.device_ = str(run.settings.device)
        self.stopped_by_ = run.stopped_by
        self.net_ = run.net
        n_parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
        self.cost_ = {**meter.read(), "n_parameters": n_parameters}
        if run.stopped_by == "max_time":
            warnings.warn(
                f"fit stopped after max_time={self.max_time:g} s, in epoch {self.n_iter_} of {self.max_epochs}; the "
                "best weights so far are used. Raise max_time for more.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _forward(self, *arrays: Any, call: Any = nn.Module.__call__, double: bool = False) -> Tensor:
        """The fitted module's outputs ``call(module, *rows)`` for all rows, on the CPU.

        With ``double`` the pass runs in float64: a regressor that is given float64 must answer in float64, and a
        float32 result cast up would no longer be the same for every subset of the rows to float64's precision.
        """
        module = copy.deepcopy(self.module_).double() if double else self.module_
        device = torch.device(self.device_)
        return forward(module, *arrays, batch_size=self.batch_size, device=device, call=call)

    # ---- what it needs ------------------------------------------------------------------------------------------

    def _settings(self, started: float, device: torch.device, seed: int) -> TrainSettings:
        return TrainSettings(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            patience=self.patience,
            deadline=None if self.max_time is None else started + self.max_time,
            device=device,
            seed=seed,
            verbose=int(self.verbose),
            callbacks=tuple(self.callbacks or ()),
            schedule=self._schedule,
        ).with_rare(self.net_kwargs)

    def _get_doc_link(self) -> str:
        """Page of the class for scikit-learn's HTML display, where SKTS_DOCS says at which address the pages are."""
        pages = os.environ.get("SKTS_DOCS", "").rstrip("/")
        own = type(self).__module__.startswith("skts.")
        return f"{pages}/_api/skts.{type(self).__name__}.html" if pages and own else ""

    def __getstate__(self) -> dict[str, Any]:
        """The state without what only training needs (optimiser, iterators, callbacks), on the CPU."""
        state = dict(super().__getstate__())
        state.pop("net_", None)
        if state.get("device_", "cpu") != "cpu":
            state["module_"] = copy.deepcopy(state["module_"]).cpu()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Back to the device of the fit, or to the CPU where that device is absent."""
        restore = getattr(super(), "__setstate__", None)
        restore(state) if restore else self.__dict__.update(state)
        self._to_device_or_cpu()

    def _to_device_or_cpu(self) -> None:
        if self.__dict__.get("device_", "cpu") != "cpu":
            try:
                self.module_.to(resolve_device(self.device_))
            except ValueError:
                self.device_ = "cpu"


def _snapshot(module: nn.Module, device: torch.device) -> dict[str, Any]:
    """With these attributes a copy of the estimator predicts as if training ended now."""
    return {"module_": copy.deepcopy(module).eval(), "device_": str(device)}


def _copy_weights(source: Mapping[str, Tensor], target: nn.Module) -> None:
    """Start ``target`` from earlier weights of the same shapes, but for the parts that its data decide.

    A network names those by ``made_by_each_fit`` (prefixes of its state): tables of a fitted tree, a scale.
    """
    fresh = tuple(getattr(target, "made_by_each_fit", ()))
    source = {k: v for k, v in source.items() if not k.startswith(fresh)} if fresh else source
    own = {k: v for k, v in target.state_dict().items() if not (fresh and k.startswith(fresh))}
    wanted = {k: tuple(v.shape) for k, v in own.items()}
    found = {k: tuple(v.shape) for k, v in source.items()}
    if wanted != found:
        key = next(k for k in [*wanted, *found] if wanted.get(k) != found.get(k))
        raise ParameterError(
            "earlier weights of the same shapes as the network to start from",
            f"{key!r} of shape {found.get(key)} for one of shape {wanted.get(key)}",
            "Fit data of the same shape with the same architecture, or set warm_start=False.",
        )
    target.load_state_dict(source, strict=not fresh)
