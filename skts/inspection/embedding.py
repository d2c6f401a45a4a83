"""EmbeddingDisplay: a map of windows or series, coloured by what is known of them, with the path of time."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.projections import PROJECTIONS, check_projection, project, standardised
from skts.inspection.style import MUTED, new_axes, tidy
from skts.inspection.windows import cut, embed, labels_of
from skts.metrics.probes import is_factor

__all__ = ["EmbeddingDisplay"]

_MOST_LABELS = 12


class EmbeddingDisplay:
    """A map of an embedding, coloured by label, factor or time, with the windows joined in the order of time.

    Use it for a first look or a page of print; :func:`explore` writes a page on which map and series are linked.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        The map.
    y : ndarray of shape (n,), optional
        Labels or a factor (floating-point numbers with fractions); without it the colour is the order of time.
    path : bool, default=False
        Join the points in their order.
    name : str, optional
        Title.
    y_name : str, default="label"
        What y is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts import MomentEmbedder
    >>> from skts.datasets import make_annotated_series
    >>> from skts.inspection import EmbeddingDisplay
    >>> series, y = make_annotated_series("regimes", 1200, random_state=0)
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> model = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0).fit(series[None, None])
    >>> display = EmbeddingDisplay.from_estimator(model, series, y, window=96)
    >>> display.points.shape, display.ax_.get_xlabel()
    ((24, 2), 'PCA 1')
    """

    def __init__(
        self,
        points: np.ndarray,
        y: np.ndarray | None = None,
        path: bool = False,
        name: str | None = None,
        y_name: str = "label",
    ) -> None:
        points = np.asarray(points)
        if points.ndim != 2 or points.shape[1] != 2 or (y is not None and len(y) != len(points)):
            got = f"shape {points.shape}" + ("" if y is None else f" and {len(y)} labels")
            raise InputError("points of shape (n, 2), and a label for each", got, "Project the embedding first.")
        self.points, self.y, self.path = points, None if y is None else np.asarray(y), path
        self.name, self.y_name = name, y_name
        self._axis = "map"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        window: int | None = None,
        stride: int | None = None,
        projection: str = "pca",
        path: bool | None = None,
        label_by: str = "majority",
        random_state: int = 0,
        ax: Any = None,
    ) -> Self:
        """Embed, project and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer, such as MomentEmbedder.
        X : array-like
            With ``window``, one long series (T,) or (C, T); otherwise a panel (n, T) or (n, C, T), or a list of series.
        y : array-like, optional
            Labels or a factor: for a series one value per step, for a panel one per series.
        window : int, optional
            Steps of a window.
        stride : int, optional
            Steps from a window to the next; half a window by default.
        projection : {"pca", "tsne", "umap"}, default="pca"
            How the map is made, of standardised features. "umap" needs umap-learn.
        path : bool, optional
            Join the points in the order of time; by default where X is one series.
        label_by : {"majority", "event"}, default="majority"
            Which label of its steps a window has: the most frequent one; or, for rare events shorter than a window, one
            that differs from the usual label, if there is any.
        random_state : int, default=0
            Seed of the projection.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        EmbeddingDisplay
            The display.

        Raises
        ------
        InputError
            If the shapes do not fit, there are fewer than 8 windows, or the projection is not there.
        """
        check_is_fitted(estimator)
        check_projection(projection)
        windows = cut(X, window, stride)
        points = project(standardised(embed(estimator, windows)), projection, random_state)
        label = None if y is None else labels_of(windows, y, label_by)
        what = f"{len(windows)} series" if window is None else f"{len(windows)} windows of {window} steps"
        joined = window is not None if path is None else path
        display = cls(points, label, joined, f"{type(estimator).__name__}, {what}")
        display._axis = PROJECTIONS[projection]
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        EmbeddingDisplay
            The display itself.
        """
        self.ax_ = ax = new_axes(width=6.0, height=4.8)[0] if ax is None else ax
        self.figure_ = ax.figure
        if self.path:
            ax.plot(*self.points.T, color=MUTED, linewidth=0.6, alpha=0.45, zorder=1)
        if self.y is not None and not is_factor(self.y) and len(np.unique(self.y)) <= _MOST_LABELS:
            self._plot_labels()
        else:
            values = np.arange(len(self.points)) if self.y is None else np.unique(self.y, return_inverse=True)[1]
            if self.y is not None and self.y.dtype.kind in "fiu":
                values = self.y
            dots = ax.scatter(*self.points.T, c=values, s=16, cmap="viridis", linewidths=0, zorder=2)
            self.figure_.colorbar(dots, ax=ax, label="order of time" if self.y is None else self.y_name)
        ax.set(xlabel=f"{self._axis} 1", ylabel=f"{self._axis} 2", xticks=[], yticks=[])
        ax.set_title(self.name or "", loc="left", fontsize="medium")
        tidy(ax)
        return self

    def _plot_labels(self) -> None:
        from matplotlib import colormaps

        classes = np.unique(self.y)
        colors = colormaps["tab10" if len(classes) <= 10 else "tab20"].colors
        for label, color in zip(classes, colors, strict=False):
            self.ax_.scatter(
                *self.points[self.y == label].T, s=16, color=color, linewidths=0, zorder=2, label=str(label)
            )
        self.ax_.legend(
            title=self.y_name, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )
