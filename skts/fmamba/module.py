r"""The FMamba network: embedding, fast attention, selective state space, MLP block, projector.

One token is one variate's whole context. With :math:`\hat X` the context of each variate less its mean and over its
standard deviation,

.. math::

    E &= \operatorname{MLP}(\hat X^\top) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{FastAttention}(E)) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{Mamba}(E)) \\
    E &\leftarrow \operatorname{LN}(E + \operatorname{MLP}(E)) \qquad \text{(these three n\_layers times)} \\
    \hat Y^\top &= E W_P + b

A closed-form map of the window may stand beside it (``skip``), and one across variates: then the projector starts at
zero, and the network learns what these maps leave over. ``phase_embed`` adds the harmonics of the time in the cycle to
every token, in front of the first layer, so that variates can react to it each in their own way.
"""

import torch
from torch import Tensor, nn

from skts.fmamba.across import AcrossMap
from skts.fmamba.attention import FastAttention, break_even
from skts.fmamba.mamba import BiMamba, Mamba
from skts.fmamba.periodic import PeriodicMap, harmonics

__all__ = ["PRESETS", "FMambaNet"]

# Without what we put around the papers' network.
_PLAIN: dict[str, object] = {
    **{"skip": False, "mix_gate": False, "phase_embed": 0, "pos_embed": "none"},
    **{"mlp_embed": True, "dropout": 0.1},
}

# What a paper fixes; see the notes of FMambaForecaster for what is known of them.
PRESETS: dict[str, dict[str, object]] = {
    "auto": {},
    "arxiv": {"attention": "gauss", "attention_norm": "kdim", "mamba": "uni", "gated": False, **_PLAIN},
    "tai": {"attention": "favor+", "attention_norm": "row", "mamba": "bi", "gated": True, **_PLAIN},
}


class FMambaNet(nn.Module):
    """Forecasts the next ``horizon`` steps of all variates from the last ``context_length``.

    Parameters
    ----------
    context_length, horizon, n_variates : int
        L, H and N. Only ``pos_embed="variate"`` and ``skip`` tie the weights to N; ``attention="auto"`` looks at it.
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
    mix_gate : bool or "mamba", default=False
        Weigh attention and state space channel by channel, starting at zero: the variates are mixed only as far as it
        pays. "mamba" leaves the attention without.
    phase_embed : int, default=0
        Harmonics of the time in the cycle that are added to the tokens.
    skip : bool, default=False
        Add a :class:`~skts.fmamba.periodic.PeriodicMap`, whose coefficients are zero until they are set.
    n_harmonics, n_modulations : int, default=0
        Of the skip's map.
    n_across : int, default=0
        Lags of an :class:`~skts.fmamba.across.AcrossMap` that is added, whose coefficients are zero until they are set.
    missing_embed : bool, default=False
        Tell the tokens which steps are missing, by a linear map of the mask that starts at zero.
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
        mix_gate: bool | str = False,
        phase_embed: int = 0,
        skip: bool = False,
        n_harmonics: int = 0,
        n_modulations: int = 0,
        n_across: int = 0,
        missing_embed: bool = False,
    ) -> None:
        super().__init__()
        self.instance_norm = instance_norm
        hidden = [nn.Linear(context_length, d_model), nn.GELU()] if mlp_embed else []
        self.embed = nn.Sequential(*hidden, nn.Linear(d_model if mlp_embed else context_length, d_model))
        self.time_position = _offset(context_length, pos_embed == "time")
        self.variate_position = _offset((n_variates, d_model), pos_embed == "variate")
        self.phase_embed = phase_embed
        self.phase = nn.Linear(2 * phase_embed, d_model, bias=False) if phase_embed else None
        self.missing = nn.Linear(context_length, d_model, bias=False) if missing_embed else None
        if self.missing is not None:
            nn.init.zeros_(self.missing.weight)
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
            _Residual(block, d_model, dropout, norm, _is_gated(block, mix_gate))
            for _ in range(n_layers)
            for block in blocks()
        )
        self.final_norm = nn.LayerNorm(d_model)
        self.project = nn.Linear(d_model, horizon)
        self.skip = PeriodicMap(context_length, horizon, n_variates, n_harmonics, n_modulations) if skip else None
        self.across = AcrossMap(n_across, n_variates, horizon) if n_across else None
        if skip:
            self.start_from(self.skip)

    def start_from(self, skip: PeriodicMap) -> None:
        """Forecast what a closed form does, until training goes on."""
        self.skip = skip
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(  # (B, L, N), (B,), (B, L, N) -> (B, H, N)
        self, X: Tensor, angle: Tensor | None = None, known: Tensor | None = None
    ) -> Tensor:
        """Forecast in the units of X; ``angle`` is that of the first step, unknown by default.

        Where values are missing, X holds stand-ins and ``known`` says which are none.
        """
        if angle is None:
            angle = X.new_full((len(X),), torch.nan)
        windows, X = X, X.transpose(1, 2)  # (B, N, L)
        if self.instance_norm:
            mean, scale = _moments(X, known)
            X = (X - mean) / scale
        E = self.encode(X, angle, known)
        Y = self.project(self.final_norm(E))  # (B, N, H)
        if self.instance_norm:
            Y = Y * scale if self.skip is not None else Y * scale + mean
        Y = Y.transpose(1, 2)
        Y = Y if self.skip is None else Y + self.skip(windows, angle)
        return Y if self.across is None else Y + self.across(windows)

    def encode(  # (B, N, L), (B,), (B, L, N) -> (B, N, D)
        self, X: Tensor, angle: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """Tokens of the variates after all layers."""
        E = self.embed(X if self.time_position is None else X + self.time_position)
        if self.variate_position is not None:
            E = E + self.variate_position
        if self.phase is not None:
            E = E + self.phase(harmonics(angle.to(E.dtype), self.phase_embed)).unsqueeze(1)
        if self.missing is not None and known is not None:
            E = E + self.missing((~known).transpose(1, 2).to(E.dtype))
        for layer in self.layers:
            E = layer(E)
        return E


def _moments(X: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over time (B, N, 1) of windows (B, N, L), of their known values alone."""
    if known is None:
        return X.mean(-1, keepdim=True), torch.sqrt(X.var(-1, keepdim=True, correction=0) + 1e-5)
    there = known.transpose(1, 2).to(X.dtype)
    count = there.sum(-1, keepdim=True).clamp_min(1)
    mean = (X * there).sum(-1, keepdim=True) / count
    return mean, torch.sqrt((there * (X - mean)).square().sum(-1, keepdim=True) / count + 1e-5)


class _Residual(nn.Module):
    """A block with its gate, dropout, residual sum and layer norm."""

    def __init__(self, block: nn.Module, d_model: int, dropout: float, norm: str, gated: bool) -> None:
        super().__init__()
        self.block, self.pre = block, norm == "pre"
        self.norm, self.drop = nn.LayerNorm(d_model), nn.Dropout(dropout)
        self.gate = nn.Parameter(torch.zeros(d_model)) if gated else None
        self.closed = False  # a closed gate saves the block's time while the rest is trained

    def forward(self, E: Tensor) -> Tensor:
        if self.closed:
            return E if self.pre else self.norm(E)
        added = self.drop(self.block(self.norm(E) if self.pre else E))
        if self.gate is not None:
            added = self.gate * added
        return E + added if self.pre else self.norm(E + added)


def _is_gated(block: nn.Module, mix_gate: bool | str) -> bool:
    if isinstance(block, FastAttention):
        return mix_gate is True
    return bool(mix_gate) and isinstance(block, Mamba | BiMamba)


def _mlp(d_model: int, d_ff: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d_model, d_ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model))


def _offset(shape: int | tuple[int, ...], wanted: bool) -> nn.Parameter | None:
    return nn.Parameter(0.02 * torch.randn(shape)) if wanted else None
