"""What y is: which output space it belongs to, its codes, and the way back from codes to what the user knows."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from skts.errors import InputError, InputTypeError
from skts.jointebm.spaces import OutputSpace

__all__ = ["Target", "as_outputs", "check_lengths", "check_mask"]

_MANY = 3  # rows that a message names


@dataclass(frozen=True)
class Target:
    """The output space of a training set, and how to code outputs.

    Parameters
    ----------
    kind : str
        "multiclass", "multilabel", "subset", "ranking" or "own".
    k : int
        Entries of a code; the number of classes for "multiclass".
    classes : ndarray
        Classes, or names of labels and items.
    size : int, default=0
        Labels of each set of kind "subset".
    own : OutputSpace, optional
        The user's space.
    """

    kind: str
    k: int
    classes: np.ndarray
    size: int = 0
    own: OutputSpace | None = None

    @classmethod
    def of(cls, output: Any, y: Any, names: list[Any] | None) -> "Target":
        """The target of training outputs ``y`` (an array); ``names`` are those of a DataFrame's columns."""
        if not isinstance(output, str):
            codes = _own_codes(output, y)
            return cls("own", codes.shape[1], np.arange(codes.shape[1]), own=output)
        kind = _resolve(output, y)
        if kind == "multiclass":
            check_classification_targets(y)
            classes = np.unique(y)
            return cls(kind, len(classes), classes)
        classes = np.asarray(names) if names is not None else np.arange(y.shape[1])
        size = int(np.asarray(y)[0].sum()) if kind == "subset" else 0
        return cls(kind, y.shape[1], classes, size)

    def encode(self, y: Any) -> np.ndarray:  # (n,) or (n, k) -> (n, k)
        """Codes of outputs.

        Raises
        ------
        InputError
            If an output is not in the space.
        """
        if self.own is not None:
            return _own_codes(self.own, y)
        y = as_outputs(y)[0]
        if self.kind == "multiclass":
            return self._class_codes(y)
        if y.ndim != 2 or y.shape[1] != self.k:
            raise InputError(f"outputs of shape (n_samples, {self.k})", f"shape {y.shape}", "Pass one row a sample.")
        if self.kind == "ranking":
            return _rank_codes(y)
        return self._label_codes(y)

    def _class_codes(self, y: np.ndarray) -> np.ndarray:
        y = y.ravel()
        where = np.searchsorted(self.classes, y).clip(0, self.k - 1)
        unknown = self.classes[where] != y
        if unknown.any():
            raise InputError(f"classes among {self.classes.tolist()[:10]}", f"{y[unknown][0]!r}", "Drop these rows.")
        return where[:, None].astype(np.int64)

    def _label_codes(self, y: np.ndarray) -> np.ndarray:
        bad = ~np.isin(y, (0, 1)).all(1)
        if bad.any():
            got = f"other values in {bad.sum()} rows, first {np.flatnonzero(bad)[:_MANY].tolist()}"
            raise InputError("labels that are 0 or 1", got, 'Binarise them, or pass output="ranking" for ranks.')
        codes = y.astype(np.int64)
        wrong = codes.sum(1) != self.size if self.kind == "subset" else np.zeros(len(y), dtype=bool)
        if wrong.any():
            got = f"other numbers in {wrong.sum()} rows, first {np.flatnonzero(wrong)[:_MANY].tolist()}"
            raise InputError(f"sets of exactly {self.size} labels", got, 'Pass output="multilabel" for any number.')
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Outputs as the user gave them: classes (...,), label sets (..., k), ranks from 1 (..., k)."""
        if self.kind == "multiclass":
            return self.classes[codes[..., 0]]
        return codes + 1 if self.kind == "ranking" else codes


def as_outputs(y: Any) -> tuple[np.ndarray, list[Any] | None]:
    """An array from lists, frames and sparse matrices, and the names of a frame's columns.

    Raises
    ------
    InputError, InputTypeError
        If it is None, empty or not finite.
    """
    if y is None:
        raise InputTypeError(
            "y, the outputs",
            "None: this estimator requires y to be passed, but the target y is None",
            "Pass fit(X, y).",
        )
    names = list(y.columns) if hasattr(y, "columns") else None
    array = y.toarray() if issparse(y) else np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        warnings.warn("A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=4)
        array = array.ravel()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = "NaN" if np.isnan(array).any() else "infinity"
        raise InputError(
            "outputs without missing values",
            f"Input y contains {bad}",
            "Pass any value there and label_mask, True where a label was observed.",
        )
    return array, names


def _resolve(output: str, y: np.ndarray) -> str:
    if output == "auto":
        output = "multiclass" if y.ndim == 1 else "multilabel"
    if output == "multiclass" and y.ndim != 1:
        raise InputError("classes of shape (n_samples,)", f"y of shape {y.shape}", 'Pass output="multilabel".')
    if output != "multiclass" and y.ndim != 2:
        raise InputError(f"outputs of shape (n_samples, k) for {output}", f"y of shape {y.shape}", "Reshape y.")
    return output


def _rank_codes(y: np.ndarray) -> np.ndarray:
    proper = np.arange(1, y.shape[1] + 1)
    bad = (np.sort(y, 1) != proper).any(1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        got = f"{bad.sum()} rows that are not, first row {row}: {y[row].tolist()}"
        raise InputError(f"ranks 1 to {y.shape[1]}, each once, 1 = best", got, "Break ties; ranks have none here.")
    return y.astype(np.int64) - 1


def _own_codes(space: OutputSpace, y: Any) -> np.ndarray:
    try:
        codes = np.asarray(space.check(y))
    except ValueError as error:
        raise InputError(
            "outputs in the space of yours", str(error).rstrip("."), "Correct y, or space.check."
        ) from error
    if codes.ndim != 2 or codes.dtype.kind not in "iub":
        got = f"shape {codes.shape}, dtype {codes.dtype}"
        raise InputError("whole numbers of shape (n_samples, k) from space.check", got, "Correct space.check.")
    return codes.astype(np.int64)


def check_lengths(y: np.ndarray, X: Any) -> None:
    """Refuse outputs of another number of rows than X.

    Raises
    ------
    InputError
        If the lengths differ.
    """
    if len(y) != X.shape[0]:
        raise InputError("as many outputs as rows of X", f"{len(y)} for {X.shape[0]}", "Check the two lengths.")


def check_mask(label_mask: Any, y: np.ndarray) -> np.ndarray | None:
    """Which labels were observed, (n, k) of bool; None where all were.

    Raises
    ------
    InputError
        If its shape is not that of y, or a label was never observed.
    """
    if label_mask is None:
        return None
    known = label_mask.toarray() if issparse(label_mask) else np.asarray(label_mask)
    if known.shape != y.shape or not np.isin(known, (0, 1)).all():
        raise InputError(f"a mask of True and False of shape {y.shape}", f"shape {known.shape}", "Correct label_mask.")
    known = known.astype(bool)
    never = np.flatnonzero(~known.any(0))
    if len(never):
        raise InputError("labels that were observed at least once", f"none for {never[:5].tolist()}", "Drop them.")
    return None if known.all() else known
