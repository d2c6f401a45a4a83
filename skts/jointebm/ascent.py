"""From a good label set to one that no single label improves."""

import torch
from torch import Tensor

from skts.jointebm.couplings import Coupling

__all__ = ["climb"]


def climb(theta: Tensor, coupling: Coupling, Y: Tensor, given: Tensor | None = None) -> Tensor:
    """Coordinate ascent: flip the label that gains most, until none gains.

    Parameters
    ----------
    theta : Tensor of shape (B, k)
        Log-odds of the labels alone.
    coupling : Coupling
        c(y).
    Y : Tensor of shape (B, S, k)
        Where to start.
    given : Tensor of shape (B, k), optional
        Labels that stay as they are; -1 where one may be flipped.

    Returns
    -------
    Tensor of shape (B, S, k)
        Local optima.
    """
    Y = Y.to(theta.dtype)
    free = torch.ones_like(theta[:, None]) if given is None else (given < 0).to(theta.dtype)[:, None]
    for _ in range(2 * theta.shape[1]):
        gain = (1 - 2 * Y) * (theta[:, None] + coupling.conditional(Y)) * free
        best, where = gain.max(-1, keepdim=True)
        if not (best > 1e-6).any():
            break
        Y = torch.where((torch.arange(Y.shape[-1], device=Y.device) == where) & (best > 1e-6), 1 - Y, Y)
    return Y.long()
