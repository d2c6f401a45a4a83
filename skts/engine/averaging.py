"""Weights averaged over the steps of a training at a constant rate, in place of a rate that falls.

The average of t steps moves towards the newest weights by 10 / (t + 9): it weighs about the last tenth of all steps,
however many there will be.

O. Shamir, T. Zhang: Stochastic gradient descent for non-smooth optimization: convergence results and optimal averaging
schemes, ICML 2013, https://arxiv.org/abs/1212.1824.
"""

import torch
from torch import Tensor, nn

__all__ = ["RunningAverage"]

_LAST_PART = 10


class RunningAverage:
    """Averages of a module's parameters, which change places with the newest ones between epochs.

    Parameters
    ----------
    module : nn.Module
        The network in training.
    """

    def __init__(self, module: nn.Module) -> None:
        self._inside: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        self._outside = [p.detach().clone() for p in self._inside]
        self._steps, self._averages_inside = 0, False

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        torch._foreach_lerp_(self._outside, self._inside, _LAST_PART / (self._steps + _LAST_PART - 1))

    @torch.no_grad()
    def put(self, averages: bool) -> None:
        """Put the averages, or the newest weights, into the module."""
        if averages == self._averages_inside:
            return
        for inside, outside in zip(self._inside, self._outside, strict=True):
            kept = inside.clone()
            inside.copy_(outside)
            outside.copy_(kept)
        self._averages_inside = averages
