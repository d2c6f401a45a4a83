"""Low-rank changes of weight matrices that are trained in their place, and merged into them at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["LowRank", "low_rank"]


class LowRank(nn.Module):
    """W + B A, where B begins at 0.

    Parameters
    ----------
    weight : Tensor of shape (m, n)
        W, which is not trained.
    rank : int
        Rows of A (rank, n) and columns of B (m, rank).

    References
    ----------
    E. J. Hu, Y. Shen, P. Wallis, Z. Allen-Zhu, Y. Li, S. Wang, L. Wang, W. Chen: LoRA: Low-Rank Adaptation of Large
    Language Models, ICLR 2022, https://arxiv.org/abs/2106.09685.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        m, n = weight.shape
        self.A = nn.Parameter(torch.randn(rank, n, device=weight.device) * n**-0.5)
        self.B = nn.Parameter(torch.zeros(m, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the network uses."""
        return weight + self.B @ self.A


@contextmanager
def low_rank(layers: list[nn.Module], rank: int) -> Iterator[None]:
    """Inside of the block the weights of linear ``layers`` change by matrices of ``rank``; afterwards they have."""
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    try:
        yield
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
