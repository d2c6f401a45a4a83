"""The forecast itself: the network's share and the closed forms', in standardised units."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from skts.fmamba.evidence import NETWORK
from skts.fmamba.linear import linear_forecast

__all__ = ["blended"]


def blended(
    network: Callable[..., Tensor],
    contexts: np.ndarray,
    angles: np.ndarray,
    weights: dict[str, np.ndarray],
    coef: np.ndarray,
    sizes: tuple[int, int],
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Forecast windows.

    Parameters
    ----------
    network : callable
        ``network(contexts, angles)``, (B, L, N) in float32 and (B,), to a tensor (B, H, N); it gets ``known`` as well
        if that is given. It is not called where it has no share.
    contexts : array of shape (B, L, N)
        Standardised windows, float64.
    angles : array of shape (B,)
        Angles of the first steps after them.
    weights : dict of str to array (N,)
        The guard's shares.
    coef : array of shape (N, F, H)
        The closed forms' part of the blend.
    sizes : tuple of int
        Harmonics and modulations of the periodic map.
    known : array of shape (B, L, N), optional
        Which values of the contexts are no stand-ins.

    Returns
    -------
    array of shape (B, H, N)
    """
    share = weights[NETWORK]
    parts = []
    if share.any():
        masks = () if known is None else (known,)
        parts.append(network(contexts.astype(np.float32), angles, *masks).double().numpy() * share)
    if not (share == 1).all():
        linear = linear_forecast(contexts, coef, angles, *sizes)
        parts.append(linear - share * contexts.mean(1, keepdims=True))
    return sum(parts[1:], start=parts[0])
