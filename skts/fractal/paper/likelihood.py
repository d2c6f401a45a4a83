"""Exact log-likelihood, teacher-forced: every block is given its true predecessors, so that levels run in parallel.

log p(x given c) = sum over patches j of log p_child(x_j given c_j), c_j from c and the patches before j.
"""

from typing import Any

import torch
from torch import Tensor

from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.mar import MARGenerator
from skts.fractal.paper.orders import Orders
from skts.fractal.paper.pixels import block_colour, cut, join, normalise

__all__ = ["nats"]


def nats(fractal: Any, values: Tensor, conds: list[Tensor], rows: Tensor, orders: Orders) -> Tensor:
    """-log p of each value of blocks.

    Parameters
    ----------
    fractal : Level or PixelHead
        What models the blocks.
    values : Tensor of uint8, shape (B, 3, S, S)
        Blocks.
    conds : list of Tensor (B, D_cond)
        Their conditions.
    rows : Tensor of int64, shape (B,)
        Image that each block belongs to.
    orders : Orders
        In which order patches are revealed; causal generators do not ask.

    Returns
    -------
    Tensor, shape (B, 3, S, S)
    """
    if isinstance(fractal, PixelHead):
        return fractal.nll(conds[0], values[:, :, 0, 0].long())[:, :, None, None]
    B, _, S, _ = values.shape
    generator, dtype = fractal.generator, conds[0].dtype
    patches = cut(values, fractal.side)  # (B, k, 3, s, s)
    k = patches.shape[1]
    x = cut(normalise(values, dtype), fractal.side).flatten(2)  # (B, k, 3 s s)
    surplus: Tensor | float = 0.0
    if isinstance(generator, MARGenerator):
        colour = None
        if fractal.guided:
            target, colour = block_colour(values, dtype)
            surplus = generator.guiding_pixel_loss.nll(conds[0], target)[:, :, None, None] / S**2
        alone = isinstance(fractal.next_fractal, PixelHead)
        found = _one_by_one(generator, x, conds, orders(fractal.level, rows, k), colour, alone)
    else:
        found = generator(x, conds)
    below = [c.flatten(0, 1) for c in found]
    parts = nats(fractal.next_fractal, patches.flatten(0, 1), below, rows.repeat_interleave(k), orders)
    return join(parts.unflatten(0, (B, k))) + surplus


def _one_by_one(
    generator: MARGenerator, x: Tensor, conds: list[Tensor], order: Tensor, colour: Tensor | None, alone: bool
) -> list[Tensor]:
    """Conditions, each (B, k, D), of every patch given those that ``order`` (B, k) reveals before it."""
    context = generator.context(conds, colour)
    tokens = generator.hidden_patches().expand(len(x), -1, -1)
    shown = generator.shown_patches(x)
    steps = []
    for place in reversed(order.unbind(1)):
        steps.append(generator.step(context, tokens, place[:, None], alone))
        tokens = torch.where(torch.arange(generator.k, device=x.device)[:, None] == place[:, None, None], shown, tokens)
    back = order.flip(1).argsort(1)  # when each patch was revealed
    found = [torch.cat(parts, 1) for parts in zip(*steps, strict=True)]
    return [torch.gather(c, 1, back[..., None].expand(c.shape)) for c in found]
