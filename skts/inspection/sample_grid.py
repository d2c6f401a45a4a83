"""SampleGridDisplay: drawn images beside real ones."""

from typing import Any, Self

import numpy as np

from skts.inspection.mosaic import as_images, mosaic, show_mosaic
from skts.inspection.style import new_axes, side_by_side

__all__ = ["SampleGridDisplay"]


class SampleGridDisplay:
    """Images that a model has drawn, beside as many real ones.

    Parameters
    ----------
    drawn : array-like of shape (n, H, W) or (n, H, W, C)
        Drawn images.
    real : array-like of shape (m, H, W) or (m, H, W, C), optional
        Real ones.
    columns : int, optional
        Images in a row; by default as many as rows.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
        Real images, then drawn ones; the latter alone where ``real`` is None.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FractalSampler
    >>> from skts.inspection import SampleGridDisplay
    >>> X = np.random.default_rng(0).integers(0, 2, size=(60, 4, 4))
    >>> model = FractalSampler(layout="image", mixture=None, max_epochs=1, dims=32, depths=1, random_state=0).fit(X)
    >>> display = SampleGridDisplay.from_estimator(model, X, n_samples=9, random_state=0)
    >>> display.drawn.shape, display.real.shape
    ((9, 4, 4), (9, 4, 4))
    """

    def __init__(self, drawn: Any, real: Any = None, columns: int | None = None) -> None:
        self.drawn = as_images(drawn, "drawn")
        self.real = None if real is None else as_images(real, "real")
        self.columns = columns

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        n_samples: int = 36,
        columns: int | None = None,
        random_state: Any = None,
        ax: Any = None,
        **sample: Any,
    ) -> Self:
        """Draw samples, and as many of X at random.

        Parameters
        ----------
        estimator : estimator
            Fitted on images, with ``sample``, such as FractalSampler.
        X : array-like of shape (n, H, W) or (n, H, W, C), optional
            Real images.
        n_samples : int, default=36
            How many of either.
        columns : int, optional
            Images in a row; by default as many as rows.
        random_state : int, RandomState or None, default=None
            Seed of both choices.
        ax : matplotlib Axes or sequence of two, optional
            Where to draw.
        **sample : dict
            What else ``sample`` takes, such as ``y`` or ``temperature``.

        Returns
        -------
        SampleGridDisplay
            The display.
        """
        drawn = estimator.sample(n_samples, random_state=random_state, **sample)
        if X is not None:
            X = np.asarray(X)
            chosen = np.random.default_rng(random_state if isinstance(random_state, int) else None)
            X = X[chosen.permutation(len(X))[:n_samples]]
        return cls(drawn, X, columns).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of two, optional
            Where to draw; two where there are real images.

        Returns
        -------
        SampleGridDisplay
            The display itself.
        """
        panels = {"drawn": self.drawn} if self.real is None else {"real": self.real, "drawn": self.drawn}
        low, high = (bound([bound(images) for images in panels.values()]) for bound in (np.nanmin, np.nanmax))
        grids = {name: mosaic(images, self.columns) for name, images in panels.items()}
        if ax is None:
            height = 0.3 + 4.3 * max(grid.shape[0] / grid.shape[1] for grid in grids.values())
            ax = new_axes(width=4.4, height=height) if len(grids) == 1 else side_by_side(width=8.8, height=height)
        self.axes_ = np.atleast_1d(ax)
        for axis, (name, grid) in zip(self.axes_, grids.items(), strict=True):
            show_mosaic(axis, grid, low, high)
            axis.set_title(name, loc="left", fontsize="medium")
        self.figure_ = self.axes_[0].figure
        return self
