"""Sampling walks the tree in depth: a level asks the level below for each patch before it goes on to the next."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from skts.errors import InputError
from skts.fractal.paper.config import PaperConfig
from skts.fractal.paper.decode_ar import ARDecoder
from skts.fractal.paper.decode_head import HeadDecoder
from skts.fractal.paper.decode_mar import MARDecoder
from skts.fractal.paper.draws import Draws
from skts.fractal.paper.orders import Orders

__all__ = ["sample"]


def sample(
    net: Any,
    conds: list[Tensor],
    uniforms: Tensor | None,
    orders: Orders,
    cfg: float,
    cfg_schedule: str,
    *,
    temperature: float,
    filter_threshold: float,
    num_iter: int | Sequence[int] | None,
) -> tuple[Tensor, Tensor]:
    """Images (n, 3, S, S) of uint8 and their log-probability (n,); the parameters are those of `PaperFractal.sample`.

    Under guidance ``conds`` has 2 n rows, those of the null vector behind.
    """
    n = len(conds[0]) // (1 if cfg == 1.0 else 2)
    uniforms = None if uniforms is None else uniforms.to(conds[0])
    draws = Draws(uniforms, n, net.n_draws, temperature, filter_threshold)
    first = torch.arange(n, device=conds[0].device) * net.n_draws
    values = _decoder(net, draws, orders, _steps(net.config, num_iter))(conds, cfg, cfg_schedule, first)
    return values.to(torch.uint8), draws.log_prob


def _decoder(net: Any, draws: Draws, orders: Orders, steps: list[int]) -> Any:
    """Decoders of all levels, each with the one below as its child; memory and tables are made here, once."""
    c: PaperConfig = net.config
    levels = [net]
    while len(levels) < c.n_levels:
        levels.append(levels[-1].next_fractal)
    decoder: Any = _Leaf(HeadDecoder(levels[-1].next_fractal, draws))
    guides = net.n_draws
    for i in reversed(range(c.n_levels)):
        if c.kind == "ar":
            decoder = ARDecoder(levels[i].generator, decoder, c.sides[i + 1], c.sides[0])
        else:
            guides -= (c.sides[0] // c.sides[i]) ** 2 if c.guided(i) else 0
            alone = i + 1 == c.n_levels
            decoder = MARDecoder(levels[i], decoder, draws, orders, steps[i], c.sides[0], guides, alone)
    return decoder


class _Leaf:
    """The pixel head as the child of a level: blocks of one pixel."""

    def __init__(self, head: HeadDecoder) -> None:
        self.head = head

    def __call__(self, conds: list[Tensor], cfg: float, schedule: str, index: Tensor) -> Tensor:
        """Values (B, 3, 1, 1)."""
        return self.head(conds[0], cfg, index)[:, :, None, None].to(conds[0].dtype)


def _steps(c: PaperConfig, num_iter: int | Sequence[int] | None) -> list[int]:
    """Steps at each level."""
    if num_iter is None:
        return list(c.n_patches)
    found = [num_iter] * c.n_levels if isinstance(num_iter, int) else list(num_iter)
    if len(found) != c.n_levels or min(found) < 1:
        hint = f"Pass one number, or one for each of the {c.n_levels} levels."
        raise InputError("num_iter of at least 1", repr(num_iter), hint)
    return found
