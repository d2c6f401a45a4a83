"""The plain pre-norm transformer block of the masked generator and of the pixel head, under the names of timm."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EPS", "ViTBlock"]

EPS = 1e-6  # of every LayerNorm in these networks


class ViTBlock(nn.Module):
    """h + Attn(LN(h)), then h + MLP(LN(h)), with exact GELU.

    Parameters
    ----------
    d : int
        Width (D).
    n_heads : int
        Heads (A).
    dropout : float
        On attention, its output and both layers of the MLP, in training only.
    causal : bool
        Whether a token sees itself and earlier ones only.
    """

    def __init__(self, d: int, n_heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d, EPS), nn.LayerNorm(d, EPS)
        self.attn = Attention(d, n_heads, dropout, causal)
        self.mlp = MLP(d, dropout)

    def forward(self, h: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Tokens (B, L, D) to (B, L, D), or to (B, W, D) at the places ``wanted`` (B, W) alone."""
        n = self.norm1(h)
        if wanted is not None:
            h = take(h, wanted)
        h = h + self.attn(n, n if wanted is None else take(n, wanted))
        return h + self.mlp(self.norm2(h))


class Attention(nn.Module):
    """Softmax attention with one projection for queries, keys and values."""

    def __init__(self, d: int, n_heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.dropout, self.causal = n_heads, dropout, causal
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, h: Tensor, asking: Tensor) -> Tensor:
        """What the tokens ``asking`` (B, W, D) read from ``h`` (B, L, D)."""
        B, W, D = asking.shape
        if asking is h:
            q, k, v = self.qkv(h).chunk(3, -1)
        else:
            q = F.linear(asking, self.qkv.weight[:D], self.qkv.bias[:D])
            k, v = F.linear(h, self.qkv.weight[D:], self.qkv.bias[D:]).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for t in (q, k, v))  # (B, A, L, D / A)
        drop = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=self.causal)
        return F.dropout(self.proj(mixed.transpose(1, 2).reshape(B, W, D)), self.dropout, self.training)


class MLP(nn.Module):
    """Two layers with four times the width between them."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, h: Tensor) -> Tensor:
        """Tokens (B, L, D)."""
        h = F.dropout(F.gelu(self.fc1(h)), self.dropout, self.training)
        return F.dropout(self.fc2(h), self.dropout, self.training)


def take(h: Tensor, places: Tensor) -> Tensor:
    """Tokens (B, W, D) of ``h`` (B, L, D) at ``places`` (B, W)."""
    return torch.gather(h, 1, places[..., None].expand(-1, -1, h.shape[-1]))
