"""SpeedAccuracyDisplay: solvers and a surrogate by time and error, and whether training pays."""

import itertools
import math
import textwrap
from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.style import ACCENT, MUTED, PAST, TRUTH, new_axes, tidy
from skts.inspection.wording import shorten

__all__ = ["SpeedAccuracyDisplay"]

_NEEDED = {"error", "seconds", "good_enough", "speedup", "runs_to_pay"}
_SURROGATE = "surrogate"
_LINE = 64
_FEW_DECADES = 200.0
_MARK = 6  # half the size of a point, pixels
_PLACES = [(1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1)]  # beside a point, in the order tried


class SpeedAccuracyDisplay:
    """What accuracy costs: one point for each solver and one for the surrogate, lower and further left is better.

    A surrogate is of use below all solvers on the accurate side of the tolerance. The title says how much faster it is
    than the cheapest of those, and after how many runs that has paid for the training.

    Parameters
    ----------
    table : pandas.DataFrame
        As :meth:`FlowMapSimulator.speedup <skts.FlowMapSimulator.speedup>` gives it, with its ``attrs``.

    Attributes
    ----------
    tol_ : float
        Largest error that is of use, in spreads of the reference.
    cheapest_ : str or None
        The cheapest solver that is good enough.
    sentence_ : str
        What the table means.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts import FlowMapSimulator
    >>> from skts.datasets import kuramoto_sivashinsky_solver, make_kuramoto_sivashinsky
    >>> from skts.inspection import SpeedAccuracyDisplay
    >>> X = make_kuramoto_sivashinsky(n_trajectories=3, n_times=200, random_state=0)
    >>> model = FlowMapSimulator(dt=0.25, stepper="opinf", n_components=8, random_state=0).fit(X[:2])
    >>> solvers = {f"step {h:g}": kuramoto_sivashinsky_solver(h) for h in (0.05, 0.25)}
    >>> display = SpeedAccuracyDisplay.from_estimator(model, solvers, X[2, :1], horizon=5.0)
    >>> list(display.table.index)
    ['step 0.05', 'step 0.25', 'surrogate']
    """

    def __init__(self, table: Any) -> None:
        missing = sorted(_NEEDED - set(getattr(table, "columns", ())))
        if not missing:
            there = {f"row {_SURROGATE!r}": _SURROGATE in table.index, "attrs['tol']": "tol" in table.attrs}
            missing = [name for name, found in there.items() if not found]
        if missing:
            got = f"{type(table).__name__} without {', '.join(missing)}"
            raise InputError("the table of speedup", got, "Pass it as it came: some operations of pandas drop attrs.")
        self.table, self.tol_ = table, float(table.attrs["tol"])
        solvers = table.drop(index=_SURROGATE)
        useful = solvers.loc[solvers["good_enough"].astype(bool), "seconds"].astype(float)
        self.cheapest_ = useful.idxmin() if len(useful) else None
        self.sentence_ = self._say()

    @classmethod
    def from_table(cls, table: Any, *, ax: Any = None) -> Self:
        """Draw a table that was measured before.

        Parameters
        ----------
        table : pandas.DataFrame
            From :meth:`FlowMapSimulator.speedup <skts.FlowMapSimulator.speedup>`.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        SpeedAccuracyDisplay
            The display.

        Raises
        ------
        InputError
            If it is not such a table.
        """
        return cls(table).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, solvers: Any, x0: Any, horizon: float, tol: float | None = None, *, ax: Any = None
    ) -> Self:
        """Measure, and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``speedup``, such as FlowMapSimulator.
        solvers : callable or dict of str to callable
            ``solver(x0, dt, n_steps)`` gives states (n_traj, n_steps + 1, d); the first one is the reference.
        x0 : array-like of shape (n_traj, d)
            Starts; a batch, where simulations come in batches.
        horizon : float
            Time to simulate.
        tol : float, optional
            Largest useful error, in spreads of the reference; None takes the surrogate's own.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        SpeedAccuracyDisplay
            The display; ``table`` holds the numbers.

        Raises
        ------
        InputError
            If the horizon is shorter than a sample, or a solver gives another shape.
        """
        return cls(estimator.speedup(solvers, x0, horizon, tol)).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        SpeedAccuracyDisplay
            The display itself.
        """
        self.ax_ = ax = new_axes(width=6.4, height=4.4)[0] if ax is None else ax
        self.figure_ = ax.figure
        error, seconds = (self.table[column].to_numpy(dtype=float) for column in ("error", "seconds"))
        place, limits = self._positions(error)
        room = 10 ** (0.15 * max(np.log10(seconds.max() / seconds.min()), 1.0))
        ax.set(xscale="log", yscale="log", xlim=limits, ylim=(seconds.min() / room, seconds.max() * room**1.8))
        ax.set_title(textwrap.fill(self.sentence_, _LINE), loc="left", fontsize="medium")
        n = self.table.attrs.get("n_trajectories")
        what = "" if n is None else f" for {n} trajector{'y' if n == 1 else 'ies'}"
        ax.set(xlabel="root mean square error (spreads of the reference)", ylabel=f"wall time{what} (s)")
        tidy(ax)
        for axis, (low, high) in ((ax.xaxis, limits), (ax.yaxis, ax.get_ylim())):
            _write_ticks(axis, high / low)
        line, said = self._plot_tolerance() if np.isfinite(self.tol_) and self.tol_ > 0 else ([], [])
        good = self.table["good_enough"].astype(bool)
        for name, x, y, e in zip(self.table.index, place, seconds, error, strict=True):
            color = TRUTH if name == _SURROGATE else ACCENT if good[name] else MUTED
            marker = "<" if e == 0 else ">" if np.isinf(e) else "D" if name == _SURROGATE else "o"
            ax.plot(x, y, marker, color=color, markersize=8, zorder=3)
        ends = {0.0: " (error 0)", np.inf: " (fails)"}
        texts = [f"{shorten(name, 34)}{ends.get(e, '')}" for name, e in zip(self.table.index, error, strict=True)]
        _label(ax, np.stack([place, seconds], 1), texts, said, line)
        return self

    def _positions(self, error: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """Where errors stand on a logarithmic axis: 0 at its left end, infinite ones at its right."""
        inside = np.append(error, self.tol_)
        inside = inside[np.isfinite(inside) & (inside > 0)]
        low, high = (inside.min(), inside.max()) if len(inside) else (1.0, 1.0)
        room = 10 ** (0.15 * max(np.log10(high / low), 1.0))
        place = np.where(error == 0, low / room, np.where(np.isfinite(error), error, high * room))
        return place, (low / room**2, high * room**2)

    def _plot_tolerance(self) -> tuple[list[Any], list[Any]]:
        """The line and its name."""
        own = math.isclose(self.tol_, float(self.table.loc[_SURROGATE, "error"]))
        line = self.ax_.axvline(self.tol_, color=PAST, linewidth=1.0, linestyle=(0, (4, 2)))
        self.ax_.axvspan(self.tol_, self.ax_.get_xlim()[1], color=MUTED, alpha=0.18, linewidth=0)
        said = f"tolerance {self.tol_:.2g}" + (",\nthe surrogate's own" if own else "")
        place = {"textcoords": "offset points", "xycoords": self.ax_.get_xaxis_transform(), "ha": "right", "va": "top"}
        return [line], [self.ax_.annotate(said, (self.tol_, 1.0), (-4, -2), color=PAST, fontsize="small", **place)]

    def _say(self) -> str:
        row = self.table.loc[_SURROGATE]
        if not row["good_enough"]:
            return (
                f"The surrogate is not accurate enough: its error of {row['error']:.2g} is above the tolerance of "
                f"{self.tol_:.2g}. Training never pays."
            )
        if self.cheapest_ is None:
            return "No solver is accurate enough: there is nothing to compare with."
        ratio, runs = float(row["speedup"]), float(row["runs_to_pay"])
        rival = f'"{self.cheapest_}", the cheapest solver that is accurate enough'
        if not math.isfinite(runs):
            return f"The surrogate takes {_times(1 / ratio)} times as long as {rival}: training never pays."
        n, spent = self.table.attrs.get("n_trajectories"), self.table.attrs.get("fit_seconds")
        training = "training" if spent is None else f"training of {spent:.3g} s"
        of = "" if n is None else f" of {n} trajector{'y' if n == 1 else 'ies'}"
        runs = math.ceil(runs)
        many = f"{runs:,} run{'s' * (runs != 1)}{of}"
        return f"The surrogate is {_times(ratio)} times as fast as {rival}: the {training} has paid after {many}."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1.05 else f"{ratio:.3f}"


def _write_ticks(axis: Any, ratio: float) -> None:
    """More than one number, and plain ones, on an axis that spans few decades."""
    from matplotlib import ticker

    if ratio < _FEW_DECADES:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _label(ax: Any, points: np.ndarray, texts: list[str], words: list[Any], lines: list[Any]) -> None:
    """Names beside points, each where it is in nobody's way: worst is the edge, then words and points, then lines."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    halo = [withStroke(linewidth=2.5, foreground="white")]
    if hasattr(ax.figure, "draw_without_rendering"):  # a figure inside a figure has none
        ax.figure.draw_without_rendering()  # after which sizes in pixels are known
    boxes = [note.get_window_extent() for note in words]
    boxes += [Bbox([at - _MARK, at + _MARK]) for at in ax.transData.transform(points)]
    crossed = [line.get_window_extent() for line in lines]
    inside = ax.get_window_extent()

    def cost(note: Any) -> int:
        box = note.get_window_extent().padded(2)
        beyond = sum(not inside.contains(*corner) for corner in (box.min, box.max))
        return 4 * beyond + 2 * box.count_overlaps(boxes) + box.count_overlaps(crossed)

    for point, text in zip(points, texts, strict=True):
        note = ax.annotate(text, point, (0, 0), textcoords="offset points", fontsize="small", path_effects=halo)
        note.set_in_layout(False)  # it stands inside the axes: making room for it would move what was measured
        found = []
        for far, (right, up) in itertools.product((9, 18, 27), _PLACES):
            _move(note, far * right, far * up)
            found.append((cost(note), far, right, up))
            if not found[-1][0]:
                break
        _, far, right, up = min(found, key=lambda trial: trial[0])
        _move(note, far * right, far * up)
        boxes.append(note.get_window_extent())


def _move(note: Any, right: int, up: int) -> None:
    note.set(position=(right, up), ha=("center", "left", "right")[np.sign(right)])
    note.set_va(("center", "bottom", "top")[np.sign(up)])
