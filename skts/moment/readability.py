"""How readable the embeddings are: a report in numbers, and a page to look at them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MomentReadability"]


class MomentReadability:
    """Two verbs that hand the estimator over to :mod:`skts.inspection`."""

    def interpretability_report(self, X: Any, y: Any = None, *, before: Any = None, **options: Any) -> "pd.DataFrame":
        """Measure how readable the latent space and its map are, also against an earlier state of the model.

        Parameters
        ----------
        X : array-like
            With ``window``, one long series (T,) or (C, T); otherwise a panel (n, T) or (n, C, T), or a list.
        y : array-like, optional
            Labels or a factor: for a series one value per step, for a panel one per series.
        before : MomentEmbedder, optional
            Fitted, for instance with ``finetune=None``: it has the rows "before", this one has "after".
        **options : dict
            window, stride, preprocessing, projection, n_neighbors, n_seeds, label_by, max_windows, random_state of
            :func:`skts.inspection.interpretability_report`.

        Returns
        -------
        pandas.DataFrame
            One row for each measure: model, preprocessing, window, n_windows, space, measure, value, low, high, better.

        Raises
        ------
        InputError
            If the shapes do not fit, or there are fewer than 8 windows or series.
        """
        check_is_fitted(self)
        from skts.inspection import interpretability_report

        return interpretability_report(self._beside(before), X, y, **options)

    def explore(
        self, path: str | os.PathLike[str], X: Any, y: Any = None, *, before: Any = None, **options: Any
    ) -> Path:
        """Write one page, for any browser and without network, on which map and series are linked.

        Parameters
        ----------
        path : str or path
            Where to write it.
        X : array-like
            With ``window``, one long series (T,) or (C, T); otherwise a panel (n, T) or (n, C, T), or a list.
        y : array-like, optional
            Labels or a factor: for a series one value per step, for a panel one per series.
        before : MomentEmbedder, optional
            Fitted: its map stands beside this one's.
        **options : dict
            window, stride, factors, projections, channel_names, title, label_by, max_windows, random_state of
            :func:`skts.inspection.explore`.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        InputError
            If the shapes do not fit, or there are fewer than 8 windows or series.
        ImportError
            If bokeh is not installed.
        """
        check_is_fitted(self)
        from skts.inspection import explore

        return explore(self._beside(before), path, X, y, **options)

    def _beside(self, before: Any) -> Any:
        return self if before is None else {"before": before, "after": self}
