"""The leaf: red, green and blue of one pixel, each from 256 values, in this order."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.fractal.paper.vit import EPS, ViTBlock

__all__ = ["PixelHead"]

_ROWS = 16384  # pixels whose logits (3 x 256 each) are in memory at a time


class PixelHead(nn.Module):
    """p(R, G, B given c) = p(R given c) p(G given R, c) p(B given R, G, c).

    Three tokens run through a causal transformer without positions: the condition, the code of R, the code of G. The
    logits of a channel are the output before it times the channel's own codes (tied weights), plus a bias.

    Parameters
    ----------
    d_cond, d : int
        Width of the condition and of the head.
    n_blocks, n_heads : int
        Transformer blocks and attention heads.
    """

    def __init__(self, d_cond: int, d: int, n_blocks: int, n_heads: int) -> None:
        super().__init__()
        self.cond_proj = nn.Linear(d_cond, d)
        self.r_codebook, self.g_codebook, self.b_codebook = (nn.Embedding(256, d) for _ in range(3))
        self.ln, self.norm = nn.LayerNorm(d, EPS), nn.LayerNorm(d, EPS)
        self.blocks = nn.ModuleList(ViTBlock(d, n_heads, dropout=0.0, causal=True) for _ in range(n_blocks))
        self.r_mlm, self.g_mlm, self.b_mlm = (ValueBias() for _ in range(3))

    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """Weight (256, D) and bias (256,) of the logits of each channel."""
        codes = (self.r_codebook, self.g_codebook, self.b_codebook)
        biases = (self.r_mlm, self.g_mlm, self.b_mlm)
        return [(code.weight, bias.bias[0]) for code, bias in zip(codes, biases, strict=True)]

    def forward(self, cond: Tensor, values: Tensor) -> Tensor:
        """Logits (B, 3, 256) of the channels, with conditions (B, D_cond) and true values (B, 3) before each."""
        tokens = [self.cond_proj(cond), self.r_codebook(values[:, 0]), self.g_codebook(values[:, 1])]
        h = self.ln(torch.stack(tokens, 1))  # (B, 3, D); blue is the last: nothing is asked from its code
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        logits = [F.linear(h[:, c], weight, bias) for c, (weight, bias) in enumerate(self.outputs())]
        return torch.stack(logits, 1)

    def nll(self, cond: Tensor, values: Tensor) -> Tensor:
        """Negative log-likelihood (B, 3) in nats of values (B, 3)."""
        parts = [
            F.cross_entropy(self(c, v).transpose(1, 2), v, reduction="none")
            for c, v in zip(cond.split(_ROWS), values.split(_ROWS), strict=True)
        ]
        return torch.cat(parts)


class ValueBias(nn.Module):
    """A bias for each of the 256 values; a module because the released names have one."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 256))
