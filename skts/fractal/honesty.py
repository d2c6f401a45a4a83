"""How network and mixture work together without one taking the other at its word.

A mixture knows the rows that it was fitted on by heart. What it says of them is no guide to how far it can be trusted,
so the network sees mixtures that were fitted without the row at hand, and a blend is weighted on rows that neither has
seen.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skts.fractal.mixture import Anchors, Mixture
from skts.fractal.module import FractalNet
from skts.fractal.search import FittedMixture

__all__ = ["HonestMixtures", "blend"]

_ITERATIONS = 50
_ROWS = 256  # at a time


class HonestMixtures:
    """What a mixture says of rows that it has not seen.

    Parameters
    ----------
    mixture : Mixture
        Takes the numbers that were fitted on all rows.
    fitted : FittedMixture
        Those, and the ones that were fitted without a part of the rows each.
    """

    def __init__(self, mixture: Mixture, fitted: FittedMixture) -> None:
        _put(fitted.buffers, mixture)
        self.mixtures = [_put(b, copy.deepcopy(mixture)) for b in fitted.held_out_buffers]
        self.mixtures.append(mixture)

    @torch.no_grad()
    def __call__(self, x: Tensor, label: Tensor, fold: Tensor) -> Anchors:
        """Of rows (B, D), by the mixture number ``fold`` (B,) each."""
        order = torch.argsort(fold, stable=True, dim=0)
        sizes = fold.bincount(minlength=len(self.mixtures)).tolist()
        rows_of = zip(self.mixtures, order.split(sizes), strict=True)
        parts = [mixture(x[rows], label[rows]) for mixture, rows in rows_of if len(rows)]
        return Anchors.joined(parts, torch.argsort(order, dim=0))


def _put(buffers: dict[str, np.ndarray], mixture: Mixture) -> Mixture:
    mixture.load_state_dict({k: torch.from_numpy(np.asarray(v)).float() for k, v in buffers.items()})
    return mixture


@torch.no_grad()
def blend(net: FractalNet, held_out: Sequence[Tensor]) -> None:
    """Set the weight of the mixture's probabilities in the blend to the most likely one on held-out rows.

    Parameters
    ----------
    net : FractalNet
        A blended one, trained alone.
    held_out : sequence of Tensor
        x (n, D) and label (n,).
    """
    said: list[Any] = []
    device = net.root.weight.device
    for x, label in zip(*(t.to(device).split(_ROWS) for t in held_out), strict=True):
        own, at = net(x, label), x[:, net.leaf.codes].nan_to_num().long()[..., None]
        of_mixture = net.mixture(x, label).logits.gather(2, at)[..., 0]
        seen = ~x[:, net.leaf.codes].isnan()
        said.append(torch.stack([of_mixture[seen], own[:, net.leaf.codes][seen]]))
    of_mixture, own = torch.cat(said, 1).double()
    trust = torch.tensor(0.5, dtype=torch.float64)
    for _ in range(_ITERATIONS):  # expectation-maximisation in one unknown
        odds = trust.logit() + of_mixture - own
        trust = odds.sigmoid().mean()
    net.leaf.trust.copy_(trust)
