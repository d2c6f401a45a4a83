"""MOMENT: patches as tokens, a T5 encoder with gated GELU and relative bias, and a linear head back to patches.

The names of modules and parameters are those of the released checkpoints.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.moment.packing import Group, Pack

__all__ = ["ClassificationHead", "ForecastHead", "MomentNet", "ReconstructionHead", "sinusoids"]

_GAIN = 1.41  # of the orthogonal start of patch embedding and head
_MAX_DISTANCE = 128  # patches beyond which all distances share a bucket


class MomentNet(nn.Module):
    """The network on packed tokens.

    Parameters
    ----------
    d_model, d_ff, n_layers, n_heads, d_kv : int
        Width, width inside of the feed-forward part, blocks, heads and width of a head.
    patch_len : int, default=8
        Steps of a patch (P).
    n_buckets : int, default=32
        Rows of the relative bias.
    dropout : float, default=0.1
        In training only.
    head : nn.Module, optional
        What stands at ``head``; the reconstruction head by default.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        n_layers: int,
        n_heads: int,
        d_kv: int,
        patch_len: int = 8,
        n_buckets: int = 32,
        dropout: float = 0.1,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(d_model, patch_len, dropout)
        self.encoder = Encoder(d_model, d_ff, n_layers, n_heads, d_kv, n_buckets, dropout)
        self.head = ReconstructionHead(d_model, patch_len, dropout) if head is None else head

    def forward(self, pack: Pack, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """Tokens (K, D) after each of ``layers`` (increasing, from 0), the last one by default; no later block runs."""
        return self.encoder(self.patch_embedding(pack), pack.groups, layers)

    def reconstruct(self, pack: Pack) -> Tensor:
        """Patches (K, P) in normalised units."""
        return self.head(self(pack)[-1])


class PatchEmbedding(nn.Module):
    """W z for a patch that is shown and the mask token for one that is not, plus its position."""

    def __init__(self, d_model: int, patch_len: int, dropout: float) -> None:
        super().__init__()
        self.mask_embedding = nn.Parameter(torch.zeros(d_model))
        self.value_embedding = nn.Linear(patch_len, d_model, bias=False)
        nn.init.orthogonal_(self.value_embedding.weight, gain=_GAIN)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pack: Pack) -> Tensor:
        """Tokens (K, D)."""
        tokens = torch.where(pack.shown[:, None], self.value_embedding(pack.patches), self.mask_embedding)
        table = sinusoids(int(pack.positions.max()) + 1, tokens.shape[1], tokens.device)
        return self.dropout(tokens + table[pack.positions])


class Encoder(nn.Module):
    """A stack of blocks that share one relative bias."""

    def __init__(
        self, d_model: int, d_ff: int, n_layers: int, n_heads: int, d_kv: int, n_buckets: int, dropout: float
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            Block(d_model, d_ff, n_heads, d_kv, n_buckets if i == 0 else 0, dropout) for i in range(n_layers)
        )
        self.final_layer_norm = RMSNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, groups: tuple[Group, ...], layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """Tokens (K, D) after each of ``layers``, all read through the final norm."""
        layers = (len(self.block) - 1,) if layers is None else layers
        bias = self.block[0].layer[0].SelfAttention.bias
        biases = [bias(group) for group in groups]
        read, h = [], self.dropout(h)
        for i, block in enumerate(self.block[: max(layers) + 1]):
            h = block(h, groups, biases)
            if i in layers:
                read.append(self.dropout(self.final_layer_norm(h)))
        return read


class Block(nn.Module):
    """Attention and feed-forward, each on the normalised tokens, each added to them."""

    def __init__(self, d_model: int, d_ff: int, n_heads: int, d_kv: int, n_buckets: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [
                AttentionLayer(d_model, n_heads, d_kv, n_buckets, dropout),
                FeedForwardLayer(d_model, d_ff, dropout),
            ]
        )

    def forward(self, h: Tensor, groups: tuple[Group, ...], biases: list[Tensor]) -> Tensor:
        """Tokens (K, D)."""
        return self.layer[1](self.layer[0](h, groups, biases))


class AttentionLayer(nn.Module):
    """h + attention of the normalised h."""

    def __init__(self, d_model: int, n_heads: int, d_kv: int, n_buckets: int, dropout: float) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(d_model, n_heads, d_kv, n_buckets, dropout)
        self.layer_norm = RMSNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, groups: tuple[Group, ...], biases: list[Tensor]) -> Tensor:
        """Tokens (K, D)."""
        return h + self.dropout(self.SelfAttention(self.layer_norm(h), groups, biases))


class FeedForwardLayer(nn.Module):
    """h + feed-forward of the normalised h."""

    def __init__(self, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(d_model, d_ff, dropout)
        self.layer_norm = RMSNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Tokens (K, D)."""
        return h + self.dropout(self.DenseReluDense(self.layer_norm(h)))


class SelfAttention(nn.Module):
    """Softmax attention without the usual 1 / sqrt(d_kv), with a learned bias for each distance of two patches."""

    def __init__(self, d_model: int, n_heads: int, d_kv: int, n_buckets: int, dropout: float) -> None:
        super().__init__()
        inner = n_heads * d_kv
        self.n_heads, self.dropout = n_heads, dropout
        self.q, self.k, self.v = (nn.Linear(d_model, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, d_model, bias=False)
        if n_buckets:
            self.relative_attention_bias = nn.Embedding(n_buckets, n_heads)
            nn.init.normal_(self.relative_attention_bias.weight, std=d_model**-0.5)
        nn.init.normal_(self.q.weight, std=(d_model * d_kv) ** -0.5)
        for linear in (self.k, self.v):
            nn.init.normal_(linear.weight, std=d_model**-0.5)
        nn.init.normal_(self.o.weight, std=inner**-0.5)

    def bias(self, group: Group) -> Tensor:
        """Bias of the logits, (1 or R, H, n, n), with the lowest number where a key is masked."""
        table = self.relative_attention_bias
        place = torch.arange(group.length, device=table.weight.device)
        bucket = relative_bucket(place[None, :] - place[:, None], table.num_embeddings)
        bias = table(bucket).permute(2, 0, 1)[None]  # (1, H, n, n)
        if group.keys is None:
            return bias
        return bias.masked_fill(~group.keys[:, None, None, :], torch.finfo(bias.dtype).min)

    def forward(self, h: Tensor, groups: tuple[Group, ...], biases: list[Tensor]) -> Tensor:
        """Tokens (K, D); the projections see all of them at once, attention one group after another."""
        queries, keys, values = self.q(h), self.k(h), self.v(h)  # (K, H * d_kv) each
        start, parts = 0, []
        for group, bias in zip(groups, biases, strict=True):
            stop = start + group.n_rows * group.length
            q, k, v = (
                t[start:stop].view(group.n_rows, group.length, self.n_heads, -1).transpose(1, 2)
                for t in (queries, keys, values)
            )  # (R, H, n, d_kv)
            drop = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), dropout_p=drop, scale=1.0)
            parts.append(mixed.transpose(1, 2).reshape(stop - start, -1))
            start = stop
        return self.o(parts[0] if len(parts) == 1 else torch.cat(parts))


class GatedFeedForward(nn.Module):
    """W (gelu(W0 h) * W1 h), with the tanh form of the GELU."""

    def __init__(self, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.wi_0, self.wi_1 = (nn.Linear(d_model, d_ff, bias=False) for _ in range(2))
        self.wo = nn.Linear(d_ff, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.wi_0, self.wi_1, self.wo):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, h: Tensor) -> Tensor:
        """Tokens (K, D)."""
        return self.wo(self.dropout(F.gelu(self.wi_0(h), approximate="tanh") * self.wi_1(h)))


class RMSNorm(nn.Module):
    """g h / rms(h), without a mean and without a bias."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, h: Tensor) -> Tensor:
        """Tokens (K, D)."""
        return F.rms_norm(h, self.weight.shape, self.weight, 1e-6)


class ReconstructionHead(nn.Module):
    """From each token back to its patch: (..., D) to (..., P). The only head that is pre-trained.

    Parameters
    ----------
    d_model, patch_len : int
        D and P.
    dropout : float
        In training only.
    """

    def __init__(self, d_model: int, patch_len: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(d_model, patch_len)
        nn.init.orthogonal_(self.linear.weight, gain=_GAIN)
        nn.init.zeros_(self.linear.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Patches in normalised units."""
        return self.linear(self.dropout(h))


class ClassificationHead(nn.Module):
    """Logits from the mean over all patches, masked ones as well, of channels side by side or of their mean.

    Parameters
    ----------
    n_channels, d_model, n_classes : int
        C, D and the number of logits.
    reduction : {"concat", "mean"}
        Of the channels.
    dropout : float, default=0.1
        In training only.
    """

    def __init__(self, n_channels: int, d_model: int, n_classes: int, reduction: str, dropout: float = 0.1) -> None:
        super().__init__()
        self.reduction = reduction
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(d_model * (n_channels if reduction == "concat" else 1), n_classes)

    def forward(self, h: Tensor) -> Tensor:
        """Logits (B, n_classes) of tokens (B, C, N, D)."""
        # Side by side means that the channels of one feature are neighbours.
        h = h.permute(0, 2, 3, 1).flatten(2) if self.reduction == "concat" else h.mean(1)
        return self.linear(self.dropout(h.mean(1)))


class ForecastHead(nn.Module):
    """From all tokens of a channel to its next steps, in normalised units; dropout comes last.

    Parameters
    ----------
    n_patches, d_model, horizon : int
        N, D and the steps ahead.
    dropout : float, default=0.1
        In training only.
    """

    def __init__(self, n_patches: int, d_model: int, horizon: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(n_patches * d_model, horizon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Forecasts (B, C, horizon) of tokens (B, C, N, D)."""
        return self.dropout(self.linear(h.flatten(-2)))


def sinusoids(n_positions: int, d_model: int, device: torch.device | None = None) -> Tensor:
    """Position codes (n_positions, D): sine in even columns, cosine in odd ones."""
    position = torch.arange(n_positions, dtype=torch.float32).unsqueeze(1)
    frequency = (torch.arange(0, d_model, 2, dtype=torch.float32) * -(math.log(10000.0) / d_model)).exp()
    table = torch.zeros(n_positions, d_model)
    table[:, 0::2] = (position * frequency).sin()
    table[:, 1::2] = (position * frequency).cos()[:, : d_model // 2]
    return table.to(device)


def relative_bucket(distance: Tensor, n_buckets: int) -> Tensor:
    """Bucket of key minus query position: half of them for each sign, exact when near, logarithmic when far."""
    half = n_buckets // 2
    exact = half // 2
    size = distance.abs()
    far = (size.clamp_min(1).float() / exact).log() / math.log(_MAX_DISTANCE / exact) * (half - exact)
    far = (exact + far.long()).clamp_max(half - 1)
    return torch.where(size < exact, size, far) + half * (distance > 0)
