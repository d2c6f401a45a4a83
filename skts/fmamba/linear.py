r"""The closed-form linear map from a window to what follows it: the bar that a network has to pass.

For a window :math:`x` with mean :math:`\mu`, :math:`\hat y = \mu + \Theta^\top (x - \mu)`, with

.. math::

    \Theta = \Big(\sum_w f_w f_w^\top + \alpha s I\Big)^{-1} \sum_w f_w (y_w - \mu_w)^\top

over training windows, :math:`f = x - \mu`, s the mean of the Gram matrix's diagonal; :math:`\alpha` is chosen by
validation error. There is no intercept: it would add the training part's drift to every forecast.

References
----------
W. Toner, L. Darlow: An Analysis of Linear Time Series Forecasting Models, ICML 2024,
https://arxiv.org/abs/2403.14587.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from skts.engine import WindowBatches
from skts.engine.batches import iterate

__all__ = ["ALPHAS", "KINDS", "WindowMoments", "closed_form", "linear_forecast", "solve_linear"]

KINDS = ("last value", "linear", "linear per variate")

ALPHAS = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


@dataclass
class WindowMoments:
    """Second moments of features f and targets y over windows, per variate: all that least squares needs.

    Attributes
    ----------
    ff : Tensor of shape (n_variates, L, L)
    fy : Tensor of shape (n_variates, L, H)
    yy : Tensor of shape (n_variates,)
        Mean squares of the targets, summed over the horizon.
    """

    ff: Tensor
    fy: Tensor
    yy: Tensor

    @classmethod
    def of(cls, windows: WindowBatches, chunk: int = 4096) -> Self:
        """Accumulate in float64, a chunk of windows at a time."""
        sums: list[Tensor] = []
        for (x, y), _, _ in iterate(windows, chunk):
            f, target = _features(x.double(), y.double())
            terms = [f.transpose(1, 2) @ f, f.transpose(1, 2) @ target, target.square().sum((1, 2))]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        return cls(*(s / len(windows) for s in sums))

    def pooled(self) -> Self:
        """One set of moments for all variates."""
        return type(self)(*(m.mean(0, keepdim=True) for m in (self.ff, self.fy, self.yy)))

    def error(self, coef: Tensor) -> Tensor:
        """Mean squared error (n_variates,) of a map (1 or n_variates, L, H), without looking at a window again."""
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


def solve_linear(train: WindowMoments, valid: WindowMoments | None) -> Tensor:
    """Ridge solutions (n_variates, L, H), each variate's penalty by its validation error.

    Without validation moments the penalty is 0.1.
    """
    alphas = ALPHAS if valid is not None else (0.1,)
    identity = torch.eye(train.ff.shape[-1], dtype=torch.float64)
    scale = train.ff.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    best, lowest = torch.empty(0), torch.empty(0)
    for alpha in alphas:
        coef = torch.linalg.solve(train.ff + alpha * scale[:, None, None] * identity, train.fy)
        error = torch.zeros(len(coef)) if valid is None else valid.error(coef)
        if not len(best):
            best, lowest = coef, error
            continue
        better = error < lowest
        best[better], lowest = coef[better], torch.minimum(error, lowest)
    return best


def linear_forecast(contexts: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Apply a map (1 or n_variates, L, H) to windows (n, L, N): forecasts (n, H, N)."""
    x = torch.from_numpy(np.ascontiguousarray(contexts, dtype=np.float64))
    mean = x.mean(1)  # (n, N)
    f, _ = _features(x, x[:, :0])
    forecast = f @ torch.from_numpy(coef)  # (N, n, H)
    return (forecast.permute(1, 2, 0) + mean.unsqueeze(1)).numpy()


def _features(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (N, B, L) and targets (N, B, H), both less the windows' mean."""
    mean = x.mean(1, keepdim=True)  # (B, 1, N)
    return (x - mean).permute(2, 0, 1), (y - mean).permute(2, 0, 1)
