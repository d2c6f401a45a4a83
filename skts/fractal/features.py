"""What the network sees of a slot, and linear maps that know which slot they stand at."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PlacewiseLinear", "SlotFeatures"]

_MOST_INDICATORS = 32


class SlotFeatures(nn.Module):
    """Features (B, D, F + 1) of codes and standardised numbers (B, D); the last one marks a missing value.

    A code of few values becomes indicators of all values but the first. A code of many becomes its place in the range
    and waves along it, so that neighbouring values look alike. A number becomes itself and a soft histogram.

    Parameters
    ----------
    n_values : list of int
        Codes of each slot, 0 for a real number.
    """

    def __init__(self, n_values: list[int]) -> None:
        super().__init__()
        kinds = sorted(set(n_values))
        self.width = max(_width(V) for V in kinds)
        tables, starts, rows = [], {}, 0
        for V in (V for V in kinds if V):
            table = torch.zeros(V, self.width)
            table[:, : _width(V)] = _code_features(V)
            starts[V], rows = rows, rows + V
            tables.append(table)
        self.register_buffer("table", torch.cat(tables) if tables else torch.zeros(1, self.width), persistent=False)
        offsets = torch.tensor([starts.get(V, 0) for V in n_values])
        self.register_buffer("offset", offsets, persistent=False)
        self.register_buffer("real", torch.tensor([V == 0 for V in n_values]), persistent=False)

    def forward(self, x: Tensor, slots: slice = slice(None)) -> Tensor:
        """Features of the slots that stand in ``x``."""
        real, missing = self.real[slots], x.isnan()
        x = x.masked_fill(missing, 0.0)
        codes = torch.where(real, 0.0, x).long() + self.offset[slots]
        features = self.table[codes]
        if real.any():
            numbers = torch.zeros_like(features)
            numbers[..., : _width(0)] = _number_features(x)
            features = torch.where(real[:, None], numbers, features)
        features = features.masked_fill(missing[..., None], 0.0)
        return torch.cat([features, missing[..., None].to(x.dtype)], -1)

    def at(self, x: Tensor, slot: int) -> Tensor:
        """Features (B, F) of one slot's values (B,), none of which is missing."""
        if not self.real[slot]:
            return self.table[self.offset[slot] + x.long()]
        return F.pad(_number_features(x), (0, self.width - _width(0)))


_CENTRES = torch.linspace(-2.5, 2.5, 11)


def _width(V: int) -> int:
    if V == 0:
        return 1 + len(_CENTRES)
    return V - 1 if 1 < V <= _MOST_INDICATORS else (1 if V == 1 else 1 + 16)


def _code_features(V: int) -> Tensor:
    if V <= _MOST_INDICATORS:
        return torch.eye(V)[:, 1:] if V > 1 else torch.zeros(1, 1)
    place = torch.arange(V) / (V - 1)
    waves = torch.cos(math.pi * place[:, None] * torch.arange(1, 17))
    return torch.cat([2 * place[:, None] - 1, waves], 1)


def _number_features(x: Tensor) -> Tensor:
    centres = _CENTRES.to(x)
    # Below e^-20 a bump is as good as none, and far below numbers get denormal, which processors are slow with.
    bumps = torch.exp(-(2 * (x[..., None] - centres) ** 2).clamp(max=20))
    return torch.cat([x.clamp(-6, 6)[..., None], bumps], -1)


class PlacewiseLinear(nn.Module):
    """A linear map with weights of its own for each of G places; along a longer sequence they repeat.

    Parameters
    ----------
    n_places : int
        G; 1 shares the weights among all positions.
    d_in, d_out : int
        Widths.
    zero : bool, default=False
        Start at the zero map.
    """

    def __init__(self, n_places: int, d_in: int, d_out: int, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else 1 / math.sqrt(d_in)
        self.weight = nn.Parameter(torch.empty(n_places, d_in, d_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_places, d_out))

    def forward(self, x: Tensor) -> Tensor:
        """From (B, L, d_in), L a multiple of G, to (B, L, d_out)."""
        G, (B, L, d) = len(self.weight), x.shape
        if G == 1:
            return x @ self.weight[0] + self.bias[0]
        by_place = x.reshape(B * L // G, G, d).transpose(0, 1)
        return torch.baddbmm(self.bias[:, None], by_place, self.weight).transpose(0, 1).reshape(B, L, -1)

    def at(self, x: Tensor, position: int) -> Tensor:
        """The map of one position, for rows (B, d_in)."""
        g = position % len(self.weight)
        return x @ self.weight[g] + self.bias[g]
