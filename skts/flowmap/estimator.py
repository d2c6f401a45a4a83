"""FlowMapSimulator: learned coordinates and a hierarchy of flow maps as a scikit-learn transformer that simulates."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches, FitRun
from skts.errors import InputError, ParameterError
from skts.flowmap.coordinates import Autoencoder, LinearCoordinates, enough_components
from skts.flowmap.module import FlowMap
from skts.flowmap.queries import SimulatorQueries
from skts.flowmap.selection import SELECTIONS, select_steps
from skts.flowmap.simulation import POLICIES, Simulation
from skts.flowmap.steppers import QuadraticODE, log_spaced_steps, rollout_loss
from skts.flowmap.trajectories import StepWindows, as_inputs, as_trajectories, split_at_gaps, split_trajectories
from skts.validation import check_options, check_table

__all__ = ["FlowMapSimulator"]

_LEAST_MOVE, _MOST_MOVE = 0.08, 0.8  # how far a state moves in a step of "pow2", in spreads of the data
_MOST_STEPPERS = 5
_BATCHES = 100  # of an epoch: windows are drawn at random, so that an epoch costs the same for few rows and for many
_AE_EPOCHS = 3  # epochs of the autoencoder for each of a stepper
_MARGIN = 1.2  # how far beyond training data a state may lie before it is flagged
_JUDGED = 48  # held-out windows on which step sizes are judged

Pieces = list[tuple[Tensor, Tensor]]


class FlowMapSimulator(
    SimulatorQueries, ClassNamePrefixFeaturesOutMixin, TransformerMixin, TorchEstimatorMixin, BaseEstimator
):
    r"""Simulate a dynamical system in large steps: latent coordinates, and a flow map for each of several step sizes.

    Use it where trajectories are at hand, from a solver or measured, and many more are wanted: it advances a whole
    batch by the largest steps that hold on held-out trajectories, fills in the times between, and says when a state is
    no longer like those that it learned from.

    Parameters
    ----------
    dt : float, default=1.0
        Time between samples.
    coordinates : {"auto", "identity", "pca", "autoencoder"}, default="auto"
        Latent coordinates. "auto" is "identity" for ``stepper="fno1d"``, "pca" for "opinf", else "autoencoder", or
        "identity" up to four features.
    n_components : int or "auto", default="auto"
        Latent coordinates; "auto" takes as many as leave 5 % of the variance in a linear projection.
    stepper : {"resmlp", "fno1d", "opinf"}, default="resmlp"
        Flow maps: residual networks; a Fourier neural operator, for periodic fields on an even grid; a quadratic
        differential equation by regularised least squares, for clean data.
    step_sizes : "pow2" or sequence of int, default="pow2"
        Steps in samples; "pow2" are the powers of two in which a state moves by 8 to 80 percent of the data's spread,
        five at the most: shorter ones cost more than they add, longer ones of a chaotic system cannot be learned.
    n_forward : int, default=5
        Steps of the training loss on the stepper's own output.
    noise_std : float, default=0.01
        Isotropic noise on the start of training windows, in root mean squares of the latent state; it keeps rollouts
        from running away.
    selection : {"range", "greedy", "none"}, default="range"
        Which step sizes are kept, by rollouts of held-out trajectories.
    on_divergence : {"warn", "raise", "clip", "reproject", "fallback", "nan"}, default="warn"
        What ``simulate`` does with a state beyond what training has shown: say so, stop, move it back to the edge,
        decode and encode it, ask ``solver``, or give NaN.
    solver : callable or None, default=None
        ``solver(x, dt, n)`` for states (n_traj, d) gives (n_traj, n + 1, d); for "fallback".
    module_kwargs : dict or None, default=None
        Rare settings: hidden (widths, (200, 200, 200)), ridge (of "opinf", 1e-6), n_batches (of an epoch, 100).
    max_epochs : int, default=8
        Epochs of 100 batches for each stepper at the most, three times as many for the autoencoder.
    batch_size : int, default=256
        Windows of one step.
    lr : float, default=0.003
        Highest learning rate.
    validation_fraction : float in [0, 1), default=0.1
        Part of the trajectories that is held out for early stopping and the choice of steps; the last part of the only
        one.
    patience : int or None, default=None
        Epochs without a better validation error before a stage stops.
    max_time : float or None, default=None
        Wall seconds after which training stops, with a warning.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    random_state : int, RandomState or None, default=None
        Seed of weights and windows.
    verbose : int, default=0
        1 prints a line for each epoch.
    warm_start : bool, default=False
        Start ``fit`` from the weights of the last one.
    callbacks : list or None, default=None
        skorch callbacks; they are cloned.
    net_kwargs : dict or None, default=None
        Rare settings of the training: optimizer, weight_decay, schedule, clip_norm, precision; see
        :class:`~skts.engine.TrainSettings`.

    Attributes
    ----------
    step_sizes_ : list of int
        Steps that were trained.
    selected_steps_ : list of int
        Steps that ``simulate`` uses.
    selection_errors_ : dict of str to float
        Held-out error of every set of steps that was tried: mean over time of the normalised error, clipped at 1.
    coordinates_ : str
        Kind of coordinates in use.
    n_components_ : int
        Number of latent coordinates.
    n_context_ : int
        Number of controls and parameters.
    module_ : FlowMap
        The model.
    history_ : list of dict
        One row for each epoch of each stage.
    n_iter_ : int
        Number of epochs of all stages.
    stopped_by_ : str
        "max_epochs", "patience", "max_time", "callback", "interrupt" or "divergence".
    device_ : str
        Where it was trained.
    cost_ : dict
        fit_seconds, cpu_seconds, peak_memory_mb, n_parameters.
    n_features_in_ : int
        Features of a state.

    Notes
    -----
    Coordinates are learned first, then one flow map :math:`z_{t+s} = N_s(z_t)` for each step size s, each by the error
    of ``n_forward`` steps on its own output from random windows. In a simulation the largest steps come first, for all
    trajectories at once; smaller ones start from every state that is known and never overwrite one; times between are
    interpolated by cubic Hermite polynomials.

    Here and not in the papers: random windows, normalised increments, noise, other flow maps than residual networks,
    selection by a clipped error (a mean square saturates), monitors.

    References
    ----------
    A. Hamid, D. Rafiq, S. A. Nahvi, M. A. Bazaz: Enhancing Computational Efficiency in Multiscale Systems Using Deep
    Learning of Coordinates and Flow Maps, 2024, https://arxiv.org/abs/2407.00011.

    Y. Liu, J. N. Kutz, S. L. Brunton: Hierarchical Deep Learning of Multiscale Differential Equation Time-Steppers,
    Philosophical Transactions of the Royal Society A 380, 2022, https://arxiv.org/abs/2008.09768.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FlowMapSimulator
    >>> t = np.arange(200) * 0.1
    >>> circles = np.stack([[r * np.cos(t), r * np.sin(t)] for r in (0.5, 1.0, 1.5)]).transpose(0, 2, 1)
    >>> model = FlowMapSimulator(dt=0.1, step_sizes=[1, 4], max_epochs=2, random_state=0).fit(circles)
    >>> model.simulate([[1.0, 0.0]], n_steps=50).shape
    (1, 51, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "dt": [Interval(Real, 0, None, closed="neither")],
        "coordinates": [StrOptions({"auto", "identity", "pca", "autoencoder"})],
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "stepper": [StrOptions({"resmlp", "fno1d", "opinf"})],
        "step_sizes": [StrOptions({"pow2"}), "array-like"],
        "n_forward": [Interval(Integral, 1, None, closed="left")],
        "noise_std": [Interval(Real, 0, None, closed="left")],
        "selection": [StrOptions(set(SELECTIONS))],
        "on_divergence": [StrOptions(set(POLICIES))],
        "solver": [callable, None],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        dt: float = 1.0,
        coordinates: str = "auto",
        n_components: Any = "auto",
        stepper: str = "resmlp",
        step_sizes: Any = "pow2",
        n_forward: int = 5,
        noise_std: float = 0.01,
        selection: str = "range",
        on_divergence: str = "warn",
        solver: Callable[..., Any] | None = None,
        module_kwargs: dict[str, Any] | None = None,
        max_epochs: int = 8,
        batch_size: int = 256,
        lr: float = 3e-3,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        max_time: float | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.dt = dt
        self.coordinates = coordinates
        self.n_components = n_components
        self.stepper = stepper
        self.step_sizes = step_sizes
        self.n_forward = n_forward
        self.noise_std = noise_std
        self.selection = selection
        self.on_divergence = on_divergence
        self.solver = solver
        self.module_kwargs = module_kwargs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_time = max_time
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_kwargs = net_kwargs

    _n_stages = None  # coordinates, and as many steppers as there are step sizes

    def fit(self, X: Any, y: Any = None, *, u: Any = None, params: Any = None) -> Self:
        """Learn coordinates and flow maps.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
            Trajectories, ``dt`` apart; two dimensions are one trajectory. NaN rows split a trajectory.
        y : ignored
            There for scikit-learn's pipelines.
        u : array of shape (n_traj, n_times, du), or list of arrays (n_times_i, du), optional
            Controls, constant from one sample to the next.
        params : array of shape (n_traj, dp), optional
            Parameters of each trajectory.

        Returns
        -------
        FlowMapSimulator
            The estimator itself.

        Raises
        ------
        InputError, InputTypeError
            If the trajectories cannot be used, or are shorter than the largest step.
        """
        return self._fit_torch(X, None, u, params)

    # ---- describe, build, train, finalise -----------------------------------------------------------------------

    def _describe(self, X: Any, y: Any, u: Any, params: Any) -> ArrayBatches:
        trajectories = self._trajectories(X, reset=True)
        pieces = self._pieces_of(trajectories, u, params)
        self.n_context_ = pieces[0][1].shape[1]
        self.coordinates_ = self._kind_of_coordinates()
        self.step_sizes_ = self._steps([states for states, _ in pieces])
        self.n_components_ = self._components(np.concatenate([states for states, _ in pieces]))
        self._data = [tuple(torch.from_numpy(a).float() for a in piece) for piece in pieces]
        self.module_config_ = {
            "n_features": self.n_features_in_,
            "n_components": self.n_components_,
            "n_context": self.n_context_,
            "coordinates": self.coordinates_,
            "steppers": {str(step): self.stepper for step in self.step_sizes_},
            "dt": float(self.dt),
            "hidden": tuple(self._rare("hidden", (200, 200, 200))),
        }
        return ArrayBatches.of(torch.cat([states for states, _ in self._data]))

    def _rare(self, key: str, default: Any) -> Any:
        return check_options(self.module_kwargs, _RARE, "module_kwargs").get(key, default)

    def _trajectories(self, X: Any, reset: bool) -> list[np.ndarray]:
        """A list of trajectories; two dimensions go through scikit-learn's checks, the others through ours."""
        several = isinstance(X, list | tuple) and len(X) > 0 and getattr(X[0], "ndim", 0) == 2
        if not several and getattr(X, "ndim", 2) != 3:
            return [np.asarray(check_table(self, X, reset=reset, ensure_min_samples=2), dtype=np.float64)]
        trajectories = as_trajectories(X, None if reset else self.n_features_in_)
        self.n_features_in_ = trajectories[0].shape[1]
        return trajectories

    def _pieces_of(self, trajectories: list[np.ndarray], u: Any, params: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        beside = [rows for rows in (as_inputs(u, trajectories, "u"), as_inputs(params, trajectories, "params")) if rows]
        pieces = []
        for number, states in enumerate(trajectories):
            context = np.concatenate([rows[number] for rows in beside], 1) if beside else np.zeros((len(states), 0))
            pieces += [piece for piece in split_at_gaps(states, context) if len(piece[0]) > 1]
        if not pieces:
            raise InputError("a trajectory of at least two samples without NaN", "none", "Pass longer records.")
        return pieces

    def _kind_of_coordinates(self) -> str:
        if self.coordinates != "auto":
            return self.coordinates
        if self.stepper == "fno1d":
            return "identity"
        few = self.n_features_in_ <= 4
        return "identity" if few else "pca" if self.stepper == "opinf" else "autoencoder"

    def _components(self, rows: np.ndarray) -> int:
        if self.coordinates_ == "identity":
            return self.n_features_in_
        if self.n_components != "auto":
            if self.n_components > self.n_features_in_:
                raise ParameterError(
                    f"n_components of at most {self.n_features_in_} features", f"{self.n_components}", "Lower it."
                )
            return int(self.n_components)
        spread = rows.std(0)
        return enough_components((rows - rows.mean(0)) / np.where(spread > 0, spread, 1))

    def _steps(self, pieces: list[np.ndarray]) -> list[int]:
        """Step sizes of which at least one window fits into the longest piece."""
        longest = max(map(len, pieces))
        if isinstance(self.step_sizes, str):
            steps = log_spaced_steps(max(1, (longest - 1) // self.n_forward))
            moves = [_movement(pieces, step) for step in steps]
            useful = [s for s, move in zip(steps, moves, strict=True) if _LEAST_MOVE <= move <= _MOST_MOVE]
            return useful[:_MOST_STEPPERS] or steps[: max(1, sum(move < _LEAST_MOVE for move in moves))][-1:]
        steps = [int(s) for s in self.step_sizes]
        if not steps or min(steps) < 1 or sorted(set(steps)) != steps or steps != list(self.step_sizes):
            raise ParameterError("increasing whole step sizes of at least 1", f"{self.step_sizes!r}", "Pass [1, 2, 4].")
        if steps[-1] > longest - 1:
            got = f"a step of {steps[-1]} samples for trajectories of at most {longest}"
            raise InputError("steps that fit into the trajectories", got, "Drop it, or pass longer trajectories.")
        return steps

    def _build(self, **config: Any) -> nn.Module:
        return FlowMap(**config)

    def _train(self, run: FitRun, module: FlowMap, batches: ArrayBatches) -> None:
        generator = torch.Generator().manual_seed(run.settings.seed)
        train, valid = split_trajectories(self._data, self.validation_fraction, generator)
        module.cpu()  # windows are small: what costs is the number of steps, and they are the device's
        self._train_coordinates(run, module, train, valid)
        latent = [[(module.coordinates.encode(x).detach(), c) for x, c in part] for part in (train, valid)]
        self._learn_range(module, train, latent[0])
        for step in self.step_sizes_:
            self._train_stepper(run, module, step, *latent)
        self._select(module, valid or train)

    def _train_coordinates(self, run: FitRun, module: FlowMap, train: Pieces, valid: Pieces) -> None:
        coordinates, rows = module.coordinates, torch.cat([states for states, _ in train])
        coordinates.fit_scale(rows, common=self.stepper == "fno1d")
        if isinstance(coordinates, LinearCoordinates):
            coordinates.fit_basis(rows)
        if not isinstance(coordinates, Autoencoder):
            return
        windows = StepWindows.of(train, 1, 0, self._rare("n_batches", _BATCHES) * self.batch_size)
        judged = StepWindows.of(valid, 1, 0).thinned(4096) if valid else None
        run.train(
            coordinates,
            windows,
            lambda net, states, _: net.reconstruction_loss(states[:, 0]),
            valid=judged,
            stage="coordinates",
            max_epochs=_AE_EPOCHS * self.max_epochs,
        )

    def _learn_range(self, module: FlowMap, train: Pieces, latent: Pieces) -> None:
        rows, z = torch.cat([x for x, _ in train]), torch.cat([z for z, _ in latent])
        keep = torch.linspace(0, len(rows) - 1, min(len(rows), 20_000)).long()
        with torch.no_grad():
            module.learn_range(rows[keep], z[keep], _MARGIN)
            module.noise.copy_(self.noise_std * (z - z.mean(0)).square().mean().sqrt())

    def _train_stepper(self, run: FitRun, module: FlowMap, step: int, train: Pieces, valid: Pieces) -> None:
        stepper = module.steppers[str(step)]
        if isinstance(stepper, QuadraticODE):
            stepper.fit(train, self._rare("ridge", 1e-6))
            return
        longest = max(len(z) for z, _ in train)
        n_forward = min(self.n_forward, max(1, (longest - 1) // step))
        windows = StepWindows.of(train, step, n_forward, self._rare("n_batches", _BATCHES) * self.batch_size)
        if not len(windows.starts):
            return
        first = windows.thinned(20_000)
        states, _ = first.take(torch.arange(len(first)))
        stepper.fit_scale(states[:, 0], states[:, 1] - states[:, 0])
        judged = StepWindows.of(valid, step, n_forward).thinned(2048) if valid else None
        noise = float(module.noise)
        run.train(
            stepper,
            windows,
            lambda net, states, context: rollout_loss(net, states, context, noise),
            valid=judged if judged is not None and len(judged) else None,
            stage=f"step {step}",
        )

    def _select(self, module: FlowMap, pieces: Pieces) -> None:
        """Keep the steps whose rollouts from held-out states are best."""
        longest = max(len(states) for states, _ in pieces)
        horizon = max(1, min(longest - 1, 10 * max(self.step_sizes_)))
        windows = StepWindows.of(pieces, 1, horizon).thinned(_JUDGED)
        if not len(windows):
            self.selected_steps_, self.selection_errors_ = list(self.step_sizes_), {}
            return
        states, context = windows.take(torch.arange(len(windows)))
        unit = torch.cat([x for x, _ in pieces]).std(0, correction=0).square().mean().sqrt().clamp_min(1e-12)
        summed = torch.cat([torch.zeros_like(context[:, :1]), context.cumsum(1)], 1)

        @torch.no_grad()
        def error(steps: list[int]) -> float:
            simulation = Simulation(module.eval(), steps, "clip", None, self.dt)
            found, _ = simulation.run(states[:, 0], torch.arange(horizon + 1), summed)
            gap = (found - states).square().mean(-1).sqrt() / unit
            return float(torch.nan_to_num(gap, 1.0).clamp_max(1.0).mean())

        candidates = [s for s in self.step_sizes_ if s <= horizon] or self.step_sizes_[:1]
        self.selected_steps_, self.selection_errors_ = select_steps(candidates, error, self.selection)

    def _finalise(self, run: FitRun, module: nn.Module, *args: Any) -> None:
        module.to(run.settings.device)
        super()._finalise(run, module, *args)
        self.__dict__.pop("_data", None)
        if not hasattr(self, "selected_steps_") or not set(self.selected_steps_) <= set(self.step_sizes_):
            self.selected_steps_, self.selection_errors_ = list(self.step_sizes_), {}

    # ---- a transformer: scikit-learn wraps transform for set_output only where the class itself has it ---------------

    def transform(self, X: Any) -> np.ndarray:
        """Latent coordinates of states.

        Parameters
        ----------
        X : array-like of shape (n_samples, d)
            States.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            In float32.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        return self._forward(X, call=lambda m, x: m.coordinates.encode(x)).numpy()

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """States of latent coordinates.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Latent coordinates.

        Returns
        -------
        ndarray of shape (n_samples, d)
            In float32.

        Raises
        ------
        InputError
            If their number is another one.
        """
        check_is_fitted(self)
        Z = np.asarray(Z, dtype=np.float32)
        if Z.ndim != 2 or Z.shape[1] != self.n_components_ or not np.isfinite(Z).all():
            raise InputError(
                f"finite coordinates of shape (n, {self.n_components_})", f"{Z.shape}", "Pass transform(X)."
            )
        return self._forward(Z, call=lambda m, z: m.coordinates.decode(z)).numpy()

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


_RARE: dict[str, list[Any]] = {
    "hidden": [tuple, list],
    "ridge": [Interval(Real, 0, None, closed="left")],
    "n_batches": [Interval(Integral, 1, None, closed="left")],
}


def _movement(pieces: list[np.ndarray], step: int) -> float:
    """Root mean square of what a state changes in a step, over the spread of all states."""
    moved = [np.square(p[step:] - p[:-step]).sum(1) for p in pieces if len(p) > step]
    spread = np.concatenate(pieces).var(0).sum()
    return float(np.sqrt(np.concatenate(moved).mean() / max(spread, 1e-300))) if moved else np.inf
