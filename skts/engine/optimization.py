"""Optimisers, the parameter groups they get, and learning-rate schedules."""

import math
from typing import Any

import torch
from torch import nn

__all__ = ["OPTIMIZERS", "SCHEDULES", "cosine", "make_optimizer"]

SCHEDULES = ("cosine", "constant", "averaged")

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


def make_optimizer(name: str, module: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """An optimiser that decays weight matrices only.

    Biases, norms and parameters that carry ``no_weight_decay = True`` (decay rates of a state space) are left alone:
    pulling them to zero changes what they mean.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim > 1 and not getattr(parameter, "no_weight_decay", False)
            (decayed if matrix else free).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:  # a module without parameters still goes through the loop (nothing to learn is no error)
        groups = [{"params": [torch.zeros(1, requires_grad=True)], "weight_decay": 0.0}]
    # One kernel for all parameters instead of several for each: half of a small network's step is the optimiser.
    fused: dict[str, Any] = {"fused": True} if name != "sgd" and _all_float_on(module, ("cpu", "cuda")) else {}
    return OPTIMIZERS[name](groups, lr=lr, **fused)  # type: ignore[call-arg]


def _all_float_on(module: nn.Module, devices: tuple[str, ...]) -> bool:
    return all(p.is_floating_point() and p.device.type in devices for p in module.parameters())


def cosine(progress: float, warmup: float = 0.05) -> float:
    """Factor of the learning rate at a progress between 0 and 1 of all planned steps."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))
