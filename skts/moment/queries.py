"""What else a fitted MomentEmbedder answers: windows of a long series, reconstruction, imputation, anomalies."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError, InputTypeError, ParameterError
from skts.moment.checkpoint import write_checkpoint
from skts.moment.panel import Panel, as_panel
from skts.moment.preparation import PATCH

__all__ = ["MomentQueries"]


class MomentQueries:
    """The verbs beside ``transform``."""

    def transform_windows(self, series: Any, window: int, stride: int = 1) -> np.ndarray:
        """Embed the windows of one long series.

        Parameters
        ----------
        series : array-like of shape (T,) or (C, T)
            The series; NaN where a value is missing.
        window : int
            Steps of a window. What fills few patches of eight steps says little.
        stride : int, default=1
            Steps from one window to the next.

        Returns
        -------
        ndarray of shape (n_windows, n_features_out)
            Window i covers the steps ``i * stride`` to ``i * stride + window``.

        Raises
        ------
        InputError
            If the series is shorter than a window, has another number of channels than in fit, or a window has no
            observed value.
        """
        check_is_fitted(self)
        values = np.asarray(series)
        if values.dtype.kind not in "fiub":
            raise InputTypeError("a numeric series", f"dtype {values.dtype}", "Pass numbers.")
        if values.ndim not in (1, 2):
            raise InputError("a series of shape (T,) or (C, T)", f"shape {values.shape}", "Pass one series.")
        values = np.atleast_2d(values)
        if min(window, stride) < 1 or window > values.shape[1]:
            got = f"window={window}, stride={stride} for {values.shape[1]} steps"
            raise InputError("stride >= 1 and a window from 1 to the length of the series", got, "Change them.")
        windows = np.lib.stride_tricks.sliding_window_view(values, window, axis=1)[:, ::stride]
        return np.asarray(self._embed(as_panel(self, windows.transpose(1, 0, 2), reset=False)))

    def reconstruct(self, X: Any, hidden: Any = None) -> Any:
        """What the network makes of the series, from what it is shown.

        Series longer than ``seq_len`` are reconstructed in windows; ``short`` and ``long`` are for embeddings alone.

        Parameters
        ----------
        X : array-like (n, T), array (n, C, T), or list of arrays
            Series; missing values are hidden.
        hidden : array of bool, optional
            True where a value is hidden from the network, of the shape of X or without its axis of channels. A patch of
            eight steps is hidden as a whole where one of its steps is.

        Returns
        -------
        ndarray or list of ndarray
            Of the shape of X, in float32 and in the units of X, without NaN.

        Raises
        ------
        InputError
            If a channel has no value that is shown.
        """
        check_is_fitted(self)
        panel = as_panel(self, X, reset=False)
        cover = _nothing(panel) if hidden is None else panel.beside(hidden, "hidden")
        for part, flags, rows in zip(panel.parts, cover, panel.rows, strict=True):
            blind = ~(~np.isnan(part) & ~flags).any(2)
            if blind.any():
                row, channel = np.argwhere(blind)[0]
                got = f"none in channel {channel} of series {rows[row]}"
                raise InputError("a value that is shown in each channel", got, "Drop the channel, or hide less.")
        return self._runner(self.module_).reconstruct(panel, cover).as_input()

    def impute(self, X: Any) -> Any:
        """The series with their missing values filled in; what was observed stays as it is.

        Parameters
        ----------
        X : array-like (n, T), array (n, C, T), or list of arrays
            Series with NaN where a value is missing.

        Returns
        -------
        ndarray or list of ndarray
            Of the shape of X, in float32.

        Raises
        ------
        InputError
            If a channel has no observed value.
        """
        found = self.reconstruct(X)
        given = as_panel(self, X, reset=False).as_input()
        if isinstance(given, list):
            return [np.where(np.isnan(x), f, x) for x, f in zip(given, found, strict=True)]
        return np.where(np.isnan(given), found, given)

    def anomaly_score(self, X: Any, n_folds: int | None = 4) -> Any:
        """How far each value is from what the rest of its series lets expect.

        Parameters
        ----------
        X : array-like (n, T), array (n, C, T), or list of arrays
            Series.
        n_folds : int or None, default=4
            Every ``n_folds``-th patch is hidden at a time, until each was hidden once. None hides nothing, as
            momentfm does: an anomaly then helps to reconstruct itself.

        Returns
        -------
        ndarray or list of ndarray
            Squared errors of the shape of X, in units of the channel's variance; 0 where a value is missing.
        """
        check_is_fitted(self)
        if n_folds is not None and n_folds < 2:
            raise ParameterError("n_folds >= 2, or None", f"{n_folds}", "With one fold all would be hidden.")
        panel, runner = as_panel(self, X, reset=False), self._runner(self.module_)
        found = [np.zeros(part.shape) for part in panel.parts]
        for fold in range(n_folds or 1):
            flags = _nothing(panel) if n_folds is None else _every(panel, fold, n_folds)
            for part, hidden, values in zip(found, flags, runner.reconstruct(panel, flags).parts, strict=True):
                part[:] = values if n_folds is None else np.where(hidden, values, part)
        scores = [_standardised_error(x, guess) for x, guess in zip(panel.parts, found, strict=True)]
        return Panel(tuple(scores), panel.rows, panel.kind, panel.flat).as_input()

    def export(self, folder: str | os.PathLike[str]) -> Path:
        """Write the weights as config.json and model.safetensors, in the layout that momentfm reads.

        Parameters
        ----------
        folder : str or path
            Where; ``weights=folder`` reads them back.

        Returns
        -------
        Path
            The folder.
        """
        check_is_fitted(self)
        return write_checkpoint(self.module_, folder, self.seq_len)


def _nothing(panel: Panel) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros(part.shape, dtype=bool) for part in panel.parts)


def _every(panel: Panel, fold: int, n_folds: int) -> tuple[np.ndarray, ...]:
    """Patch ``fold``, ``fold + n_folds``, ... of each series, but for channels of which nothing would be left."""
    flags = []
    for part in panel.parts:
        length = part.shape[2]
        patch = (np.arange(length) + -length % PATCH) // PATCH
        hidden = np.broadcast_to(patch % n_folds == fold, part.shape)
        blind = ~(~np.isnan(part) & ~hidden).any(2)
        flags.append(hidden & ~blind[..., None])
    return tuple(flags)


def _standardised_error(x: np.ndarray, guess: np.ndarray) -> np.ndarray:
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(-1, keepdims=True), 1)
    values = np.where(seen, x, 0).astype(np.float64)
    deviation = np.where(seen, values - values.sum(-1, keepdims=True) / count, 0)
    variance = np.square(deviation).sum(-1, keepdims=True) / count + 1e-10
    return np.where(seen, np.square(values - guess) / variance, 0)
