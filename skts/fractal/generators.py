"""The atomic generators: from the condition of a node and the contents of its children to a condition for each child.

Each has two verbs. ``forward(c, e)`` sees all children at once (teacher forcing) and must answer for child j from c
and the children before j alone. ``begin(c)`` and ``step(state, e)`` give the same answers child by child.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GENERATORS", "AnyOrder", "Autoregressive", "Generator", "MaskedMLP"]


class Generator(nn.Module):
    """Base of the generators, and the interface of one of your own.

    Derive from it, keep the signature, implement ``forward``, and pass the class as ``generator=``.

    Parameters
    ----------
    n_children : int
        k.
    d_condition : int
        Width of the condition of a node.
    d_model : int
        d, width of what stands for a child and of the conditions that come out.
    depth : int
        Layers.
    dropout : float
        Part of the activations that training drops.
    """

    def __init__(self, n_children: int, d_condition: int, d_model: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.n_children, self.d_condition, self.d_model = n_children, d_condition, d_model

    def forward(self, c: Tensor, e: Tensor, order: int = 0) -> Tensor:
        """Conditions of all children from the node's condition (B, d_condition) and its children (B, k, d).

        ``order`` is the number of one of :attr:`orders`; a generator with one order need not look at it.

        Returns
        -------
        Tensor of shape (B, k, d)
            What stands for a child depends on c and on the children before it in that order.
        """
        raise NotImplementedError

    def begin(self, c: Tensor, order: int = 0) -> Any:
        """A state before the first child."""
        return {"c": c, "e": c.new_zeros(len(c), self.n_children, self.d_model), "j": 0}

    def visit(self, order: int = 0) -> list[int]:
        """The children in the order in which ``step`` answers for them."""
        return list(range(self.n_children))

    def step(self, state: Any, e: Tensor | None) -> Tensor:
        """Condition (B, d) of the next child, given the one before it (None at the first)."""
        if e is not None:
            state["e"][:, state["j"]] = e
            state["j"] += 1
        return self(state["c"], state["e"])[:, state["j"]]

    def keep(self, state: Any, rows: Tensor) -> Any:
        """The state of some of the rows, in the order of ``rows``."""
        return {key: v[rows] if isinstance(v, Tensor) else v for key, v in state.items()}


class Attention(nn.Module):
    """Causal attention among the children before it.

    Parameters
    ----------
    d : int
        Width.
    n_heads : int
        Heads.
    """

    def __init__(self, d: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        B, L, d = x.shape
        return self.qkv(x).view(B, L, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor) -> Tensor:
        """All positions (B, L, d) at once."""
        q, k, v = self._heads(x)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))

    def step(self, x: Tensor, cache: Tensor, j: int) -> Tensor:
        """Position j (B, d); keys and values of those before it lie in cache (2, k, B, d).

        With one query there is no product of matrices: positions come first in the cache, so that all of it runs over
        whole rows.
        """
        q, cache[0, j], cache[1, j] = self.qkv(x).chunk(3, -1)
        if j == 0:  # it hears itself alone
            return self.out(cache[1, 0])
        q, k, v = (t.unflatten(-1, (self.n_heads, -1)) for t in (q, cache[0, : j + 1], cache[1, : j + 1]))
        weight = ((q * k).sum(-1) / math.sqrt(q.shape[-1])).softmax(0)
        return self.out((weight[..., None] * v).sum(0).flatten(1))


class Block(nn.Module):
    """Attention and a position-wise network, each on top of a residual stream.

    Parameters
    ----------
    d : int
        Width.
    n_heads : int
        Heads.
    dropout : float
        Part of what either adds that training drops.
    """

    def __init__(self, d: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(d), Attention(d, n_heads)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))

    def step(self, x: Tensor, cache: Tensor, j: int) -> Tensor:
        """Position j alone (B, d)."""
        x = x + self.attention.step(self.norm1(x), cache, j)
        return x + self.mlp(self.norm2(x))


class Autoregressive(Generator):
    """A causal transformer: the node's condition is the first token, the children but the last are the others.

    Parameters
    ----------
    n_children, d_condition, d_model, depth, dropout
        See :class:`Generator`.
    """

    def __init__(self, n_children: int, d_condition: int, d_model: int, depth: int, dropout: float) -> None:
        super().__init__(n_children, d_condition, d_model, depth, dropout)
        self.n_heads = max(1, d_model // 32)
        self.first = nn.Linear(d_condition, d_model)
        self.position = nn.Parameter(0.02 * torch.randn(n_children, d_model))
        self.blocks = nn.ModuleList(Block(d_model, self.n_heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, c: Tensor, e: Tensor, order: int = 0) -> Tensor:  # noqa: D102
        x = torch.cat([self.first(c)[:, None], e[:, :-1]], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def begin(self, c: Tensor, order: int = 0) -> dict[str, Any]:  # noqa: D102
        caches = c.new_empty(len(self.blocks), 2, self.n_children, len(c), self.d_model)
        return {"order": order, "x": self.first(c), "j": 0, "caches": caches}

    def step(self, state: dict[str, Any], e: Tensor | None) -> Tensor:  # noqa: D102
        return self._through(state, (state["x"] if e is None else e) + self.position[state["j"]])

    def _through(self, state: dict[str, Any], x: Tensor) -> Tensor:
        for block, cache in zip(self.blocks, state["caches"], strict=True):
            x = block.step(x, cache, state["j"])
        state["j"] += 1
        return self.norm(x)

    def keep(self, state: dict[str, Any], rows: Tensor) -> dict[str, Any]:  # noqa: D102
        return {**state, "x": state["x"][rows], "caches": state["caches"][:, :, :, rows]}


class AnyOrder(Autoregressive):
    """A causal transformer over children in an order of its own choice; the order is one of a few fixed ones.

    A token carries the child before it in that order, where that child stands, and where the child stands that it is
    to foresee. With several orders a density is their mean, and what is known may stand anywhere.

    A. Pannatier, E. Courdier, F. Fleuret: sigma-GPTs: a new approach to autoregressive models, ECML PKDD 2024,
    https://arxiv.org/abs/2404.09562.

    Parameters
    ----------
    n_children, d_condition, d_model, depth, dropout
        See :class:`Generator`.
    n_orders : int
        R. The first one is the given order, the others are random.
    """

    def __init__(
        self, n_children: int, d_condition: int, d_model: int, depth: int, dropout: float, n_orders: int = 1
    ) -> None:
        super().__init__(n_children, d_condition, d_model, depth, dropout)
        self.own_position = nn.Parameter(0.02 * torch.randn(n_children, d_model))
        orders = [torch.arange(n_children), *(torch.randperm(n_children) for _ in range(n_orders - 1))]
        self.register_buffer("orders", torch.stack(orders))

    def visit(self, order: int = 0) -> list[int]:  # noqa: D102
        return self.orders[order].tolist()

    def forward(self, c: Tensor, e: Tensor, order: int = 0) -> Tensor:  # noqa: D102
        at = self.orders[order]
        before = at[:-1]
        x = torch.cat([self.first(c)[:, None], e[:, before] + self.own_position[before]], 1) + self.position[at]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, torch.argsort(at, dim=0)]

    def step(self, state: dict[str, Any], e: Tensor | None) -> Tensor:  # noqa: D102
        j, at = state["j"], self.orders[state["order"]]
        x = state["x"] if e is None else e + self.own_position[at[j - 1]]
        return self._through(state, x + self.position[at[j]])


class MaskedMLP(Generator):
    """A masked network that answers for all children in one pass; for nodes of few small children.

    Hidden units come in k groups, and group j hears the node's condition and the children before j.

    M. Germain, K. Gregor, I. Murray, H. Larochelle: MADE: masked autoencoder for distribution estimation, ICML 2015,
    https://arxiv.org/abs/1502.03509.

    Parameters
    ----------
    n_children, d_condition, d_model, depth, dropout
        See :class:`Generator`.
    """

    def __init__(self, n_children: int, d_condition: int, d_model: int, depth: int, dropout: float) -> None:
        super().__init__(n_children, d_condition, d_model, depth, dropout)
        k, d = n_children, d_model
        self.first = nn.Linear(d_condition, k * d)
        before, upto = torch.ones(k, k).tril(-1), torch.ones(k, k).tril()
        masks = [before, *[upto] * (depth - 1)]
        self.layers = nn.ModuleList(_MaskedLinear(d, mask) for mask in masks)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in masks)
        self.drop = nn.Dropout(dropout)

    def forward(self, c: Tensor, e: Tensor, order: int = 0) -> Tensor:  # noqa: D102
        x = self.first(c).view(len(c), self.n_children, self.d_model)
        x = x + self.layers[0](e)
        for norm, layer in zip(self.norms[1:], self.layers[1:], strict=True):
            x = x + self.drop(layer(F.gelu(norm(x))))
        return F.gelu(self.norms[0](x))


class _MaskedLinear(nn.Module):
    """Group j of k groups of d units hears the groups that row j of ``mask`` (k, k) names."""

    def __init__(self, d: int, mask: Tensor) -> None:
        super().__init__()
        k = len(mask)
        self.weight = nn.Parameter(torch.randn(k * d, k * d) / math.sqrt(d * (1 + k / 2)))
        self.bias = nn.Parameter(torch.zeros(k * d))
        self.register_buffer("mask", mask.repeat_interleave(d, 0).repeat_interleave(d, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight * self.mask, self.bias).view_as(x)


GENERATORS: dict[str, type[Generator]] = {"ar": Autoregressive, "mar": AnyOrder, "made": MaskedMLP}
