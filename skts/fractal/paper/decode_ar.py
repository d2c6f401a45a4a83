"""The causal generator one patch at a time, with kept keys and values."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skts.fractal.paper.ar import ARGenerator, CausalBlock, rotations
from skts.fractal.paper.cache import TokenCache, norm_of
from skts.fractal.paper.pixels import MEAN, STD

__all__ = ["ARDecoder"]


class ARDecoder:
    """Draws blocks, patch after patch.

    Parameters
    ----------
    generator : ARGenerator
        The network of this level.
    child : callable
        Draws the patches: (conditions, cfg, schedule, index) to values (B, 3, s, s).
    side, image_side : int
        Side of a patch (s) and of the whole image, in pixels.
    """

    def __init__(self, generator: ARGenerator, child: Any, side: int, image_side: int) -> None:
        self.child, self.side, self.k = child, side, generator.k
        self.cond_emb = generator.cond_emb
        self.ln, self.norm = norm_of(generator.patch_emb_ln), norm_of(generator.norm)
        self.places = generator.pos_embed_learned[0]
        weight = generator.patch_emb.weight
        mean, std = (weight.new_tensor(t).repeat_interleave(side**2) for t in (MEAN, STD))
        # The scaling of the values is part of the embedding, and so is the place: one product does all of it.
        self.weight = (weight / (255 * std)).t()
        self.biases = self.places + generator.patch_emb.bias - weight @ (mean / std)
        d = weight.shape[0]
        self.turn = rotations(self.k, d // generator.n_heads, weight)[:, None, None]  # (k + 1, 1, 1, D / A / 2)
        self.blocks = [_Block(block) for block in generator.blocks]
        self.caches: list[tuple[_Block, TokenCache, list[Tensor]]] = []
        grid = round(self.k**0.5)
        self.corners = [(j // grid * side, j % grid * side) for j in range(self.k)]
        self.block_side, self.image_side = grid * side, image_side

    def _reserve(self, rows: int, like: Tensor) -> None:
        """Memory of each block for a batch, taken again while its size stays."""
        if not self.caches or self.caches[0][1].rows != rows:
            caches = [TokenCache(self.k, rows, block.d, block.n_heads, like) for block in self.blocks]
            self.caches = [(b, c, c.pairs()) for b, c in zip(self.blocks, caches, strict=True)]

    def __call__(self, conds: list[Tensor], cfg: float, schedule: str, index: Tensor) -> Tensor:
        """Values (B, 3, S, S) of blocks, for conditions of B rows, or of 2 B under guidance, and first draws (B,)."""
        self._reserve(len(conds[0]), conds[0])
        S, s = self.block_side, self.side
        values = conds[0].new_empty(len(index), 3, S, S)
        h, patch = self.ln(self.cond_emb(conds[0]) + self.places[0]), values[:, :, :s, :s]
        for t, (top, left) in enumerate(self.corners):
            if t > 0:
                h = self.ln(torch.addmm(self.biases[t], patch.reshape(len(index), -1), self.weight))
                h = h if cfg == 1.0 else h.repeat(2, 1)
            for block, cache, pairs in self.caches:
                block.qkv(h, out=cache.qkv[t])
                pairs[t].mul_(self.turn[t])
                h = block.mix(h, cache.attend(t))
            now = 1 + (cfg - 1) * (t + 1) / self.k if schedule == "linear" else cfg
            patch = self.child([self.norm(h)], now, "constant", index + (top * self.image_side + left))
            values[:, :, top : top + s, left : left + s] = patch
        return values


class _Block:
    """The weights of a block: its norms' gains and the scale of attention folded in, products of one input joined."""

    def __init__(self, block: CausalBlock) -> None:
        attention, ff = block.attention, block.feed_forward
        self.n_heads, self.d = attention.n_heads, attention.wo.in_features
        weight = attention.wqkv.weight * block.attention_norm.weight
        weight[: self.d] *= (self.d // self.n_heads) ** -0.5
        self.wqkv, self.wo = weight.t(), attention.wo.weight.t()
        self.w13 = (torch.cat([ff.w1.weight, ff.w3.weight]) * block.ffn_norm.weight).t()
        self.w2 = ff.w2.weight.t()
        self.eps = weight.new_tensor(block.ffn_norm.eps)

    def qkv(self, h: Tensor, out: Tensor) -> None:
        """Query, key and value (B, 3 D) of the token (B, D), not turned yet."""
        torch.mm(self._scaled(h), self.wqkv, out=out)

    def mix(self, h: Tensor, read: Tensor) -> Tensor:
        """Return h + wo(read) = h', then h' + SwiGLU(RMSNorm(h')), in the memory of h."""
        h.addmm_(read, self.wo)
        gate, value = torch.mm(self._scaled(h), self.w13).chunk(2, 1)
        return h.addmm_(F.silu(gate).mul_(value), self.w2)

    def _scaled(self, h: Tensor) -> Tensor:
        """Divide by rms(h); the fused function has its gain to multiply as well, and takes longer."""
        norm = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        return h * torch.rsqrt(torch.addcmul(self.eps, norm, norm, value=1 / self.d))
