"""Windows of a series, or the series of a panel, as what an embedding is looked at by."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["Windows", "cut", "embed", "labels_of"]

_FEWEST = 8


@dataclass(frozen=True)
class Windows:
    """Windows, and where they lie in one long record.

    Parameters
    ----------
    values : ndarray of shape (n, C, W), or list of arrays (C, T_i)
        What is embedded.
    starts, stops : ndarray of shape (n,), int
        Steps of the record that each covers.
    record : ndarray of shape (C, T)
        The series; the series of a panel stand one after another.
    window : int or None
        Steps of a window; None for a panel.
    """

    values: Any
    starts: np.ndarray
    stops: np.ndarray
    record: np.ndarray
    window: int | None

    @property
    def gap(self) -> int:
        """Steps by which two starts must differ for their windows not to overlap."""
        return 1 if self.window is None else self.window

    def __len__(self) -> int:
        return len(self.starts)


def cut(X: Any, window: int | None = None, stride: int | None = None, max_windows: int = 2000) -> Windows:
    """Windows of a series (T,) or (C, T); without ``window`` the series of a panel (n, T), (n, C, T) or a list.

    ``stride`` is half a window by default, and more where there would be more than ``max_windows`` of them.
    """
    if window is None:
        return _of_panel(X, max_windows)
    record = np.asarray(X, dtype=np.float64)
    if record.ndim not in (1, 2):
        raise InputError("one series of shape (T,) or (C, T) with window", f"shape {record.shape}", "Pass one series.")
    record = np.atleast_2d(record)
    length = record.shape[1]
    stride = max(1, window // 2) if stride is None else stride
    if min(window, stride) < 1 or window > length:
        got = f"window={window}, stride={stride} for {length} steps"
        raise InputError("stride >= 1 and a window from 1 to the length of the series", got, "Change them.")
    starts = np.arange(0, length - window + 1, stride)
    starts = starts[:: -(-len(starts) // max_windows)]
    values = np.lib.stride_tricks.sliding_window_view(record, window, axis=1)[:, starts].transpose(1, 0, 2)
    return _enough(Windows(values, starts, starts + window, record, window))


def _of_panel(X: Any, max_windows: int) -> Windows:
    if isinstance(X, list | tuple):
        parts = [np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in X]
    else:
        panel = np.asarray(X, dtype=np.float64)
        if panel.ndim not in (2, 3):
            hint = "Pass window as well, if X is one long series."
            raise InputError("a panel (n, T) or (n, C, T), or a list of series", f"shape {panel.shape}", hint)
        parts = list(panel[:, None] if panel.ndim == 2 else panel)
    if len(parts) > max_windows:
        raise InputError(f"at most {max_windows} series", f"{len(parts)}", "Pass a part of them, or raise max_windows.")
    stops = np.cumsum([part.shape[1] for part in parts])
    starts = np.concatenate([[0], stops[:-1]])
    equal = len({part.shape for part in parts}) == 1
    return _enough(Windows(np.stack(parts) if equal else parts, starts, stops, np.concatenate(parts, 1), None))


def _enough(found: Windows) -> Windows:
    if len(found) < _FEWEST:
        hint = "Shorten window or stride, or pass more."
        raise InputError(f"at least {_FEWEST} windows or series to be looked at", f"{len(found)}", hint)
    return found


def labels_of(windows: Windows, y: Any, label_by: str = "majority", name: str = "y") -> np.ndarray:
    """One value for each window: of labels by ``label_by``, of a factor the mean."""
    from skts.metrics.probes import is_factor

    if label_by not in ("majority", "event"):
        raise InputError('label_by as "majority" or "event"', f"{label_by!r}", "Pass one of them.")

    y = np.asarray(y)
    expected = len(windows) if windows.window is None else windows.record.shape[1]
    if y.shape != (expected,):
        each = "series" if windows.window is None else "step"
        raise InputError(f"{name} of shape ({expected},)", f"shape {y.shape}", f"Pass one value for each {each}.")
    if windows.window is None:
        return y
    spans = list(zip(windows.starts, windows.stops, strict=True))
    if is_factor(y):
        return np.array([y[start:stop].mean() for start, stop in spans])
    classes, code = np.unique(y, return_inverse=True)
    counts = np.array([np.bincount(code[start:stop], minlength=len(classes)) for start, stop in spans], dtype=float)
    if label_by == "event":  # the usual label counts only where there is no other
        usual = np.bincount(code).argmax()
        counts[:, usual] = np.minimum(counts[:, usual], 1) / 2
    return classes[counts.argmax(1)]


def embed(model: Any, windows: Windows, values: Any = None) -> np.ndarray:
    """Embeddings (n, n_features) of the windows, or of ``values`` in their place, by a fitted transformer."""
    from sklearn.utils import get_tags

    values = windows.values if values is None else values
    takes_channels = get_tags(model).input_tags.three_d_array
    if not takes_channels and isinstance(values, np.ndarray):
        values = values.reshape(len(values), -1)
    found = np.asarray(model.transform(values), dtype=np.float64)
    return found.reshape(len(found), -1)
