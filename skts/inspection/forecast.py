"""ForecastDisplay: what was seen, what is forecast, and what came."""

from typing import Any, Self

from skts.errors import InputError
from skts.inspection.style import ACCENT, PAST, TRUTH, new_axes, tidy

__all__ = ["ForecastDisplay"]

_MOST_VARIATES = 6


class ForecastDisplay:
    """The past, the forecast and, where it is known, what came, one panel for each variate.

    Parameters
    ----------
    y_past, y_pred : pandas.DataFrame
        Time x variates.
    y_true : pandas.DataFrame, optional
        What came; its rows at the times of the forecast are drawn.
    name : str, optional
        Title.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
        One for each variate.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(self, y_past: Any, y_pred: Any, y_true: Any = None, name: str | None = None) -> None:
        self.y_past, self.y_pred, self.y_true, self.name = y_past, y_pred, y_true, name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        y_true: Any = None,
        *,
        fh: Any = None,
        instance: Any = None,
        variates: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw what a fitted forecaster says follows its context.

        Parameters
        ----------
        estimator : forecaster
            Fitted, with ``context_``.
        y_true : pandas DataFrame or Series, optional
            What came.
        fh : horizon, optional
            Steps to forecast; those of ``fit`` by default.
        instance : key, optional
            Which series of a panel; the first by default.
        variates : list of column names, optional
            Which variates; the first six by default.
        ax : Axes or sequence of Axes, optional
            Where to draw.

        Returns
        -------
        ForecastDisplay
            The display.
        """
        past, pred = estimator.context_, estimator.predict(fh)
        if past.index.nlevels > 1:
            instance = past.index.droplevel(-1)[0] if instance is None else instance
            past, pred, y_true = (_one_series(frame, instance) for frame in (past, pred, y_true))
        display = cls(_frame(past), _frame(pred), _frame(y_true), type(estimator).__name__)
        return display.plot(variates=variates, ax=ax)

    def plot(self, variates: Any = None, ax: Any = None) -> Self:
        """Draw the variates.

        Parameters
        ----------
        variates : list of column names, optional
            Which variates; the first six by default.
        ax : Axes or sequence of Axes, optional
            One for each variate.

        Returns
        -------
        ForecastDisplay
            The display itself.

        Raises
        ------
        InputError
            If a variate is not among the columns.
        """
        columns = list(self.y_pred.columns)
        names = columns[:_MOST_VARIATES] if variates is None else list(variates)
        if not set(names) <= set(columns):
            raise InputError(f"variates among {columns}", f"{variates}", "Pass a list of column names.")
        axes = new_axes(len(names), height=1.7) if ax is None else list(ax) if hasattr(ax, "__len__") else [ax]
        for axis, name in zip(axes, names, strict=True):
            self._plot_variate(axis, columns.index(name))
            axis.set_ylabel(str(name))
        axes[0].set_title(self.name or "", loc="left")
        axes[0].legend(frameon=False, ncols=3, fontsize="small", loc="lower right", bbox_to_anchor=(1, 1))
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _plot_variate(self, ax: Any, position: int) -> None:
        known = [] if self.y_true is None else [self.y_true[self.y_true.index.isin(self.y_pred.index)]]
        lines = [(self.y_past, PAST, "-", "seen"), *((frame, TRUTH, "-", "came") for frame in known)]
        for frame, color, style, label in [*lines, (self.y_pred, ACCENT, "--", "forecast")]:
            if len(frame):
                ax.plot(_times(frame.index), frame.iloc[:, position].to_numpy(), style, color=color, label=label)
        ax.axvline(_times(self.y_past.index)[-1], color="black", linewidth=0.6, linestyle=":")
        tidy(ax)


def _frame(data: Any) -> Any:
    return data.to_frame() if hasattr(data, "to_frame") and not hasattr(data, "columns") else data


def _one_series(panel: Any, instance: Any) -> Any:
    return None if panel is None else panel.loc[instance]


def _times(index: Any) -> Any:
    """Times that matplotlib can place."""
    return (index.to_timestamp() if hasattr(index, "to_timestamp") else index).to_numpy()
