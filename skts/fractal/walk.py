"""Sampling: a walk through the tree, depth first, each generator one child at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skts.fractal.module import FractalNet

__all__ = ["Walk"]

_SMALLEST = 1e-12


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
        self.mixed = net.mixture.begin(label, net.n_slots)
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
        state, e = generator.begin(c, self.order), None
        for j in generator.visit(self.order):
            leaf = first + j * size
            h = generator.step(state, e)
            if any(leaf + i in net.slot_at for i in range(size)):  # else nothing stands here
                if size == 1:
                    self._leaf(h, net.slot_at[leaf], leaf)
                else:
                    self._node(level + 1, h, leaf)
            if level == 0 and self.reselect is not None and (found := self.reselect(self.log_weight)) is not None:
                state = generator.keep(state, found[0])
                self._keep(*found)
            e = self._content(level, leaf, size)

    def _keep(self, rows: Tensor, log_weight: Tensor) -> None:
        self.x, self.log_prob, self.features = self.x[rows], self.log_prob[rows], self.features[rows]
        self.mixed = {key: value[rows] for key, value in self.mixed.items()}
        self.log_weight = log_weight.clone()

    def _content(self, level: int, leaf: int, size: int) -> Tensor:
        block = self.features[:, leaf : leaf + size].flatten(1)
        return self.net.embed[level].at(block, leaf // size)

    def _leaf(self, h: Tensor, slot: int, leaf: int) -> None:
        net, said = self.net, self.net.mixture.predict(self.mixed, slot)
        log_r = self.mixed["log_r"].log_softmax(-1)
        draw = self._code if net.mixture.is_code[slot] else self._number
        value, log_prob = draw(h, slot, log_r, said)
        self.x[:, slot], self.log_prob[:, slot] = value, log_prob
        if self.given is not None:
            self.log_weight += log_prob.masked_fill(self.given[:, slot].isnan(), 0.0)
        value = value.repeat(len(h) // len(value))
        net.mixture.update(self.mixed, slot, said, value)
        self.features[:, leaf] = net.features(value[:, None], slice(slot, slot + 1))[:, 0]

    def _guided(self, log_p: Tensor) -> Tensor:
        if self.guidance == 1:
            return log_p
        with_class, without = log_p.chunk(2)
        return (without + self.guidance * (with_class - without)).log_softmax(-1)

    def _code(self, h: Tensor, slot: int, log_r: Tensor, said: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        leaf = self.net.leaf
        anchor = (said[0] + log_r[..., None]).logsumexp(1)
        i = leaf.rank[slot]
        logits = self._guided(leaf.logits(anchor, leaf.for_codes.at(h, i), i))
        drawn = (logits / self.temperature).softmax(-1).cumsum(-1)
        u = self.uniforms[:, slot, :1] * drawn[:, -1:]
        code = torch.searchsorted(drawn, u, right=True).clamp(max=drawn.shape[1] - 1)
        value = self._where_open(slot, code[:, 0].to(h.dtype))
        return value, logits.gather(1, value.long()[:, None])[:, 0]

    def _number(self, h: Tensor, slot: int, log_r: Tensor, said: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        leaf = self.net.leaf
        moved = leaf.for_numbers.at(h, leaf.rank[slot])
        log_w, mean, log_std = leaf.components(log_r, said[0], said[1].log(), moved)
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
