r"""The FMamba network: embedding, fast attention, selective state space, MLP block, projector.

One token is one variate's whole context. With :math:`\hat X` the context of each variate less its mean and over its
standard deviation,

.. math::

    E &= \operatorname{MLP}(\hat X^\top) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{FastAttention}(E)) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{Mamba}(E)) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{MLP}(E)) \qquad \text{(these three n\_layers times)} \\
    \hat Y^\top &= E W_P + b
"""

import torch
from torch import Tensor, nn

from skts.fmamba.attention import FastAttention, break_even
from skts.fmamba.mamba import BiMamba, Mamba

__all__ = ["PRESETS", "FMambaNet"]

# What a paper fixes; see the notes of FMambaForecaster for what is known of them.
PRESETS: dict[str, dict[str, object]] = {
    "auto": {},
    "arxiv": {"attention": "gauss", "attention_norm": "kdim", "mamba": "uni", "gated": False},
    "tai": {"attention": "favor+", "attention_norm": "row", "mamba": "bi", "gated": True},
}


class FMambaNet(nn.Module):
    """Forecasts the next ``horizon`` steps of all variates from the last ``context_length``.

    Parameters
    ----------
    context_length, horizon, n_variates : int
        L, H and N. Only ``pos_embed="variate"`` ties the weights to N; ``attention="auto"`` looks at it.
    d_model : int, default=128
        Width of a token.
    n_layers : int, default=2
        Repetitions of the three blocks.
    attention : {"auto", "gauss", "relu", "favor+", "softmax"} or None, default="auto"
        Kernel of the attention across variates; "auto" is exact softmax while that is cheaper, FAVOR+ beyond; None
        leaves the block out.
    mamba : {"bi", "uni"} or None, default="bi"
        Directions of the state space across variates; None leaves the block out.
    d_ff : int, optional
        Width of the MLP block; d_model by default.
    n_heads : int, default=8
        Attention heads.
    n_features : int, optional
        Random features of FAVOR+.
    attention_norm : {"row", "kdim", "kdim_n"}, default="row"
        See :class:`~skts.fmamba.attention.FastAttention`.
    gated : bool, default=False
        Gate of the attention.
    d_state, d_conv, expand : int, default=16, 2, 1
        See :class:`~skts.fmamba.mamba.Mamba`.
    pos_embed : {"none", "time", "variate"}, default="none"
        Learned offsets of the context's steps or of the variates.
    instance_norm : bool, default=True
        Forecast each window relative to its own mean and standard deviation.
    mlp_embed : bool, default=True
        Embed by an MLP with one hidden layer, else by a linear layer.
    dropout : float, default=0.1
        Dropout in each block.
    norm : {"post", "pre"}, default="post"
        Layer norm after the residual sum, or before the block.
    """

    def __init__(
        self,
        context_length: int,
        horizon: int,
        n_variates: int,
        d_model: int = 128,
        n_layers: int = 2,
        attention: str | None = "auto",
        mamba: str | None = "bi",
        d_ff: int | None = None,
        n_heads: int = 8,
        n_features: int | None = None,
        attention_norm: str = "row",
        gated: bool = False,
        d_state: int = 16,
        d_conv: int = 2,
        expand: int = 1,
        pos_embed: str = "none",
        instance_norm: bool = True,
        mlp_embed: bool = True,
        dropout: float = 0.1,
        norm: str = "post",
    ) -> None:
        super().__init__()
        self.instance_norm = instance_norm
        hidden = [nn.Linear(context_length, d_model), nn.GELU()] if mlp_embed else []
        self.embed = nn.Sequential(*hidden, nn.Linear(d_model if mlp_embed else context_length, d_model))
        self.time_position = _offset(context_length, pos_embed == "time")
        self.variate_position = _offset((n_variates, d_model), pos_embed == "variate")
        if attention == "auto":
            attention = "favor+" if n_variates > break_even(d_model, n_heads) else "softmax"

        def blocks() -> list[nn.Module]:
            found: list[nn.Module] = []
            if attention is not None:
                found.append(FastAttention(d_model, n_heads, attention, attention_norm, gated, n_features))
            if mamba is not None:
                found.append((BiMamba if mamba == "bi" else Mamba)(d_model, d_state, d_conv, expand))
            return [*found, _mlp(d_model, d_ff or d_model, dropout)]

        self.layers = nn.ModuleList(
            _Residual(block, d_model, dropout, norm) for _ in range(n_layers) for block in blocks()
        )
        self.final_norm = nn.LayerNorm(d_model)
        self.project = nn.Linear(d_model, horizon)

    def forward(self, X: Tensor) -> Tensor:  # (B, L, N) -> (B, H, N)
        """Forecast in the units of X."""
        X = X.transpose(1, 2)  # (B, N, L)
        if self.instance_norm:
            mean = X.mean(-1, keepdim=True)
            scale = torch.sqrt(X.var(-1, keepdim=True, correction=0) + 1e-5)
            X = (X - mean) / scale
        E = self.encode(X)
        Y = self.project(self.final_norm(E))  # (B, N, H)
        if self.instance_norm:
            Y = Y * scale + mean
        return Y.transpose(1, 2)

    def encode(self, X: Tensor) -> Tensor:  # (B, N, L) -> (B, N, D)
        """Tokens of the variates after all layers."""
        E = self.embed(X if self.time_position is None else X + self.time_position)
        if self.variate_position is not None:
            E = E + self.variate_position
        for layer in self.layers:
            E = layer(E)
        return E


class _Residual(nn.Module):
    """A block with its residual sum, dropout and layer norm."""

    def __init__(self, block: nn.Module, d_model: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.block, self.pre = block, norm == "pre"
        self.norm, self.drop = nn.LayerNorm(d_model), nn.Dropout(dropout)

    def forward(self, E: Tensor) -> Tensor:
        if self.pre:
            return E + self.drop(self.block(self.norm(E)))
        return self.norm(E + self.drop(self.block(E)))


def _mlp(d_model: int, d_ff: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d_model, d_ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model))


def _offset(shape: int | tuple[int, ...], wanted: bool) -> nn.Parameter | None:
    return nn.Parameter(0.02 * torch.randn(shape)) if wanted else None
