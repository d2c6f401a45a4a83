"""A network that corrects a closed form: before training it says nothing."""

from itertools import pairwise

from torch import nn

__all__ = ["correction"]


def correction(widths: list[int], activation: type[nn.Module]) -> nn.Sequential:
    """A multilayer perceptron that starts at zero."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), activation()]
    nn.init.zeros_(layers[-2].weight)
    nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])
