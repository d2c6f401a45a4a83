"""Sampling: a walk through the tree, depth first, each generator one child at a time.

A row must not depend on how many are drawn together, so it is the draws of a float64 network that count. Of codes most
can be had from float32, which is faster: a code is the interval between two edges that a uniform number falls into, and
float32 errs about an edge by far less than the margin. Rows of which a number fell closer to one are walked once more.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skts.fractal.module import FractalNet

__all__ = ["RowSampler", "Walk"]

_SMALLEST = 1e-12
_MARGIN = 3e-5  # what counts as close to an edge
_MOST_CLOSE = 0.5  # numbers of a row that may fall close to an edge, on average, before float32 saves nothing


@dataclass
class Walk:
    """Draws rows of a network, slot by slot.

    Parameters
    ----------
    net : FractalNet
        In evaluation mode.
    label : Tensor of shape (B,)
        Class of each row, or ``net.no_class``.
    uniforms : Tensor of shape (B, D, 2)
        Between 0 and 1: they alone decide what is drawn, so that a row does not depend on its neighbours.
    given : Tensor of shape (B, D), optional
        Values that stand already; NaN where one is to be drawn.
    temperature : float
        Below 1 the likely becomes more likely.
    guidance : float
        Above 1 the class weighs more: log-probabilities without a class are subtracted (guidance - 1) times.
    order : int
        Which of the network's orders.
    reselect : callable, optional
        After each part of the sample it is given the log-weights (B,) of the rows, the sum of the log-probabilities
        of their given values, and answers with the rows to go on with (B,) and their log-weights (B,), or None.
    """

    net: FractalNet
    label: Tensor
    uniforms: Tensor
    given: Tensor | None = None
    temperature: float = 1.0
    guidance: float = 1.0
    order: int = 0
    reselect: Callable[[Tensor], tuple[Tensor, Tensor] | None] | None = None

    def run(self) -> tuple[Tensor, Tensor]:
        """Rows (B, D) in codes and numbers, and the log-probability of each slot (B, D), nats."""
        net, B = self.net, len(self.uniforms)
        label = self.label
        if self.guidance != 1:  # the same rows twice, the second time without their class
            label = torch.cat([label, torch.full_like(label, net.no_class)])
        self.x = self.uniforms.new_full((B, net.n_slots), math.nan)
        self.log_prob = self.uniforms.new_zeros(B, net.n_slots)
        self.log_weight = self.uniforms.new_zeros(B)
        self.nearest = self.uniforms.new_ones(B)  # how close a row's numbers have come to an edge between two codes
        self.mixed = None if net.leaf.alone else net.mixture.begin(label, net.n_slots)
        self.features = self.uniforms.new_zeros(len(label), net.n_leaves, net.features.width + 1)
        if net.levels:
            self._node(0, net.root(label), 0)
        else:
            for leaf, slot in net.slot_at.items():
                self._leaf(net.root(label), slot, leaf)
        return self.x, self.log_prob

    def _node(self, level: int, c: Tensor, first: int) -> None:
        """Draw the leaves of one node; ``first`` is its first one."""
        net, generator = self.net, self.net.levels[level]
        size = math.prod(net.arities[level + 1 :])
        state, before = generator.begin(c, self.order), None
        for j in generator.visit(self.order):
            leaf = first + j * size
            h = generator.step(state, None if before is None else self._content(level, before, size))
            if any(leaf + i in net.slot_at for i in range(size)):  # else nothing stands here
                if size == 1:
                    self._leaf(h, net.slot_at[leaf], leaf)
                else:
                    self._node(level + 1, h, leaf)
            if level == 0 and self.reselect is not None and (found := self.reselect(self.log_weight)) is not None:
                state = generator.keep(state, found[0])
                self._keep(*found)
            before = leaf

    def _keep(self, rows: Tensor, log_weight: Tensor) -> None:
        self.x, self.log_prob, self.features = self.x[rows], self.log_prob[rows], self.features[rows]
        if self.mixed is not None:
            self.mixed = {key: value[rows] for key, value in self.mixed.items()}
        self.nearest, self.log_weight = self.nearest[rows], log_weight.clone()

    def _content(self, level: int, leaf: int, size: int) -> Tensor:
        block = self.features[:, leaf : leaf + size].flatten(1)
        return self.net.embed[level].at(block, leaf // size)

    def _leaf(self, h: Tensor, slot: int, leaf: int) -> None:
        net = self.net
        draw = self._code if net.mixture.is_code[slot] else self._number
        value, log_prob = draw(h, slot)
        self.x[:, slot], self.log_prob[:, slot] = value, log_prob
        if self.given is not None:
            self.log_weight += log_prob.masked_fill(self.given[:, slot].isnan(), 0.0)
        value = value.repeat(len(h) // len(value))
        if self.mixed is not None:
            net.mixture.update(self.mixed, slot, value)
        self.features[:, leaf, :-1] = net.features.at(value, slot)

    def _guided(self, log_p: Tensor) -> Tensor:
        if self.guidance == 1:
            return log_p
        with_class, without = log_p.chunk(2)
        return (without + self.guidance * (with_class - without)).log_softmax(-1)

    def _code(self, h: Tensor, slot: int) -> tuple[Tensor, Tensor]:
        leaf = self.net.leaf
        anchor = None if self.mixed is None else self.net.mixture.of_code(self.mixed, slot)
        i = leaf.rank[slot]
        logits = self._guided(leaf.logits(anchor, leaf.for_codes.at(h, i), i))
        edges = (logits / self.temperature).softmax(-1).cumsum(-1)
        u = self.uniforms[:, slot, :1] * edges[:, -1:]
        code = torch.searchsorted(edges, u, right=True).clamp(max=edges.shape[1] - 1)
        self.nearest = torch.minimum(self.nearest, (edges - u).abs().amin(-1))
        value = self._where_open(slot, code[:, 0].to(h.dtype))
        return value, logits.gather(1, value.long()[:, None])[:, 0]

    def _number(self, h: Tensor, slot: int) -> tuple[Tensor, Tensor]:
        leaf = self.net.leaf
        moved = leaf.for_numbers.at(h, leaf.rank[slot])
        log_r, mean, std = self.net.mixture.of_number(self.mixed, slot)
        log_w, mean, log_std = leaf.components(log_r, mean, std.log(), moved)
        log_w, mean, log_std = self._guided(log_w), mean[: len(self.uniforms)], log_std[: len(self.uniforms)]
        weight = (log_w / self.temperature).softmax(-1).cumsum(-1)
        u = self.uniforms[:, slot]
        k = torch.searchsorted(weight, u[:, :1] * weight[:, -1:], right=True).clamp(max=weight.shape[1] - 1)
        normal = torch.special.ndtri(u[:, 1].clamp(_SMALLEST, 1 - _SMALLEST))
        drawn = mean.gather(1, k)[:, 0] + self.temperature * log_std.gather(1, k)[:, 0].exp() * normal
        value = self._where_open(slot, drawn)
        z = (value[:, None] - mean) * (-log_std).exp()
        return value, (log_w - 0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).logsumexp(-1)

    def _where_open(self, slot: int, drawn: Tensor) -> Tensor:
        if self.given is None:
            return drawn
        return torch.where(self.given[:, slot].isnan(), drawn, self.given[:, slot])


class RowSampler:
    """Draws rows of a network, as float64 would draw them.

    Parameters
    ----------
    net : FractalNet
        In evaluation mode, float64, on the CPU.
    temperature, guidance : float
        See :class:`Walk`.
    """

    def __init__(self, net: FractalNet, temperature: float = 1.0, guidance: float = 1.0) -> None:
        self.net, self.temperature, self.guidance = net, temperature, guidance
        # Guidance and a low temperature multiply logits, and with them the errors of float32.
        self.margin = _MARGIN * (1 + 2 * abs(guidance - 1)) / min(temperature, 1.0)
        n_edges = net.n_slots * net.mixture.log_table.shape[-1]
        in_single = all(net.mixture.is_code) and 2 * self.margin * n_edges < _MOST_CLOSE
        self.first = copy.deepcopy(net).float() if in_single else net

    def __call__(self, label: Tensor, uniforms: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """Rows (B, D) in codes and numbers, and the log-probability of each slot (B, D), nats; see :class:`Walk`."""
        x, log_prob, nearest = self._walk(self.first, label, uniforms, order)
        again = nearest < self.margin
        if self.first is not self.net and again.any():
            x[again], log_prob[again], _ = self._walk(self.net, label[again], uniforms[again], order)
        return x, log_prob

    def _walk(self, net: FractalNet, label: Tensor, uniforms: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
        u = uniforms.to(net.root.weight.dtype)
        walk = Walk(net, label, u, temperature=self.temperature, guidance=self.guidance, order=order)
        x, log_prob = walk.run()
        return x.double(), log_prob.double(), walk.nearest
