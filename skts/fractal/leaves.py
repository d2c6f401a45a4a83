"""The leaf: from the mixture's word and the network's condition to the distribution of one slot."""

import math

import torch
from torch import Tensor, nn

from skts.fractal.features import PlacewiseLinear
from skts.fractal.mixture import Anchors

__all__ = ["Leaf"]

_MOST_STRETCH = 3.0  # the network may widen or narrow a component by a factor of e^3


class Leaf(nn.Module):
    """Distributions of the slots. The network's part starts at zero: the first model is the mixture itself.

    Codes: logits of the mixture plus ``W h``. Numbers: a mixture of normal distributions whose weights, means and
    deviations are those of the mixture, moved by ``W h``.

    Parameters
    ----------
    d : int
        Width of the conditions h.
    n_values : list of int
        Codes of each slot, 0 for a number.
    n_components : int
        K of the mixture.
    repeats : int
        Slots after which the same weights hold again.
    """

    def __init__(self, d: int, n_values: list[int], n_components: int, repeats: int) -> None:
        super().__init__()
        period = n_values[:repeats]
        codes = [s for s, v in enumerate(n_values) if v]
        numbers = [s for s, v in enumerate(n_values) if not v]
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.long), persistent=False)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.rank = {slot: i for i, slot in enumerate(codes)} | {slot: i for i, slot in enumerate(numbers)}
        self.n_components = n_components
        if codes:
            self.for_codes = PlacewiseLinear(sum(v > 0 for v in period), d, max(n_values), zero=True)
        if numbers:
            self.for_numbers = PlacewiseLinear(sum(v == 0 for v in period), d, 3 * n_components, zero=True)

    def forward(self, h: Tensor, x: Tensor, anchors: Anchors) -> Tensor:
        """Log-probabilities and log-densities (B, D) of the slots, 0 where they are missing.

        Parameters
        ----------
        h : Tensor of shape (B, D, d)
            Conditions.
        x : Tensor of shape (B, D)
            Codes and numbers.
        anchors : Anchors
            What the mixture says.
        """
        out = torch.zeros_like(x)
        if len(self.codes):
            logits = self.logits(anchors.logits, self.for_codes(h[:, self.codes]))
            at = x[:, self.codes].nan_to_num().long()[..., None]
            out[:, self.codes] = logits.gather(2, at)[..., 0]
        if len(self.numbers):
            moved = self.for_numbers(h[:, self.numbers])
            log_w, mean, log_std = self.components(anchors.log_weight, anchors.mean, anchors.log_std, moved)
            z = (x[:, self.numbers].nan_to_num()[..., None] - mean) * (-log_std).exp()
            terms = log_w - 0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)
            out[:, self.numbers] = terms.logsumexp(-1)
        return out.masked_fill(x.isnan(), 0.0)

    def logits(self, anchor: Tensor, moved: Tensor) -> Tensor:
        """Log-probabilities of a code's values (..., V)."""
        return (anchor + moved).log_softmax(-1)

    def components(
        self, log_weight: Tensor, mean: Tensor, log_std: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-deviations of a number's components (..., K)."""
        weight, shift, stretch = moved.unflatten(-1, (3, self.n_components)).unbind(-2)
        log_w = (log_weight + weight).log_softmax(-1)
        stretch = _MOST_STRETCH * torch.tanh(stretch / _MOST_STRETCH)
        return log_w, mean + log_std.exp() * shift, log_std + stretch
