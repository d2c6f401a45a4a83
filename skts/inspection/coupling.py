"""CouplingDisplay: which labels go together, and which exclude each other, beyond what x says."""

from typing import Any, Self

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skts.errors import InputError
from skts.inspection.style import DIVERGING, MUTED, new_axes
from skts.inspection.wording import shorten

__all__ = ["CouplingDisplay"]

_MOST_LABELS = 40


class CouplingDisplay:
    """Heat map of the couplings between labels, with labels that go together side by side.

    Blue pairs are more probable together than each alone would have it for the same x, red ones less. A pair without
    colour may still occur together often: then x explains it.

    Parameters
    ----------
    matrix : ndarray of shape (k, k)
        Symmetric, nats; the diagonal means nothing.
    labels : sequence of length k
        Their names.
    name : str, optional
        Title.

    Attributes
    ----------
    order_ : ndarray of shape (n_drawn,)
        Labels in the order of the picture: of more than 40 those with the strongest couplings.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Notes
    -----
    The order is that of the leaves of an average-linkage clustering, with the coupling below the largest one as the
    distance.

    Examples
    --------
    >>> from skts import JointEBMClassifier
    >>> from skts.datasets import make_multilabel
    >>> from skts.inspection import CouplingDisplay
    >>> X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    >>> model = JointEBMClassifier(max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0).fit(X, y)
    >>> sorted(CouplingDisplay.from_estimator(model).order_.tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, matrix: np.ndarray, labels: Any, name: str | None = None) -> None:
        self.matrix, self.labels, self.name = matrix, labels, name
        self.order_ = _in_blocks(matrix, _strongest(matrix))

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the couplings of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``coupling_matrix()``, such as JointEBMClassifier on label sets.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        CouplingDisplay
            The display.

        Raises
        ------
        InputError
            If the estimator has no couplings of pairs.
        """
        matrix = estimator.coupling_matrix()
        if not matrix.any():
            got = f"{type(estimator).__name__} with none (coupling_ = {getattr(estimator, 'coupling_', None)!r})"
            raise InputError("couplings of pairs", got, "Fit label sets with coupling='pairwise' or 'lowrank'.")
        return cls(matrix, estimator.classes_, type(estimator).__name__).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        CouplingDisplay
            The display itself.
        """
        n, k = len(self.order_), len(self.matrix)
        side = max(3.0, 0.17 * n)
        self.ax_ = new_axes(width=side + 2.6, height=side + 1.4)[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        shown = self.matrix[np.ix_(self.order_, self.order_)].astype(float)
        np.fill_diagonal(shown, np.nan)
        most = max(np.nanmax(np.abs(shown)), 1e-12)
        image = self.ax_.imshow(shown, cmap=DIVERGING, vmin=-most, vmax=most)
        names = [shorten(self.labels[i]) for i in self.order_]
        size = "small" if n <= 15 else "x-small"
        self.ax_.set_xticks(range(n), names, rotation=90, fontsize=size)
        self.ax_.set_yticks(range(n), names, fontsize=size)
        self.figure_.colorbar(image, ax=self.ax_, shrink=0.7, label="coupling (nats)")
        part = f"the {n} of {k} labels with the strongest couplings" if n < k else ""
        self.ax_.set_title("\n".join(filter(None, [self.name, part])), loc="left", fontsize="medium")
        self.ax_.set_facecolor(MUTED)  # the diagonal, which is no coupling of 0
        self.ax_.spines[:].set_visible(False)
        return self


def _strongest(matrix: np.ndarray) -> np.ndarray:
    """Labels by their strongest coupling, whose other end is then among them as well; all where they are few."""
    off_diagonal = np.abs(matrix) * (1 - np.eye(len(matrix)))
    return np.argsort(-off_diagonal.max(1), kind="stable")[:_MOST_LABELS]


def _in_blocks(matrix: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels, neighbours the more strongly coupled."""
    if len(labels) < 3:
        return labels
    part = matrix[np.ix_(labels, labels)].astype(np.float64)
    distance = part.max() - (part + part.T) / 2
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return labels[leaves_list(tree)]
