r"""Split-conformal prediction: how far forecasts have missed held-out values, step by step and variate by variate.

An error is measured by how lively its window is: it is divided by the standard deviation of the context plus half of
that of the training part, so that intervals are narrow in calm times and wide in wild ones. With the errors
:math:`r_1, \dots, r_m` of one step and variate on rows that training has not seen, the quantile of level :math:`\alpha`
lies above the forecast by the k-th smallest of them, :math:`k = \lceil (m+1) \alpha \rceil` in the upper half and
:math:`\lfloor (m+1) \alpha \rfloor` in the lower one. Where errors to come are exchangeable with those, an interval
between two such quantiles holds the truth at least as often as it says. Errors of overlapping windows are not
independent, so that coverage holds over many windows, not given a single validation part.

References
----------
V. Vovk, A. Gammerman, G. Shafer: Algorithmic Learning in a Random World, 2005,
https://doi.org/10.1007/b106715.

J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman: Distribution-Free Predictive Inference for Regression,
2018, https://arxiv.org/abs/1604.04173.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

from skts.engine.batches import iterate
from skts.fmamba.missing import filled_array
from skts.fmamba.windows import DatedWindows

__all__ = ["conformal_offsets", "errors_by_target", "held_out_errors", "most_errors", "widths"]

_FEWEST, _MOST, _VALUES = 200, 1000, 4_000_000
_CHUNK = 256
_FLOOR = 0.5  # chosen by pinball loss on halves of the validation parts of ETTh1, Weather and Exchange


def widths(contexts: np.ndarray) -> np.ndarray:
    """What errors after standardised windows (B, L, N) are measured by, (B, 1, N)."""
    return filled_array(contexts)[0].std(1, keepdims=True) + _FLOOR


def most_errors(horizon: int, n_variates: int) -> int:
    """Windows whose errors are kept: so many values in all, within bounds. Neighbours say nearly the same."""
    return max(_FEWEST, min(_MOST, _VALUES // (horizon * n_variates)))


def held_out_errors(forecast: Callable[..., np.ndarray], windows: DatedWindows) -> np.ndarray:
    """What the truth is above the forecast, by the window's width, (n_windows, H, N), on windows evenly spread in time.

    ``forecast(contexts, angles)`` maps (B, L, N) and (B,) to (B, H, N); from windows with holes it gets the mask too.
    Errors of missing values are NaN.
    """
    _, target, _ = windows.take(torch.tensor([0]))[:3]
    some = windows.sampled(most_errors(*target.shape[1:]))
    parts = []
    for (contexts, targets, angles, *masks), _, _ in iterate(some, _CHUNK):
        seen = contexts.cpu().numpy().astype(np.float64)
        known, answered = (mask.cpu().numpy() for mask in masks) if masks else (None, True)
        told = forecast(seen, angles.cpu().numpy(), *([] if known is None else [known]))
        errors = (targets.cpu().numpy() - told) / widths(seen)
        parts.append(np.where(answered, errors, np.nan).astype(np.float32))
    return np.concatenate(parts)


def errors_by_target(
    rows: np.ndarray, n_new: int, context: int, horizon: int, forecast: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """How far each of the last ``n_new`` rows was above its forecasts from one to ``horizon`` steps before, by widths.

    Parameters
    ----------
    rows : array of shape (n, n_variates)
        A series, standardised.
    n_new : int
        Rows at its end that are news.
    context, horizon : int
        L and H.
    forecast : callable
        ``forecast(contexts, ends)`` maps windows (B, L, N), and the numbers (B,) of their last rows, to (B, H, N).

    Returns
    -------
    array of shape (n_new, H, N)
        NaN where the series begins less than L rows before the forecast.
    """
    n, errors = len(rows), np.full((n_new, horizon, rows.shape[1]), np.nan, dtype=np.float32)
    ends = np.arange(max(context - 1, n - n_new - horizon), n - 1)
    if not len(ends):
        return errors
    windows = np.lib.stride_tricks.sliding_window_view(rows, context, axis=0).transpose(0, 2, 1)
    seen = np.ascontiguousarray(windows[ends - context + 1])
    told, width = forecast(seen, ends), widths(seen)[:, 0]
    for h in range(horizon):
        targets = ends + 1 + h
        met = (targets >= n - n_new) & (targets < n)
        errors[targets[met] - (n - n_new), h] = (rows[targets[met]] - told[met, h]) / width[met]
    return errors


def conformal_offsets(errors: np.ndarray, alpha: Sequence[float], n_steps: int) -> np.ndarray:
    """How far each quantile lies above the forecast, by the window's width.

    Steps beyond the horizon take the offsets of its last step, growing with the root of the number of steps as those of
    a random walk do: nothing was held out that far.

    Parameters
    ----------
    errors : array of shape (m, H, N)
        Truth less forecast; NaN where it is not known.
    alpha : sequence of A floats
        Levels in (0, 1).
    n_steps : int
        Steps of the forecast.

    Returns
    -------
    array of shape (n_steps, N, A)
        They never fall as alpha grows.
    """
    m, horizon, n_variates = errors.shape
    ordered = np.sort(errors, axis=0).astype(np.float64)  # NaN last
    counts = m - np.isnan(ordered).sum(0)  # (H, N)
    few = int(counts[counts > 0].min(initial=m))
    furthest = min(min(level, 1 - level) for level in alpha)
    if (few + 1) * furthest < 1 - 1e-9:
        warnings.warn(
            f"Quantiles of level {furthest:g} need the errors of {int(np.ceil(1 / furthest - 1 - 1e-9))} held-out "
            f"windows, and there are {few}: the widest error seen is taken, and intervals are too narrow. Pass more "
            "history, or ask for less coverage.",
            UserWarning,
            stacklevel=2,
        )
    offsets = np.empty((horizon, n_variates, len(alpha)))
    for number, level in enumerate(alpha):
        exact = (counts + 1) * level
        rank = np.ceil(exact - 1e-9) if level >= 0.5 else np.floor(exact + 1e-9)
        index = np.clip(rank.astype(np.int64) - 1, 0, np.maximum(counts - 1, 0))
        offsets[..., number] = np.take_along_axis(ordered, index[None], axis=0)[0]
    offsets = _with_all_variates(offsets)
    steps = np.arange(1, n_steps + 1)
    growth = np.sqrt(np.maximum(steps / horizon, 1.0))
    return offsets[np.minimum(steps, horizon) - 1] * growth[:, None, None]


def _with_all_variates(offsets: np.ndarray) -> np.ndarray:
    """A variate without a single known error takes the mean offsets of the others."""
    missing = np.isnan(offsets)
    if not missing.any():
        return offsets
    counts = (~missing).sum(1, keepdims=True)
    mean = np.where(missing, 0.0, offsets).sum(1, keepdims=True) / np.maximum(counts, 1)
    return np.where(missing, mean, offsets)
