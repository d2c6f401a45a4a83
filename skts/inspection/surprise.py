"""SurpriseDisplay: which numbers of a sample are odd."""

from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.mosaic import as_images, mosaic, show_rows
from skts.inspection.style import DIVERGING, SEQUENTIAL, new_axes
from skts.inspection.wording import shorten

__all__ = ["SurpriseDisplay"]

_CLEAR = 12.0  # nats, once in 160,000: more is drawn as that, so that one extreme does not hide the rest
_MOST = {"table": 30, "series": 4, "image": 10}  # samples that can be read in one picture


class SurpriseDisplay:
    """How surprising each number of a few samples is: of rows, windows or images.

    Densities of real numbers have units: what is in millimetres looks more surprising than what is in metres. With a
    reference, what is usual in each place is taken off, and places can be compared.

    Parameters
    ----------
    surprise : ndarray of shape (n, d), (n, T, C), (n, H, W) or (n, H, W, C)
        Nats of each number.
    samples : ndarray of the same shape, optional
        The samples; images and windows are drawn beside their surprise.
    layout : {"table", "series", "image"}, default="table"
        What a sample is.
    feature_names : sequence of length d or C, optional
        Names of the columns or channels.
    relative : bool, default=False
        Whether the usual surprise of each place has been taken off.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FractalSampler
    >>> from skts.inspection import SurpriseDisplay
    >>> X = np.repeat(np.random.default_rng(0).normal(size=(200, 1)), 3, axis=1)  # three sensors of one quantity
    >>> X += 0.1 * np.random.default_rng(1).normal(size=X.shape)
    >>> model = FractalSampler(generator=None, random_state=0).fit(X)
    >>> X[0, 1] += 2.0  # one of them fails
    >>> display = SurpriseDisplay.from_estimator(model, X[:5], reference=X[5:])
    >>> bool(display.surprise[0].max() > 10 > display.surprise[1:].max())
    True
    """

    def __init__(
        self,
        surprise: np.ndarray,
        samples: np.ndarray | None = None,
        layout: str = "table",
        feature_names: Any = None,
        relative: bool = False,
    ) -> None:
        self.surprise, self.samples, self.layout = surprise, samples, layout
        self.feature_names, self.relative = feature_names, relative

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, reference: Any = None, feature_names: Any = None, ax: Any = None
    ) -> Self:
        """Draw the surprise of the numbers of a few samples.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``score_slots`` and ``layout_``, such as FractalSampler.
        X : array-like of shape (n_samples, ...)
            At most 30 rows, 4 windows or 10 images.
        reference : array-like of shape (n_reference, ...), optional
            Samples whose mean surprise is what is usual in each place, for instance those of training.
        feature_names : sequence, optional
            Names of the columns of a table or of the channels of windows; by default those of ``fit``.
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw: two for each window, else one.

        Returns
        -------
        SurpriseDisplay
            The display.

        Raises
        ------
        InputError
            If there are more samples than can be read.
        """
        layout, most = estimator.layout_, _MOST[estimator.layout_]
        if len(X) > most:
            raise InputError(f"at most {most} samples of a {layout}", f"{len(X)}", f"Pass X[:{most}].")
        surprise = estimator.score_slots(X)
        if reference is not None:
            surprise = surprise - estimator.score_slots(reference).mean(0)
        names = getattr(estimator, "feature_names_in_", None) if feature_names is None else feature_names
        samples = None if layout == "table" else np.asarray(X, dtype=np.float64)
        return cls(surprise, samples, layout, names, reference is not None).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw: two for each window (its lines, each scaled by its range, and their surprise), else one.

        Returns
        -------
        SurpriseDisplay
            The display itself.
        """
        draw = {"table": self._plot_rows, "series": self._plot_windows, "image": self._plot_images}[self.layout]
        self.axes_ = np.atleast_1d(self._new_axes() if ax is None else ax)
        drawn = draw()
        self.figure_ = self.axes_[0].figure
        what = "surprise above the usual (nats)" if self.relative else "surprise (nats)"
        self.figure_.colorbar(drawn, ax=list(self.axes_), label=what, extend="max", fraction=0.05, pad=0.02)
        return self

    def _new_axes(self) -> Any:
        n = len(self.surprise)
        if self.layout == "series":
            return new_axes(2 * n, height=1.3 if self.surprise.shape[2] < 8 else 2.0)
        if self.layout == "image":
            return new_axes(width=1.2 * n + 1.2, height=3.0)
        return new_axes(width=min(12.0, 3.0 + 0.5 * self.surprise.shape[1]), height=1.4 + 0.28 * n)

    def _colors(self) -> dict[str, Any]:
        """White is what is usual, or no surprise at all."""
        high = min(_CLEAR, max(float(np.nanquantile(np.abs(self.surprise), 0.995)), 1e-6))
        if self.relative or np.nanmin(self.surprise) < 0:
            return {"cmap": f"{DIVERGING}_r", "vmin": -high, "vmax": high}
        return {"cmap": SEQUENTIAL, "vmin": 0.0, "vmax": high}

    def _plot_rows(self) -> Any:
        ax = self.axes_[0]
        drawn = ax.imshow(self.surprise, aspect="auto", interpolation="nearest", **self._colors())
        names = self._names(self.surprise.shape[1])
        ax.set_xticks(range(len(names)), [shorten(name, 18) for name in names], rotation=45, ha="right")
        ax.set_yticks(range(len(self.surprise)))
        ax.set_ylabel("row")
        return drawn

    def _plot_windows(self) -> Any:
        names = self._names(self.surprise.shape[2])
        low, high = np.nanmin(self.samples, axis=(0, 1)), np.nanmax(self.samples, axis=(0, 1))
        scaled = (self.samples - low) / np.where(high > low, high - low, 1.0)  # units differ from channel to channel
        for i, (surprise, window) in enumerate(zip(self.surprise, scaled, strict=True)):
            lines, heat = self.axes_[2 * i : 2 * i + 2]
            for channel, name in enumerate(names):
                lines.plot(window[:, channel], linewidth=1.2, label=shorten(name, 18))
            lines.set_xlim(-0.5, len(window) - 0.5)
            lines.spines[["top", "right"]].set_visible(False)
            lines.set_ylabel(f"window {i}")
            lines.tick_params(labelbottom=False, left=False, labelleft=False)
            drawn = heat.imshow(surprise.T, aspect="auto", interpolation="nearest", **self._colors())
            heat.set_yticks(range(len(names)), [shorten(name, 18) for name in names], fontsize="small")
        if len(names) < 8:
            self.axes_[0].legend(frameon=False, ncols=4, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))
        self.axes_[-1].set_xlabel("step")
        return drawn

    def _plot_images(self) -> Any:
        images = as_images(self.samples)
        surprise = self.surprise if self.surprise.ndim == 3 else self.surprise.mean(3)
        colors, n = self._colors(), len(images)
        rows = [
            (mosaic(images, n), np.nanmin(images), np.nanmax(images), "gray_r"),
            (mosaic(surprise, n), colors["vmin"], colors["vmax"], colors["cmap"]),
        ]
        return show_rows(self.axes_[0], rows)[1]

    def _names(self, n: int) -> list[str]:
        return [f"x{i}" for i in range(n)] if self.feature_names is None else list(self.feature_names)
