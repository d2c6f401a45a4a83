r"""A linear map from the last steps of all variates to each one's future: what closed forms of single variates miss.

With :math:`\tilde x` a window less the mean of each variate, and :math:`\hat y_n` the forecast of variate n by its own
closed form,

.. math::

    \hat y_n \leftarrow \hat y_n + \sum_m \sum_{q \le Q} \tilde x_{m, L-q}\, \Phi_{mqn} .

:math:`\Phi` is solved by ridge regression on what the closed forms leave of the training windows, with the penalty of
the lowest validation error for each variate. Where variates say little to each other it stays zero: validation windows
have to gain by more than luck, and by a twentieth of their error.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skts.engine.batches import iterate
from skts.fmamba.evidence import more_than_luck

__all__ = ["AcrossMap", "error_with", "fit_across", "lags_across"]

_LAGS = 12
_MOST_FEATURES, _MOST_COEFFICIENTS = 600, 2**22
_PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
_WORTH = 0.05  # of the validation error, at the least: less is not worth coupling all variates
_WINDOWS = 256  # at a time


class AcrossMap(nn.Module):
    """The map with given coefficients. They are a buffer: solved in closed form, never trained.

    Parameters
    ----------
    n_lags, n_variates, horizon : int
        Q, N and H.
    """

    coef: Tensor

    def __init__(self, n_lags: int, n_variates: int, horizon: int) -> None:
        super().__init__()
        self.n_lags = n_lags
        self.register_buffer("coef", torch.zeros(n_variates, n_lags, n_variates, horizon))

    def features(self, X: Tensor) -> Tensor:  # (B, L, N) -> (B, N * Q)
        """The last steps of all variates, less their means.

        Parameters
        ----------
        X : Tensor of shape (B, L, N)
            Windows.

        Returns
        -------
        Tensor of shape (B, N * Q)
            Variate after variate.
        """
        return (X[:, -self.n_lags :] - X.mean(1, keepdim=True)).transpose(1, 2).flatten(1)

    def forward(self, X: Tensor) -> Tensor:  # (B, L, N) -> (B, H, N)
        """What is added to the forecast, in the units of X.

        Parameters
        ----------
        X : Tensor of shape (B, L, N)
            Windows.

        Returns
        -------
        Tensor of shape (B, H, N)
            In the units of X.
        """
        found = self.features(X) @ self.coef.flatten(2).flatten(0, 1)
        return found.unflatten(1, self.coef.shape[2:]).transpose(1, 2)


def lags_across(n_variates: int, context: int, horizon: int) -> int:
    """How many steps back the map can afford to look; 0 for a single variate."""
    if n_variates < 2:
        return 0
    return min(_LAGS, context, _MOST_FEATURES // n_variates, _MOST_COEFFICIENTS // (n_variates**2 * horizon))


@torch.no_grad()
def fit_across(across: AcrossMap, skip: nn.Module, train: Any, valid: Any) -> None:
    """Solve for the coefficients on what a closed form leaves of the training windows.

    They stay zero for variates that validation windows do not gain by, and altogether if the gain is small or luck.

    Parameters
    ----------
    across : AcrossMap
        Gets the coefficients.
    skip : torch.nn.Module
        The closed form: ``skip(windows, angles)`` forecasts.
    train, valid : DatedWindows
        See :class:`~skts.fmamba.windows.DatedWindows`.
    """
    ff, fy, _ = _moments(across, skip, train)
    held_out = _moments(across, skip, valid)
    identity = torch.eye(len(ff), dtype=ff.dtype) * ff.diagonal().mean().clamp_min(1e-12)
    tried = [torch.zeros_like(fy), *(torch.linalg.solve(ff + p * identity, fy) for p in _PENALTIES)]
    n_variates = across.coef.shape[2]
    errors = torch.stack([_errors(coef, *held_out).unflatten(0, (n_variates, -1)).sum(1) for coef in tried])
    best = errors.argmin(0)  # (N,)
    by_variate = torch.stack([coef.unflatten(1, (n_variates, -1)) for coef in tried])  # (tried, N * Q, N, H)
    coef = by_variate[best, :, torch.arange(n_variates)]  # (N, N * Q, H)
    across.coef.copy_(coef.transpose(0, 1).reshape(across.coef.shape))
    gains, left = _gains(across, skip, valid)
    if gains.mean() < _WORTH * left or not more_than_luck(gains, across.coef.shape[-1]):
        across.coef.zero_()


@torch.no_grad()
def error_with(across: AcrossMap, skip: nn.Module, windows: Any) -> float:
    """Mean squared error of closed form and map together.

    Parameters
    ----------
    across : AcrossMap
        The map.
    skip : torch.nn.Module
        The closed form.
    windows : DatedWindows
        Where to measure.

    Returns
    -------
    float
        Over windows, steps and variates.
    """
    gains, without = _gains(across, skip, windows)
    return without - float(gains.mean())


def _moments(across: AcrossMap, skip: nn.Module, windows: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over windows of f f', f r' and r r for features f and remainders r (B, N * H)."""
    sums: list[Tensor] = []
    for (x, y, angle, *_), _, _ in iterate(windows, _WINDOWS):
        f, r = across.features(x).double(), (y - skip(x, angle)).transpose(1, 2).flatten(1).double()
        terms = [f.T @ f, f.T @ r, r.square().sum(0)]
        sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
    return tuple(sums)  # type: ignore[return-value]


def _errors(coef: Tensor, ff: Tensor, fy: Tensor, yy: Tensor) -> Tensor:
    """Squared errors (N * H,), without looking at a window again."""
    return (coef * (ff @ coef)).sum(0) - 2 * (coef * fy).sum(0) + yy


def _gains(across: AcrossMap, skip: nn.Module, windows: Any) -> tuple[np.ndarray, float]:
    """How much smaller the squared error of each window is with the map, and its mean without."""
    without, with_map = [], []
    for (x, y, angle, *_), _, _ in iterate(windows, _WINDOWS):
        left = y - skip(x, angle)
        without.append(left.square().mean((1, 2)))
        with_map.append((left - across(x)).square().mean((1, 2)))
    errors = torch.cat(without).double().numpy()
    return errors - torch.cat(with_map).double().numpy(), float(errors.mean())
