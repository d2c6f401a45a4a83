"""FlowMapSimulator: learned coordinates and a hierarchy of flow maps as a scikit-learn transformer that simulates."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.flowmap.baselines import LastState, LinearMap
from skts.flowmap.choices import STEPPERS
from skts.flowmap.fitting import SimulatorFitting
from skts.flowmap.queries import SimulatorQueries
from skts.flowmap.selection import SELECTIONS
from skts.flowmap.simulation import POLICIES
from skts.validation import check_table

__all__ = ["FlowMapSimulator"]


class FlowMapSimulator(
    SimulatorQueries, ClassNamePrefixFeaturesOutMixin, TransformerMixin, SimulatorFitting, BaseEstimator
):
    r"""Simulate a dynamical system in large steps: latent coordinates, and a flow map for each of several step sizes.

    Use it where trajectories are at hand, from a solver or measured, and many more are wanted: it advances a whole
    batch by the largest steps that hold on held-out trajectories, fills in the times between, and says when a state is
    no longer like those that it learned from.

    Parameters
    ----------
    dt : float, default=1.0
        Time between samples.
    coordinates : {"auto", "identity", "pca", "manifold", "autoencoder"} or transformer, default="auto"
        Latent coordinates; any scikit-learn transformer with ``inverse_transform`` is cloned and used. "manifold" are
        principal components, and what they leave as a polynomial of them. "auto" is "identity" for
        ``stepper="fno1d"`` and up to four features, else "pca" for "opinf", "manifold" for "polynomial", and
        "autoencoder".
    n_components : int or "auto", default="auto"
        Latent coordinates; "auto" takes as many as leave 5 % of the variance in a linear projection.
    stepper : {"resmlp", "polynomial", "fno1d", "opinf", "auto"}, subclass of Stepper, or dict, default="resmlp"
        Flow maps: a polynomial with a residual network; the polynomial alone by least squares, its degree and the step
        sizes by cross-validated rollouts, for clean data of a few coordinates, however few; a Fourier neural operator,
        for periodic fields on an even grid; a quadratic differential equation by least squares, for clean data; "auto"
        trains all and keeps the best on held-out trajectories. A dict gives each step size its own, among them solvers
        ``solver(x, dt, n)``.
    step_sizes : "pow2" or sequence of int, default="pow2"
        Steps in samples; "pow2" are the powers of two in which a state moves by 5 to 80 percent of the data's spread,
        five at the most: shorter ones cost more than they add, longer ones of a chaotic system cannot be learned.
        Polynomials are tried for longer ones as well.
    n_forward : int, default=5
        Steps of the training loss on the stepper's own output, for every tenth window; the others teach one step.
    noise_std : float, default=0.01
        Isotropic noise on the start of every tenth training window, in root mean squares of the latent state; it keeps
        rollouts from running away.
    n_ensemble : int, default=1
        Flow maps for each chosen step size; their mean is the model, their spread its uncertainty (``return_std``).
    selection : {"range", "greedy", "none"}, default="range"
        Which step sizes are kept, by rollouts of held-out trajectories. But for "none", all are trained for a quarter
        of the epochs, and what is left is spent on those that are kept.
    on_divergence : {"warn", "raise", "clip", "reproject", "fallback", "nan"}, default="warn"
        What ``simulate`` does with a state beyond what training has shown: say so, stop, move it back to the edge,
        decode and encode it, let ``solver`` make the steps until the state is known again, or give NaN.
    solver : callable or None, default=None
        ``solver(x, dt, n)`` for states (n_traj, d) gives (n_traj, n + 1, d); for "fallback".
    module_kwargs : dict or None, default=None
        Rare settings: hidden (widths, (200, 200, 200)), ridge (of "opinf", 1e-6), n_batches (of an epoch, 100),
        joint_epochs (in which all parts are trained together at the end, 0), fields (equally long parts of a state, one
        after another, each of which has one unit; without it, each feature has its own), augment
        (``augment(windows, rng)`` gives windows (n, m, d) that could have been seen as well), invariant
        (``invariant(states)``, a number that a trajectory keeps; its drift is watched), n_replay (rows that
        ``partial_fit`` remembers, 5000).
    max_epochs : int, default=8
        Epochs of 100 batches for each step size at the most, twice as many for the autoencoder.
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
    stepper_ : str, class or dict
        Flow maps in use.
    step_sizes_ : list of int
        Steps that were trained.
    selected_steps_ : list of int
        Steps that ``simulate`` uses.
    selection_errors_ : dict of str to float
        Held-out error of every set of steps that was tried: mean over time of the normalised error, clipped at 1.
    coordinates_ : str or transformer
        Kind of coordinates in use.
    n_components_ : int
        Number of latent coordinates.
    n_context_ : int
        Number of controls and parameters.
    replay_ : dict of str to list
        Earlier trajectories that ``partial_fit`` trains with ("train") and judges by ("valid").
    n_rollbacks_ : int
        Updates that were undone.
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
    Coordinates are learned first, then one flow map :math:`z_{t+s} = N_s(z_t)` for each step size s, from random
    windows. In a simulation the largest steps come first, for all trajectories at once; smaller ones start from every
    state that is known and never overwrite one; times between are interpolated by cubic Hermite polynomials.

    Here and not in the papers: closed forms (principal components under the autoencoder, a polynomial under the
    network, and its last layer by least squares at the end), pilots, random windows, noise, other flow maps than
    residual networks, selection by a clipped error (a mean square saturates), monitors.

    References
    ----------
    A. Hamid, D. Rafiq, S. A. Nahvi, M. A. Bazaz: Enhancing Computational Efficiency in Multiscale Systems Using Deep
    Learning of Coordinates and Flow Maps, 2024, https://arxiv.org/abs/2407.00011.

    Y. Liu, J. N. Kutz, S. L. Brunton: Hierarchical Deep Learning of Multiscale Differential Equation Time-Steppers,
    Philosophical Transactions of the Royal Society A 380, 2022, https://arxiv.org/abs/2008.09768.

    R. Geelen, S. Wright, K. Willcox: Operator inference for non-intrusive model reduction with quadratic manifolds,
    Computer Methods in Applied Mechanics and Engineering 403, 2023, https://arxiv.org/abs/2205.02304.

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
        "coordinates": [
            StrOptions({"auto", "identity", "pca", "manifold", "autoencoder"}),
            HasMethods(["fit", "inverse_transform"]),
        ],
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "stepper": [StrOptions({"auto", *STEPPERS}), dict, callable],
        "step_sizes": [StrOptions({"pow2"}), "array-like"],
        "n_forward": [Interval(Integral, 1, None, closed="left")],
        "noise_std": [Interval(Real, 0, None, closed="left")],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
        "selection": [StrOptions(set(SELECTIONS))],
        "on_divergence": [StrOptions(set(POLICIES))],
        "solver": [callable, None],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        dt: float = 1.0,
        coordinates: Any = "auto",
        n_components: Any = "auto",
        stepper: Any = "resmlp",
        step_sizes: Any = "pow2",
        n_forward: int = 5,
        noise_std: float = 0.01,
        n_ensemble: int = 1,
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
        self.n_ensemble = n_ensemble
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

    def fit(self, X: Any, y: Any = None, *, times: Any = None, u: Any = None, params: Any = None) -> Self:
        """Learn coordinates and flow maps.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
            Trajectories, ``dt`` apart; two dimensions are one trajectory. NaN rows split a trajectory.
        y : ignored
            There for scikit-learn's pipelines.
        times : array of shape (n_times,), or list of arrays (n_times_i,), optional
            When samples were taken, where that was not every ``dt``: they are brought to ``dt`` by cubic splines, and
            split at gaps of more than four steps.
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
        return self._fit_torch(X, None, times, u, params)

    def partial_fit(self, X: Any, y: Any = None, *, times: Any = None, u: Any = None, params: Any = None) -> Self:
        """Learn on from new trajectories without forgetting the earlier ones.

        Flow maps are trained on, half from the new trajectories and half from earlier ones that were kept; coordinates
        and step sizes stay. Of the update, its closed forms, and parts of the way to either, the one that is best for
        held-out new trajectories is kept, provided that the error of earlier ones rises by a tenth or 0.005 spreads. If
        there is none, all stays as it was, with a warning; also after an interrupt. Polynomials are chosen and fitted
        anew, to all trajectories that are remembered.

        Parameters
        ----------
        X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
            Trajectories, as in ``fit``, which the first call is.
        y : ignored
            There for scikit-learn's pipelines.
        times : array of shape (n_times,), or list of arrays (n_times_i,), optional
            As in ``fit``.
        u : array of shape (n_traj, n_times, du), or list of arrays (n_times_i, du), optional
            As in ``fit``.
        params : array of shape (n_traj, dp), optional
            As in ``fit``.

        Returns
        -------
        FlowMapSimulator
            The estimator itself.

        Raises
        ------
        InputError, InputTypeError
            If the trajectories cannot be used.
        """
        if not hasattr(self, "module_"):
            return self.fit(X, y, times=times, u=u, params=params)
        return self._fit_torch(X, None, times, u, params, True, start_from=self.module_.state_dict())

    def baselines(self) -> dict[str, Any]:
        """The simple simulators to hold this one against.

        Returns
        -------
        dict of str to FlowMapSimulator
            Unfitted, by name: the state stays as it is; a linear map by least squares.
        """
        shared = {"dt": self.dt, "coordinates": "identity", "step_sizes": [1], "random_state": self.random_state}
        kinds = {"last state": LastState, "linear map": LinearMap}
        return {name: type(self)(stepper=kind, **shared) for name, kind in kinds.items()}

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
