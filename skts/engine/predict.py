"""The own prediction loop: batched, in evaluation mode, without gradients or random numbers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from skts.engine.batches import as_tensor

__all__ = ["forward"]


@torch.no_grad()
def forward(
    module: nn.Module,
    *arrays: object,
    batch_size: int,
    device: torch.device,
    call: Callable[..., Tensor] = nn.Module.__call__,
) -> Tensor:
    """Outputs of ``module`` for all rows of ``arrays``, on the CPU.

    skorch's own ``predict`` goes through a DataLoader, which draws from torch's global generator and so changes what
    other threads compute; this loop draws nothing.

    Parameters
    ----------
    module : nn.Module
        A network in evaluation mode.
    *arrays : array, memory map or tensor
        First axis = sample.
    batch_size : int
        Rows at a time.
    device : torch.device
        Where the module lives.
    call : callable, optional
        ``call(module, *batch) -> Tensor``, where it is more than ``module(*batch)``.

    Returns
    -------
    Tensor
        First axis = sample.
    """
    tensors = [as_tensor(a) for a in arrays]
    parts = [
        call(module, *(t[start : start + batch_size].to(device) for t in tensors)).cpu()
        for start in range(0, len(tensors[0]), batch_size)
    ]
    return torch.cat(parts)
