"""FlowMapForecaster: a flow map of delay-embedded states as an sktime forecaster."""

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils._param_validation import Interval
from sktime.forecasting.base import ForecastingHorizon

from skts.engine import TrainingInterrupted
from skts.errors import InputError, ParameterError
from skts.flowmap import FlowMapSimulator
from skts.interop.horizon import steps_after
from skts.interop.nested import as_bytes, from_bytes
from skts.interop.panel import instances, last_rows
from skts.interop.window_forecaster import WindowForecaster
from skts.validation import check_params

__all__ = ["FlowMapForecaster"]

_DEFAULT_HORIZON = 24
_LEAST_STATES = 4  # two windows to learn from behind one state that validation holds out
_MOST_FORWARD = 5  # steps of the default simulator's loss; more leave short series no windows


class FlowMapForecaster(WindowForecaster):
    r"""Forecast a dynamical system from its own past: the last rows are a state, and a simulator moves it on.

    Use it for oscillations and deterministic chaos, clean or nearly so, where what comes next follows from the last few
    rows: measured vibrations, populations, outputs of a simulation. It has no notion of trend, calendar or noise level:
    a flow map knows the region that training has shown, and forecasts return to it. Take a trend or seasonal means out
    first, for instance by ``Detrender() * FlowMapForecaster()`` with sktime's transformers, and hold it against
    :class:`~skts.fmamba.LinearForecaster`, which is hard to beat on short noisy series.

    Parameters
    ----------
    simulator : FlowMapSimulator or None, default=None
        Learns the flow map; cloned in ``fit``, never changed. None is a small residual network on the states as they
        are, with steps of one row, which stays within what training has shown.
    lags : int or sequence of int, default=12
        Rows that make a state: so many consecutive ones, or those that lie so far back, from 0 (the newest row) on. As
        many as a season has for seasonal series; tune it first.
    random_state : int, RandomState or None, default=None
        Seed of a simulator that has none of its own.

    Attributes
    ----------
    simulator_ : FlowMapSimulator
        The fitted simulator of standardised states. Its ``history_``, ``cost_`` and ``stopped_by_`` tell of training.
    lags_ : list of int
        Rows of a state, as steps back from its newest one.
    center_, scale_ : numpy.ndarray of shape (n_variates,)
        Standardisation, over all series.
    context_ : pandas.DataFrame
        The last ``context_length_`` rows of every series.
    context_length_ : int
        Rows that a state reaches back, the newest included.
    horizon_ : int
        Steps of ``predict_windows``: the largest of ``fh`` in ``fit``, or 24.
    n_variates_ : int
        Number of columns.
    pretrained_ : dict
        What ``pretrain`` has learned. ``fit`` then learns nothing more: it takes the simulator to a new series.

    Notes
    -----
    With lags :math:`l_1 = 0 < l_2 < \dots < l_k` the state is
    :math:`s_t = (x_t, x_{t - l_2}, \dots, x_{t - l_k})`: for enough lags, it determines what follows wherever the rows
    are generic observations of a smooth deterministic system (Takens). The simulator learns :math:`s_{t+1}` from
    :math:`s_t`; a forecast simulates from the last state and reads the newest row off each that follows, for any
    horizon. Every series of a panel is a trajectory of its own, and all obey one flow map. A series shorter than a
    state is continued backwards by its first row when it is forecast; ``fit`` learns from the others.

    Rows that follow each other closely hardly differ: of densely sampled series take a few lags that lie apart, such as
    ``lags=[0, 3, 6]``, or ``coordinates="pca"`` with few components. ``stepper="opinf"`` is for those alone, with some
    twenty rows in the shortest period.

    References
    ----------
    F. Takens: Detecting Strange Attractors in Turbulence, Lecture Notes in Mathematics 898, 1981,
    https://doi.org/10.1007/BFb0091924.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FlowMapSimulator
    >>> from skts.interop import FlowMapForecaster
    >>> t = np.arange(300)
    >>> y = np.sin(0.2 * t) + np.sin(0.3 * t)
    >>> simulator = FlowMapSimulator(stepper="opinf", coordinates="pca", n_components=4, step_sizes=[1])
    >>> forecaster = FlowMapForecaster(simulator, lags=10, random_state=0).fit(y[:200])
    >>> bool(np.abs(forecaster.predict(range(1, 101)).ravel() - y[200:]).max() < 0.01)
    True
    """

    _tags: ClassVar[dict[str, Any]] = {
        "python_dependencies": ["torch", "skorch"],
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "simulator": [FlowMapSimulator, None],
        "lags": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self, simulator: FlowMapSimulator | None = None, lags: int | Sequence[int] = 12, random_state: Any = None
    ) -> None:
        self.simulator = simulator
        self.lags = lags
        self.random_state = random_state
        super().__init__()

    def fit(self, y: Any, X: Any = None, fh: Any = None) -> Self:  # noqa: D102
        try:
            return super().fit(y, X=X, fh=fh)
        except TrainingInterrupted:
            self._state = "fitted"
            raise

    fit.__doc__ = WindowForecaster.fit.__doc__

    def update(self, y: Any, X: Any = None, update_params: bool = True) -> Self:
        """Move the forecast origin to the end of newer rows, and learn on from them.

        Parameters
        ----------
        y : same kind as in fit
            Rows after those seen so far, with the columns of fit.
        X : ignored
            Exogenous data are not used.
        update_params : bool, default=True
            Whether the simulator learns on by ``partial_fit``, where a series brings at least four rows; fewer teach
            nothing. It keeps what it knows where the new rows would spoil that, with a warning.

        Returns
        -------
        FlowMapForecaster
            The forecaster with its new cutoff.

        Raises
        ------
        InputError, InputTypeError
            If the rows are not finite numbers, have other columns or another index, leave a gap after those seen so
            far, or lie before them.
        """
        return super().update(y, X=X, update_params=update_params)

    # ---- learning -----------------------------------------------------------------------------------------------

    def _fit(self, y: pd.DataFrame, X: Any, fh: ForecastingHorizon | None) -> Self:
        check_params(self)
        series = [frame.to_numpy(dtype=np.float64) for frame in instances(y).values()]
        self.n_variates_ = series[0].shape[1]
        self.lags_ = _increasing(self.lags)
        self.context_length_ = self.lags_[-1] + 1
        self.horizon_ = _DEFAULT_HORIZON if fh is None else int(steps_after(fh, self.cutoff).max())
        self.context_ = last_rows(y, self.context_length_)
        if hasattr(self, "pretrained_"):
            self._take_over(self.pretrained_)
        else:
            self._fit_windows(series)
        return self

    def _fit_windows(self, series: list[np.ndarray]) -> None:
        n_states = max(map(len, series)) - self.context_length_ + 1
        if n_states < _LEAST_STATES:
            raise InputError(
                f"a series of at least {self.context_length_ + _LEAST_STATES - 1} rows for states that reach "
                f"{self.context_length_} rows back",
                f"{max(map(len, series))} rows",
                "Pass fewer or smaller lags, or more history.",
            )
        rows = np.concatenate(series)
        spread = rows.std(0)
        self.center_ = rows.mean(0)
        self.scale_ = np.where(spread > 1e-12 * np.abs(rows).max(0), spread, 1.0)
        template = _default_simulator(n_states) if self.simulator is None else clone(self.simulator)
        if template.random_state is None:
            template.set_params(random_state=self.random_state)
        self.simulator_ = template  # before it learns: an interrupted training leaves it usable
        self.simulator_.fit(self._trajectories(series))

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Self:
        before = instances(self.context_)
        super()._update(y, X, update_params)
        timeless = str(self._y_mtype_last_seen).startswith("np")
        series = []
        for key, frame in instances(y[self.context_.columns]).items():
            past = before.get(key, frame.iloc[:0])
            new = frame if timeless or past.empty else frame[frame.index > past.index[-1]]
            if len(new) >= _LEAST_STATES:
                series.append(np.concatenate([past.to_numpy(np.float64), new.to_numpy(np.float64)]))
        trajectories = self._trajectories(series)
        if update_params and trajectories:
            self.simulator_ = copy.deepcopy(self.simulator_)  # that of pretrain, or of a failed update, stays as it was
            self.simulator_.partial_fit(trajectories)
        return self

    def _trajectories(self, series: list[np.ndarray]) -> list[np.ndarray]:
        """States of each series that is long enough to have two of them."""
        length = self.context_length_
        windows = [
            np.lib.stride_tricks.sliding_window_view(s, length, axis=0).transpose(0, 2, 1)
            for s in series
            if len(s) > length
        ]
        return [self._states(w) for w in windows]

    def _states(self, windows: np.ndarray) -> np.ndarray:
        """The state at the end of each window (n, L, N): rows at the lags, the newest first, (n, lags * N)."""
        rows = windows[:, [self.context_length_ - 1 - lag for lag in self.lags_]]
        return ((rows - self.center_) / self.scale_).reshape(len(rows), -1)

    # ---- forecasting --------------------------------------------------------------------------------------------

    def _forecast(self, contexts: np.ndarray) -> np.ndarray:
        return self._rollout(contexts, self.horizon_)

    def _rollout(self, contexts: np.ndarray, n_steps: int) -> np.ndarray:
        """One simulation for all steps: a state goes on from itself, not from the rows that were read off."""
        found = self.simulator_.simulate(self._states(contexts), n_steps=n_steps)
        return found[:, 1:, : self.n_variates_] * self.scale_ + self.center_

    # ---- pretraining and persistence ----------------------------------------------------------------------------

    def _get_pretrained(self) -> dict[str, Any]:
        return {"simulator": self.simulator_, "center": self.center_, "scale": self.scale_}

    def _take_over(self, pretrained: dict[str, Any]) -> None:
        if pretrained["n_variates"] != self.n_variates_:
            raise InputError(
                f"the {pretrained['n_variates']} variates of pretrain",
                f"{self.n_variates_}",
                "A state is made of all of them: pass the same ones.",
            )
        self.simulator_, self.center_, self.scale_ = (pretrained[key] for key in ("simulator", "center", "scale"))

    def _get_state(self) -> dict[str, Any]:
        state = super()._get_state()
        if "pretrained_" in state:
            learned = dict(state["pretrained_"])
            state["pretrained_"] = {**learned, "simulator": as_bytes(learned["simulator"])}
        if "simulator_" in state:
            state["simulator_"] = as_bytes(state["simulator_"])
        return state

    def _set_state(self, state: dict[str, Any]) -> None:
        if "pretrained_" in state:
            learned = dict(state["pretrained_"])
            learned["simulator"] = from_bytes(learned["simulator"], FlowMapSimulator)
            state = {**state, "pretrained_": learned}
        if "simulator_" in state:
            state = {**state, "simulator_": from_bytes(state["simulator_"], FlowMapSimulator)}
        super()._set_state(state)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small settings for sktime's suite."""
        small = {"hidden": (8,), "n_batches": 3}
        bounded = {"on_divergence": "clip", "random_state": 0}
        network = FlowMapSimulator(step_sizes=[1, 2], n_forward=1, max_epochs=1, module_kwargs=small, **bounded)
        equation = FlowMapSimulator(stepper="opinf", step_sizes=[1], **bounded)
        return [{"simulator": network, "lags": 3}, {"simulator": equation, "lags": [0, 2], "random_state": 0}]


def _increasing(lags: int | Sequence[int]) -> list[int]:
    """Lags as a list that starts at 0, the newest row: forecasts are read off there."""
    if isinstance(lags, Integral):
        return list(range(int(lags)))
    found = np.asarray(lags)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found) or found[0] or (np.diff(found) < 1).any():
        raise ParameterError(
            "a number of rows, or whole lags that start with 0 and increase", f"lags={lags!r}", "Pass lags=[0, 1, 2]."
        )
    return [int(lag) for lag in found]


def _default_simulator(n_states: int) -> FlowMapSimulator:
    """Small, bounded, and held to as many steps on its own output as the series leaves windows for."""
    return FlowMapSimulator(
        coordinates="identity",
        step_sizes=[1],
        n_forward=min(_MOST_FORWARD, max(1, n_states // 5)),
        on_divergence="clip",
        module_kwargs={"hidden": (64, 64), "n_batches": 50},
    )
