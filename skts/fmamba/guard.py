"""The guard: for each variate, whichever of network and closed forms has the lowest error on validation data."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skts.engine import WindowBatches
from skts.fmamba.linear import KINDS, WindowMoments, closed_form

__all__ = ["NETWORK", "Guard", "choose"]

NETWORK = "network"


@dataclass
class Guard:
    """What was chosen.

    Attributes
    ----------
    selected : list of str
        The candidate of each variate.
    errors : dict of str to array (n_variates,)
        Validation mean squared error of every candidate, in standardised units.
    coef : array of shape (n_variates, L, H)
        The chosen closed form of each variate (zeros where it is the network).
    """

    selected: list[str]
    errors: dict[str, np.ndarray]
    coef: np.ndarray


def choose(train: WindowBatches, valid: WindowBatches, network_errors: Tensor) -> Guard:
    """Fit the closed forms on training windows and take the best candidate of each variate on validation windows."""
    seen, unseen = WindowMoments.of(train), WindowMoments.of(valid)
    maps = {kind: closed_form(kind, seen, unseen) for kind in KINDS}
    errors = {NETWORK: network_errors.double(), **{kind: unseen.error(coef) for kind, coef in maps.items()}}
    names = list(errors)
    winners = torch.stack(list(errors.values())).argmin(0)
    chosen = torch.zeros_like(seen.fy)
    for kind, coef in maps.items():
        mine = winners == names.index(kind)
        chosen[mine] = coef.expand_as(chosen)[mine]
    selected = [names[w] for w in winners.tolist()]
    return Guard(selected, {name: error.numpy() for name, error in errors.items()}, np.ascontiguousarray(chosen))
