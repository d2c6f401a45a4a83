"""A fitted estimator that belongs to another one, as the bytes of its own file: that file is checked when read."""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from skts.errors import PersistenceError
from skts.persistence import load, save

__all__ = ["as_bytes", "from_bytes"]

T = TypeVar("T")


def as_bytes(estimator: Any) -> np.ndarray:
    """What :func:`skts.save` writes, as an array of bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nested.skts"
        save(estimator, path)
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def from_bytes(body: Any, expected: type[T]) -> T:
    """The estimator of :func:`as_bytes`, if it is of the expected class.

    Raises
    ------
    PersistenceError
        If the bytes are damaged, or hold another estimator.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nested.skts"
        path.write_bytes(np.asarray(body, dtype=np.uint8).tobytes())
        estimator = load(path)
    if not isinstance(estimator, expected):
        raise PersistenceError(f"a {expected.__name__}", type(estimator).__name__, "Get an intact copy of the file.")
    return estimator
