"""Whole-tensor batches: arrays, memory maps and windows of series, cut by index without a copy of the whole."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

__all__ = ["ArrayBatches", "Batches", "SparseRows", "WindowBatches", "as_tensor", "cut_last_part", "iterate"]

# Data up to this size move to the accelerator once; larger ones batch by batch.
_RESIDENT_BYTES = 2**30


class Batches(Protocol):
    """Training samples that are taken by index, a whole batch at a time."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def take(self, index: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the samples in ``index``, first axis = sample."""
        ...

    def weights(self, index: Tensor) -> Tensor | None:
        """Sample weights (len(index),), or None where all weigh the same."""
        ...

    def split(self, fraction: float, generator: torch.Generator) -> tuple["Batches", "Batches | None"]:
        """Training and validation part; no validation part where the data are too few for one."""
        ...

    def to(self, device: torch.device) -> "Batches":
        """The same samples on ``device``, where they fit."""
        ...


class SparseRows:
    """A CSR matrix that stands where a tensor does: the rows that are taken come out dense, the others stay sparse.

    Parameters
    ----------
    matrix : scipy sparse matrix or array
        In CSR format, (n_samples, n_features).
    """

    device = torch.device("cpu")

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: slice) -> Tensor:
        """Rows of a slice."""
        return torch.from_numpy(self.matrix[rows].toarray())

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Rows ``index``."""
        assert dim == 0
        return torch.from_numpy(self.matrix[index.numpy()].toarray())

    def numel(self) -> int:
        """Entries of the dense matrix."""
        return int(np.prod(self.matrix.shape))

    def element_size(self) -> int:
        """Bytes of an entry."""
        return int(self.matrix.dtype.itemsize)

    def to(self, device: torch.device) -> Any:
        """All rows, dense, where the engine has found that they fit on ``device``."""
        return self[:].to(device)


def as_tensor(array: Any) -> Any:
    """A tensor over the same memory where possible (arrays, read-only arrays, memory maps, CSR matrices).

    A memory map stays on disk: batches read the pages that they need. A CSR matrix becomes :class:`SparseRows`.
    """
    if isinstance(array, Tensor | SparseRows):
        return array
    if hasattr(array, "tocsr"):
        return SparseRows(array.tocsr())
    array = np.asarray(array)
    if array.strides and min(array.strides) < 0:
        array = array.copy()
    with warnings.catch_warnings():
        # torch warns of memory that it must not write to; batches are copies, so nobody writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def cut_last_part(length: int, fraction: float, at_least: int = 0) -> int:
    """Number of leading rows that remain when the last ``fraction`` of ``length`` rows is held out."""
    return max(0, length - max(round(length * fraction), at_least)) if fraction > 0 else length


def iterate(
    batches: Batches, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[tuple[Tensor, ...], Tensor | None, int]]:
    """One pass over the samples, shuffled if a generator is given: (tensors, weights, number of samples).

    A last batch of a single sample joins the one before it, since batch statistics of one sample do not exist.
    """
    n = len(batches)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    start = 0
    while start < n:
        stop = start + batch_size
        if n - stop <= 1:
            stop = n
        index = order[start:stop]
        yield batches.take(index), batches.weights(index), stop - start
        start = stop


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    return tensor.index_select(0, index.to(tensor.device))


def _resident(device: torch.device, *tensors: Tensor) -> bool:
    return device.type != "cpu" and sum(t.numel() * t.element_size() for t in tensors) <= _RESIDENT_BYTES


@dataclass(frozen=True)
class ArrayBatches:
    """Rows of arrays that have the same length.

    Parameters
    ----------
    tensors : tuple of Tensor
        First axis = sample. See :meth:`of` for arrays and memory maps.
    sample_weight : Tensor, optional
        Shape (n_samples,).
    index : Tensor, optional
        The rows that count; all of them by default.
    """

    tensors: tuple[Tensor, ...]
    sample_weight: Tensor | None = None
    index: Tensor | None = None

    @classmethod
    def of(cls, *arrays: Any, sample_weight: Any = None) -> Self:
        """Batches over numpy arrays, memory maps or tensors."""
        weight = None if sample_weight is None else as_tensor(np.asarray(sample_weight, dtype=np.float32))
        return cls(tuple(as_tensor(a) for a in arrays), weight)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.tensors[0] if self.index is None else self.index)

    def _where(self, index: Tensor) -> Tensor:
        return index if self.index is None else self.index[index]

    def take(self, index: Tensor) -> tuple[Tensor, ...]:
        """Rows ``index`` of every array."""
        rows = self._where(index)
        return tuple(_rows(t, rows) for t in self.tensors)

    def weights(self, index: Tensor) -> Tensor | None:
        """Weights of the rows ``index``."""
        return None if self.sample_weight is None else _rows(self.sample_weight, self._where(index))

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self | None]:
        """Hold out a random part of the rows, at least one and never the last training row.

        Rows without weight would validate nothing; they stay in training.
        """
        n = len(self)
        order = torch.randperm(n, generator=generator)
        weights = self.weights(order)
        if weights is not None:
            order = torch.cat([order[weights > 0], order[weights <= 0]])
            n = int((weights > 0).sum())
        held_out = min(max(1, round(n * fraction)), n - 1) if fraction > 0 else 0
        if held_out < 1:
            return self, None
        valid, train = order[:held_out].sort().values, order[held_out:].sort().values
        return replace(self, index=self._where(train)), replace(self, index=self._where(valid))

    def to(self, device: torch.device) -> Self:
        """The same rows, resident on ``device`` where they fit."""
        if not _resident(device, *self.tensors):
            return self
        return replace(self, tensors=tuple(t.to(device) for t in self.tensors))


@dataclass(frozen=True)
class WindowBatches:
    """Windows (context, horizon) of one or many series; no window crosses the end of a series.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_variates)
        All series one after another.
    lengths : tuple of int
        Rows of each series.
    context, horizon : int
        Rows that are seen, and rows after them that are to be foreseen.
    starts : Tensor of shape (n_windows,)
        First row of each window.
    """

    rows: Tensor
    lengths: tuple[int, ...]
    context: int
    horizon: int
    starts: Tensor

    @classmethod
    def of(cls, series: Sequence[Any], context: int, horizon: int) -> Self:
        """All windows of a list of series, each an array, memory map or tensor (n_rows_i, n_variates)."""
        tensors = [as_tensor(s) for s in series]
        # One series is used in place (it may be a memory map); several have to lie one after another.
        rows = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        lengths = tuple(len(t) for t in tensors)
        starts = _starts(lengths, [0] * len(lengths), lengths, context + horizon)
        return cls(rows, lengths, context, horizon, starts)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.starts)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (B, L, N) and the horizons after them (B, H, N)."""
        view = self.rows.unfold(0, self.context + self.horizon, 1)  # (windows, N, L + H), no copy
        windows = _rows(view, self.starts[index]).transpose(1, 2)
        return windows[:, : self.context], windows[:, self.context :]

    def weights(self, index: Tensor) -> None:
        """Windows weigh the same."""

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self | None]:
        """Hold out the last part in time of each series: validation foresees it, training never sees it.

        The part is at least one horizon long. Where the series of a panel are so short that this would take most of the
        training windows, some of them are held out as a whole.
        """
        size, n_series = self.context + self.horizon, len(self.lengths)
        cuts = [cut_last_part(n, fraction, self.horizon) for n in self.lengths]
        train = _starts(self.lengths, [0] * n_series, cuts, size)
        valid = _starts(self.lengths, [max(0, c - self.context) for c in cuts], self.lengths, size)
        wasteful = len(train) < (1 - 2 * fraction) * len(self) or not (len(train) and len(valid))
        if fraction > 0 and wasteful and n_series > 1:
            held_out = torch.randperm(n_series, generator=generator)[: max(1, round(n_series * fraction))].tolist()
            kept = [0 if i in held_out else n for i, n in enumerate(self.lengths)]
            left = [n - k for n, k in zip(self.lengths, kept, strict=True)]
            train, valid = (_starts(self.lengths, [0] * n_series, ends, size) for ends in (kept, left))
        if fraction <= 0 or not len(train) or not len(valid):
            return self, None
        return replace(self, starts=train), replace(self, starts=valid)

    def to(self, device: torch.device) -> Self:
        """The same windows, with their rows resident on ``device`` where they fit."""
        return replace(self, rows=self.rows.to(device)) if _resident(device, self.rows) else self


def _starts(lengths: Sequence[int], first: Sequence[int], last: Sequence[int], size: int) -> Tensor:
    """Starts of the windows of ``size`` rows between rows ``first`` and ``last`` of each series."""
    offsets = np.cumsum([0, *lengths[:-1]])
    spans = [
        torch.arange(int(o) + a, int(o) + max(a, b - size + 1)) for o, a, b in zip(offsets, first, last, strict=True)
    ]
    return torch.cat(spans) if spans else torch.empty(0, dtype=torch.long)
