"""The report: how readable an embedding and its map are, before and after, by window length and preprocessing."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.preprocessing import named_changes
from skts.inspection.projections import check_projection, project, standardised
from skts.inspection.readability import MEASURES, measure_map, measure_space
from skts.inspection.style import ACCENT, MUTED, PAST, TRUTH, new_axes, side_by_side, tidy
from skts.inspection.windows import Windows, cut, embed, labels_of

__all__ = ["InterpretabilityDisplay", "interpretability_report"]

_SETTINGS = ["model", "preprocessing", "window"]


def interpretability_report(
    models: Any,
    X: Any,
    y: Any = None,
    *,
    window: Any = None,
    stride: int | None = None,
    preprocessing: Any = "raw",
    projection: str = "pca",
    n_neighbors: int = 10,
    n_seeds: int = 3,
    label_by: str = "majority",
    max_windows: int = 1500,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure how readable the latent spaces of some models are, and the maps that are drawn of them.

    Run it before believing a picture, and before and after fine-tuning: a lower loss does not make a space readable.
    Sweep the window first; of all settings it often matters most.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Fitted transformers, for instance {"before": ..., "after": ...}. For a window sweep they must take series of
        any length, as MomentEmbedder does.
    X : array-like
        With ``window``, one long series (T,) or (C, T); otherwise a panel (n, T) or (n, C, T), or a list of series.
    y : array-like, optional
        What should be readable: for a series one value per step, for a panel one per series. Labels of any type, or
        a factor (floating-point numbers with fractions), of which a window has the mean.
    window : int or list of int, optional
        Steps of a window, or several to compare.
    stride : int, optional
        Steps from a window to the next; half a window by default.
    preprocessing : str, list of str or dict of str to callable, default="raw"
        What is done to each window first: "raw", "normalise", "detrend", "difference", "channel 0" (the others are
        then missing values), or functions of an array (n, C, window).
    projection : {"pca", "tsne", "umap"}, default="pca"
        The map. "umap" needs umap-learn.
    n_neighbors : int, default=10
        Size of a neighbourhood; at most a quarter of the windows.
    n_seeds : int, default=3
        Maps with different seeds for "tsne" and "umap": the measures are means over them.
    label_by : {"majority", "event"}, default="majority"
        Which label of its steps a window has: the most frequent one; or, for rare events shorter than a window, one
        that differs from the usual label, if there is any.
    max_windows : int, default=1500
        More are thinned out evenly.
    random_state : int, default=0
        The first of the seeds.

    Returns
    -------
    pandas.DataFrame
        One row for each measure: model, preprocessing, window, n_windows, space ("embedding" or "map"), measure, value,
        low, high (a 95 % interval) and better ("higher" or "lower"). :class:`InterpretabilityDisplay` draws it.

    Raises
    ------
    InputError
        If the shapes do not fit, there are fewer than 8 windows, or an option is not known.

    Notes
    -----
    Features are standardised. Neighbours do not count, and probes are not trained on, where windows overlap. Intervals
    of measures that are means are bootstrap intervals over stretches of two windows; those of the others leave out an
    eighth of the series at a time. They speak of the windows, not of other seeds of a training.

    Examples
    --------
    >>> from skts import MomentEmbedder
    >>> from skts.datasets import make_annotated_series
    >>> from skts.inspection import interpretability_report
    >>> series, y = make_annotated_series("regimes", 1200, random_state=0)
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> model = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0).fit(series[None, None])
    >>> report = interpretability_report(model, series, y, window=[12, 96])
    >>> report["window"].unique().tolist()
    [12, 96]
    >>> report.query("window == 96 and space == 'map'")["measure"].tolist()[:3]
    ['trustworthiness', 'continuity', 'local continuity']
    """
    check_projection(projection)
    named = _named(models)
    changes = named_changes(preprocessing)
    seeds = [random_state] if projection == "pca" else [random_state + i for i in range(max(n_seeds, 1))]
    rows: list[dict[str, Any]] = []
    for size in [None] if window is None else np.atleast_1d(window).tolist():
        windows = cut(X, size, stride, max_windows)
        target = None if y is None else labels_of(windows, y, label_by)
        for change_name, change in changes.items():
            values = _changed(windows, change)
            for name, model in named.items():
                about = {"model": name, "preprocessing": change_name, "window": size, "n_windows": len(windows)}
                Z = standardised(embed(model, windows, values))
                for row in _rows(Z, [project(Z, projection, seed) for seed in seeds], windows, target, n_neighbors):
                    rows.append({**about, **row})
    return pd.DataFrame(rows)


def report_on(
    embeddings: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    windows: Windows,
    y: np.ndarray | None,
    n_neighbors: int = 10,
) -> pd.DataFrame:
    """The report of embeddings and maps that are there already, by name of the model."""
    rows = []
    for name, Z in embeddings.items():
        about = {"model": name, "preprocessing": "raw", "window": windows.window, "n_windows": len(windows)}
        rows += [{**about, **row} for row in _rows(standardised(Z), [maps[name]], windows, y, n_neighbors)]
    return pd.DataFrame(rows)


def _rows(
    Z: np.ndarray, maps: list[np.ndarray], windows: Windows, y: np.ndarray | None, n_neighbors: int
) -> Iterator[dict[str, Any]]:
    for space, found in (
        ("embedding", measure_space(Z, windows, y, n_neighbors)),
        ("map", measure_map(Z, maps, windows, y, n_neighbors)),
    ):
        for measured in found:
            yield {"space": space, **measured._asdict(), "better": MEASURES[measured.measure][0]}


def _changed(windows: Windows, change: Any) -> Any:
    if isinstance(windows.values, list):
        return [change(part[None])[0] for part in windows.values]
    return change(windows.values)


def _named(models: Any) -> dict[str, Any]:
    named = dict(models) if isinstance(models, Mapping) else {type(models).__name__: models}
    if not named:
        raise InputError("at least one model", "none", "Pass a fitted transformer, or a dict of names to them.")
    for model in named.values():
        check_is_fitted(model)
    return named


class InterpretabilityDisplay:
    """The report as a picture: measures with their intervals side by side, or over the window length.

    Parameters
    ----------
    report : pandas.DataFrame
        From :func:`interpretability_report`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Measures of which a higher value is better, and those of which a lower one is; or one for each measure.
    figure_ : matplotlib Figure
        Its figure.
    table_ : pandas.DataFrame
        Values, a row for each space and measure, a column for each setting.

    Examples
    --------
    >>> from skts import MomentEmbedder
    >>> from skts.datasets import make_factor_panel
    >>> from skts.inspection import InterpretabilityDisplay
    >>> X, y = make_factor_panel("frequency", n_series=40, n_timepoints=128, random_state=0)
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> model = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0).fit(X)
    >>> display = InterpretabilityDisplay.from_estimator(model, X, y)
    >>> display.table_.index.get_level_values("measure").tolist()
    ['probe R2', 'trustworthiness', 'continuity', 'local continuity']
    """

    def __init__(self, report: pd.DataFrame) -> None:
        self.report = report
        settings = [name for name in _SETTINGS if report[name].nunique(dropna=False) > 1] or ["model"]
        self._settings = settings
        order = report[["space", "measure"]].drop_duplicates()
        table = report.pivot_table(index=["space", "measure"], columns=settings, values="value", sort=False)
        self.table_ = table.reindex(pd.MultiIndex.from_frame(order))

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, axes: Any = None, **options: Any) -> Self:
        """Measure and draw.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            See :func:`interpretability_report`.
        X : array-like
            See :func:`interpretability_report`.
        y : array-like, optional
            See :func:`interpretability_report`.
        axes : pair of matplotlib Axes, optional
            Where to draw.
        **options : dict
            Further arguments of :func:`interpretability_report`.

        Returns
        -------
        InterpretabilityDisplay
            The display; ``report`` holds the numbers.
        """
        return cls(interpretability_report(estimator, X, y, **options)).plot(axes=axes)

    def plot(self, axes: Any = None) -> Self:
        """Draw into ``axes``, or into a new figure.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            Two; for a report over several windows, one for each measure.

        Returns
        -------
        InterpretabilityDisplay
            The display itself.
        """
        if self.report["window"].nunique() > 1:
            self._plot_over_windows(axes)
        else:
            self._plot_side_by_side(axes)
        self.figure_ = self.axes_[0].figure
        return self

    def _plot_side_by_side(self, axes: Any) -> None:
        groups = list(self.report.groupby([*self._settings], sort=False))
        height = 1.2 + 0.32 * len(self.table_)
        self.axes_ = np.asarray(side_by_side(11.0, height) if axes is None else axes)
        for ax, better in zip(self.axes_, ("higher", "lower"), strict=True):
            shown = self.report[self.report["better"] == better]
            rows = list(dict.fromkeys(zip(shown["space"], shown["measure"], strict=True)))
            for number, (key, group) in enumerate(groups):
                found = group.set_index(["space", "measure"]).reindex(rows)
                place = np.arange(len(rows)) + 0.24 * (number - (len(groups) - 1) / 2) / max(len(groups) - 1, 1)
                _dots(ax, found, place, _COLORS[number % len(_COLORS)], " ".join(str(k) for k in key))
            ax.set_yticks(range(len(rows)), [f"{measure}, {space}" for space, measure in rows], fontsize="small")
            ax.set_ylim(len(rows) - 0.4, -0.6)
            ax.set_xlabel(f"{better} is better")
            ax.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
            tidy(ax)
        if len(groups) > 1:
            self.axes_[0].figure.legend(*self.axes_[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)

    def _plot_over_windows(self, axes: Any) -> None:
        names = self.report["measure"].drop_duplicates().tolist()
        others = [name for name in self._settings if name != "window"] or ["model"]
        if axes is None:
            figure = new_axes(rows=-(-len(names) // 2), width=10.0, height=2.1)[0].figure
            figure.clear()
            axes = figure.subplots(-(-len(names) // 2), 2).ravel()
            for ax in axes[len(names) :]:
                ax.remove()
        self.axes_ = np.asarray(axes)[: len(names)]
        for ax, name in zip(self.axes_, names, strict=True):
            shown = self.report[self.report["measure"] == name]
            for number, (key, group) in enumerate(self.report.groupby(others, sort=False)):
                for space, style in (("embedding", "-"), ("map", "--")):
                    found = shown.loc[shown.index.intersection(group.index)].query("space == @space")
                    if len(found):
                        label = " ".join([*map(str, key), f"({space})"])
                        color = _COLORS[number % len(_COLORS)]
                        ax.plot(found["window"], found["value"], style, marker="o", ms=4, color=color, label=label)
                        ax.fill_between(found["window"], found["low"], found["high"], color=color, alpha=0.1, lw=0)
            ax.set_title(f"{name} ({MEASURES[name][0]} is better)", loc="left", fontsize="medium")
            ax.set_xscale("log", base=2)
            sizes = sorted(self.report["window"].unique())
            ax.set_xticks(sizes, [str(size) for size in sizes])
            ax.minorticks_off()
            tidy(ax)
        for ax in self.axes_[-2:]:
            ax.set_xlabel("steps of a window")
        most = max(self.axes_, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
        self.axes_[0].figure.legend(
            *most.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize="small"
        )


_COLORS = (MUTED, ACCENT, TRUTH, PAST, "#009e73", "#cc79a7")


def _dots(ax: Any, found: pd.DataFrame, place: np.ndarray, color: str, label: str) -> None:
    value = found["value"].to_numpy()
    low, high = (np.where(np.isfinite(found[side]), found[side], value) for side in ("low", "high"))
    ax.hlines(place, low, high, color=color, linewidth=1.4)
    ax.plot(value, place, "o", color=color, markersize=5, label=label)
