"""What a fitted simulator is asked: coordinates, steps, simulations, and how good and how fast they are."""

import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skts.errors import InputError, ParameterError
from skts.flowmap.module import FlowMap
from skts.flowmap.simulation import Simulation
from skts.flowmap.speedup import speedup_table
from skts.metrics import climate_error, valid_prediction_time
from skts.validation import check_table

__all__ = ["SimulatorQueries"]


class SimulatorQueries:
    """Questions to a fitted simulator; see :class:`~skts.flowmap.FlowMapSimulator`."""

    dt: float
    on_divergence: str
    module_kwargs: dict[str, Any] | None
    solver: Callable[..., Any] | None
    module_: Any
    device_: str
    cost_: dict[str, float]
    n_features_in_: int
    n_components_: int
    n_context_: int
    selected_steps_: list[int]
    _forward: Callable[..., Tensor]
    _trajectories: Callable[..., list[np.ndarray]]

    def predict(self, X: Any) -> np.ndarray:
        """The state one sample later, row by row.

        Parameters
        ----------
        X : array-like of shape (n_samples, d)
            States.

        Returns
        -------
        ndarray of shape (n_samples, d)
            In float32.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        step = min(self.selected_steps_)

        def one(module: FlowMap, x: Tensor) -> Tensor:
            z = module.coordinates.encode(x)
            after = module.step(step, z, z.new_zeros(len(z), self.n_context_))
            return module.coordinates.decode(z + (after - z) / step)

        return self._forward(X, call=one).numpy()

    def simulate(
        self,
        x0: Any,
        n_steps: int | None = None,
        times: Any = None,
        u: Any = None,
        params: Any = None,
        return_std: bool = False,
        return_info: bool = False,
    ) -> Any:
        """Simulate trajectories from given states, all at once.

        Parameters
        ----------
        x0 : array-like of shape (n_traj, d) or (d,)
            Where they start.
        n_steps : int, optional
            Samples after the start, ``dt`` apart.
        times : array-like of shape (T + 1,), optional
            Instead of ``n_steps``: increasing times from 0, not necessarily multiples of ``dt``.
        u : array-like of shape (n_traj, n_steps, du) or (n_steps, du), optional
            Controls from each sample to the next, where fit had some.
        params : array-like of shape (n_traj, dp) or (dp,), optional
            Parameters, where fit had some.
        return_std : bool, default=False
            Whether to return how far the members of an ensemble are apart.
        return_info : bool, default=False
            Whether to return what the monitors saw as well.

        Returns
        -------
        states : ndarray of shape (n_traj, T + 1, d)
            The start and what follows, float64.
        std : ndarray of shape (n_traj, T + 1, d)
            With ``return_std``: root mean square distance of the members, each simulating alone, from the states.
        info : dict of str to ndarray
            With ``return_info``: status ("ok" or "left") and first_flagged (sample, -1 where there is none) and
            n_flagged of each trajectory, its largest range (above 1 is beyond what training has shown),
            scale_disagreement (of one long step with two of half its size, over the increment), invariant_drift (over
            the largest of training), by_solver (of each state, whether the solver of "fallback" has made it), and
            computed_steps; NaN stands for what there is nothing to judge by.

        Raises
        ------
        InputError
            If a start is not finite, times are negative or not increasing, or controls are missing or do not reach far.
        ParameterError
            With ``return_std`` and a single member, or "fallback" without a solver.
        DivergenceError
            With ``on_divergence="raise"``.
        """
        check_is_fitted(self)
        start = self._start(x0)
        wanted = self._wanted(n_steps, times)
        context = self._context(len(start), int(np.ceil(wanted.max())), u, params)
        if self.on_divergence == "fallback" and self.solver is None:
            raise ParameterError("a solver for on_divergence='fallback'", "solver=None", "Pass solver=callable.")
        if return_std and len(self.module_.members) < 2:
            raise ParameterError("an ensemble for return_std", "n_ensemble=1", "Fit with n_ensemble=3 or more.")
        tensors = [torch.from_numpy(a).to(self.device_) for a in (start, wanted, context)]
        with torch.inference_mode():
            states, info = self._simulation().run(*tensors, compare_scales=return_info)
            found = [states.cpu().double().numpy()]
            if return_std:
                alone = range(len(self.module_.members))
                members = (self._simulation(m, quiet=True).run(*tensors)[0] for m in alone)
                found.append(sum((s - states).square() for s in members).div(len(alone)).sqrt().cpu().double().numpy())
        found += [info] if return_info else []
        return found[0] if len(found) == 1 else tuple(found)

    def _simulation(self, member: int | None = None, quiet: bool = False) -> Simulation:
        policy = "clip" if quiet and self.on_divergence in ("warn", "raise") else self.on_divergence
        invariant = None if quiet else (self.module_kwargs or {}).get("invariant")
        # On the CPU states come out in float64 at once: to convert them costs as much as to decode them.
        dtype = torch.float64 if self.device_ == "cpu" else None
        return Simulation(self.module_, self.selected_steps_, policy, self.solver, member, invariant, dtype)

    def _start(self, x0: Any) -> np.ndarray:
        start = np.asarray(x0, dtype=np.float32)
        start = start[None] if start.ndim == 1 else start
        if start.ndim != 2 or not len(start) or start.shape[1] != self.n_features_in_:
            got = f"shape {np.shape(x0)}"
            raise InputError(
                f"starts of shape (n_traj, {self.n_features_in_})", got, "Pass one row for each trajectory."
            )
        if not np.isfinite(start).all():
            raise InputError("finite starts", "NaN or infinite values", "Fill them first.")
        return start

    def _wanted(self, n_steps: int | None, times: Any) -> np.ndarray:
        if (n_steps is None) == (times is None):
            raise InputError("n_steps or times", "both" if n_steps is not None else "neither", "Pass one of them.")
        if n_steps is not None:
            if not isinstance(n_steps, Integral) or n_steps < 0:
                raise InputError("n_steps of at least 0", f"{n_steps!r}", "Pass a whole number.")
            return np.arange(n_steps + 1, dtype=np.float64)
        wanted = np.asarray(times, dtype=np.float64) / self.dt
        if wanted.ndim != 1 or not len(wanted) or wanted[0] < 0 or (np.diff(wanted) <= 0).any():
            raise InputError(
                "increasing times from 0 on", f"{np.asarray(times)[:5]}", "Sort them, and drop negative ones."
            )
        return np.round(wanted, 9)

    def _context(self, B: int, n: int, u: Any, params: Any) -> np.ndarray:
        """Cumulative sums (B, n + 1, c) of controls and parameters."""
        parts = []
        if u is not None:
            controls = np.asarray(u, dtype=np.float64)
            controls = np.broadcast_to(controls, (B, *controls.shape[-2:]))
            if controls.shape[1] < n:
                raise InputError(f"controls for {n} steps", f"{controls.shape[1]}", "Pass u as far as the simulation.")
            parts.append(controls[:, :n])
        if params is not None:
            row = np.broadcast_to(np.atleast_2d(np.asarray(params, dtype=np.float64)), (B, np.shape(params)[-1]))
            parts.append(np.repeat(row[:, None], n, axis=1))
        rows = np.concatenate(parts, 2) if parts else np.zeros((B, n, 0))
        if rows.shape[2] != self.n_context_:
            got = f"{rows.shape[2]} columns of controls and parameters"
            raise InputError(f"the {self.n_context_} of fit", got, "Pass u and params as in fit.")
        return (
            np.concatenate([np.zeros_like(rows[:, :1]), rows.cumsum(1)], 1)
            if n
            else rows[:, :1].reshape(B, -1, self.n_context_)
        )

    def score(self, X: Any, y: Any = None) -> float:
        """How well trajectories are simulated from their first states.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
            Trajectories.
        y : ignored
            There for scikit-learn's searches.

        Returns
        -------
        float
            1 less the normalised error, clipped at 1 and averaged over time: 1 is perfect, 0 is as good as knowing
            nothing.
        """
        check_is_fitted(self)
        trajectories = self._trajectories(X, reset=False)
        unit = np.sqrt(np.concatenate(trajectories).var(0).mean()) or 1.0
        gaps = []
        for states in trajectories:
            found = self._simulate_quietly(states[:1], len(states) - 1)[0]
            gaps.append(np.nan_to_num(np.sqrt(np.square(found - states).mean(1)) / unit, nan=1.0).clip(0, 1)[1:])
        return float(1 - np.concatenate(gaps).mean()) if sum(map(len, gaps)) else 1.0

    def valid_prediction_time(self, X: Any, threshold: float = 0.5, lyapunov_time: float = 1.0) -> np.ndarray:
        """How long simulations from the first states of trajectories stay right.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d)
            Trajectories that fit has not seen.
        threshold : float, default=0.5
            Error at which a simulation is no longer right, in spreads of X.
        lyapunov_time : float, default=1.0
            Unit of the answer.

        Returns
        -------
        ndarray of shape (n_traj,)
            Times; the whole length for one that stays right.
        """
        true, found = self._beside(X)
        return valid_prediction_time(true, found, dt=self.dt, threshold=threshold, time_unit=lyapunov_time)

    def climate_error(self, X: Any) -> dict[str, float]:
        """How unlike the simulations' statistics are to those of trajectories.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d)
            Trajectories that fit has not seen.

        Returns
        -------
        dict of str to float
            std_ratio, pdf_l1 and spectrum_log10, see :func:`skts.metrics.climate_error`.
        """
        return climate_error(*self._beside(X))

    def _beside(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Trajectories, and simulations from their first states."""
        check_is_fitted(self)
        trajectories = self._trajectories(X, reset=False)
        if len({len(states) for states in trajectories}) > 1:
            raise InputError("trajectories of one length", "several lengths", "Cut them to the shortest.")
        true = np.stack(trajectories)
        return true, self._simulate_quietly(true[:, 0], true.shape[1] - 1)

    def speedup(self, solver: Any, x0: Any, horizon: float, tol: float | None = None) -> Any:
        """What simulating costs beside a solver of equal accuracy, and when training has paid.

        Parameters
        ----------
        solver : callable or dict of str to callable
            ``solver(x0, dt, n_steps)`` gives states (n_traj, n_steps + 1, d). Pass several by name, the most accurate
            first: it is the reference, and the cheapest of those that are accurate enough is the one to beat.
        x0 : array-like of shape (n_traj, d)
            Starts; a batch, where simulations come in batches.
        horizon : float
            Time to simulate.
        tol : float, optional
            Largest useful error, in spreads of the reference; None takes the surrogate's own.

        Returns
        -------
        pandas.DataFrame
            One row for each solver and one for the surrogate: error, seconds (the shortest of three runs), good_enough,
            and for the surrogate speedup (over the cheapest solver that is good enough; NaN where none is) and
            runs_to_pay (training time over time saved; infinite where it never pays).

        Raises
        ------
        InputError
            If the horizon is shorter than a sample, or a solver gives another shape.
        """
        check_is_fitted(self)
        start, n_steps = self._start(x0), round(horizon / self.dt)
        if n_steps < 1:
            raise InputError(f"a horizon of at least dt={self.dt:g}", f"{horizon!r}", "Pass a longer one.")
        seconds = self.cost_["fit_seconds"]
        return speedup_table(self._simulate_quietly, solver, start.astype(float), self.dt, n_steps, tol, seconds)

    def _simulate_quietly(self, x0: np.ndarray, n_steps: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return self.simulate(x0, n_steps=n_steps)
