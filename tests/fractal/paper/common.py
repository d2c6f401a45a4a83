"""Tiny networks with lively random weights, and the fixtures that the released code wrote."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from skts.fractal.paper import PaperConfig, PaperFractal, config_of

AR = PaperConfig("ar", (4, 2, 1), (16, 16, 8), (2, 1, 1), (2, 2, 2), n_classes=3)
MAR = replace(AR, kind="mar")
GUIDED = PaperConfig("mar", (8, 4, 2, 1), (16, 16, 8, 8), (1, 2, 1, 1), (2, 2, 2, 2), guiding=True, n_classes=3)
TINY = {"ar": AR, "mar": MAR, "guided": GUIDED}

FIXTURES = ("fractal_ar_8_4_1", "fractal_ar_16_4_1", "fractal_mar_8_4_1", "fractal_mar_guided_16_8_2_1")


def tiny(name, seed=0, dtype=torch.float64):
    """A network far enough from its start that values depend on each other."""
    torch.manual_seed(seed)
    net = PaperFractal(TINY[name]).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return net.to(dtype)


def images(n, net, seed=0):
    S = net.config.sides[0]
    return torch.randint(0, 256, (n, 3, S, S), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def uniforms(n, net, seed=0):
    return torch.rand(n, net.n_draws, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fixture(name):
    """What the released code gave, and our network with its weights."""
    path = Path(os.environ.get("SKTS_DATA", "")) / "generative" / "fractal_oracle" / f"{name}.pt"
    if not path.is_file():
        pytest.skip(f"SKTS_DATA does not hold the file: generative/fractal_oracle/{name}.pt")
    data = torch.load(path, weights_only=True)
    state = data["state_dict"]
    heads = tuple(data["config"]["heads"][: len(data["config"]["embed"])])
    net = PaperFractal(config_of({k: tuple(v.shape) for k, v in state.items()}, heads))
    net.load_state_dict(state, strict=True)
    return data, net.eval()
