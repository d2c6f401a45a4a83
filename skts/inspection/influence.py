"""InfluenceDisplay: which variates listen to which."""

from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.style import MUTED, SEQUENTIAL, new_axes
from skts.inspection.wording import shorten

__all__ = ["InfluenceDisplay"]

_MOST_VARIATES = 40
_KINDS = {"attention": ("attention_map", "share of attention"), "mamba": ("influence", "influence")}


class InfluenceDisplay:
    """Heat map of variate x variate: how much each one (row) takes from each other one (column), inside of the network.

    Columns that are dark all the way are variates that many listen to. What a variate takes from itself is mostly far
    more; it is left grey, so that the rest can be told apart.

    Parameters
    ----------
    matrix : ndarray of shape (n_variates, n_variates)
        Not negative; row i is what variate i takes.
    variates : sequence of length n_variates
        Their names.
    label : str, default="influence"
        What the numbers are.

    Attributes
    ----------
    order_ : ndarray of shape (n_drawn,)
        Variates that are drawn, in the order of the columns: of more than 40 those that others take most from.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from skts import FMambaForecaster
    >>> from skts.datasets import load_us_change
    >>> from skts.inspection import InfluenceDisplay
    >>> y = load_us_change()
    >>> model = FMambaForecaster(context_length=24, d_model=16, max_epochs=2, random_state=0).fit(y, fh=[1, 2])
    >>> InfluenceDisplay.from_estimator(model, y.to_numpy()[None], kind="attention").matrix.sum(1).round(3)
    array([1., 1., 1., 1., 1.])
    """

    def __init__(self, matrix: np.ndarray, variates: Any, label: str = "influence") -> None:
        self.matrix, self.variates, self.label = matrix, variates, label
        given = matrix.sum(0) - np.diagonal(matrix)
        self.order_ = np.sort(np.argsort(-given, kind="stable")[:_MOST_VARIATES])

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        contexts: Any = None,
        *,
        kind: str = "mamba",
        layer: int | None = None,
        cutoffs: Any = None,
        X: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the mean over windows.

        Parameters
        ----------
        estimator : forecaster
            Fitted, with ``attention_map`` and ``influence``, such as FMambaForecaster.
        contexts : array of shape (n_windows, n_timepoints, n_variates), optional
            Raw windows; by default the ends of the series that the forecaster has seen.
        kind : {"mamba", "attention"}, default="mamba"
            The influence matrix of the state space, or the weights of the attention.
        layer : int, optional
            Which of the layers, from 0 on; the mean over all by default.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row.
        X : array of shape (n_windows, n_timepoints, n_columns), optional
            Rows beside each window, where fit was given X.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        InfluenceDisplay
            The display.

        Raises
        ------
        InputError
            If ``kind``, ``layer`` or the windows cannot be used.
        """
        if kind not in _KINDS:
            raise InputError(f"a kind out of {list(_KINDS)}", f"{kind!r}", "Choose one of them.")
        method, label = _KINDS[kind]
        layers = getattr(estimator, method)(contexts, cutoffs=cutoffs, X=X).mean(0)
        if layer is not None and not 0 <= layer < len(layers):
            raise InputError(f"a layer from 0 to {len(layers) - 1}", f"{layer}", "Pass None for their mean.")
        matrix = layers.mean(0) if layer is None else layers[layer]
        return cls(matrix, list(estimator.context_.columns), label).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        InfluenceDisplay
            The display itself.
        """
        n = len(self.order_)
        side = max(3.0, 0.19 * n)
        self.ax_ = new_axes(width=side + 2.2, height=side + 1.0)[0] if ax is None else ax
        self.figure_ = self.ax_.figure
        shown = self.matrix[np.ix_(self.order_, self.order_)].astype(float)
        np.fill_diagonal(shown, np.nan)
        most = max(float(np.nanmax(shown, initial=0.0)), 1e-12)
        image = self.ax_.imshow(shown, cmap=SEQUENTIAL, vmin=0.0, vmax=most)
        self.ax_.set_facecolor(MUTED)
        names = [shorten(self.variates[i]) for i in self.order_]
        size = "small" if n <= 15 else "x-small"
        self.ax_.set_xticks(range(n), names, rotation=90, fontsize=size)
        self.ax_.set_yticks(range(n), names, fontsize=size)
        self.ax_.set_xlabel("from")
        self.ax_.set_ylabel("to")
        self.ax_.spines[:].set_visible(False)
        self.figure_.colorbar(image, ax=self.ax_, shrink=0.7, label=self.label)
        return self
