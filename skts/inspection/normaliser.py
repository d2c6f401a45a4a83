"""NormaliserDisplay: the learned log-partition against a better one."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError, ParameterError
from skts.inspection.style import ACCENT, PAST, TRUTH, new_axes, tidy

__all__ = ["NormaliserDisplay"]

_REFERENCES = {"exact": "exact log-partition (nats)", "importance": "log-partition by importance sampling (nats)"}
_WARNING = "The check of the normaliser at the end of fit failed:\nlog-probabilities are not to be trusted."


class NormaliserDisplay:
    """What the learned tau says of the log-partition of each row, against a better answer.

    Points below the diagonal: tau is too small there, and the probabilities of all outputs sum to more than one.

    Parameters
    ----------
    tau, reference : ndarray of shape (n_samples,)
        Learned and better log-partition, nats.
    method : {"exact", "importance"}, default="exact"
        Where the better one comes from; importance sampling has an error of its own.
    trusted : bool, default=True
        False writes a warning into the picture.
    name : str, optional
        Title.

    Attributes
    ----------
    error_, bias_ : float
        Mean of abs(tau - reference) and of tau - reference, nats.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> from skts.inspection import NormaliserDisplay
    >>> X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(tau="structured", max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0)
    >>> display = NormaliserDisplay.from_estimator(model.fit(X, y), X)
    >>> display.ax_.get_xlabel()
    'exact log-partition (nats)'
    """

    def __init__(
        self,
        tau: np.ndarray,
        reference: np.ndarray,
        method: str = "exact",
        trusted: bool = True,
        name: str | None = None,
    ) -> None:
        self.tau, self.reference, self.method, self.trusted, self.name = tau, reference, method, trusted, name
        self.error_, self.bias_ = float(np.abs(tau - reference).mean()), float((tau - reference).mean())

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, ax: Any = None) -> Self:
        """Draw for rows that were not trained on.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``log_partition(X, method)``, such as JointEBMClassifier with a tau that is learned.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        NormaliserDisplay
            The display.

        Raises
        ------
        InputError
            If tau is the exact log-partition.
        """
        check_is_fitted(estimator)
        if estimator.tau_ == "exact":
            got = "tau_ = 'exact': there is nothing to compare"
            raise InputError("an estimator that learned its log-partition", got, "Its probabilities sum to one.")
        tau, method = estimator.log_partition(X, method="tau"), "exact"
        try:
            reference = estimator.log_partition(X, method=method)
        except ParameterError:
            method = "importance"
            reference = estimator.log_partition(X, method=method)
        trusted = bool(estimator.normalizer_["ok"])
        return cls(tau, reference, method, trusted, type(estimator).__name__).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        NormaliserDisplay
            The display itself.
        """
        self.ax_ = new_axes(width=5.0, height=4.6)[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        both = np.concatenate([self.tau, self.reference])
        room = 0.05 * max(np.ptp(both), 1e-3)
        limits = both.min() - room, both.max() + room
        self.ax_.plot(limits, limits, color=PAST, linewidth=0.8, linestyle=":")
        self.ax_.scatter(self.reference, self.tau, s=12, color=ACCENT, alpha=0.6, linewidths=0)
        self._write_title()
        self.ax_.set(xlabel=_REFERENCES[self.method], ylabel="learned tau (nats)")
        self.ax_.set(xlim=limits, ylim=limits, aspect="equal")
        tidy(self.ax_)
        return self

    def _write_title(self) -> None:
        """All words stand above the points, which may lie in any corner."""
        found = f"mean absolute error {self.error_:.3g} nats, bias {self.bias_:+.3g} nats"
        title = "\n".join(filter(None, [self.name, found]))
        self.ax_.set_title(title, loc="left", fontsize="medium", pad=6 if self.trusted else 34)
        if not self.trusted:
            place = {"transform": self.ax_.transAxes, "va": "bottom", "fontsize": "small"}
            self.ax_.text(0, 1.02, _WARNING, color=TRUTH, **place)
