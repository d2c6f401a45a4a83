r"""Attention across variates: exact softmax, or a kernel that makes its cost linear in their number.

With feature maps :math:`\phi` of queries and keys, :math:`O = \phi(Q)\,(\phi(K)^\top V)` is computed from the right, so
that no N x N matrix ever exists.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["KERNELS", "FastAttention", "break_even", "random_features"]

KERNELS = ("gauss", "relu", "favor+", "softmax")
NORMS = ("row", "kdim", "kdim_n")
_TINY = 1e-12  # rows whose scores all underflow


def break_even(d_model: int, n_heads: int) -> int:
    """Number of variates from which FAVOR+ is faster than exact softmax attention.

    Per head, softmax takes 2 N^2 e multiply-adds and FAVOR+ 4 N e m, with e = d_model / n_heads and m random features:
    equal at N = 2 m. A multiply-add of FAVOR+ costs about three of softmax, which torch fuses into one pass over memory
    (see docs/bench_variates.md), and softmax is exact: "auto" takes it up to three times that number.
    """
    return 3 * 2 * default_features(d_model // n_heads)


def default_features(head_width: int) -> int:
    """Number of random features: e ln e, at least e."""
    return max(head_width, int(head_width * math.log(head_width)) if head_width > 1 else 1)


def random_features(n_features: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """Rows that are normal one by one and orthogonal within each block of ``width``: less variance than without.

    Returns
    -------
    Tensor of shape (n_features, width)
    """
    n_blocks = math.ceil(n_features / width)
    Q, R = torch.linalg.qr(torch.randn(n_blocks, width, width, generator=generator))
    # The signs of R's diagonal make Q uniform among rotations; without them its rows are biased.
    directions = (Q * R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)).flatten(0, 1)[:n_features]
    norms = torch.randn(n_features, width, generator=generator).norm(dim=1, keepdim=True)
    return directions * norms


class FastAttention(nn.Module):
    r"""Multi-head attention over the variate axis.

    Parameters
    ----------
    d_model : int
        Width of a token.
    n_heads : int
        Heads; divides d_model.
    kernel : {"gauss", "relu", "favor+", "softmax"}
        ``gauss`` is :math:`\exp(-x^2/2)` element by element on queries and keys, as the FMamba paper describes it;
        ``favor+`` approximates softmax by positive random features; ``relu`` is the generalised attention of the same
        paper; ``softmax`` is exact and quadratic.
    norm : {"row", "kdim", "kdim_n"}
        ``row`` divides by the row's sum of scores, so that weights sum to one and the number of variates may change;
        ``kdim`` divides by the number of features, which is the head's width, alone (the paper's formula; scores grow
        with the number of variates), ``kdim_n`` by the number of variates as well. softmax is always row-normalised.
    gated : bool
        Multiply the result by a learned gate before the output projection.
    n_features : int, optional
        Random features. By default ``favor+`` takes e ln e of them (e is the head's width), while ``gauss`` and
        ``relu`` look at each number of queries and keys by itself; with ``n_features`` they look at that many random
        projections, which is the other reading of the FMamba paper.
    redraw_every : int, optional, default=1000
        Training steps after which new projections are drawn, by a generator of the module's own, so that nothing is
        learned for one draw; None keeps the first. In evaluation they never change: they are buffers, saved with the
        weights, as are the seed and the count of steps.

    References
    ----------
    K. Choromanski et al.: Rethinking Attention with Performers, ICLR 2021, https://arxiv.org/abs/2009.14794.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int = 8,
        kernel: str = "favor+",
        norm: str = "row",
        gated: bool = False,
        n_features: int | None = None,
        redraw_every: int | None = 1000,
    ) -> None:
        super().__init__()
        self.n_heads, self.kernel, self.norm, self.redraw_every = n_heads, kernel, norm, redraw_every
        self.head_width = d_model // n_heads
        self.to_qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model)
        self.gate = nn.Linear(d_model, d_model) if gated else None
        if self.gate is not None:
            nn.init.constant_(self.gate.bias, 2.0)  # open at the start
        self.n_features = n_features or (default_features(self.head_width) if kernel == "favor+" else None)
        self.projects = kernel != "softmax" and self.n_features is not None
        if self.projects:
            # Buffers: saved with the weights, otherwise a loaded model would predict something else.
            self.register_buffer("seed", torch.randint(2**62, ()))
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))
            self.register_buffer("projection", self._draw())

    def forward(self, E: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        """Mix the tokens of all variates."""
        if self.training and self.projects and self.redraw_every:
            self._count_step(self.redraw_every)
        q, k, v = (t.transpose(1, 2) for t in self._heads(E))  # (B, heads, N, e)
        mixed = F.scaled_dot_product_attention(q, k, v) if self.kernel == "softmax" else self._linear(q, k, v)
        O = mixed.transpose(1, 2).flatten(2)  # noqa: E741  (B, N, D)
        if self.gate is not None:
            O = torch.sigmoid(self.gate(E)) * O  # noqa: E741
        return self.out(O)

    def weights(self, E: Tensor) -> Tensor:
        """The attention weights (B, heads, N, N) that ``forward`` never writes down."""
        q, k, _ = (t.transpose(1, 2) for t in self._heads(E))
        if self.kernel == "softmax":
            return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(self.head_width), dim=-1)
        q, k = self.features(q, query=True), self.features(k, query=False)
        return (q @ k.transpose(-1, -2)) / self._normaliser(q, k)

    def features(self, x: Tensor, query: bool) -> Tensor:
        """The feature map of queries or keys (B, heads, N, e) -> (B, heads, N, m)."""
        if self.kernel == "favor+":
            logits = self.log_features(x)
            # Any constant per query, and one for all keys, cancels in the row-normalised ratio and keeps exp in range.
            peak = logits.amax(dim=-1 if query else (-1, -2), keepdim=True).detach()
            return torch.exp(logits - peak) + 1e-6
        if self.projects:
            x = x / self.head_width**0.25 @ self.projection.T
        return torch.exp(-0.5 * x * x) if self.kernel == "gauss" else F.relu(x) + 1e-3

    def log_features(self, x: Tensor) -> Tensor:
        """Logarithms of FAVOR+'s features: the mean product of those of q and k estimates exp(q k / sqrt e)."""
        x = x / self.head_width**0.25
        return x @ self.projection.T - 0.5 * (x * x).sum(-1, keepdim=True)

    def _count_step(self, redraw_every: int) -> None:
        self.steps += 1
        if self.steps % redraw_every == 0:
            # A new tensor: a graph that waits for its backward may still hold the old one.
            self.projection = self._draw().to(self.projection)

    def _draw(self) -> Tensor:
        """Projections that follow from the seed and the number of steps alone: the global generator stays untouched."""
        assert self.n_features is not None
        if self.seed.is_meta:  # a network that is built for its shapes alone
            return torch.empty(self.n_features, self.head_width)
        generator = torch.Generator().manual_seed(int(self.seed) + int(self.steps))
        return random_features(self.n_features, self.head_width, generator)

    def _heads(self, E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.to_qkv(E).unflatten(-1, (3, self.n_heads, self.head_width)).unbind(2)
        return q, k, v

    def _linear(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = self.features(q, query=True), self.features(k, query=False)
        return (q @ (k.transpose(-1, -2) @ v)) / self._normaliser(q, k)

    def _normaliser(self, q: Tensor, k: Tensor) -> Tensor | float:
        if self.norm == "row":
            return (q @ k.sum(-2).unsqueeze(-1)).clamp_min(_TINY)  # (B, heads, N, 1)
        return float(k.shape[-1] * (k.shape[-2] if self.norm == "kdim_n" else 1))
