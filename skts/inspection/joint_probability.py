"""JointProbabilityDisplay: what a model of whole outputs believes about one row."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.rows import equal, one_row, output_of_row, times_seen
from skts.inspection.style import ACCENT, MUTED, SEQUENTIAL, TRUTH, side_by_side, tidy
from skts.inspection.wording import as_text, name_outputs, shorten

__all__ = ["JointProbabilityDisplay"]

_ROUNDING = 1e-6
_MOST_PARTS = 20
_MOST_NUMBERS = 8  # items of a heat map whose cells still hold a number
_FRAME = 0.46 * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])  # of a cell


class JointProbabilityDisplay:
    """The most probable whole outputs of one row, beside the probabilities of their parts.

    Read it so: one long bar, the model is sure of the whole; many short ones beside clear parts, it knows the parts but
    not how they come together; a long grey bar, the outputs that are drawn are a small part of the story.

    Parameters
    ----------
    outputs : ndarray of shape (m,) or (m, k)
        Whole outputs as the estimator's ``predict`` gives them, the most probable first.
    probabilities : ndarray of shape (m,)
        Theirs; what is left to 1 becomes the last bar.
    marginals : ndarray of shape (k,) or (k, k)
        Probability of each part; for rankings of each item at each position; for "own" expectations of the features.
    parts : sequence of length k
        Names of the parts.
    kind : str
        The estimator's ``output_``: "multiclass", "multilabel", "subset", "ranking" or "own".
    y_true : scalar or ndarray of shape (k,), optional
        The observed output; one of ``outputs``.
    n_seen : int, optional
        How many training rows had the observed output.
    name : str, optional
        Title.

    Attributes
    ----------
    remainder_ : float
        Probability of all other outputs.
    axes_ : tuple of two matplotlib Axes
        Whole outputs, and parts.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> from skts.inspection import JointProbabilityDisplay
    >>> X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0).fit(X, y)
    >>> display = JointProbabilityDisplay.from_estimator(model, X, row=3, y_true=y, k=5)
    >>> display.axes_[0].get_yticklabels()[-1].get_text()
    'all others'
    """

    def __init__(
        self,
        outputs: np.ndarray,
        probabilities: np.ndarray,
        marginals: np.ndarray,
        parts: Any,
        kind: str,
        y_true: Any = None,
        n_seen: int | None = None,
        name: str | None = None,
    ) -> None:
        self.outputs, self.probabilities, self.marginals = outputs, probabilities, marginals
        self.parts, self.kind, self.y_true, self.n_seen, self.name = parts, kind, y_true, n_seen, name
        rest = 1.0 - float(np.sum(probabilities))
        self.remainder_ = rest if rest > _ROUNDING else 0.0

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, row: int = 0, *, y_true: Any = None, k: int = 8, ax: Any = None
    ) -> Self:
        """Draw what a fitted estimator believes about one row of X.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``top_k``, ``predict_proba`` and ``score_samples``, such as JointEBMClassifier.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        row : int, default=0
            Which row.
        y_true : array-like, optional
            The observed output of the row, or those of all rows of X. It is drawn, however improbable.
        k : int, default=8
            How many of the most probable outputs to draw.
        ax : sequence of two matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        JointProbabilityDisplay
            The display.

        Raises
        ------
        InputError
            If there is no such row, or the estimator knows no probabilities of whole outputs.
        """
        check_is_fitted(estimator)
        if getattr(estimator, "contract_", None) == "reference":
            got = "one with a reference without log_prob"
            raise InputError("an estimator with probabilities of whole outputs", got, "Add log_prob to the reference.")
        x = one_row(X, row)
        outputs, log_prob = (found[0] for found in estimator.top_k(x, k))
        outputs, log_prob = outputs[log_prob > -np.inf], log_prob[log_prob > -np.inf]
        observed, n_seen = None, None
        if y_true is not None:
            observed = output_of_row(y_true, row, outputs.ndim - 1)
            log_p = estimator.score_samples(x, observed[None])  # refuses what is no output
            n_seen = times_seen(estimator, observed)
            if not equal(outputs, observed).any():
                outputs, log_prob = np.concatenate([outputs, observed[None]]), np.append(log_prob, log_p)
        ranking = estimator.output_ == "ranking"
        marginals = (estimator.predict_rank_proba if ranking else estimator.predict_proba)(x)[0]
        parts = estimator.classes_ if len(estimator.classes_) == len(marginals) else np.arange(len(marginals))
        name = f"{type(estimator).__name__}, row {row}"
        shown = cls(outputs, np.exp(log_prob), marginals, parts, estimator.output_, observed, n_seen, name)
        return shown.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into a pair of axes, or into a new figure.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, optional
            Where to draw: whole outputs, and parts.

        Returns
        -------
        JointProbabilityDisplay
            The display itself.

        Raises
        ------
        InputError
            If ``ax`` is not a pair.
        """
        names = name_outputs(self.outputs, self.parts, self.kind, self._observed())
        if ax is None:
            lines = sum(name.count("\n") + 1 for name in names) + (self.n_seen is not None)
            rows = min(len(self.marginals), _MOST_PARTS)
            ax = side_by_side(height=max(1.6 + 0.2 * lines + 0.1 * len(names), 0.8 + 0.2 * rows))
        if np.size(ax) != 2:
            raise InputError("a pair of axes", f"{np.size(ax)} of them", "Pass ax=plt.subplots(1, 2)[1], or None.")
        self.axes_ = left, right = tuple(np.ravel(ax))
        self.figure_ = left.figure
        self._plot_outputs(left, names)
        (self._plot_positions if self.kind == "ranking" else self._plot_parts)(right)
        left.set_title(self.name or "", loc="left", fontsize="medium")
        return self

    def _plot_outputs(self, ax: Any, names: list[str]) -> None:
        observed = self._observed()
        seen = f"\nobserved, {_seen(self.n_seen)}"
        labels = [name + seen if mark else name for name, mark in zip(names, observed, strict=True)]
        values = np.append(self.probabilities, self.remainder_)
        bars = _draw_bars(ax, values, [*labels, "all others"], np.append(observed, False), as_text)
        bars[-1].set_color(MUTED)
        above = "\n(they sum to more than 1: the normaliser is too small)" if sum(self.probabilities) > 1.01 else ""
        ax.set(xlabel=f"probability of the whole{above}", xlim=(0, 1.2 * values.max()))

    def _plot_parts(self, ax: Any) -> None:
        own, k = self.kind == "own", len(self.marginals)
        shown = np.arange(k) if k <= _MOST_PARTS else np.argsort(-self.marginals, kind="stable")[:_MOST_PARTS]
        observed = self._observed_parts()[shown]
        values, names = self.marginals[shown], [shorten(self.parts[i]) for i in shown]
        _draw_bars(ax, values, names, observed, "{:.3g}".format if own else as_text)
        note = [f"the {len(shown)} largest of {k}"] if len(shown) < k else []
        note += ["bold: observed"] if observed.any() else []
        ax.set_title(", ".join(note), loc="left", fontsize="small")
        ax.set_xlabel("expectation of each feature of the output" if own else "probability of each part")
        ax.margins(x=0.2)

    def _plot_positions(self, ax: Any) -> None:
        k = len(self.marginals)
        image = ax.imshow(self.marginals, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        ax.set_yticks(range(k), [shorten(part) for part in self.parts], fontsize="small")
        ax.set_xticks(range(k), range(1, k + 1), fontsize="small")
        for (item, position), p in np.ndenumerate(self.marginals if k <= _MOST_NUMBERS else np.zeros((0, 0))):
            color = "white" if p > 0.6 else "black"
            ax.text(position, item, f"{p:.2f}", ha="center", va="center", color=color, fontsize="small")
        for item, rank in enumerate([] if self.y_true is None else self.y_true):
            ax.plot(rank - 1 + _FRAME[0], item + _FRAME[1], color=TRUTH, linewidth=2)
        ax.figure.colorbar(image, ax=ax, label="probability")
        ax.set_title("framed: observed" if self.y_true is not None else "", loc="left", fontsize="small")
        ax.set(xlabel="position", ylabel="item")

    def _observed(self) -> np.ndarray:
        if self.y_true is None:
            return np.zeros(len(self.outputs), dtype=bool)
        return equal(self.outputs, self.y_true)

    def _observed_parts(self) -> np.ndarray:
        if self.y_true is None or self.kind == "own":
            return np.zeros(len(self.marginals), dtype=bool)
        return np.asarray(self.parts) == self.y_true if self.kind == "multiclass" else np.asarray(self.y_true) == 1


def _seen(times: int | None) -> str:
    if times is None:
        return ""
    return f"seen in training ({times} row{'s' * (times != 1)})" if times else "never seen"


def _draw_bars(ax: Any, values: np.ndarray, names: list[str], marked: np.ndarray, write: Callable[..., str]) -> Any:
    bars = ax.barh(range(len(values)), values, color=np.where(marked, TRUTH, ACCENT))
    ax.bar_label(bars, [write(value) for value in values], padding=3, fontsize="small")
    ax.set_yticks(range(len(values)), names, fontsize="small")
    for position in np.flatnonzero(marked):
        ax.get_yticklabels()[position].set(color=TRUTH, fontweight="bold")
    ax.invert_yaxis()
    tidy(ax)
    ax.grid(visible=False, axis="y")
    return bars
