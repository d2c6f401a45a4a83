"""A measured double pendulum."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from skts.datasets.cache import locate_dataset
from skts.datasets.registry import LocalDataset
from skts.datasets.structured import _load_npz
from skts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.utils import Bunch

__all__ = ["fetch_double_pendulum"]


_UNREADABLE = (KeyError, ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
_SECONDS = 0.001
_HELD_OUT = ("train_01", "train_04", "train_07", "train_12", "train_17", "train_22", "val_01")
_PENDULUM = LocalDataset(
    name="double_pendulum_measured",
    folder="dynamics",
    shape=(80_001, 4),  # all segments together
    n_targets=0,
    origin="Kaheman et al. (2022)",
    url="https://github.com/dynamicslab/MultiArm-Pendulum",
    licence="MIT",
)
_SEGMENTS = {f"train_{i:02d}": 2_667 for i in range(26)} | {f"val_{i:02d}": 2_667 for i in range(3)} | {"val_03": 2_658}


def fetch_double_pendulum() -> Bunch:
    """Fetch a measured double pendulum: a swing from large, chaotic motion to small, nearly linear motion.

    Use it to see what a simulator learns from a real instrument, with friction and measurement errors.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : list of 30 ndarrays of shape (2667, 4), the last one (2658, 4), float32: the angles of the two
          arms in rad, π where the arm hangs down, and their angular velocities in rad/s
        * names : list of 30 str, "train_00" to "train_25", then "val_00" to "val_03"
        * train : list of 23 int, indices into data to learn from
        * test : list of 7 int, indices of the trajectories to hold out, from the whole of the record
        * dt : float, 0.001 s between two samples
        * DESCR : str

    Raises
    ------
    InputError
        If the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    Notes
    -----
    The file is ``dynamics/double_pendulum_measured.npz`` in the folder of the environment variable ``SKTS_DATA``,
    else in the user's cache; it is never downloaded. It holds one array for each name and ``dt``. The trajectories
    are one record of 80 s at 1 kHz, cut in the order in which they stand: each begins where the one before it
    ends, and the amplitude falls from one to the next. Trajectories of the origin's "val" are the end of that
    record, where the motion is small; ``test`` therefore takes one from "val" and six from all over the rest. No
    sample is in both parts, but do not learn from windows that span two trajectories.

    Licence: MIT.

    References
    ----------
    K. Kaheman, U. Fasel, J. J. Bramburger, B. Strom, J. N. Kutz, S. L. Brunton, "The Experimental Multi-Arm
    Pendulum on a Cart: A Benchmark System for Chaos, Learning, and Control", 2022.
    https://arxiv.org/abs/2205.06231

    Data: https://github.com/dynamicslab/MultiArm-Pendulum

    Examples
    --------
    >>> from skts.datasets import fetch_double_pendulum
    >>> pendulum = fetch_double_pendulum()  # doctest: +SKIP
    >>> len(pendulum.data), pendulum.data[0].shape, pendulum.dt  # doctest: +SKIP
    (30, (2667, 4), 0.001)
    """
    from sklearn.utils import Bunch

    path = locate_dataset(_PENDULUM)
    arrays = _read_segments(path)
    names = list(_SEGMENTS)
    test = [names.index(name) for name in _HELD_OUT]
    return Bunch(
        data=[arrays[name].astype(np.float32) for name in names],
        names=names,
        train=[i for i in range(len(names)) if i not in test],
        test=test,
        dt=_SECONDS,
        DESCR=(
            f"{_PENDULUM.name}: {len(names)} trajectories, {_PENDULUM.shape[0]} rows of two angles (rad) and their "
            f"velocities (rad/s) at 1 kHz. Origin: {_PENDULUM.origin}, {_PENDULUM.url}. Licence: {_PENDULUM.licence}."
        ),
    )


def _read_segments(path: Path) -> dict[str, np.ndarray]:
    """The trajectories of the pendulum's file by name, once all are there, finite and of their shapes."""
    expected = f"{path} to hold {len(_SEGMENTS)} arrays train_00, ... of finite floats (2667, 4), and dt = {_SECONDS}"
    hint = f"Replace it by a conversion of the data at {_PENDULUM.url}"
    try:
        arrays = _load_npz(path, (*_SEGMENTS, "dt"))
        dt = float(arrays.pop("dt"))
    except (*_UNREADABLE, TypeError) as error:
        raise InputError(expected, f"one that cannot be read so ({type(error).__name__}: {error})", hint) from error
    if dt != _SECONDS:
        raise InputError(expected, f"dt = {dt}", hint)
    for name, array in arrays.items():
        if array.shape != (_SEGMENTS[name], 4) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(expected, f"{name} of shape {array.shape}, dtype {array.dtype}, or with NaN", hint)
    return arrays
