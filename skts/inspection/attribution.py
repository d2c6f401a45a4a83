"""AttributionDisplay: which hours of which variates drove a forecast."""

from typing import Any, Self

import numpy as np

from skts.inspection.style import ACCENT, DIVERGING, MUTED, TRUTH, new_axes
from skts.inspection.wording import shorten

__all__ = ["AttributionDisplay"]

_MOST_VARIATES = 30


class AttributionDisplay:
    """Heat map of time x variate: what each past value adds to one variate's forecast, and its sums beside it.

    Blue cells raise the forecast, red ones lower it, against what the model says of typical courses at the same level.

    Parameters
    ----------
    attributions : ndarray of shape (n_timepoints, n_variates)
        In the units of the forecast.
    variates : sequence of length n_variates
        Their names.
    target : str, optional
        The variate whose forecast it is.
    step : int, optional
        Which step of it; None is the mean over all.

    Attributes
    ----------
    order_ : ndarray of shape (n_drawn,)
        Variates from top to bottom: of more than 30 those that add most, in either direction.
    axes_ : array of 2 matplotlib Axes
        The heat map, and the sums over time.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from skts import FMambaForecaster
    >>> from skts.datasets import load_us_change
    >>> from skts.inspection import AttributionDisplay
    >>> y = load_us_change()
    >>> model = FMambaForecaster(context_length=24, d_model=16, max_epochs=2, random_state=0).fit(y, fh=[1, 2])
    >>> AttributionDisplay.from_estimator(model, "Consumption", step=1).attributions.shape
    (24, 5)
    """

    def __init__(self, attributions: np.ndarray, variates: Any, target: Any = None, step: int | None = None) -> None:
        self.attributions, self.variates, self.target, self.step = attributions, variates, target, step
        strongest = np.argsort(-np.abs(attributions).sum(0), kind="stable")[:_MOST_VARIATES]
        self.order_ = np.sort(strongest)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        variate: Any,
        context: Any = None,
        *,
        step: int | None = None,
        cutoff: Any = None,
        X: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw what drove the forecast of one variate.

        Parameters
        ----------
        estimator : forecaster
            Fitted, with ``attributions`` and ``context_``, such as FMambaForecaster.
        variate : column name
            Whose forecast.
        context : array of shape (n_timepoints, n_variates), optional
            The window that is forecast from; by default the end of the (first) series that the forecaster has seen.
        step : int, optional
            Which step of the forecast; the mean over all by default.
        cutoff : time, optional
            That of the last row of ``context``.
        X : array of shape (n_timepoints, n_columns), optional
            Rows beside ``context``, where fit was given X.
        ax : sequence of 2 matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        AttributionDisplay
            The display.

        Raises
        ------
        InputError
            If the window does not fit, or there is no such variate or step.
        """
        cutoffs = None if cutoff is None else [cutoff]
        windows = None if context is None else np.asarray(context)[None]
        rows = None if X is None else np.asarray(X)[None]
        found = estimator.attributions(windows, variate, step=step, cutoffs=cutoffs, X=rows)[0]
        return cls(found, list(estimator.context_.columns), variate, step).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : sequence of 2 matplotlib Axes, optional
            Where to draw: the heat map, and the sums over time.

        Returns
        -------
        AttributionDisplay
            The display itself.
        """
        n = len(self.order_)
        if ax is None:
            figure = new_axes(width=9.0, height=1.6 + 0.3 * n)[0].figure
            figure.clear()
            ax = figure.subplots(1, 2, width_ratios=(4, 1), sharey=True)
        heat, sums = self.axes_ = np.asarray(ax)
        self.figure_ = heat.figure
        shown = self.attributions[:, self.order_].T
        most = max(float(np.abs(shown).max()), 1e-12)
        extent = (0.5 - len(self.attributions), 0.5, n - 0.5, -0.5)  # a cell's middle is its time
        image = heat.imshow(shown, cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto", extent=extent)
        names = [shorten(self.variates[i]) for i in self.order_]
        heat.set_yticks(range(n), names, fontsize="small")
        heat.set_xlabel("step (0 is the last one seen)")
        total = shown.sum(1)
        sums.barh(range(n), total, color=[ACCENT if value > 0 else TRUTH for value in total], height=0.6)
        sums.axvline(0, color=MUTED, linewidth=0.8)
        sums.spines[["top", "right", "left"]].set_visible(False)
        sums.tick_params(left=False)
        sums.set_xlabel("sum")
        self.figure_.colorbar(image, ax=list(self.axes_), label="adds to the forecast", fraction=0.04, pad=0.02)
        which = "mean over all steps" if self.step is None else f"step {self.step}"
        heat.set_title("" if self.target is None else f"{self.target}, {which}", loc="left", fontsize="medium")
        return self
