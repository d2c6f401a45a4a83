"""Reversible instance normalisation: the statistics of what was observed, in float64."""

import torch
from torch import Tensor

__all__ = ["EPSILON", "standardise"]

EPSILON = 1e-5  # added to the standard deviation, after the root


def standardise(x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Series with mean 0 and standard deviation 1 over their observed steps.

    Parameters
    ----------
    x : Tensor of shape (..., T)
        Values; NaN may stand anywhere.
    observed : Tensor of bool, of the shape of x
        Steps that the statistics count; a NaN among them is left out.

    Returns
    -------
    z : Tensor of shape (..., T)
        In float32; 0 where the value is NaN, all 0 where nothing is observed.
    mean, scale : Tensor of shape (..., 1)
        In float64, so that ``z * scale + mean`` is x.
    """
    x = x.double()
    observed = observed & ~x.isnan()
    count = observed.sum(-1, keepdim=True).clamp_min(1)
    mean = torch.where(observed, x, 0).sum(-1, keepdim=True) / count
    scale = (torch.where(observed, x - mean, 0).square().sum(-1, keepdim=True) / count).sqrt() + EPSILON
    nothing = ~observed.any(-1, keepdim=True)
    z = torch.where(nothing | x.isnan(), 0, (x - mean) / scale)
    return z.float(), mean, scale
