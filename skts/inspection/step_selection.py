"""StepSelectionDisplay: which sets of step sizes were tried, and how they did on held-out trajectories."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.style import ACCENT, MUTED, TRUTH, side_by_side, tidy

__all__ = ["StepSelectionDisplay"]

_WIDE = 10.0  # ratio of the largest to the smallest error from which on their axis is logarithmic


class StepSelectionDisplay:
    """Held-out error of every set of step sizes that was tried, the best first.

    Each row is a set: filled cells are the steps in it, the dot is its error. Read it so: a gap between the rows with
    and without a step, that step matters; dots one below another, steps can be dropped or added for speed alone.

    Parameters
    ----------
    errors : dict of str to float
        Sets such as "4-8-16" and their errors; lower is better.
    selected : sequence of int
        The set that was taken.
    dt : float, optional
        Time between samples, for the labels of steps.
    n_sets : int, default=15
        How many of the best sets to draw; the selected one is always among them.
    name : str, optional
        Title.

    Attributes
    ----------
    sets_ : list of tuple of int
        The sets drawn, the best first.
    steps_ : list of int
        All step sizes that were tried.
    axes_ : tuple of two matplotlib Axes
        Sets, and errors.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from skts import FlowMapSimulator
    >>> from skts.datasets import make_hits_system
    >>> from skts.inspection import StepSelectionDisplay
    >>> X = make_hits_system("cubic", n_trajectories=5, n_times=300, dt=0.05, random_state=0)
    >>> model = FlowMapSimulator(dt=0.05, stepper="opinf", step_sizes=[1, 4], random_state=0).fit(X)
    >>> display = StepSelectionDisplay.from_estimator(model)
    >>> sorted(display.sets_)
    [(1,), (1, 4), (4,)]
    """

    def __init__(
        self,
        errors: Mapping[str, float],
        selected: Sequence[int],
        dt: float | None = None,
        n_sets: int = 15,
        name: str | None = None,
    ) -> None:
        if not errors:
            hint = "Fit with longer trajectories, or a larger validation_fraction."
            raise InputError("held-out errors of sets of steps", "none: no held-out window was long enough", hint)
        if n_sets < 1:
            raise InputError("n_sets of at least 1", f"{n_sets}", "Pass n_sets=15.")
        self.errors, self.selected = dict(errors), tuple(int(step) for step in selected)
        self.dt, self.n_sets, self.name = dt, n_sets, name
        by_set = {tuple(map(int, text.split("-"))): float(error) for text, error in errors.items()}
        if self.selected not in by_set:
            got = f"{list(self.selected)}, and errors of {', '.join(errors)}"
            raise InputError("a selected set that is one of those tried", got, "Pass selected_steps_ of the same fit.")
        self.steps_ = sorted({step for steps in by_set for step in steps})
        # Of equal errors the selected set comes first; what is not a number comes last.
        rank = {s: (np.nan_to_num(e, nan=np.inf), s != self.selected) for s, e in by_set.items()}
        ordered = sorted(by_set, key=rank.__getitem__)
        self.sets_ = ordered[:n_sets] if self.selected in ordered[:n_sets] else [*ordered[: n_sets - 1], self.selected]
        self._error = [by_set[steps] for steps in self.sets_]

    @classmethod
    def from_estimator(cls, estimator: Any, *, n_sets: int = 15, ax: Any = None) -> Self:
        """Draw the choice that a fitted simulator made.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``selection_errors_`` and ``selected_steps_``, such as FlowMapSimulator.
        n_sets : int, default=15
            How many of the best sets to draw.
        ax : sequence of two matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        StepSelectionDisplay
            The display.

        Raises
        ------
        InputError
            If there were no held-out windows to choose by.
        """
        check_is_fitted(estimator)
        name = type(estimator).__name__
        return cls(estimator.selection_errors_, estimator.selected_steps_, estimator.dt, n_sets, name).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into a pair of axes, or into a new figure.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, optional
            Where to draw: sets, and errors.

        Returns
        -------
        StepSelectionDisplay
            The display itself.

        Raises
        ------
        InputError
            If ``ax`` is not a pair.
        """
        if ax is None:
            ax = side_by_side(width=7.0, height=1.6 + 0.24 * len(self.sets_))
            ax[0].get_gridspec().set_width_ratios([0.6 + 0.25 * len(self.steps_), 3.5])
        if np.size(ax) != 2:
            raise InputError("a pair of axes", f"{np.size(ax)} of them", "Pass ax=plt.subplots(1, 2)[1], or None.")
        self.axes_ = left, right = tuple(np.ravel(ax))
        self.figure_ = left.figure
        self._plot_cells(left)
        self._plot_errors(right)
        for axis in self.axes_:
            axis.set_ylim(len(self.sets_) - 0.5, -0.5)
            axis.axhspan(self._chosen - 0.5, self._chosen + 0.5, color=TRUTH, alpha=0.1, linewidth=0, zorder=0)
        tried = f"{len(self.errors)} set{'s' * (len(self.errors) > 1)} of steps tried"
        drawn = f", {len(self.sets_)} drawn" if len(self.sets_) < len(self.errors) else ""
        right.set_title(f"{tried}{drawn}", loc="left", fontsize="small")
        left.set_title(self.name or "", loc="left", fontsize="medium")
        return self

    @property
    def _chosen(self) -> int:
        return self.sets_.index(self.selected)

    def _colors(self) -> list[str]:
        return [TRUTH if steps == self.selected else ACCENT for steps in self.sets_]

    def _plot_cells(self, ax: Any) -> None:
        place = {step: i for i, step in enumerate(self.steps_)}
        for row, (steps, color) in enumerate(zip(self.sets_, self._colors(), strict=True)):
            inside = np.isin(self.steps_, steps)
            ax.scatter(
                np.arange(len(place)), np.full(len(place), row), s=46, marker="s", c=np.where(inside, color, "#e8e8e8")
            )
        each = "" if self.dt is None else f" of {self.dt:g}"
        ax.set(xlim=(-0.6, len(place) - 0.4), xlabel=f"step (samples{each})", yticks=[])
        ax.set_xticks(range(len(place)), self.steps_, fontsize="small")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)

    def _plot_errors(self, ax: Any) -> None:
        errors = np.array(self._error)
        finite = errors[np.isfinite(errors)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        if logarithmic := 0 < _WIDE * low < high:
            ax.set_xscale("log")
            left, right = low * (low / high) ** 0.1, high * (high / low) ** 0.3
        else:
            left, right = min(0.0, low), 1.3 * high or 1.0
        rows, at = np.arange(len(errors)), np.where(np.isfinite(errors), errors, left)
        ax.scatter(errors, rows, s=42, color=self._colors(), zorder=3)
        ax.hlines(rows, left, at, color=MUTED, linewidth=0.8, zorder=1)
        for row, error in enumerate(errors):
            text = f"{error:.3g}" + ("  selected" if row == self._chosen else "")
            style = {"color": TRUTH, "fontweight": "bold"} if row == self._chosen else {}
            ax.annotate(
                text, (at[row], row), (7, 0), textcoords="offset points", va="center", fontsize="small", **style
            )
        scale = ", logarithmic" if logarithmic else ""
        ax.set(xlabel=f"held-out error (lower is better{scale})", yticks=[], xlim=(left, right))
        tidy(ax)
        ax.spines["left"].set_visible(False)
        ax.grid(visible=False, axis="y")
        ax.grid(axis="x", alpha=0.25, linewidth=0.6)
