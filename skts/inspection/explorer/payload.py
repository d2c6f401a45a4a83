"""What the page knows, as JSON: windows, record, maps, colours and measures, quantised to two bytes a number."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skts.inspection.readability import MEASURES
from skts.inspection.windows import Windows
from skts.metrics.probes import is_factor

__all__ = ["colouring", "packed", "packed_record", "table_rows", "thinned"]

_STEPS = 65534  # levels of a quantised number; 65535 is a missing one
_MOST_VALUES = 400_000  # of the record on the page
_MOST_CLASSES = 40


def packed(values: np.ndarray) -> dict[str, Any]:
    """Numbers as ``offset + scale * q`` with 16-bit q; the error is at most half a level of 65534."""
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    low = float(values[known].min()) if known.any() else 0.0
    high = float(values[known].max()) if known.any() else 0.0
    scale = (high - low) / _STEPS or 1.0
    levels = np.where(known, np.rint((np.where(known, values, low) - low) / scale), _STEPS + 1)
    return {"offset": low, "scale": scale, "data": _base64(levels.astype("<u2"))}


def whole(values: np.ndarray) -> str:
    """Whole numbers in four bytes."""
    return _base64(np.asarray(values).astype("<u4"))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def thinned(x: np.ndarray, size: int) -> np.ndarray:
    """Smallest and largest value of each ``size`` steps, in the order in which they occur."""
    lost = -len(x) % size
    parts = np.pad(x, (0, lost), mode="edge").reshape(-1, size)
    low = np.where(np.isnan(parts), np.inf, parts).argmin(1)
    high = np.where(np.isnan(parts), -np.inf, parts).argmax(1)
    first, second = np.minimum(low, high), np.maximum(low, high)
    rows = np.arange(len(parts))
    return np.column_stack([parts[rows, first], parts[rows, second]]).ravel()


def packed_record(record: np.ndarray, names: list[str] | None) -> dict[str, Any]:
    """The channels of a record (C, T), thinned where they are many values."""
    n_channels, length = record.shape
    size = 2 * -(-record.size // _MOST_VALUES)
    thin = size > 2
    names = [f"channel {c}" for c in range(n_channels)] if names is None else list(names)
    channels = [
        {"name": str(name), **packed(thinned(x, size) if thin else x)} for name, x in zip(names, record, strict=True)
    ]
    return {"length": length, "step": size / 2 if thin else 1, "channels": channels}


def colouring(name: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    """Classes and the code of each window, or numbers, where they are many."""
    classes, code = np.unique(values, return_inverse=True)
    if kind != "time" and not is_factor(values) and len(classes) <= _MOST_CLASSES:
        return {"name": name, "kind": kind, "classes": [str(c) for c in classes], "codes": whole(code)}
    numbers = values if values.dtype.kind in "fiu" else code
    return {"name": name, "kind": kind, "values": packed(numbers)}


def table_rows(report: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table of measures, with a value and an interval for each model."""
    rows = []
    for (space, measure), group in report.groupby(["space", "measure"], sort=False):
        found = group.set_index("model")[["value", "low", "high"]]
        cells = {
            str(m): [None if np.isnan(v) else round(float(v), 4) for v in row]
            for m, row in zip(found.index, found.to_numpy(), strict=True)
        }
        better, says = MEASURES[measure]
        rows.append({"space": space, "measure": measure, "better": better, "says": says, "cells": cells})
    return rows


def scene(windows: Windows, maps: Mapping[str, Mapping[str, np.ndarray]], names: list[str] | None) -> dict[str, Any]:
    """Windows, record and maps."""
    return {
        "kind": "panel" if windows.window is None else "series",
        "n": len(windows),
        "window": windows.window,
        "starts": whole(windows.starts),
        "stops": whole(windows.stops),
        "record": packed_record(windows.record, names),
        "maps": {
            model: {name: {"x": packed(z[:, 0]), "y": packed(z[:, 1])} for name, z in of_model.items()}
            for model, of_model in maps.items()
        },
    }
