"""LatentPathDisplay: the way of a simulation through latent coordinates, among the states that are known."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.space_time import simulate_beside
from skts.inspection.style import ACCENT, MUTED, PAST, TRUTH, new_axes, tidy

__all__ = ["LatentPathDisplay"]

_MOST_POINTS = 4000
_GRID = 161  # points along a side, for the border
_ROUNDING = 1e-3  # of distances: on_divergence="clip" puts states on the border
_ROOM = 0.12  # around what is drawn
_REACH = 0.6  # how far a path that runs away is followed, in ranges of what is known


class LatentPathDisplay:
    """True and simulated path of one trajectory in two latent coordinates, over the states that a model knows.

    Read it so: paths that lie on each other, the flow maps are right; a simulated path that stays on the cloud of known
    states but elsewhere, it is wrong and still plausible; one that leaves the cloud, it is wrong and the guard's case.

    Parameters
    ----------
    known : ndarray of shape (n_states, n_components)
        Latent states like those of training; at most 4000 of them are drawn.
    path_true, path_pred : ndarray of shape (n_times, n_components)
        True and simulated path.
    components : pair of int, default=(0, 1)
        Which coordinates to draw.
    distance : callable, optional
        ``distance(z)`` of latent states (n, n_components), 1 at the border of what is known.
    name : str, optional
        Title.

    Attributes
    ----------
    unknown_ : ndarray of shape (n_times,) of bool
        Which states of the simulated path are beyond the border.
    border_drawn_ : bool
        Whether the border falls into the picture.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    SpaceTimeDisplay : The same trajectory in all features, by time.

    Notes
    -----
    The border is a slice: the other coordinates are at their mean over ``known``. With more than two coordinates a
    known state may lie outside of it, and an unknown one inside, so that unknown states have marks of their own.

    Examples
    --------
    >>> from skts import FlowMapSimulator
    >>> from skts.datasets import make_hits_system
    >>> from skts.inspection import LatentPathDisplay
    >>> X = make_hits_system("hyperbolic", n_trajectories=20, n_times=100, dt=0.05, random_state=0)
    >>> model = FlowMapSimulator(dt=0.05, stepper="opinf", step_sizes=[2], random_state=0).fit(X[:19])
    >>> display = LatentPathDisplay.from_estimator(model, X, trajectory=19)
    >>> display.ax_.get_xlabel(), bool(display.unknown_.any())
    ('latent coordinate 0', False)
    """

    def __init__(
        self,
        known: np.ndarray,
        path_true: np.ndarray,
        path_pred: np.ndarray,
        components: Sequence[int] = (0, 1),
        distance: Callable[[np.ndarray], np.ndarray] | None = None,
        name: str | None = None,
    ) -> None:
        self.known, self.path_true, self.path_pred = known, path_true, path_pred
        self.components = _pair(components, known.shape[1])
        self.distance, self.name = distance, name
        far = np.zeros(len(path_pred)) if distance is None else distance(path_pred)
        self.unknown_ = ~(np.where(np.isfinite(path_pred).all(1), far, np.inf) <= 1 + _ROUNDING)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        components: Sequence[int] = (0, 1),
        *,
        trajectory: int = 0,
        n_steps: int | None = None,
        u: Any = None,
        params: Any = None,
        ax: Any = None,
    ) -> Self:
        """Simulate one of some trajectories from its first state, and draw both in latent coordinates.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``simulate``, ``transform`` and ``module_.distance``, such as FlowMapSimulator.
        X : array of shape (n_traj, n_times, d), list of arrays (n_times_i, d), or array (n_times, d)
            Trajectories; all of their states are drawn as known ones.
        components : pair of int, default=(0, 1)
            Which latent coordinates to draw.
        trajectory : int, default=0
            Which trajectory of X to simulate.
        n_steps : int, optional
            How many steps of it to draw; all by default. The path of a chaotic system soon fills the picture.
        u : array-like of shape (n_steps, du), optional
            Controls of that trajectory, where fit had some.
        params : array-like of shape (dp,), optional
            Its parameters, where fit had some.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LatentPathDisplay
            The display.

        Raises
        ------
        InputError
            If there is no such trajectory or coordinate, or the trajectory is not finite.
        DivergenceError
            If the estimator's ``on_divergence`` is "raise" and the simulation is flagged.
        """
        check_is_fitted(estimator)
        _pair(components, estimator.n_components_)
        trajectories = _trajectories(X)
        if not -len(trajectories) <= trajectory < len(trajectories):
            expected = f"a trajectory from 0 to {len(trajectories) - 1}"
            raise InputError(expected, f"trajectory={trajectory}", "Pass one of those in X.")
        states = trajectories[trajectory][: None if n_steps is None else max(n_steps, 0) + 1]
        if len(states) < 2 or not np.isfinite(states).all():
            got = f"{len(states)} samples, {np.isnan(states).any(1).sum()} of them with NaN"
            raise InputError("a finite trajectory of at least two samples", got, "Choose another, or cut it.")
        rows = np.concatenate(trajectories)
        known = _latent(estimator, rows[np.isfinite(rows).all(1)])
        found = simulate_beside(estimator, states, u, params)[0]
        path_pred = np.full((len(found), known.shape[1]), np.nan)
        finite = np.isfinite(found).all(1)
        path_pred[finite] = _latent(estimator, found[finite])
        distance = _distance_of(estimator.module_)
        name = f"{type(estimator).__name__}, trajectory {trajectory}"
        return cls(known, _latent(estimator, states), path_pred, components, distance, name).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LatentPathDisplay
            The display itself.
        """
        self.ax_ = ax = new_axes(width=6.0, height=4.8)[0] if ax is None else ax
        self.figure_ = ax.figure
        pair = list(self.components)
        known, true, found = (z[:, pair] for z in (self.known, self.path_true, self.path_pred))
        keep = np.linspace(0, len(known) - 1, min(len(known), _MOST_POINTS)).astype(int)
        dots = {"linewidths": 0, "zorder": 1, "rasterized": True}
        ax.scatter(*known[keep].T, s=5, color=MUTED, alpha=0.45, **dots)
        ax.plot([], [], ".", color=MUTED, label="known states")  # those in the picture are too faint for a legend
        ax.plot(*true.T, color=TRUTH, linewidth=1.6, zorder=3, label="truth")
        ax.plot(*found.T, "--", color=ACCENT, linewidth=1.6, zorder=4, label="simulation")
        if self.unknown_.any():
            ax.plot(
                *found[self.unknown_].T,
                "x",
                color="black",
                markersize=3.5,
                markeredgewidth=0.7,
                zorder=5,
                label="not known",
            )
        ax.plot(*true[0], "o", color="black", markerfacecolor="white", markersize=7, zorder=6, label="start")
        limits = _limits(np.concatenate([known, true]), found)
        self._plot_border(limits)
        ax.set(xlabel=f"latent coordinate {pair[0]}", ylabel=f"latent coordinate {pair[1]}")
        ax.set_title(self.name or "", loc="left", fontsize="medium")
        self._write_legend(limits)
        tidy(ax)
        return self

    def _plot_border(self, limits: np.ndarray) -> None:
        """The line on which the distance is 1, the other coordinates at their mean."""
        self.border_drawn_ = False
        if self.distance is None:
            return
        sides = [np.linspace(low, high, _GRID) for low, high in limits]
        plane = np.stack(np.meshgrid(*sides), -1)
        z = np.broadcast_to(self.known.mean(0), (*plane.shape[:2], self.known.shape[1])).copy()
        z[..., self.components] = plane
        far = self.distance(z.reshape(-1, z.shape[-1])).reshape(plane.shape[:2])
        self.border_drawn_ = bool(far.min() < 1 < far.max())
        if self.border_drawn_:
            self.ax_.contour(*sides, far, levels=[1.0], colors=PAST, linewidths=1.0, linestyles=":", zorder=2)

    def _write_legend(self, limits: np.ndarray) -> None:
        """The legend stands on a strip above the data, so that it covers nothing."""
        from matplotlib.lines import Line2D

        handles, labels = self.ax_.get_legend_handles_labels()
        if self.distance is not None:
            line = Line2D([], [], color=PAST, linewidth=1.0, linestyle=":" if self.border_drawn_ else "none")
            handles.append(line)
            whole = "border of the known" if self.known.shape[1] == 2 else "border, others at mean"
            labels.append(whole if self.border_drawn_ else "(border outside the picture)")
        strip = 0.17 * np.ptp(limits[1])
        self.ax_.set(xlim=limits[0], ylim=(limits[1, 0], limits[1, 1] + strip))
        words = {"fontsize": "small", "ncols": 3, "loc": "upper left", "frameon": False, "columnspacing": 1.2}
        self.ax_.legend(handles, labels, borderaxespad=0.1, handletextpad=0.5, **words)


def _pair(components: Any, n: int) -> list[int]:
    pair = list(np.atleast_1d(np.asarray(components)))
    whole = len(pair) == 2 and all(isinstance(c, np.integer) and 0 <= c < n for c in pair)
    if not whole or pair[0] == pair[1]:
        hint = "Pass components=(0, 1)." if n > 1 else "One coordinate has no plane: draw SpaceTimeDisplay."
        raise InputError(f"two different components from 0 to {n - 1}", f"{components!r}", hint)
    return [int(c) for c in pair]


def _trajectories(X: Any) -> list[np.ndarray]:
    parts = list(X) if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) == 2 else None
    if parts is None:
        array = np.asarray(X, dtype=np.float64)
        parts = list(array) if array.ndim == 3 else [array]
    arrays = [np.asarray(part, dtype=np.float64) for part in parts]
    if not arrays or any(a.ndim != 2 or not len(a) for a in arrays):
        got = f"shapes {[a.shape for a in arrays[:3]]}"
        raise InputError("trajectories (n_traj, n_times, d), a list of them, or one (n_times, d)", got, "Reshape X.")
    return arrays


def _latent(estimator: Any, rows: np.ndarray) -> np.ndarray:
    """Latent coordinates as an array, whatever ``set_output`` says; rows have lost the names they may have had."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return np.asarray(estimator.transform(rows))


def _distance_of(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    like = next(module.buffers())

    def distance(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module.distance(torch.as_tensor(z, dtype=like.dtype, device=like.device)).cpu().numpy()

    return distance


def _limits(known: np.ndarray, found: np.ndarray) -> np.ndarray:  # (n, 2), (m, 2) -> (2, 2)
    """Limits of both axes: all that is known, and of the simulation what is not too far from it."""
    low, high = known.min(0), known.max(0)
    reach = _REACH * np.maximum(high - low, 1e-9)
    found = np.where(np.isfinite(found), found, low).clip(low - reach, high + reach)
    low, high = np.minimum(low, found.min(0)), np.maximum(high, found.max(0))
    room = _ROOM * np.maximum(high - low, 1e-9)
    return np.stack([low - room, high + room], 1)
