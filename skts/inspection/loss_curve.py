"""LossCurveDisplay: training and validation loss over epochs."""

from itertools import pairwise
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from skts.inspection.style import ACCENT, TRUTH, new_axes, tidy

__all__ = ["LossCurveDisplay"]


class LossCurveDisplay:
    """Training and validation loss over the epochs of a fit.

    Read it so: both fall and stay close, more epochs may help; training falls while validation rises, the model learns
    by heart (fewer epochs, more data, more dropout); both flat from the start, the learning rate is too low or there
    is nothing to learn.

    Parameters
    ----------
    history : list of dict
        Rows with ``stage``, ``epoch``, ``train_loss`` and, where there was a validation part, ``valid_loss``.
    name : str, optional
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts.inspection import LossCurveDisplay
    >>> rows = [{"stage": "fit", "epoch": 1, "train_loss": 2.0}, {"stage": "fit", "epoch": 2, "train_loss": 1.0}]
    >>> LossCurveDisplay(rows).plot().ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, history: list[dict[str, Any]], name: str | None = None) -> None:
        self.history, self.name = history, name

    @classmethod
    def from_estimator(cls, estimator: Any, *, name: str | None = None, ax: Any = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of skts.
        name : str, optional
            Title; the class's name by default.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LossCurveDisplay
            The display.
        """
        check_is_fitted(estimator, "history_")
        return cls(estimator.history_, name or type(estimator).__name__).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LossCurveDisplay
            The display itself.
        """
        self.ax_ = new_axes()[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        position = range(1, len(self.history) + 1)  # stages one after another
        for key, label, color in (("train_loss", "training", ACCENT), ("valid_loss", "validation", TRUTH)):
            points = [(x, row[key]) for x, row in zip(position, self.history, strict=True) if key in row]
            if points:
                self.ax_.plot(*zip(*points, strict=True), marker=".", color=color, label=label)
        best = [(x, row["valid_loss"]) for x, row in zip(position, self.history, strict=True) if row.get("best")]
        if best:
            self.ax_.plot(*best[-1], marker="o", markersize=9, fillstyle="none", color=TRUTH, label="weights kept")
        self._mark_stages()
        self.ax_.set(xlabel="epoch", ylabel="loss", title=self.name or "")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(frameon=False)
        tidy(self.ax_)
        return self

    def _mark_stages(self) -> None:
        stages = [row.get("stage", "") for row in self.history]
        for x, (before, after) in enumerate(pairwise(stages), start=1):
            if before != after:
                self.ax_.axvline(x + 0.5, color="black", linewidth=0.6, linestyle=":")
                self.ax_.text(x + 0.6, self.ax_.get_ylim()[1], after, va="top", fontsize="small")
