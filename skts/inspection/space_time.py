"""SpaceTimeDisplay: a held-out trajectory, its simulation, and where the two part."""

import warnings
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.style import ACCENT, DIVERGING, MUTED, PAST, TRUTH, new_axes, tidy
from skts.metrics import valid_prediction_time

__all__ = ["SpaceTimeDisplay", "simulate_beside"]

_MOST_LINES = 6  # features that are drawn as lines; more are an image
_HATCHED = {"facecolor": "none", "edgecolor": PAST, "hatch": "///"}
_SHADED = {"facecolor": MUTED, "alpha": 0.3}
_BEYOND = 1.3  # how far lines of a simulation that runs away are followed, in ranges of the truth


class SpaceTimeDisplay:
    """A trajectory, the simulation from its first state and their difference, with what the guard said.

    Fields are three images of position by time in one colour scale; up to six features are lines, a panel for each.
    The dashed line is where the simulation stops being right; hatching over an image, or grey behind lines, is where
    the guard no longer trusts it, or what a solver has made instead. A guard tells whether states are like those of
    training, not whether they are right: of a chaotic system it is silent for good reason where the simulation has left
    the truth for another likely course.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_times, n_features)
        Truth, and simulation from its first state; NaN and infinity in the simulation are drawn in grey.
    dt : float, default=1.0
        Time between samples.
    threshold : float, default=0.5
        Error at which the simulation is no longer right, in units of ``scale``.
    scale : float or ndarray of shape (n_features,), optional
        What errors are divided by; the standard deviation of ``y_true`` by default.
    time_unit : float, optional
        Unit of the time axis in that of ``dt``: a Lyapunov time, say.
    unit_name : str, default="Lyapunov times"
        Name of ``time_unit``.
    status : str, default="ok"
        What the guard said in the end.
    first_flagged : int, default=-1
        Sample from which on the guard does not trust the simulation; -1 where there is none.
    by_solver : ndarray of shape (n_times,), optional
        Which samples a solver has made, whose states are trusted; they are marked instead of all after the first flag.
    feature_names : sequence of length n_features, optional
        Names; "feature 0" and so on by default.
    name : str, optional
        Title.

    Attributes
    ----------
    error_ : ndarray of shape (n_times,)
        Root mean square error over features, in units of ``scale``.
    valid_time_ : float
        :func:`~skts.metrics.valid_prediction_time`, in units of the time axis.
    axes_ : list of matplotlib Axes
        Truth, simulation and difference; or one for each feature.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    LatentPathDisplay : The same path in latent coordinates.

    Examples
    --------
    >>> from skts import FlowMapSimulator
    >>> from skts.datasets import make_kuramoto_sivashinsky
    >>> from skts.inspection import SpaceTimeDisplay
    >>> X = make_kuramoto_sivashinsky(n_trajectories=3, n_times=200, random_state=0)
    >>> model = FlowMapSimulator(dt=0.25, stepper="opinf", n_components=8, random_state=0).fit(X[:2])
    >>> display = SpaceTimeDisplay.from_estimator(model, X[2], time_unit=20.83)
    >>> display.axes_[-1].get_xlabel()
    'time (Lyapunov times)'
    """

    def __init__(
        self,
        y_true: np.ndarray,
        y_pred: np.ndarray,
        dt: float = 1.0,
        *,
        threshold: float = 0.5,
        scale: Any = None,
        time_unit: float | None = None,
        unit_name: str = "Lyapunov times",
        status: str = "ok",
        first_flagged: int = -1,
        by_solver: np.ndarray | None = None,
        feature_names: Any = None,
        name: str | None = None,
    ) -> None:
        self.y_true, self.y_pred = _one_trajectory(y_true), np.asarray(y_pred, dtype=np.float64)
        self.dt, self.threshold = dt, threshold
        self.scale = np.std(self.y_true) or None if scale is None else scale
        self.time_unit, self.unit_name = time_unit, unit_name
        self.status, self.first_flagged = status, int(first_flagged)
        self.by_solver = np.zeros(len(self.y_true), bool) if by_solver is None else np.asarray(by_solver, bool)
        self.feature_names, self.name = feature_names, name
        unit = 1.0 if time_unit is None else time_unit
        how: dict[str, Any] = {"dt": dt, "threshold": threshold, "scale": self.scale, "time_unit": unit}
        self.valid_time_ = float(valid_prediction_time(self.y_true, self.y_pred, **how)[0])
        with np.errstate(over="ignore", invalid="ignore"):  # what has run away is off by any measure
            self.error_ = np.sqrt(np.square((self.y_pred - self.y_true) / self.scale).mean(1))
        self._step = dt / unit  # in units of the time axis

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        u: Any = None,
        params: Any = None,
        threshold: float = 0.5,
        scale: Any = None,
        time_unit: float | None = None,
        unit_name: str = "Lyapunov times",
        features: Any = None,
        space: Any = None,
        ax: Any = None,
    ) -> Self:
        """Simulate from the first state of a trajectory, and draw both.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``simulate(..., return_info=True)``, such as FlowMapSimulator.
        X : array-like of shape (n_times, d) or (1, n_times, d)
            A trajectory that fit has not seen, finite.
        u : array-like of shape (n_times - 1, du), optional
            Controls, where fit had some.
        params : array-like of shape (dp,), optional
            Parameters, where fit had some.
        threshold : float, default=0.5
            Error at which the simulation is no longer right, in units of ``scale``.
        scale : float or array-like of shape (d,), optional
            What errors are divided by; by default the standard deviation of X. Pass that of the whole data set to
            compare trajectories.
        time_unit : float, optional
            Unit of the time axis in that of ``dt``: a Lyapunov time, say.
        unit_name : str, default="Lyapunov times"
            Name of ``time_unit``.
        features : slice or sequence of int, optional
            Which features to draw: one of several fields, say. All by default.
        space : array-like of shape (n_drawn,), optional
            Positions of the features drawn; evenly spaced, where these are an image.
        ax : sequence of matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        SpaceTimeDisplay
            The display.

        Raises
        ------
        InputError
            If X is not one finite trajectory of at least two samples, or does not fit the estimator.
        DivergenceError
            If the estimator's ``on_divergence`` is "raise" and the simulation is flagged.
        """
        check_is_fitted(estimator)
        states = _one_trajectory(X)
        found, info = simulate_beside(estimator, states, u, params)
        display = cls(
            states,
            found,
            estimator.dt,
            threshold=threshold,
            scale=scale,
            time_unit=time_unit,
            unit_name=unit_name,
            status=str(info["status"][0]),
            first_flagged=int(info["first_flagged"][0]),
            by_solver=info["by_solver"][0] if "by_solver" in info else None,
            feature_names=getattr(estimator, "feature_names_in_", None),
            name=type(estimator).__name__,
        )
        return display.plot(features=features, space=space, ax=ax)

    def plot(self, features: Any = None, space: Any = None, ax: Any = None) -> Self:
        """Draw into given axes, or into a new figure.

        Parameters
        ----------
        features : slice or sequence of int, optional
            Which features to draw; all by default.
        space : array-like of shape (n_drawn,), optional
            Positions of the features drawn; evenly spaced, where these are an image.
        ax : sequence of matplotlib Axes, optional
            Three for images; one for each feature drawn where these are at most six.

        Returns
        -------
        SpaceTimeDisplay
            The display itself.

        Raises
        ------
        InputError
            If there are no such features, positions do not fit, or the number of axes is another one.
        """
        columns = self._columns(features)
        lines = len(columns) <= _MOST_LINES
        space = None if space is None else _positions(space, len(columns), even=not lines)
        n_axes = len(columns) if lines else 3
        axes = list(new_axes(n_axes, height=max(1.6, 3.6 / n_axes))) if ax is None else list(np.ravel(ax))
        if len(axes) != n_axes:
            hint = f"Pass ax=plt.subplots({n_axes}, sharex=True)[1], or None."
            raise InputError(f"{n_axes} axes", f"{len(axes)} of them", hint)
        self.axes_, self.figure_ = axes, axes[0].figure
        (self._plot_lines if lines else self._plot_images)(columns, space)
        self._mark()
        return self

    # ---- what is drawn ----------------------------------------------------------------------------------------------

    def _plot_lines(self, columns: np.ndarray, space: np.ndarray | None) -> None:
        times = self._times()
        for position, (ax, column) in enumerate(zip(self.axes_, columns, strict=True)):
            true, found = self.y_true[:, column], self.y_pred[:, column]
            ax.plot(times, true, color=TRUTH, label="truth")
            ax.plot(times, np.where(np.isfinite(found), found, np.nan), "--", color=ACCENT, label="simulation")
            middle, reach = (true.max() + true.min()) / 2, _BEYOND * max(np.ptp(true), 1e-12)
            low, high = ax.get_ylim()
            ax.set_ylim(max(low, middle - reach), min(high, middle + reach))
            ax.set_ylabel(self._name(column) if space is None else f"at {space[position]:.4g}")
            tidy(ax)

    def _plot_images(self, columns: np.ndarray, space: np.ndarray | None) -> None:
        from matplotlib import colormaps

        true, found = self.y_true[:, columns], self.y_pred[:, columns]
        # The scale is that of differences too, so that its middle is 0: of fields that are far from it, the mean.
        middle = 0.0 if true.min() <= 0 <= true.max() else float(true.mean())
        limit = np.abs(true - middle).max() or 1.0
        times, rows = self._times(), np.arange(len(columns)) if space is None else space
        extent = [*_edges(times), *_edges(rows)]
        colors = colormaps[DIVERGING].with_extremes(bad=MUTED)
        values = {"truth": true - middle, "simulation": found - middle, "simulation\nless truth": found - true}
        beyond = False
        for ax, (what, value) in zip(self.axes_, values.items(), strict=True):
            shown = np.ma.masked_invalid(value)
            beyond |= bool((np.abs(shown) > limit).any())
            image = ax.imshow(shown.T, cmap=colors, vmin=-limit, vmax=limit, extent=extent, origin="lower")
            ax.set(aspect="auto", ylabel=f"{what}\n{'feature' if space is None else 'position'}")
        label = "value" if middle == 0 else f"value less {middle:.4g} (the mean)"
        bar = self.figure_.colorbar(image, ax=self.axes_, label=label, extend="both" if beyond else "neither")
        bar.outline.set_visible(False)

    def _mark(self) -> None:
        """Where the simulation stops being right, and where the guard stops trusting it, or a solver has made it."""
        end, parts = self._times()[-1], not (self.error_ <= self.threshold).all()
        flagged = self.first_flagged * self._step if self.first_flagged >= 0 else np.inf
        for number, ax in enumerate(self.axes_):
            if parts:
                said = f"error above {self.threshold:g}"
                ax.axvline(self.valid_time_, color="black", linewidth=1.2, linestyle=(0, (4, 2)), label=said)
            how = _HATCHED if self._is_image(ax) else _SHADED
            for start, stop, said in self._spans(flagged, end) if not (number == 0 and self._is_image(ax)) else ():
                ax.axvspan(start, stop, linewidth=0, label=said, **how)
            ax.set_xlim(_edges(self._times()) if self._is_image(ax) else (0, end))
            ax.tick_params(labelbottom=ax is self.axes_[-1])
        self.axes_[-1].set_xlabel(f"time ({self.unit_name})" if self.time_unit else "time")
        self._write_title(parts, flagged)

    def _spans(self, flagged: float, end: float) -> list[tuple[float, float, str]]:
        """Times from, to, and what they are."""
        if not self.by_solver.any():
            return [(flagged, end, "not trusted")] if flagged <= end else []
        edges = np.flatnonzero(np.diff(np.r_[False, self.by_solver, False]))
        # A sample that was made stands for the time since the one before it.
        runs = zip(np.maximum(edges[::2] - 1, 0), edges[1::2] - 1, strict=True)
        return [(start * self._step, stop * self._step, "by the solver") for start, stop in runs]

    def _write_title(self, parts: bool, flagged: float) -> None:
        unit = f" {self.unit_name}" if self.time_unit else ""
        valid = f"right {'until' if parts else 'to the end,'} {self.valid_time_:.3g}{unit}"
        since = f" from {flagged:.3g} on" if flagged < np.inf else ""
        guard = f'"{self.status}"{since}' if since or self.status != "ok" else "nothing flagged"
        guard += f", {self.by_solver.sum()} samples by the solver" if self.by_solver.any() else ""
        marks = dict(zip(*reversed(self.axes_[-1].get_legend_handles_labels()), strict=True))
        head = self.axes_[0]
        title = "\n".join(filter(None, [self.name, f"{valid}; guard: {guard}"]))
        head.set_title(title, loc="left", fontsize="medium", pad=20 if marks else 6)
        if marks:
            place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "handlelength": 1.8}
            head.legend(marks.values(), marks.keys(), frameon=False, ncols=4, fontsize="small", **place)

    # ---- units and names --------------------------------------------------------------------------------------------

    def _times(self) -> np.ndarray:
        return np.arange(len(self.y_true)) * self._step

    def _name(self, column: int) -> str:
        return f"feature {column}" if self.feature_names is None else str(self.feature_names[column])

    @staticmethod
    def _is_image(ax: Any) -> bool:
        return bool(ax.images)

    def _columns(self, features: Any) -> np.ndarray:
        d = self.y_true.shape[1]
        try:
            columns = np.atleast_1d(np.arange(d)[slice(None) if features is None else features])
        except IndexError:
            columns = np.arange(0)
        if columns.ndim != 1 or not len(columns):
            raise InputError(f"features from 0 to {d - 1}", f"{features!r}", "Pass a slice or a list of positions.")
        return columns


def simulate_beside(estimator: Any, states: np.ndarray, u: Any, params: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """The simulation (n_times, d) from the first of some states, and what the guard said; a display shows its warning.

    Parameters
    ----------
    estimator : estimator
        With ``simulate``.
    states : ndarray of shape (n_times, d)
        A trajectory.
    u, params : array-like or None
        Controls and parameters, as ``simulate`` takes them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found, info = estimator.simulate(states[:1], len(states) - 1, u=u, params=params, return_info=True)
    return found[0], info


def _one_trajectory(X: Any) -> np.ndarray:
    states = np.asarray(X, dtype=np.float64)
    states = states[0] if states.ndim == 3 and len(states) == 1 else states
    if states.ndim != 2 or len(states) < 2:
        hint = "Pass X[[k]] for trajectory k of several, at least two samples long."
        raise InputError("one trajectory (n_times, d) or (1, n_times, d)", f"shape {states.shape}", hint)
    if not np.isfinite(states).all():
        raise InputError("a finite trajectory", "NaN or infinite values", "Pass a part without them.")
    return states


def _positions(space: Any, n: int, even: bool) -> np.ndarray:
    found = np.asarray(space, dtype=np.float64)
    fits = found.shape == (n,) and bool(np.isfinite(found).all())
    if fits and even:
        gaps = np.diff(found)
        fits = bool(gaps[0] != 0 and np.allclose(gaps, gaps[0], atol=0))
    if not fits:
        expected = f"{n} {'evenly spaced ' if even else ''}positions, one for each feature drawn"
        raise InputError(expected, f"space of shape {found.shape}", "Correct space, or leave it out.")
    return found


def _edges(centers: np.ndarray) -> tuple[float, float]:
    """Outer edges of cells around evenly spaced centers."""
    half = (centers[1] - centers[0]) / 2
    return float(centers[0] - half), float(centers[-1] + half)
