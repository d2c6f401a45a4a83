"""What a data set decides of the network, and how weights of single variates find their way to other data."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skts.fmamba.across import lags_across
from skts.fmamba.cycle import Cycle

__all__ = ["WIDE", "carried", "defaults"]

# From so many variates on, mixing them is what the network is for: no gate of the attention, no linear map of single
# variates beside it. The scan keeps its gate: it runs over the variates in whatever order they come.
WIDE = 50
_HARMONICS, _PHASES, _MODULATIONS = 4, 4, 2
# Turns of the cycle in the training part from which a daily course, and weights that vary with it, can be learned.
_TURNS_FOR_HARMONICS, _TURNS_FOR_MODULATIONS = 3, 20
_WIDEST_MAP = 1100  # lags times modulations: the solver's time grows with its cube


def defaults(n_variates: int, context: int, horizon: int, n_rows: int, cycle: Cycle | None) -> dict[str, Any]:
    """Keywords of the network and sizes of the periodic map for data of this shape.

    Parameters
    ----------
    n_variates, context, horizon : int
        N, L and H.
    n_rows : int
        Rows of the training part.
    cycle : Cycle or None
        The cycle.
    """
    wide, turns = n_variates >= WIDE, 0.0 if cycle is None else n_rows / cycle.period
    most = (
        0 if cycle is None else (int(cycle.period) - 1) // 2
    )  # beyond half the period a harmonic is another one's alias
    known = turns >= _TURNS_FOR_HARMONICS
    affordable = max(0, (_WIDEST_MAP // context - 1) // 2)
    modulations = min(_MODULATIONS, affordable) if turns >= _TURNS_FOR_MODULATIONS else 0
    return {
        "skip": not wide,
        "n_across": lags_across(n_variates, context, horizon),
        "mix_gate": "mamba" if wide else True,
        "mlp_embed": False,
        "dropout": 0.2,
        "pos_embed": "variate",
        "phase_embed": min(_PHASES, most) if known else 0,
        "n_harmonics": min(_HARMONICS, most) if known else 0,
        "n_modulations": min(modulations, most) if known else 0,
    }


def carried(weights: Mapping[str, Tensor], before: Sequence[Hashable], now: Sequence[Hashable]) -> Mapping[str, Tensor]:
    """Weights for other variates: those of single variates are looked up by column.

    A column that was never seen gets no offset, nothing from other variates, and the mean of all linear maps.
    """
    if list(before) == list(now):
        return weights
    found = dict(weights)
    rows = [list(before).index(column) if column in before else -1 for column in now]
    for name, unseen in (("variate_position", 0.0), ("skip.coef", 1.0)):
        if name in found:
            table = found[name]
            found[name] = torch.cat([table, unseen * table.mean(0, keepdim=True)])[rows]
    if "across.coef" in found:  # from variate, lag, to variate, step
        table = F.pad(found["across.coef"], (0, 0, 0, 1, 0, 0, 0, 1))
        found["across.coef"] = table[rows][:, :, rows]
    return found
