"""The Mamba block: a gated, causally convolved selective state space, here run over the variate axis."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.nn.scan import selective_scan

__all__ = ["BiMamba", "Mamba"]


class Mamba(nn.Module):
    """One direction.

    Parameters
    ----------
    d_model : int
        Width of a token.
    d_state : int
        States of each channel.
    d_conv : int
        Length of the causal convolution.
    expand : int
        Inner width in units of d_model.

    References
    ----------
    A. Gu, T. Dao: Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023,
    https://arxiv.org/abs/2312.00752.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 2, expand: int = 1) -> None:
        super().__init__()
        d_inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.sizes = (rank, d_state, d_state)
        self.to_xz = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner)
        self.to_delta_B_C = nn.Linear(d_inner, sum(self.sizes), bias=False)
        self.to_step = nn.Linear(rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out = nn.Linear(d_inner, d_model, bias=False)
        self._init_step(rank, d_inner)
        self.A_log.no_weight_decay = True  # type: ignore[attr-defined]

    def _init_step(self, rank: int, d_inner: int) -> None:
        """Steps that start log-uniform between 0.001 and 0.1; the bias is softplus's inverse of them."""
        nn.init.uniform_(self.to_step.weight, -(rank**-0.5), rank**-0.5)
        low, high = math.log(1e-3), math.log(1e-1)
        steps = torch.exp(torch.rand(d_inner) * (high - low) + low).clamp_min(1e-4)
        with torch.no_grad():
            self.to_step.bias.copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, E: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        """Run the state space from the first token to the last."""
        x, z, delta, B, C = self._selected(E)
        y = selective_scan(x.to(delta.dtype), delta, -torch.exp(self.A_log), B, C, self.D, z)
        assert isinstance(y, Tensor)
        return self.out(y.to(E.dtype))

    @torch.no_grad()
    def influence(self, E: Tensor, gate: Tensor | None = None) -> Tensor:  # (B, N, D) -> (B, N, N)
        r"""How strongly each token (row) listens to each other one (column).

        For the steps and projections that the tokens have selected, the scan is linear in its inputs, with the weights
        :math:`\alpha_{ij} = C_i^\top \big(\prod_{k=j+1}^{i} \bar A_k\big) \Delta_j B_j` of each channel. This is the
        Frobenius norm of the map from input j to output token i, that is of :math:`\alpha_{ij}` (on the diagonal plus
        D), the gate of the block and the output projection, times a ``gate`` (d_model,) behind it.

        References
        ----------
        A. Ali, I. Zimerman, L. Wolf: The Hidden Attention of Mamba Models, 2024, https://arxiv.org/abs/2403.01590.
        """
        _, z, delta, B, C = self._selected(E)
        out = self.out.weight if gate is None else gate[:, None] * self.out.weight
        weight = F.silu(z).square() * out.square().sum(0)  # (B, N, D)
        decays = torch.cumsum(delta.unsqueeze(-1) * -torch.exp(self.A_log), dim=1)  # (B, N, D, S)
        drive = delta.unsqueeze(-1) * B.unsqueeze(2)
        found = E.new_zeros(*E.shape[:2], E.shape[1])
        for i in range(E.shape[1]):  # row by row: all at once would be N times the memory
            kept = torch.exp(decays[:, i : i + 1] - decays[:, : i + 1])
            alpha = torch.einsum("bs,bjds->bjd", C[:, i], kept * drive[:, : i + 1])
            alpha[:, i] += self.D
            found[:, i, : i + 1] = torch.einsum("bd,bjd->bj", weight[:, i], alpha.square()).sqrt()
        return found

    def _selected(self, E: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Input, gate, step size and both projections of the scan, all chosen by the tokens."""
        x, z = self.to_xz(E).chunk(2, dim=-1)
        x = F.silu(self._convolve(x))
        step, B, C = self.to_delta_B_C(x).split(self.sizes, dim=-1)
        # Steps and rates in float32 even under autocast: small steps vanish in half precision.
        delta = F.softplus(self.to_step(step).float() if step.dtype != torch.float64 else self.to_step(step))
        return x, z, delta, B, C

    def _convolve(self, x: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        """The causal convolution as one product for each tap: faster than torch's, without transposed copies."""
        assert self.conv.bias is not None
        taps, y = self.conv.weight.squeeze(1).unbind(1), self.conv.bias  # the last tap is the token's own
        for lag in range(min(len(taps), x.shape[1])):
            y = torch.addcmul(y, F.pad(x, (0, 0, lag, -lag)) if lag else x, taps[-1 - lag])
        return y


class BiMamba(nn.Module):
    """Two directions with weights of their own, summed: every token sees all others.

    Parameters
    ----------
    d_model, d_state, d_conv, expand : int
        See :class:`Mamba`.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 2, expand: int = 1) -> None:
        super().__init__()
        self.forth = Mamba(d_model, d_state, d_conv, expand)
        self.back = Mamba(d_model, d_state, d_conv, expand)

    def forward(self, E: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        """Sum of both directions."""
        return self.forth(E) + self.back(E.flip(1)).flip(1)

    def influence(self, E: Tensor, gate: Tensor | None = None) -> Tensor:  # (B, N, D) -> (B, N, N)
        """See :meth:`Mamba.influence`: what came before by one direction, what comes after by the other."""
        return self.forth.influence(E, gate) + self.back.influence(E.flip(1), gate).flip(1, 2)
