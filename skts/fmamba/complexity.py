r"""What a forecast costs: multiply-accumulates of one window, by part of the network.

With N variates, context L, horizon H, width D, inner width E of the scan, rank R of its steps, S states, kernel of K
steps, m random features and F features of the closed form,

.. math::

    \text{tokens} &= N (L D + D^2), &
    \text{attention} &= N (4 D^2 + 4 m D) \;\text{or}\; 4 N D^2 + 2 N^2 D, \\
    \text{scan} &= N (3 D E + E K + E (2 R + 2 S) + 3 E S) \text{ for each direction}, &
    \text{mlp} &= 2 N D^2, \\
    \text{projector} &= N D H, & \text{skip} &= N F H .

All but exact softmax attention is linear in N. Element by element functions and norms are left out.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from skts.fmamba.attention import FastAttention
from skts.fmamba.mamba import Mamba

__all__ = ["ComplexityMixin", "multiply_accumulates"]


class ComplexityMixin:
    """Cost of a fitted :class:`~skts.FMambaForecaster`."""

    @property
    def complexity_(self) -> dict[str, Any]:
        """Parameters, multiply-accumulates of one window in all and by part, and how they grow with the variates."""
        network = self.module_  # AttributeError before fit, as for any fitted attribute
        parts = multiply_accumulates(network, self.n_variates_)
        exact = any(isinstance(m, FastAttention) and m.kernel == "softmax" for m in network.modules())
        return {
            "n_parameters": sum(p.numel() for p in network.parameters()),
            "multiply_accumulates": sum(parts.values()),
            "by_part": parts,
            "growth": "quadratic" if exact else "linear",
        }


def multiply_accumulates(network: Any, n_variates: int) -> dict[str, int]:
    """Multiply-accumulates of one window.

    Parameters
    ----------
    network : FMambaNet
        The network.
    n_variates : int
        N; the network's own number, or another one to see how the cost grows.

    Returns
    -------
    dict of str to int
        By part: "tokens", "attention", "scan", "mlp", "projector", "skip".

    Examples
    --------
    >>> from skts.fmamba.complexity import multiply_accumulates
    >>> from skts.fmamba.module import FMambaNet
    >>> multiply_accumulates(FMambaNet(96, 24, 7, d_model=16, attention=None, mamba=None, n_layers=1), 7)["mlp"]
    3584
    """
    parts = {"tokens": _dense(network.embed), "attention": 0, "scan": 0, "mlp": 0, "projector": _dense(network.project)}
    for layer in network.layers:
        block = layer.block
        if isinstance(block, FastAttention):
            parts["attention"] += _dense(block) + _mixing(block, n_variates)
        elif isinstance(block, nn.Sequential):
            parts["mlp"] += _dense(block)
        else:
            parts["scan"] += _dense(block) + sum(map(_scanning, _scans(block)))
    parts = {name: count * n_variates for name, count in parts.items()}
    if network.phase is not None:  # once for all variates
        parts["tokens"] += network.phase.weight.numel()
    width = 0 if network.skip is None else network.skip.coef.shape[1] * network.skip.coef.shape[2]
    across = 0 if network.across is None else network.across.coef[0, :, 0].numel()
    return {**parts, "skip": width * n_variates + across * n_variates**2}


def _dense(module: nn.Module) -> int:
    """Of all dense layers, for one token."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def _mixing(block: FastAttention, n_variates: int) -> int:
    """Of scores and values, for one token."""
    width = block.n_heads * block.head_width
    if block.kernel == "softmax":
        return 2 * n_variates * width
    n_features = block.n_features if block.projects else block.head_width
    assert n_features is not None
    features = 2 * n_features * width if block.projects else 0  # of queries and keys
    return features + 2 * n_features * width


def _scanning(scan: Mamba) -> int:
    """Of convolution and recurrence, for one token: input, decay and output of each state."""
    return scan.conv.weight.numel() + 3 * scan.A_log.numel()


def _scans(block: nn.Module) -> Iterator[Mamba]:
    return (m for m in block.modules() if isinstance(m, Mamba))
