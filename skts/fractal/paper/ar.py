"""The causal generator: patches in raster order behind one condition token, with places by two-dimensional rotation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.fractal.paper.vit import EPS

__all__ = ["ARGenerator", "rotations"]

_RMS_EPS = 1e-5
_DROPOUT = 0.1  # the released generator takes no other


class ARGenerator(nn.Module):
    """One condition vector for each patch, from the block's condition and the patches before it.

    Parameters
    ----------
    d_cond, d : int
        Width of the condition of the block and of this level (D).
    k : int
        Patches of a block.
    d_patch : int
        Numbers in a patch.
    n_blocks, n_heads : int
        Transformer blocks and attention heads.
    """

    def __init__(self, d_cond: int, d: int, k: int, d_patch: int, n_blocks: int, n_heads: int) -> None:
        super().__init__()
        self.k, self.n_heads = k, n_heads
        self.patch_emb, self.cond_emb = nn.Linear(d_patch, d), nn.Linear(d_cond, d)
        self.pos_embed_learned = nn.Parameter(torch.zeros(1, k + 1, d))
        self.patch_emb_ln, self.norm = nn.LayerNorm(d, EPS), nn.LayerNorm(d, EPS)
        self.blocks = nn.ModuleList(CausalBlock(d, n_heads) for _ in range(n_blocks))

    def forward(self, patches: Tensor, conds: list[Tensor]) -> list[Tensor]:
        """Condition (B, k, D) of every patch, given true patches (B, k, 3 p p) and the condition (B, D_cond)."""
        # The last patch is not embedded: no patch follows that could read it.
        tokens = torch.cat([self.cond_emb(conds[0])[:, None], self.patch_emb(patches[:, :-1])], 1)
        h = self.patch_emb_ln(tokens + self.pos_embed_learned[:, : self.k])
        turn = rotations(self.k, h.shape[-1] // self.n_heads, h)
        for block in self.blocks:
            h = block(h, turn)
        return [self.norm(h)]


class CausalBlock(nn.Module):
    """h + Attn(RMSNorm(h)), then h + SwiGLU(RMSNorm(h)), without biases."""

    def __init__(self, d: int, n_heads: int) -> None:
        super().__init__()
        self.attention = RotaryAttention(d, n_heads)
        self.feed_forward = SwiGLU(d)
        self.attention_norm, self.ffn_norm = nn.RMSNorm(d, _RMS_EPS), nn.RMSNorm(d, _RMS_EPS)

    def forward(self, h: Tensor, turn: Tensor) -> Tensor:
        """Tokens (B, L, D)."""
        h = h + F.dropout(self.attention(self.attention_norm(h), turn), _DROPOUT, self.training)
        return h + self.feed_forward(self.ffn_norm(h))


class RotaryAttention(nn.Module):
    """Causal softmax attention whose queries and keys are turned by their place in the grid."""

    def __init__(self, d: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.wqkv, self.wo = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)

    def forward(self, h: Tensor, turn: Tensor) -> Tensor:
        """Tokens (B, L, D), with rotations (L, D / A / 2)."""
        q, k, v = (t.unflatten(-1, (self.n_heads, -1)) for t in self.wqkv(h).chunk(3, -1))  # (B, L, A, D / A)
        q, k = (_turned(t, turn) for t in (q, k))
        mixed = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
        return self.wo(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """w2 (silu(w1 h) w3 h), with 8/3 of the width inside, rounded up to a multiple of 256."""

    def __init__(self, d: int) -> None:
        super().__init__()
        inner = -(-int(8 * d / 3) // 256) * 256
        self.w1, self.w3 = nn.Linear(d, inner, bias=False), nn.Linear(d, inner, bias=False)
        self.w2 = nn.Linear(inner, d, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Tokens (B, L, D)."""
        return F.dropout(self.w2(F.silu(self.w1(h)) * self.w3(h)), _DROPOUT, self.training)


def rotations(k: int, d_head: int, like: Tensor) -> Tensor:
    """Turns e^(i angle), complex (k + 1, d_head / 2): rows in the first half of the pairs, columns in the second.

    Row 0 belongs to the condition token and is zero, as in the released code: that token has no place, its turned
    query and key vanish, every query gives it the logit 0 and its own output is its value.
    """
    grid, half = round(k**0.5), d_head // 2
    frequency = 10000.0 ** -(torch.arange(0, half, 2, device=like.device).double() / half)  # (half / 2,)
    angle = torch.arange(grid, device=like.device).double()[:, None] * frequency  # (grid, half / 2)
    rows, columns = angle.repeat_interleave(grid, 0), angle.repeat(grid, 1)
    both = torch.cat([rows, columns], 1)  # (k, half)
    turn = torch.polar(torch.ones_like(both), both)
    kind = torch.complex128 if like.dtype == torch.float64 else torch.complex64
    return torch.cat([torch.zeros_like(turn[:1]), turn]).to(kind)


def _turned(t: Tensor, turn: Tensor) -> Tensor:
    """Pairs (2 m, 2 m + 1) of (B, L, A, D / A) as complex numbers, times their turn."""
    pairs = torch.view_as_complex(t.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[: t.shape[1], None]).flatten(-2)
