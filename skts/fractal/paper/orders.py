"""In which order a masked generator reveals the patches of a block."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["FixedOrders", "Orders", "random_orders"]

Orders = Callable[[int, Tensor, int], Tensor]
"""Of a level, the image (B,) of each block, and k: the patches (B, k) of each block, those revealed last first."""


class FixedOrders:
    """Each image follows one of a countable set of orders, the same in all of its blocks of a level.

    A network with a fixed order has one density; a mixture over the first R of them is one, too.

    Parameters
    ----------
    choice : Tensor of int64, shape (n_images,)
        Number of the order that each image follows.
    """

    def __init__(self, choice: Tensor) -> None:
        self.choice = choice

    def __call__(self, level: int, rows: Tensor, k: int) -> Tensor:
        """Orders (B, k)."""
        numbers, where = self.choice.unique(return_inverse=True)
        table = torch.stack([_order(int(r), level, k) for r in numbers.tolist()])
        return table.to(rows.device)[where.to(rows.device)[rows]]


def random_orders(generator: torch.Generator | None = None) -> Orders:
    """Return a rule by which every block of every level gets an order of its own."""
    return lambda level, rows, k: torch.rand(len(rows), k, generator=generator).argsort(1).to(rows.device)


@lru_cache(maxsize=4096)
def _order(number: int, level: int, k: int) -> Tensor:
    return torch.randperm(k, generator=torch.Generator().manual_seed(1000003 * number + level))
