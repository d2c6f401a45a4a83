"""Read the time of day off a window that comes without times.

Each variate tells the cosine and the sine of the angle by a ridge regression on its window, in units of the window's
spread; a second regression weighs the variates' answers. The reading is off by an hour or so where the daily course is
clear; the guard knows how much less the periodic forecasts are then worth.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from skts.engine.batches import iterate
from skts.fmamba.linear import WindowMoments, ridge
from skts.fmamba.windows import DatedWindows

__all__ = ["WindowClock"]

_PENALTY = 0.01
_CHUNK = 1024


@dataclass
class WindowClock:
    """Two linear maps.

    Attributes
    ----------
    own : array of shape (n_variates, L, 2)
        From a variate's window to its cosine and sine of the angle.
    joint : array of shape (2 n_variates + 1, 2)
        From all answers, and a constant, to one.
    """

    own: np.ndarray
    joint: np.ndarray

    @classmethod
    def fit(cls, train: DatedWindows, at_most: int = 8192) -> Self:
        """Learn from windows with known angles."""
        train = train.sampled(at_most)
        sums: list[Tensor] = []
        for (x, _, angle), _, _ in iterate(train, _CHUNK):
            f, target = _shapes(x.double()), _circle(angle)
            terms = [f.transpose(1, 2) @ f, f.transpose(1, 2) @ target]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        ff, fy = sums
        own = ridge(WindowMoments(ff, fy, ff[:, 0, 0], x.shape[1], len(train)), torch.full_like(ff[:, 0, 0], _PENALTY))
        gram, cross = torch.zeros(()), torch.zeros(())
        for (x, _, angle), _, _ in iterate(train, _CHUNK):
            told = _told(x.double(), own)
            gram, cross = gram + told.T @ told, cross + told.T @ _circle(angle)
        penalty = _PENALTY * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        return cls(own.numpy(), torch.linalg.solve(gram + penalty, cross).numpy())

    def angles(self, contexts: np.ndarray) -> np.ndarray:
        """Angles (n,) of the first steps after the windows (n, L, N)."""
        told = _told(torch.from_numpy(np.ascontiguousarray(contexts, dtype=np.float64)), torch.from_numpy(self.own))
        cos, sin = (told.numpy() @ self.joint).T
        return np.arctan2(sin, cos).astype(np.float32)


def _shapes(x: Tensor) -> Tensor:
    """Windows (B, L, N) less their mean and over their spread, (N, B, L)."""
    x = x - x.mean(1, keepdim=True)
    return (x / (x.square().mean(1, keepdim=True).sqrt() + 1e-6)).permute(2, 0, 1)


def _told(x: Tensor, own: Tensor) -> Tensor:
    """The variates' answers for windows (B, L, N), and a constant: (B, 2N + 1)."""
    answers = (_shapes(x) @ own).permute(1, 0, 2).flatten(1)
    return torch.cat([answers, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.double().cos(), angle.double().sin()], dim=1)
