"""Queries, keys and values of the tokens of a block that were decoded so far, in memory that is taken once."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TokenCache", "norm_of"]

_FEW = 48  # tokens up to which sums of products are faster than the fused kernel


class TokenCache:
    """Memory of one transformer block for one batch.

    All views into it are made here: for the small tensors of decoding a view costs as much as a sum.

    Parameters
    ----------
    n_tokens, rows : int
        Tokens of a block (L) and rows of the batch (B).
    d, n_heads : int
        Width (D) and heads (A).
    like : Tensor
        Of the dtype and on the device that are wanted.
    n_extra : int, default=0
        Numbers that are kept in front of each query.
    """

    def __init__(self, n_tokens: int, rows: int, d: int, n_heads: int, like: Tensor, n_extra: int = 0) -> None:
        memory = like.new_empty(n_tokens, rows, n_extra + 3 * d)
        own = memory[:, :, n_extra:]
        q, k, v = own.unflatten(2, (3, n_heads, -1)).unbind(2)  # (L, B, A, D / A)
        self.rows, self.shape = rows, (rows, d)
        self.slots = list(memory)  # of each token (B, n_extra + 3 D)
        self.extra = list(memory[:, :, :n_extra])
        self.qkv = list(own)  # (B, 3 D)
        self.qk = list(own[:, :, : 2 * d])
        self.queries = list(q)
        self.keys = [k[: t + 1] for t in range(n_tokens)]
        self.values = [v[: t + 1] for t in range(n_tokens)]
        self.first = own[0, :, 2 * d :]  # value of the first token

    def pairs(self) -> list[Tensor]:
        """Queries and keys (B, 2, A, D / A / 2) of each token as complex numbers, to be turned in place."""
        A = self.queries[0].shape[1]
        return [torch.view_as_complex(qk.unflatten(1, (2, A, -1, 2))) for qk in self.qk]

    def attend(self, t: int) -> Tensor:
        """What token t reads from the tokens 0..t, (B, D); queries are scaled already."""
        if t == 0:
            return self.first
        if t >= _FEW:
            q = self.queries[t][:, :, None]
            k, v = (part[t].permute(1, 2, 0, 3) for part in (self.keys, self.values))  # (B, A, t + 1, D / A)
            return F.scaled_dot_product_attention(q, k, v, scale=1.0).reshape(self.shape)
        weight = (self.keys[t] * self.queries[t]).sum(-1, keepdim=True).softmax(0)
        return (self.values[t] * weight).sum(0).view(self.shape)


def norm_of(layer: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    """Return what a LayerNorm computes, as a function: to call a module takes longer than to normalise a token."""
    return partial(
        torch.layer_norm,
        normalized_shape=layer.normalized_shape,
        weight=layer.weight,
        bias=layer.bias,
        eps=layer.eps,
    )
