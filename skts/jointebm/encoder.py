r"""Encoders: from x to the potentials :math:`\theta(x)`."""

from typing import Any

import torch
from torch import Tensor, nn

from skts.jointebm.experts import Forest, KernelRidge, scale_rows

__all__ = ["Encoder", "LinearEncoder", "MLPEncoder", "StackEncoder", "make_encoder"]

_SPREAD = 5.0  # ridge on how much the trust in an expert differs between outputs, over the ridge on the trust itself


class Encoder(nn.Module):
    """Base: scales x, and clips it at 10 units of scale, so that no row leads far out of what was learned.

    Parameters
    ----------
    n_in : int
        Features of x.
    base : Tensor of shape (D,)
        Potentials of the reference distribution.
    """

    def __init__(self, n_in: int, base: Tensor) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_in))
        self.register_buffer("scale", torch.ones(n_in))
        self.register_buffer("mean", torch.zeros(n_in))  # of the training rows: sparse ones are not centred
        self.bias = nn.Parameter(base.clone())

    def scaled(self, X: Tensor) -> Tensor:
        """Rows in units of the training rows' spread."""
        return scale_rows(X, self.center, self.scale)

    def features(self, X: Tensor) -> Tensor:  # (B, d) -> (B, F)
        """What the experts say of new rows; nothing where there are none."""
        return X.new_zeros(len(X), 0)

    def forward(self, X: Tensor, features: Tensor) -> Tensor:  # (B, d), (B, F) -> (B, D)
        """The potentials."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """Ridge of a training set; it is divided by the number of rows."""
        raise NotImplementedError

    def convex(self) -> list[nn.Parameter]:
        """Parameters in which the potentials are linear."""
        return [self.bias]


class LinearEncoder(Encoder):
    """theta = W x + b.

    Parameters
    ----------
    n_in, base : int, Tensor
        See :class:`Encoder`.
    C : float
        Inverse strength of the ridge on W, as in scikit-learn's LogisticRegression.
    """

    def __init__(self, n_in: int, base: Tensor, C: float) -> None:
        super().__init__(n_in, base)
        self.C = C
        self.weight = nn.Parameter(torch.zeros(len(base), n_in))

    def forward(self, X: Tensor, features: Tensor) -> Tensor:  # noqa: D102
        return self.scaled(X) @ self.weight.T + self.bias

    def penalty(self) -> Tensor:  # noqa: D102
        return self.weight.square().sum() / (2 * self.C)

    def convex(self) -> list[nn.Parameter]:  # noqa: D102
        return [self.bias, self.weight]


class MLPEncoder(LinearEncoder):
    """theta = W x + b + M relu(A x + a).

    Parameters
    ----------
    n_in, base, C : int, Tensor, float
        See :class:`LinearEncoder`.
    hidden : int
        Width of the hidden layer.
    dropout : float
        On x and on the hidden layer.
    """

    def __init__(self, n_in: int, base: Tensor, C: float, hidden: int, dropout: float) -> None:
        super().__init__(n_in, base, C)
        inner = [nn.Dropout(dropout), nn.Linear(n_in, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*inner, nn.Linear(hidden, len(base), bias=False))
        nn.init.zeros_(self.hidden[-1].weight)

    def forward(self, X: Tensor, features: Tensor) -> Tensor:  # noqa: D102
        return super().forward(X, features) + self.hidden(self.scaled(X))

    def penalty(self) -> Tensor:  # noqa: D102
        hidden = self.hidden[1].weight.square().sum() + self.hidden[-1].weight.square().sum()
        return super().penalty() + hidden / (2 * self.C)


class StackEncoder(Encoder):
    r"""theta = b + sum over experts of a_e * link(expert e of x): how far to trust each expert on each output.

    Parameters
    ----------
    n_in, base : int, Tensor
        See :class:`Encoder`.
    experts : dict of str to dict
        "forest" and "kernel", with the sizes of their tables.
    link : {"logit", "log", "identity"}
        From a predicted feature to a potential.
    least : float
        Predicted probabilities are kept this far from 0 and 1.
    """

    def __init__(self, n_in: int, base: Tensor, experts: dict[str, dict[str, int]], link: str, least: float) -> None:
        super().__init__(n_in, base)
        self.link_name, self.least = link, least
        self.register_buffer("reference", base.clone(), persistent=False)
        kinds: dict[str, Any] = {"forest": Forest, "kernel": KernelRidge}
        self.experts = nn.ModuleDict({name: kinds[name](**sizes) for name, sizes in experts.items()})
        self.trust = nn.Parameter(torch.full((len(experts), 1), 1.0 / len(experts)))
        self.difference = nn.Parameter(torch.zeros(len(experts), len(base)))

    def link(self, predicted: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """A potential, less that of the reference."""
        if self.link_name == "identity":
            return predicted
        p = predicted.clamp(self.least, 1 - self.least)
        return (p.log() if self.link_name == "log" else torch.logit(p)) - self.reference

    def features(self, X: Tensor) -> Tensor:  # noqa: D102
        inputs = {"forest": X.to(self.center.dtype), "kernel": self.scaled(X)}
        return torch.cat([expert(inputs[name]) for name, expert in self.experts.items()], 1)

    def forward(self, X: Tensor, features: Tensor) -> Tensor:  # noqa: D102
        each = self.link(features.to(self.bias.dtype).unflatten(1, (len(self.experts), -1)))  # (B, E, D)
        return self.bias + ((self.trust + self.difference) * each).sum(1)

    def penalty(self) -> Tensor:  # noqa: D102
        return 0.1 * self.trust.square().sum() + _SPREAD * self.difference.square().sum()

    def convex(self) -> list[nn.Parameter]:  # noqa: D102
        return [self.bias, self.trust, self.difference]


def make_encoder(
    name: str, n_in: int, base: Tensor, experts: dict[str, Any], link: str, n_rows: int, rare: dict[str, Any]
) -> Encoder:
    """An encoder by its name."""
    if name == "linear":
        return LinearEncoder(n_in, base, rare["C"])
    if name == "mlp":
        return MLPEncoder(n_in, base, rare["C"], rare["hidden"], rare["dropout"])
    return StackEncoder(n_in, base, experts, link, max(0.5 / n_rows, 1e-3))
