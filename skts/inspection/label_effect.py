"""LabelEffectDisplay: which features moved the probability of labels."""

import textwrap
from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.rows import one_row
from skts.inspection.style import ACCENT, TRUTH, new_axes, tidy
from skts.inspection.wording import shorten

__all__ = ["LabelEffectDisplay"]


class LabelEffectDisplay:
    """The features that moved the probability that all of some labels are present, the strongest first.

    For one row it says what spoke for the labels and what against them; over many rows, what matters at all.

    Parameters
    ----------
    effects : ndarray of shape (n_features,)
        Of one row: log-probability less that with the feature at its mean, nats. Of many: mean of its absolute value.
    feature_names : sequence of length n_features
        Their names.
    labels : sequence
        Names of the labels.
    row : int, optional
        Which row; None where ``effects`` are means over rows.
    n_features : int, default=10
        How many to draw.

    Attributes
    ----------
    order_ : ndarray of shape (n_drawn,)
        The features drawn.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> from skts.inspection import LabelEffectDisplay
    >>> X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0).fit(X, y)
    >>> display = LabelEffectDisplay.from_estimator(model, X, [0, 2], row=5, n_features=3)
    >>> len(display.ax_.get_yticklabels())
    3
    """

    def __init__(
        self, effects: np.ndarray, feature_names: Any, labels: Any, row: int | None = None, n_features: int = 10
    ) -> None:
        if n_features < 1:
            raise InputError("n_features of at least 1", f"{n_features}", "Pass n_features=10.")
        self.effects, self.feature_names, self.labels = effects, feature_names, labels
        self.row, self.n_features = row, n_features
        self.order_ = np.argsort(-np.abs(effects), kind="stable")[:n_features]

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, labels: Any, *, row: int | None = None, n_features: int = 10, ax: Any = None
    ) -> Self:
        """Draw for one row of X, or for the mean over all.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``explain(X, labels)``, such as JointEBMClassifier on label sets.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        labels : label, or sequence of labels
            One label, a pair, or more.
        row : int, optional
            Which row; by default the mean absolute effect over all rows.
        n_features : int, default=10
            How many features to draw.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LabelEffectDisplay
            The display.

        Raises
        ------
        InputError
            If there is no such row.
        """
        effects = estimator.explain(X if row is None else one_row(X, row), labels)
        names = getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(effects.shape[1])])
        labels = list(labels) if isinstance(labels, list | tuple | np.ndarray) else [labels]
        effects = np.abs(effects).mean(0) if row is None else effects[0]
        return cls(effects, names, labels, row, n_features).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        LabelEffectDisplay
            The display itself.
        """
        self.ax_ = new_axes(height=1.3 + 0.25 * len(self.order_))[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        values = self.effects[self.order_]
        names = [shorten(self.feature_names[i], 32) for i in self.order_]
        self.ax_.barh(range(len(names)), values, color=np.where(values < 0, TRUTH, ACCENT))
        self.ax_.set_yticks(range(len(names)), names, fontsize="small")
        self.ax_.invert_yaxis()
        whole = " and ".join(shorten(label) for label in self.labels)
        title = f"Probability of {whole}, {'all rows' if self.row is None else f'row {self.row}'}"
        self.ax_.set_title(textwrap.fill(title, 60, break_on_hyphens=False), loc="left", fontsize="medium")
        if self.row is None:
            self.ax_.set_xlabel("mean absolute effect on log-probability (nats)")
        else:
            self.ax_.set_xlabel(
                "against  \N{LEFTWARDS ARROW}  effect on log-probability (nats)  \N{RIGHTWARDS ARROW}  for"
            )
            self.ax_.axvline(0, color="black", linewidth=0.6)
        tidy(self.ax_)
        self.ax_.grid(visible=False, axis="y")
        return self
