"""JointCalibrationDisplay: whether an answer of which the model is 70 % sure is right in 70 % of such rows."""

from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.style import ACCENT, MUTED, PAST, new_axes, tidy
from skts.metrics import joint_calibration_error

__all__ = ["JointCalibrationDisplay"]

_Z = 1.96  # of a 95 % interval


class JointCalibrationDisplay:
    """Reliability of the probability of the whole answer, and what it is worth to answer the sure rows alone.

    Above: points on the diagonal, the stated probabilities can be taken at their word; below it, the model is too sure.
    Below: the further the curve falls towards the left, the better the model knows when it does not know.

    Parameters
    ----------
    correct : array-like of shape (n_samples,)
        Whether the whole answer is right, 1 or 0.
    confidence : array-like of shape (n_samples,)
        The stated probability that it is.
    n_bins : int, default=8
        Bins of equal mass, as far as ties allow.
    name : str, optional
        Title.

    Attributes
    ----------
    prob_pred_, prob_true_ : ndarray of shape (n_bins_used,)
        Mean confidence of each bin, and the share of its rows that are right.
    interval_ : ndarray of shape (2, n_bins_used)
        Lower and upper end of the 95 % Wilson intervals of ``prob_true_``.
    error_ : float
        :func:`~skts.metrics.joint_calibration_error` with as many bins.
    coverage_, risk_ : ndarray of shape (n_thresholds,)
        Share of the rows that are answered, and of those the share that is wrong, as the threshold falls.
    axes_ : array of two matplotlib Axes
        Reliability, and risk by coverage.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    A probability above 1, which a normaliser that was learned badly may state, counts as 1, and the picture says so.

    References
    ----------
    E. B. Wilson: Probable Inference, the Law of Succession, and Statistical Inference, Journal of the American
    Statistical Association 22, 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Y. Geifman, R. El-Yaniv: Selective Classification for Deep Neural Networks, NeurIPS 2017,
    https://arxiv.org/abs/1705.08500.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> from skts.inspection import JointCalibrationDisplay
    >>> X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0).fit(X[:40], y[:40])
    >>> display = JointCalibrationDisplay.from_estimator(model, X[40:], y[40:], n_bins=4)
    >>> display.axes_[1].get_xlabel()
    'share of the rows that are answered'
    """

    def __init__(self, correct: Any, confidence: Any, n_bins: int = 8, name: str | None = None) -> None:
        self.correct = np.asarray(correct, dtype=np.float64)
        self.confidence = np.asarray(confidence, dtype=np.float64)
        self.n_bins, self.name = n_bins, name
        stated = self.confidence.clip(max=1.0)
        self.error_ = joint_calibration_error(self.correct, stated, n_bins=n_bins)
        bins = _bins(stated, n_bins)
        count = np.bincount(bins)
        used, count = count > 0, count[count > 0]
        self.prob_pred_ = np.bincount(bins, stated)[used] / count
        self.prob_true_ = np.bincount(bins, self.correct)[used] / count
        self.interval_ = _wilson(self.prob_true_, count)
        self.coverage_, self.risk_ = _risk_coverage(self.correct, stated)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, decode: str = "map", n_bins: int = 8, ax: Any = None
    ) -> Self:
        """Draw for answers to rows that were not trained on.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict(X, decode=...)`` and ``score_samples(X, y)``, such as JointEBMClassifier.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, k)
            What was observed.
        decode : str, default="map"
            Which answer is judged; see the estimator's ``predict``.
        n_bins : int, default=8
            Bins of equal mass.
        ax : sequence of two matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        JointCalibrationDisplay
            The display.

        Raises
        ------
        InputError
            If y has another shape than the answers.
        """
        answer = np.asarray(estimator.predict(X, decode=decode))
        y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        if y.shape != answer.shape:
            raise InputError(f"y of shape {answer.shape}", f"shape {y.shape}", "Pass one output for each row of X.")
        correct = answer == y if y.ndim == 1 else (answer == y).all(1)
        confidence = np.exp(estimator.score_samples(X, answer))
        return cls(correct, confidence, n_bins, type(estimator).__name__).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into a pair of axes, or into a new figure.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, optional
            Where to draw: reliability, and risk by coverage.

        Returns
        -------
        JointCalibrationDisplay
            The display itself.

        Raises
        ------
        InputError
            If ``ax`` is not a pair.
        """
        if ax is not None and np.size(ax) != 2:
            raise InputError("a pair of axes", f"{np.size(ax)} of them", "Pass ax=plt.subplots(2, 1)[1], or None.")
        self.axes_ = new_axes(2, width=6.0) if ax is None else np.ravel(ax)
        self.figure_ = self.axes_[0].figure
        self._plot_reliability(self.axes_[0])
        self._plot_risk(self.axes_[1])
        return self

    def _plot_reliability(self, ax: Any) -> None:
        # Joint probabilities of many labels crowd near 0, where axes to 1 would show nothing.
        top = min(1.0, 1.1 * max(self.prob_pred_.max(), self.interval_.max()))
        ax.plot([0, top], [0, top], color=PAST, linewidth=0.8, linestyle=":")
        reach = np.abs(self.interval_ - self.prob_true_)
        ax.errorbar(self.prob_pred_, self.prob_true_, reach, fmt="o", color=ACCENT, capsize=2)
        above = int((self.confidence > 1).sum())
        note = f"{above} probabilities above 1 count as 1: the normaliser is too small" if above else ""
        title = f"{self.name + ': ' if self.name else ''}joint calibration error {self.error_:.3f}"
        ax.set_title("\n".join(filter(None, [title, note])), loc="left", fontsize="medium")
        ax.set(xlabel="stated probability of the whole, bins of equal mass")
        ax.set(ylabel="share that is right\n(95 % Wilson interval)")
        tidy(ax)

    def _plot_risk(self, ax: Any) -> None:
        ax.axhline(self.risk_[-1], color=MUTED, linewidth=1.2, linestyle="--", label="all rows, or rows at random")
        ax.plot(self.coverage_, self.risk_, color=ACCENT, label="the surest rows first")
        ax.set(xlabel="share of the rows that are answered", ylabel="share of those that is wrong", xlim=(0, 1.02))
        ax.set_ylim(-0.02, max(1.05 * self.risk_.max(), 0.05))
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        tidy(ax)


def _bins(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each row, as in the metric: equal mass, and equal confidence stays together."""
    _, group, mass = np.unique(confidence, return_inverse=True, return_counts=True)
    return ((2 * mass.cumsum() - mass) * n_bins // (2 * len(confidence))).clip(0, n_bins - 1)[group]


def _wilson(share: np.ndarray, n: np.ndarray) -> np.ndarray:  # (m,), (m,) -> (2, m)
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return np.stack([centre - reach, centre + reach]).clip(0, 1)


def _risk_coverage(correct: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By falling threshold: rows of equal confidence are answered together."""
    order = np.argsort(-confidence, kind="stable")
    last = np.append(np.diff(confidence[order]) != 0, True)
    answered = np.arange(1, len(order) + 1)
    wrong = (1 - correct[order]).cumsum()
    return answered[last] / len(order), wrong[last] / answered[last]
