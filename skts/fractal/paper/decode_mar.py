"""The masked generator in few steps: each reveals some patches of every block, drawn independently of each other."""

import math
from typing import Any

import torch
from torch import Tensor

from skts.fractal.paper.decode_head import HeadDecoder
from skts.fractal.paper.draws import Draws
from skts.fractal.paper.mar import MARGenerator
from skts.fractal.paper.orders import Orders
from skts.fractal.paper.pixels import join, normalise

__all__ = ["MARDecoder", "revealed"]


class MARDecoder:
    """Draws blocks.

    Parameters
    ----------
    fractal : Level
        The level.
    child : callable
        Draws the patches: (conditions, cfg, schedule, index) to values (B, 3, s, s).
    draws : Draws
        Takes the values of guiding pixels.
    orders : Orders
        In which order patches are revealed.
    num_iter : int
        Steps of a block.
    image_side, first_guide : int
        Side of the image, and where the draws of this level's guiding pixels begin.
    alone : bool
        Whether the child reads the first condition only.
    """

    def __init__(
        self,
        fractal: Any,
        child: Any,
        draws: Draws,
        orders: Orders,
        num_iter: int,
        image_side: int,
        first_guide: int,
        alone: bool,
    ) -> None:
        generator: MARGenerator = fractal.generator
        self.generator, self.child, self.alone = generator, child, alone
        self.level, self.side, self.orders, self.draws = fractal.level, fractal.side, orders, draws
        self.steps = revealed(generator.k, num_iter)
        self.guide = HeadDecoder(generator.guiding_pixel_loss, draws) if generator.guided else None
        self.first_guide, self.image_side = first_guide, image_side
        grid = round(generator.k**0.5)
        self.block_side = grid * self.side
        place = torch.arange(generator.k, device=generator.mask_token.device)
        self.offsets = (place // grid * image_side + place % grid) * self.side  # draws of the patches, from the block's

    def __call__(self, conds: list[Tensor], cfg: float, schedule: str, index: Tensor) -> Tensor:
        """Values (B, 3, S, S) of blocks, for conditions of B rows, or of 2 B under guidance, and first draws (B,)."""
        g, s, B, doubled = self.generator, self.side, len(index), cfg != 1.0
        order = self.orders(self.level, index // self.draws.n_draws, g.k)
        context = g.context(conds, self._colour(conds[0], cfg, index))
        tokens = g.hidden_patches().repeat(len(context), 1, 1)
        values = context.new_empty(B, g.k, 3, s, s)
        rows = torch.arange(len(context), device=index.device)[:, None]
        for first, last in self.steps:
            places = order[:, first:last].sort(1).values  # (B, W)
            asked = places.repeat(2, 1) if doubled else places
            below = [c.flatten(0, 1) for c in g.step(context, tokens, asked, self.alone)]
            now = 1 + (cfg - 1) * (g.k - max(first, 1)) / g.k if schedule == "linear" else cfg
            inside = (index[:, None] + self.offsets[places]).flatten()
            drawn = self.child(below, now, "constant", inside)  # (B * W, 3, s, s)
            values[rows[:B], places] = drawn.unflatten(0, places.shape)
            if first:
                x = normalise(drawn, drawn.dtype).reshape(B, -1, 3 * s * s)
                shown = g.shown_patches(x, places)
                tokens[rows, asked] = shown.repeat(2, 1, 1) if doubled else shown
        return join(values)

    def _colour(self, cond: Tensor, cfg: float, index: Tensor) -> Tensor | None:
        """Mean colours (B or 2 B, 3) of the blocks, on the networks' scale."""
        if self.guide is None:
            return None
        image, pixel = index // self.draws.n_draws, index % self.draws.n_draws
        S, across = self.block_side, self.image_side // self.block_side
        block = pixel // self.image_side // S * across + pixel % self.image_side // S
        values = self.guide(cond, cfg, image * self.draws.n_draws + self.first_guide + block)
        colour = normalise(values[:, :, None, None], cond.dtype)[:, :, 0, 0]
        return colour if cfg == 1.0 else colour.repeat(2, 1)


def revealed(k: int, num_iter: int) -> list[tuple[int, int]]:
    """Which part [first, last) of an order each step reveals: a cosine schedule, from the end of the order."""
    n_steps, masked, parts = min(k, num_iter), k, []
    for step in range(n_steps):
        left = max(1, min(masked - 1, math.floor(k * math.cos(math.pi / 2 * (step + 1) / n_steps))))
        first = 0 if step == n_steps - 1 else left
        parts.append((first, masked))
        masked = first
    return parts
