"""Blocks of pixels: cut into patches, put together, scaled as ImageNet is."""

import torch
from torch import Tensor

__all__ = ["MEAN", "STD", "block_colour", "cut", "join", "normalise"]

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue in [0, 1]
STD = (0.229, 0.224, 0.225)


def normalise(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values 0..255 of blocks (B, 3, S, S) to the scale that the networks were trained on."""
    mean, std = (torch.tensor(t, dtype=dtype, device=values.device).view(3, 1, 1) for t in (MEAN, STD))
    return (values.to(dtype) / 255 - mean) / std


def cut(x: Tensor, side: int) -> Tensor:
    """Blocks (B, 3, S, S) to patches (B, k, 3, side, side), row by row."""
    B, C, S, _ = x.shape
    x = x.view(B, C, S // side, side, S // side, side)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C, side, side)


def join(patches: Tensor) -> Tensor:
    """Patches (B, k, 3, side, side) back to blocks (B, 3, S, S)."""
    B, k, C, side, _ = patches.shape
    grid = round(k**0.5)
    x = patches.view(B, grid, grid, C, side, side).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(B, C, grid * side, grid * side)


def block_colour(values: Tensor, dtype: torch.dtype, exact: bool = False) -> tuple[Tensor, Tensor]:
    """Mean colour of blocks (B, 3, S, S): as values 0..255 (B, 3), and on the networks' scale (B, 3).

    The second is made from the first unless ``exact``: a model that is shown the unrounded mean is told more than it
    was charged for (in a block of four pixels the mean and three of them give away the fourth), so that its
    probabilities would no longer sum to at most one.
    """
    mean = values.to(torch.float64).mean((2, 3))
    rounded = mean.round()
    shown = normalise((mean if exact else rounded)[:, :, None, None], dtype)[:, :, 0, 0]
    return rounded.long(), shown
