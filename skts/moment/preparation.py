"""From raw series to normalised patches: lengths, missing values, and what the network may see."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skts.engine.batches import as_tensor
from skts.errors import InputError
from skts.moment.revin import standardise

__all__ = ["PATCH", "Prepared", "Recipe", "Window", "fill_gaps", "resample", "windows_from_the_end"]

PATCH = 8  # steps of a patch


@dataclass(frozen=True)
class Window:
    """A stretch ``start:stop`` of a series, of which the steps up to ``new`` are not covered by another window."""

    start: int
    stop: int
    new: int


@dataclass(frozen=True)
class Prepared:
    """Sequences of equal length, one for each channel of each series: S = m * C.

    Parameters
    ----------
    patches : Tensor of shape (S, N, 8)
        Normalised values.
    shown, keys : Tensor of bool (S, N)
        Patches whose values the network sees, and those that others may attend to.
    steps : Tensor of bool (S, N, 8)
        Steps that were observed: the others are filled up.
    first : int
        Position of the first patch.
    mean, scale : Tensor of shape (S, 1)
        What normalisation took away.
    weight : float
        Of this window in the mean over the windows of a series.
    """

    patches: Tensor
    shown: Tensor
    keys: Tensor
    steps: Tensor
    first: int
    mean: Tensor
    scale: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How series become patches.

    Parameters
    ----------
    seq_len : int
        Steps of a full-length series.
    short : {"pad", "upsample", "raw"}
        Shorter series keep the last positions, are interpolated, or stand at the first positions.
    long : {"interpolate", "chunk", "last"}
        Longer ones are interpolated, cut into windows, or cut off.
    strict : bool
        As released: incomplete patches are lost, a missing value is the series' mean.
    """

    seq_len: int
    short: str
    long: str
    strict: bool

    def n_tokens(self, length: int) -> int:
        """Patches of a series of ``length`` steps, of all its windows."""
        if length > self.seq_len:
            n_windows = -(-length // self.seq_len) if self.long == "chunk" else 1
            return n_windows * self.seq_len // PATCH
        return self.seq_len // PATCH if self.short == "upsample" else -(-length // PATCH)

    def for_embedding(self, x: np.ndarray) -> Iterator[Prepared]:
        """The windows of series (m, C, T), mostly one."""
        length = x.shape[2]
        if length > self.seq_len and self.long == "chunk":
            for window in windows_from_the_end(length, self.seq_len):
                yield self._strict_or_mended(x[:, :, window.start : window.stop], (window.new - window.start) / length)
            return
        if length > self.seq_len and self.long == "last":
            x = x[:, :, -self.seq_len :]
        elif length > self.seq_len or (length < self.seq_len and self.short == "upsample"):
            x = resample(x, self.seq_len)
        yield self._strict_or_mended(x, 1.0)

    def _strict_or_mended(self, x: np.ndarray, weight: float) -> Prepared:
        return self._strict(x, weight) if self.strict else self._mended(x, weight)

    def _mended(self, x: np.ndarray, weight: float) -> Prepared:
        """Nothing is lost: the first patch is filled up, and a patch counts where any of its steps was observed."""
        filled, observed = _whole_patches(x)
        z, mean, scale = standardise(_sequences(filled), _sequences(observed))
        steps = _sequences(observed).unfold(-1, PATCH, PATCH)
        keys = steps.any(-1)
        return Prepared(z.unfold(-1, PATCH, PATCH), keys, keys, steps, self._first(keys.shape[1]), mean, scale, weight)

    def _strict(self, x: np.ndarray, weight: float) -> Prepared:
        """As momentfm embeds the series padded with zeros and a mask ("pad"), or just as they are ("raw")."""
        length = x.shape[2]
        if length < PATCH:
            hint = "Set strict_parity=False, which fills the patch up."
            raise InputError(f"at least {PATCH} steps for strict_parity=True", f"{length}", hint)
        lost = -length % PATCH if self.short == "pad" else 0
        x = np.pad(x, ((0, 0), (0, 0), (lost, 0)))
        observed = np.broadcast_to(np.arange(x.shape[2]) >= lost, x.shape)
        z, mean, scale = standardise(_sequences(x), _sequences(observed))
        steps = _sequences(observed & ~np.isnan(x)).unfold(-1, PATCH, PATCH)
        keys = _sequences(observed).unfold(-1, PATCH, PATCH).all(-1)
        return Prepared(z.unfold(-1, PATCH, PATCH), keys, keys, steps, self._first(keys.shape[1]), mean, scale, weight)

    def for_reconstruction(self, x: np.ndarray, hidden: np.ndarray) -> Prepared:
        """Series (m, C, T) of at most ``seq_len`` steps; patches with a hidden or missing step carry the mask token."""
        hidden = hidden | np.isnan(x)
        filled, _ = _whole_patches(x)
        lost = filled.shape[2] - x.shape[2]
        visible = _sequences(np.pad(~hidden, ((0, 0), (0, 0), (lost, 0)), constant_values=False))
        z, mean, scale = standardise(_sequences(filled), visible)
        covered = _sequences(np.pad(hidden, ((0, 0), (0, 0), (lost, 0)), constant_values=False))
        shown = ~covered.unfold(-1, PATCH, PATCH).any(-1)
        steps, n_patches = visible.unfold(-1, PATCH, PATCH), shown.shape[1]
        first = self.seq_len // PATCH - n_patches
        return Prepared(z.unfold(-1, PATCH, PATCH), shown, torch.ones_like(shown), steps, first, mean, scale)

    def _first(self, n_patches: int) -> int:
        return 0 if self.short == "raw" else self.seq_len // PATCH - n_patches


def windows_from_the_end(length: int, size: int) -> list[Window]:
    """Windows of ``size`` steps that end ``length``, ``length - size``, ... steps from the start, first one first.

    The first one begins at 0, ends on the same grid of patches as the others, and overlaps with the second.
    """
    found = []
    for stop in range(length, 0, -size):
        if stop >= size or stop == length:
            found.append(Window(max(0, stop - size), stop, stop))
        else:
            found.append(Window(0, size - (size - length) % PATCH, stop))
    return found[::-1]


def fill_gaps(x: np.ndarray) -> np.ndarray:
    """Missing values by a straight line between their neighbours, the nearest value at the ends, 0 if there is none."""
    missing = np.isnan(x)
    if not missing.any():
        return x
    place, length = np.arange(x.shape[-1]), x.shape[-1]
    before = np.maximum.accumulate(np.where(missing, -1, place), axis=-1)
    after = np.minimum.accumulate(np.where(missing, length, place)[..., ::-1], axis=-1)[..., ::-1]
    left = np.where(before < 0, after, before).clip(0, length - 1)
    right = np.where(after >= length, before, after).clip(0, length - 1)
    a, b = np.take_along_axis(x, left, -1), np.take_along_axis(x, right, -1)
    share = (place - left) / np.maximum(right - left, 1)
    return np.where(missing, np.nan_to_num(a + share * (b - a)), x)


def resample(x: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation to ``length`` steps, each at the centre of its share of time; gaps stay gaps."""
    old = x.shape[-1]
    at = ((np.arange(length) + 0.5) * old / length - 0.5).clip(0, old - 1)
    left = np.minimum(at.astype(int), max(old - 2, 0))
    right = np.minimum(left + 1, old - 1)
    filled = fill_gaps(x)
    values = filled[..., left] + (at - left) * (filled[..., right] - filled[..., left])
    return np.where(np.isnan(x[..., np.rint(at).astype(int)]), np.nan, values)


def _whole_patches(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Series without gaps, whole patches long by repeating the first value, and which steps were observed."""
    before = ((0, 0), (0, 0), (-x.shape[2] % PATCH, 0))
    observed = np.pad(~np.isnan(x), before, constant_values=False)
    return np.pad(fill_gaps(x), before, mode="edge"), observed


def _sequences(x: np.ndarray) -> Tensor:
    return as_tensor(np.ascontiguousarray(x)).flatten(0, 1)
