r"""Ridge regression from a window to what follows it, solved in closed form: the bar that a network has to pass.

For a window :math:`x` with mean :math:`\mu`, :math:`\hat y = \mu + \Theta^\top f`, with

.. math::

    \Theta = \Big(\sum_w f_w f_w^\top + \alpha s I\Big)^{-1} \sum_w f_w (y_w - \mu_w)^\top

over training windows, :math:`f = x - \mu` (and what :mod:`skts.fmamba.periodic` adds to it), s the mean of the diagonal
of the lags' Gram matrix; :math:`\alpha` is chosen by validation error. There is no intercept: it would add the training
part's drift to every forecast.

References
----------
W. Toner, L. Darlow: An Analysis of Linear Time Series Forecasting Models, ICML 2024,
https://arxiv.org/abs/2403.14587.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from skts.engine.batches import iterate
from skts.fmamba.periodic import periodic_features

__all__ = ["ALPHAS", "KINDS", "WindowMoments", "closed_form", "linear_forecast", "penalties", "ridge", "solve_linear"]

KINDS = ("last value", "linear", "linear per variate")

ALPHAS = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)

_ROWS = 256  # windows whose features are in memory at once
_EXACT = 1e10  # multiplications up to which all is float64; beyond, single precision products are summed in float64


@dataclass
class WindowMoments:
    """Second moments of features f and targets y over windows, per variate: all that least squares needs.

    Attributes
    ----------
    ff : Tensor of shape (n_variates, F, F)
    fy : Tensor of shape (n_variates, F, H)
    yy : Tensor of shape (n_variates,)
        Mean squares of the targets, summed over the horizon.
    n_lags : int
        L; the first L features are the window itself.
    n_windows : int
        Number of windows behind the means.
    """

    ff: Tensor
    fy: Tensor
    yy: Tensor
    n_lags: int
    n_windows: int

    @classmethod
    def of(cls, windows: Any, n_harmonics: int = 0, n_modulations: int = 0, chunk: int = 4096) -> Self:
        """Accumulate in float64, a chunk of windows at a time.

        Harmonics need windows that know their angle (:class:`~skts.fmamba.windows.DatedWindows`).
        """
        sums: list[Tensor] = []
        dtype = None
        for (x, y, *angle), _, _ in iterate(windows, chunk):
            dtype = dtype or _precision(len(windows), x.shape, 1 + 2 * n_modulations)
            f, target = _less_mean(x.to(dtype), y.to(dtype))
            if n_harmonics:
                f = periodic_features(f, angle[0], n_harmonics, n_modulations)
            terms = [f.transpose(1, 2) @ f, f.transpose(1, 2) @ target, target.square().sum((1, 2))]
            terms = [term.double() for term in terms]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        return cls(*(s / len(windows) for s in sums), n_lags=x.shape[1], n_windows=len(windows))

    def __add__(self, other: Self) -> Self:
        """The moments over the windows of both."""
        n = self.n_windows + other.n_windows
        own, its = self.n_windows / n, other.n_windows / n
        pairs = ((self.ff, other.ff), (self.fy, other.fy), (self.yy, other.yy))
        return type(self)(*(own * a + its * b for a, b in pairs), n_lags=self.n_lags, n_windows=n)

    def some(self, features: Tensor) -> Self:
        """The moments of some of the features, by their numbers."""
        return replace(self, ff=self.ff[:, features][:, :, features], fy=self.fy[:, features])

    def pooled(self) -> Self:
        """One set of moments for all variates."""
        ff, fy, yy = (m.mean(0, keepdim=True) for m in (self.ff, self.fy, self.yy))
        return replace(self, ff=ff, fy=fy, yy=yy)

    def error(self, coef: Tensor) -> Tensor:
        """Mean squared error (n_variates,) of a map (1 or n_variates, F, H), without looking at a window again."""
        horizon = self.fy.shape[-1]
        total = (coef * (self.ff @ coef)).sum((1, 2)) - 2 * (coef * self.fy).sum((1, 2)) + self.yy
        return total / horizon


def closed_form(kind: str, train: WindowMoments, valid: WindowMoments | None) -> Tensor:
    """The map (1 or n_variates, L, H) of one of :data:`KINDS`."""
    if kind == "last value":
        coef = torch.zeros_like(train.fy[:1])
        coef[:, -1] = 1.0
        return coef
    if kind == "linear":
        return solve_linear(train.pooled(), None if valid is None else valid.pooled())
    return solve_linear(train, valid)


def ridge(moments: WindowMoments, alpha: Tensor) -> Tensor:
    """Ridge solutions (n_variates, F, H) for one penalty per variate, relative to the size of the lags."""
    scale = moments.ff.diagonal(dim1=1, dim2=2)[:, : moments.n_lags].mean(1).clamp_min(1e-12)
    identity = torch.eye(moments.ff.shape[-1], dtype=moments.ff.dtype)
    return torch.linalg.solve(moments.ff + (alpha * scale)[:, None, None] * identity, moments.fy)


def penalties(train: WindowMoments, valid: WindowMoments) -> tuple[Tensor, Tensor]:
    """Of :data:`ALPHAS` the one with the lowest validation error of each variate, and that error."""
    errors = []
    for alpha in ALPHAS:
        errors.append(valid.error(ridge(train, torch.full_like(train.yy, alpha))))
    lowest, which = torch.stack(errors).min(0)
    return torch.tensor(ALPHAS, dtype=train.yy.dtype)[which], lowest


def solve_linear(train: WindowMoments, valid: WindowMoments | None) -> Tensor:
    """Ridge solutions (n_variates, F, H), each variate's penalty by its validation error; 0.1 without validation."""
    return ridge(train, torch.full_like(train.yy, 0.1) if valid is None else penalties(train, valid)[0])


def linear_forecast(
    contexts: np.ndarray,
    coef: np.ndarray,
    angles: np.ndarray | None = None,
    n_harmonics: int = 0,
    n_modulations: int = 0,
) -> np.ndarray:
    """Apply a map (1 or n_variates, F, H) to windows (n, L, N), whose forecasts begin at ``angles``: (n, H, N).

    A map of the lags alone (F = L) takes no harmonics.
    """
    theta = torch.from_numpy(np.ascontiguousarray(coef, dtype=np.float64))
    if theta.shape[1] == contexts.shape[1]:
        n_harmonics = 0
    parts = []
    for first in range(0, len(contexts), _ROWS):
        x = torch.from_numpy(np.ascontiguousarray(contexts[first : first + _ROWS], dtype=np.float64))
        f, _ = _less_mean(x, x[:, :0])
        if n_harmonics:
            assert angles is not None
            f = periodic_features(f, torch.from_numpy(angles[first : first + _ROWS]), n_harmonics, n_modulations)
        parts.append((f @ theta).permute(1, 2, 0) + x.mean(1, keepdim=True))
    return torch.cat(parts).numpy()


def _less_mean(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (N, B, L) and targets (N, B, H), both less the windows' mean."""
    mean = x.mean(1, keepdim=True)  # (B, 1, N)
    return (x - mean).permute(2, 0, 1), (y - mean).permute(2, 0, 1)


def _precision(n_windows: int, shape: torch.Size, factor: int) -> torch.dtype:
    work = n_windows * shape[2] * (factor * shape[1]) ** 2
    return torch.float64 if work <= _EXACT else torch.float32
