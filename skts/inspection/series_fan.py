"""SeriesFanDisplay: what may follow the beginning of a window."""

from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.style import ACCENT, PAST, TRUTH, new_axes, tidy
from skts.inspection.wording import shorten

__all__ = ["SeriesFanDisplay"]

_MOST_CHANNELS = 6
_BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.35))  # from, to, opacity


class SeriesFanDisplay:
    """The beginning of a window, quantiles of what may follow, and what did.

    Parameters
    ----------
    window : ndarray of shape (T, C)
        The window, NaN where it is not known.
    draws : ndarray of shape (n_draws, T, C)
        Completions of its beginning.
    n_given : int
        Steps of the beginning.
    ess : float, optional
        Effective number of the draws' particles; None where draws are exact.
    feature_names : sequence of length C, optional
        Names of the channels.

    Attributes
    ----------
    coverage_ : float
        Part of the known later values that the band of 90 % holds; NaN where none is known.
    axes_ : array of matplotlib Axes
        One for each channel, the first six.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FractalSampler
    >>> from skts.inspection import SeriesFanDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 8, 1)).cumsum(1)
    >>> model = FractalSampler(max_epochs=1, dims=32, depths=1, random_state=0).fit(X)
    >>> display = SeriesFanDisplay.from_estimator(model, X[0], n_given=4, n_draws=50, random_state=0)
    >>> display.draws.shape, display.ess is None
    ((50, 8, 1), True)
    """

    def __init__(
        self, window: np.ndarray, draws: np.ndarray, n_given: int, ess: float | None = None, feature_names: Any = None
    ) -> None:
        self.window, self.draws, self.n_given, self.ess = window, draws, n_given, ess
        self.feature_names = feature_names
        later, known = window[n_given:], np.isfinite(window[n_given:])
        low, high = np.quantile(draws[:, n_given:], (0.05, 0.95), axis=0)
        within = ((later >= low) & (later <= high))[known]
        self.coverage_ = float(within.mean()) if len(within) else float("nan")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        window: Any,
        n_given: int,
        *,
        n_draws: int = 200,
        y: Any = None,
        feature_names: Any = None,
        random_state: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw what may follow the first steps of a window.

        Parameters
        ----------
        estimator : estimator
            Fitted on windows, with ``sample_conditional``, such as FractalSampler.
        window : array-like of shape (T, C) or (1, T, C)
            The window; NaN where it is not known.
        n_given : int
            Steps that the model is shown, from 1 to T - 1.
        n_draws : int, default=200
            Completions that the quantiles are taken of.
        y : class, optional
            The window's class, for a model that was fitted with classes.
        feature_names : sequence of length C, optional
            Names of the channels.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw, one for each channel.

        Returns
        -------
        SeriesFanDisplay
            The display.

        Raises
        ------
        InputError
            If ``window`` is not one window, or ``n_given`` is out of its range.
        """
        window = np.asarray(window, dtype=np.float64)
        window = window[0] if window.ndim == 3 and len(window) == 1 else window
        if window.ndim != 2:
            raise InputError("one window (T, C)", f"shape {window.shape}", "Pass X[i].")
        if not 1 <= n_given < len(window):
            raise InputError(f"n_given from 1 to {len(window) - 1}", f"{n_given}", "Give less or more of the window.")
        partial = window.copy()
        partial[n_given:] = np.nan
        draws, info = estimator.sample_conditional(
            partial[None], n_draws, y=y, random_state=random_state, return_info=True
        )
        ess = None if info["exact"][0] else float(info["ess"][0])
        return cls(window, np.asarray(draws[0], dtype=np.float64), n_given, ess, feature_names).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw, one for each channel.

        Returns
        -------
        SeriesFanDisplay
            The display itself.
        """
        n = min(_MOST_CHANNELS, self.window.shape[1])
        self.axes_ = np.atleast_1d(new_axes(n, height=1.7 if n > 1 else 2.6) if ax is None else ax)
        for channel, axis in zip(range(n), self.axes_, strict=True):
            self._plot_channel(axis, channel)
        quality = "exact draws" if self.ess is None else f"{self.ess:.0f} effective particles"
        known = "" if np.isnan(self.coverage_) else f"; 90 % band holds {100 * self.coverage_:.0f} % of what came"
        self.axes_[0].set_title(quality + known, loc="left", fontsize="medium", pad=22)
        self.axes_[0].legend(
            frameon=False, ncols=5, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
        )
        self.axes_[-1].set_xlabel("step")
        self.figure_ = self.axes_[0].figure
        return self

    def _plot_channel(self, ax: Any, channel: int) -> None:
        steps, start = np.arange(len(self.window)), self.n_given - 1
        draws, window = self.draws[:, start:, channel], self.window[:, channel]
        for low, high, alpha in _BANDS:
            edges = np.quantile(draws, (low, high), axis=0)
            label = f"{100 * (high - low):.0f} %"
            ax.fill_between(steps[start:], *edges, color=ACCENT, alpha=alpha, linewidth=0, label=label)
        ax.plot(steps[start:], np.median(draws, axis=0), "--", color=ACCENT, label="median")
        if np.isfinite(window[self.n_given :]).any():
            ax.plot(steps[start:], window[start:], color=TRUTH, label="came")
        ax.plot(steps[: self.n_given], window[: self.n_given], color=PAST, label="given")
        ax.axvline(start, color="black", linewidth=0.6, linestyle=":")
        ax.set_ylabel(f"x{channel}" if self.feature_names is None else shorten(self.feature_names[channel], 18))
        tidy(ax)
