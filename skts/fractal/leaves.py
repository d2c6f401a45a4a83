"""The leaf: from the mixture's word and the network's condition to the distribution of one slot."""

import math

import torch
from torch import Tensor, nn

from skts.fractal.features import PlacewiseLinear
from skts.fractal.mixture import Anchors

__all__ = ["Leaf"]

_MOST_STRETCH = 3.0  # the network may widen or narrow a component by a factor of e^3


class Leaf(nn.Module):
    """Distributions of the slots, from what the mixture says and what the network says. W starts at zero.

    Codes: logits of the mixture plus ``W h``. Or, blended: a mean of the mixture's probabilities, with the weight
    ``trust``, and of the network's own, whose logits are those of the frequencies plus ``W h``. Numbers: a mixture of
    normal distributions whose weights, means and deviations are those of the mixture, moved by ``W h``.

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
    blended : bool
        Whether the network learns codes by itself, and is blended with the mixture afterwards.
    """

    def __init__(self, d: int, n_values: list[int], n_components: int, repeats: int, blended: bool) -> None:
        super().__init__()
        period = n_values[:repeats]
        codes = [s for s, v in enumerate(n_values) if v]
        numbers = [s for s, v in enumerate(n_values) if not v]
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.long), persistent=False)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.rank = {slot: i for i, slot in enumerate(codes)} | {slot: i for i, slot in enumerate(numbers)}
        self.n_components, self.blended = n_components, blended
        if codes:
            self.for_codes = PlacewiseLinear(sum(v > 0 for v in period), d, max(n_values), zero=True)
        if blended:
            self.register_buffer("log_marginal", torch.zeros(len(codes), max(1, *n_values)))
            self.register_buffer("trust", torch.zeros(()))
        if numbers:
            self.for_numbers = PlacewiseLinear(sum(v == 0 for v in period), d, 3 * n_components, zero=True)

    @property
    def alone(self) -> bool:
        """Whether the mixture is not heard."""
        return self.blended and not len(self.numbers) and bool(self.trust == 0)

    def forward(self, h: Tensor, x: Tensor, anchors: Anchors | None) -> Tensor:
        """Log-probabilities and log-densities (B, D) of the slots, 0 where they are missing.

        Parameters
        ----------
        h : Tensor of shape (B, D, d)
            Conditions.
        x : Tensor of shape (B, D)
            Codes and numbers.
        anchors : Anchors or None
            What the mixture says; None where it is not heard.
        """
        out = torch.zeros_like(x)
        if len(self.codes):
            logits = self.logits(None if anchors is None else anchors.logits, self.for_codes(h[:, self.codes]))
            at = x[:, self.codes].nan_to_num().long()[..., None]
            out[:, self.codes] = logits.gather(2, at)[..., 0]
        if len(self.numbers):
            moved = self.for_numbers(h[:, self.numbers])
            log_w, mean, log_std = self.components(anchors.log_weight, anchors.mean, anchors.log_std, moved)
            z = (x[:, self.numbers].nan_to_num()[..., None] - mean) * (-log_std).exp()
            terms = log_w - 0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)
            out[:, self.numbers] = terms.logsumexp(-1)
        return out.masked_fill(x.isnan(), 0.0)

    def logits(self, anchor: Tensor | None, moved: Tensor, which: int | slice = slice(None)) -> Tensor:
        """Log-probabilities (..., V) of the values of one code, or of all."""
        if not self.blended:
            return (anchor + moved).log_softmax(-1)
        own = (self.log_marginal[which] + moved).log_softmax(-1)
        if self.trust == 0:
            return own
        return torch.logaddexp(self.trust.log() + anchor, (-self.trust).log1p() + own)

    def components(
        self, log_weight: Tensor, mean: Tensor, log_std: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-deviations of a number's components (..., K)."""
        weight, shift, stretch = moved.unflatten(-1, (3, self.n_components)).unbind(-2)
        log_w = (log_weight + weight).log_softmax(-1)
        stretch = _MOST_STRETCH * torch.tanh(stretch / _MOST_STRETCH)
        return log_w, mean + log_std.exp() * shift, log_std + stretch
