"""The pixel head one token at a time: kept keys and values, and tables for the tokens of red and green."""

import torch
from torch import Tensor

from skts.fractal.paper.cache import TokenCache, norm_of
from skts.fractal.paper.draws import Draws
from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.vit import ViTBlock

__all__ = ["HeadDecoder"]


class HeadDecoder:
    """Draws red, green and blue of pixels.

    The head has no positions, so that what its first block makes of the code of a red or green value depends on
    nothing else: a table with 256 rows holds it.

    Parameters
    ----------
    head : PixelHead
        The network.
    draws : Draws
        Takes values from logits.
    """

    def __init__(self, head: PixelHead, draws: Draws) -> None:
        self.draws = draws
        self.cond_weight, self.cond_bias = head.cond_proj.weight.t(), head.cond_proj.bias
        self.outputs = [(weight.t(), bias) for weight, bias in head.outputs()]
        self.ln, self.norm = norm_of(head.ln), norm_of(head.norm)
        self.blocks = [_Block(block) for block in head.blocks]
        self.tables = [self._table(code.weight) for code in (head.r_codebook, head.g_codebook)]
        self.caches: list[TokenCache] = []

    def _table(self, codes: Tensor) -> Tensor:
        """[token, its query, key and value in the first block] (256, 4 D) of each value."""
        h = self.ln(codes)
        return torch.cat([h, self.blocks[0].qkv(h)], 1)

    def _reserve(self, rows: int, like: Tensor) -> None:
        """Memory for a batch, taken again while its size stays; the first block's keeps the token as well."""
        if not self.caches or self.caches[0].rows != rows:
            d = self.cond_bias.shape[0]
            self.caches = [
                TokenCache(3, rows, d, block.n_heads, like, n_extra=0 if i else d)
                for i, block in enumerate(self.blocks)
            ]

    def __call__(self, cond: Tensor, cfg: float, index: Tensor) -> Tensor:
        """Values (B, 3) for conditions (B, D_cond), twice as many under guidance, and numbers of draws (B,)."""
        self._reserve(len(cond), cond)
        first, u, values = self.caches[0], self.draws.numbers(index), []
        for channel, (weight, bias) in enumerate(self.outputs):
            if channel == 0:
                h = self.ln(torch.addmm(self.cond_bias, cond, self.cond_weight))
                self.blocks[0].qkv(h, out=first.qkv[0])
            else:
                value = values[-1] if cfg == 1.0 else values[-1].repeat(2)
                torch.index_select(self.tables[channel - 1], 0, value, out=first.slots[channel])
                h = first.extra[channel]
            for i, (block, cache) in enumerate(zip(self.blocks, self.caches, strict=True)):
                if i > 0:
                    block.qkv(h, out=cache.qkv[channel])
                h = block.mix(h, cache.attend(channel))
            logits = torch.addmm(bias, self.norm(h), weight)
            values.append(self.draws(logits, cfg, None if u is None else u[channel], index))
        return torch.stack(values, 1)


class _Block:
    """The weights of a block, with the scales of attention and of the GELU folded in."""

    def __init__(self, block: ViTBlock) -> None:
        attn, mlp = block.attn, block.mlp
        d, self.n_heads = attn.proj.in_features, attn.n_heads
        scale = attn.qkv.weight.new_ones(3 * d)
        scale[:d] = (d // self.n_heads) ** -0.5
        self.weight, self.bias = (attn.qkv.weight * scale[:, None]).t(), attn.qkv.bias * scale
        self.norm1, self.norm2 = norm_of(block.norm1), norm_of(block.norm2)
        self.proj, self.proj_bias = attn.proj.weight.t(), attn.proj.bias
        # With u = x / sqrt(2) in place of x, GELU(x) is u (1 + erf(u)) / sqrt(2): faster than the function itself.
        self.fc1, self.fc1_bias = mlp.fc1.weight.t() * 0.5**0.5, mlp.fc1.bias * 0.5**0.5
        self.fc2, self.fc2_bias = mlp.fc2.weight.t() * 0.5**0.5, mlp.fc2.bias

    def qkv(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """Query, key and value (B, 3 D)."""
        return torch.addmm(self.bias, self.norm1(h), self.weight, out=out)

    def mix(self, h: Tensor, read: Tensor) -> Tensor:
        """Return h + proj(read) = h', then h' + MLP(LN(h')), in the memory of h."""
        h.add_(self.proj_bias).addmm_(read, self.proj)
        u = torch.addmm(self.fc1_bias, self.norm2(h), self.fc1)
        erf = u.erf()
        return h.add_(self.fc2_bias).addmm_(torch.addcmul(u, u, erf, out=erf), self.fc2)
