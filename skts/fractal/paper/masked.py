"""One pass over randomly masked patches: what the released networks train and evaluate on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.mar import MARGenerator
from skts.fractal.paper.pixels import block_colour, cut, normalise

__all__ = ["Charges", "Masks", "block_masks", "call_masks", "masked_pass", "training_masks"]

Masks = Callable[[int, Tensor, int], Tensor]
"""Of a level, the image (B,) that each block belongs to, and k: which patches are masked, bool (B, k)."""

_GUIDING_RED = 5.0  # weight of red in the training loss of guiding pixels, whatever it is for pixels
_MASK_STD = 0.25  # of the share that is masked in training, a normal around 1 cut to [0, 1]


@dataclass
class Charge:
    """Nats (M, 3) of M pixels, how often each stands for itself (M,), and its image (M,)."""

    nats: Tensor
    weight: Tensor
    rows: Tensor

    def total(self, n: int) -> Tensor:
        """Weighted sum of each image (n,)."""
        return self.nats.new_zeros(n).index_add(0, self.rows, self.nats.sum(1) * self.weight)

    def mean(self, red_weight: float = 1.0) -> Tensor:
        """Mean over pixels of the weighted mean over channels."""
        weight = self.nats.new_tensor([red_weight, 1.0, 1.0])
        return (self.nats * (weight / weight.sum())).sum(1).mean()


@dataclass
class Charges:
    """What one pass costs.

    Parameters
    ----------
    pixels : Charge or None
        The masked pixels.
    guiding : list of Charge
        The guiding pixels of each guided level.
    conds : list of list of Tensor
        What each generator gave to its children.
    """

    pixels: Charge | None = None
    guiding: list[Charge] = field(default_factory=list)
    conds: list[list[Tensor]] = field(default_factory=list)

    def totals(self, n: int) -> Tensor:
        """Unbiased estimate (n,) of the mean of -log p over orders."""
        assert self.pixels is not None
        return sum((c.total(n) for c in self.guiding), self.pixels.total(n))

    def official(self, red_weight: float | None) -> Tensor:
        """Loss of the released code, of its training with a weight of red and of its evaluation with None."""
        assert self.pixels is not None
        red, red_of_guiding = (1.0, 1.0) if red_weight is None else (red_weight, _GUIDING_RED)
        return sum((c.mean(red_of_guiding) for c in self.guiding), self.pixels.mean(red))


def masked_pass(net: Any, x: Tensor, roots: list[Tensor], masks: Masks, exact_colour: bool = False) -> Charges:
    """Charge the masked patches at each level, given the others.

    A block with n of k patches masked stands for k / n of each of them: with n uniform on 1..k and random places the
    weighted sum has the mean of -log p over orders as its mean.

    Parameters
    ----------
    net : PaperFractal
        The network.
    x : Tensor of uint8, shape (B, 3, S, S)
        Images.
    roots : list of Tensor (B, D_0)
        Their conditions.
    masks : Masks
        Which patches are masked; causal generators do not ask, all of their patches count.
    exact_colour : bool, default=False
        Whether guided levels see the unrounded mean colour, as released.

    Returns
    -------
    Charges
    """
    found, rows, weight = Charges(), torch.arange(len(x), device=x.device), roots[0].new_ones(len(x))
    fractal, values, conds = net, x, roots
    while not isinstance(fractal, PixelHead):
        generator, dtype = fractal.generator, conds[0].dtype
        patches = cut(values, fractal.side)
        B, k = patches.shape[:2]
        inputs = cut(normalise(values, dtype), fractal.side).flatten(2)
        if isinstance(generator, MARGenerator):
            colour = None
            if fractal.guided:
                target, colour = block_colour(values, dtype, exact_colour)
                found.guiding.append(Charge(generator.guiding_pixel_loss.nll(conds[0], target), weight, rows))
            masked = masks(fractal.level, rows, k)
            outputs = generator(inputs, conds, masked, colour)
        else:
            masked = torch.ones(B, k, dtype=torch.bool, device=x.device)
            outputs = generator(inputs, conds)
        conds, values = [c[masked] for c in outputs], patches[masked]  # (M, D) each, row by row
        n = masked.sum(1)
        weight, rows = (weight * k / n).repeat_interleave(n), rows.repeat_interleave(n)
        found.conds.append(conds)
        fractal = fractal.next_fractal
    found.pixels = Charge(fractal.nll(conds[0], values[:, :, 0, 0].long()), weight, rows)
    return found


def block_masks(generator: torch.Generator | None = None) -> Masks:
    """Return a rule with n uniform on 1..k, drawn for each block."""

    def rule(level: int, rows: Tensor, k: int) -> Tensor:
        n = torch.randint(1, k + 1, (len(rows), 1), generator=generator)
        return _first(n, rows, k, generator)

    return rule


def call_masks(generator: torch.Generator | None = None) -> Masks:
    """Return the rule of the released evaluation, with n uniform on 1..k, drawn once for each level."""

    def rule(level: int, rows: Tensor, k: int) -> Tensor:
        n = torch.randint(1, k + 1, (1, 1), generator=generator)
        return _first(n, rows, k, generator)

    return rule


def training_masks(generator: torch.Generator | None = None) -> Masks:
    """Return the rule of the released training: a share from a normal around 1, cut to [0, 1], is masked."""

    def rule(level: int, rows: Tensor, k: int) -> Tensor:
        low = torch.special.ndtr(torch.tensor(-1 / _MASK_STD)).item()
        u = low + (0.5 - low) * torch.rand(len(rows), 1, generator=generator)
        share = (1 + _MASK_STD * torch.special.ndtri(u)).clamp(0, 1)
        return _first((k * share).ceil().clamp_min(1), rows, k, generator)

    return rule


def _first(n: Tensor, rows: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """Mask n (B, 1) or (1, 1) places of each block at random."""
    rank = torch.rand(len(rows), k, generator=generator).argsort(1)
    return (rank < n).to(rows.device)
