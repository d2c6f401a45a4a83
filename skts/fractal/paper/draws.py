"""From logits to values: guidance, temperature, and the inverse distribution function at given uniform numbers."""

import math

import torch
from torch import Tensor

__all__ = ["Draws"]


class Draws:
    """Takes values 0..255 from logits.

    Parameters
    ----------
    uniforms : Tensor, shape (n, n_draws, 3), or None
        Numbers in [0, 1); None takes the most probable value.
    n, n_draws : int
        Images, and triples of numbers that each may use.
    temperature : float
        Logits are multiplied by it.
    filter_threshold : float
        Values of less probability under the class are not lifted by guidance.
    """

    def __init__(
        self, uniforms: Tensor | None, n: int, n_draws: int, temperature: float, filter_threshold: float
    ) -> None:
        self.uniforms = None if uniforms is None else uniforms.reshape(-1, 3)
        self.n_draws, self.temperature = n_draws, temperature
        self.log_threshold = math.log(filter_threshold) if filter_threshold > 0 else -math.inf
        self.log_prob = torch.zeros(n, dtype=torch.float64, device=None if uniforms is None else uniforms.device)

    def numbers(self, index: Tensor) -> Tensor | None:
        """Uniform numbers (3, B, 1) of the triples ``index`` (B,)."""
        return None if self.uniforms is None else self.uniforms[index].t().unsqueeze(-1).contiguous()

    def __call__(self, logits: Tensor, cfg: float, u: Tensor | None, index: Tensor) -> Tensor:
        """Values (B,) from logits (B, 256), or (2 B, 256) with those of the null vector behind under guidance."""
        if self.temperature != 1.0:
            logits = logits * self.temperature
        if cfg != 1.0:
            logits = self.guided(logits, cfg)
        if u is None:
            return logits.argmax(-1)
        p = logits.softmax(-1)
        steps = p.cumsum(-1)
        values = torch.searchsorted(steps, u * steps[:, -1:])  # the last step is its own upper end: never beyond it
        self.log_prob.index_add_(0, index // self.n_draws, p.gather(1, values).log()[:, 0].double())
        return values[:, 0]

    def guided(self, logits: Tensor, cfg: float) -> Tensor:
        """l_u + omega (l_c - l_u), with l_u raised where the class has next to no probability."""
        given, null = (logits - logits.amax(-1, keepdim=True)).chunk(2)
        rare = given.log_softmax(-1) < self.log_threshold
        return torch.where(rare, torch.maximum(null, given), null).lerp(given, cfg)
