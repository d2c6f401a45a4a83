"""What may be done to windows before they are embedded, by name."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["named_changes"]

Change = Callable[[np.ndarray], np.ndarray]


def named_changes(preprocessing: Any) -> dict[str, Change]:
    """Functions of windows (n, C, W) by name, from a name, several, or a dict of names to functions."""
    if isinstance(preprocessing, Mapping):
        return dict(preprocessing)
    names = [preprocessing] if isinstance(preprocessing, str) else list(preprocessing)
    return {name: _change(name) for name in names}


def _change(name: Any) -> Change:
    if name in _CHANGES:
        return _CHANGES[name]
    word, _, number = str(name).partition(" ")
    if word == "channel" and number.isdigit():
        return lambda x: _one_channel(x, int(number))
    expected = f"preprocessing out of {[*_CHANGES, 'channel 0', '...']}"
    raise InputError(expected, f"{name!r}", "Pass one of them, or a dict of names to functions.")


def _normalise(x: np.ndarray) -> np.ndarray:
    deviation = np.nanstd(x, axis=-1, keepdims=True)
    return (x - np.nanmean(x, axis=-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)


def _detrend(x: np.ndarray) -> np.ndarray:
    """Less the straight line that fits best, level included."""
    seen = ~np.isnan(x)
    t = np.where(seen, np.arange(x.shape[-1], dtype=np.float64), np.nan)
    t = t - np.nanmean(t, axis=-1, keepdims=True)
    centred = x - np.nanmean(x, axis=-1, keepdims=True)
    spread = np.nansum(t * t, axis=-1, keepdims=True)
    return centred - t * np.nansum(t * centred, axis=-1, keepdims=True) / np.where(spread > 0, spread, 1.0)


def _difference(x: np.ndarray) -> np.ndarray:
    return np.diff(x, axis=-1, prepend=x[..., :1])


def _one_channel(x: np.ndarray, channel: int) -> np.ndarray:
    """The others are missing, so that a model of all channels still takes the windows."""
    if channel >= x.shape[1]:
        raise InputError(f"a channel from 0 to {x.shape[1] - 1}", f"channel {channel}", "Choose one that is there.")
    if x.shape[1] == 1:
        return x
    kept = np.full_like(x, np.nan)
    kept[:, channel] = x[:, channel]
    return kept


_CHANGES: dict[str, Change] = {
    "raw": lambda x: x,
    "normalise": _normalise,
    "detrend": _detrend,
    "difference": _difference,
}
