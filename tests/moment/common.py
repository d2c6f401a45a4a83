"""A tiny network, the answers of momentfm for it, and dense patches as momentfm makes them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from skts.moment import MomentEmbedder
from skts.moment.checkpoint import SIZES
from skts.moment.module import MomentNet
from skts.moment.packing import pack_dense
from skts.moment.revin import standardise

GOLDEN = Path(__file__).parent / "golden"
TINY = {"d_model": 32, "d_ff": 48, "n_layers": 2, "n_heads": 3, "d_kv": 8}


def golden():
    """(weights, cases): tensors by name, and for each case its inputs and "out"."""
    tensors, cases = load_file(GOLDEN / "tiny.safetensors"), {}
    for key, value in tensors.items():
        case, name = key.split("/", 1)
        cases.setdefault(case, {})[name] = value
    return cases.pop("weights"), cases


WEIGHTS, CASES = golden()


def tiny_net():
    net = MomentNet(**TINY).eval()
    net.load_state_dict(WEIGHTS)
    return net


def embedder(**settings):
    """Random weights by default, or those of the golden file by ``weights``."""
    settings = {"weights": "random", "random_state": 0, "module_kwargs": TINY, "device": "cpu", **settings}
    if settings["weights"] != "random":
        settings["module_kwargs"] = None
    return MomentEmbedder(**settings)


def whole(mask):
    """Patches of which all eight steps count, (B, N)."""
    return mask.unfold(-1, 8, 8).sum(-1) == 8


def dense(x, input_mask=None, visible=None):
    """The pack of x (B, C, T) with every patch in it, the keys (B, C, N), and mean and scale (B, C, 1)."""
    B, C, T = x.shape
    input_mask = torch.ones(B, T) if input_mask is None else input_mask
    observed = input_mask if visible is None else input_mask * visible
    z, mean, scale = standardise(x, observed.bool()[:, None].expand(B, C, T))
    keys = whole(input_mask).repeat_interleave(C, 0)
    shown = keys if visible is None else whole(visible).repeat_interleave(C, 0)
    return pack_dense(z.unfold(-1, 8, 8).flatten(0, 1), shown, keys), keys.view(B, C, -1), mean, scale


def left_padded(x, length=512):
    """Zeros on the left, and the mask that says so."""
    n, _, T = x.shape
    mask = (torch.arange(length) >= length - T).float().expand(n, length)
    return torch.nn.functional.pad(x, (length - T, 0)), mask


def waves(n=6, T=100, C=None, seed=0):
    """Sines of several frequencies with a little noise, (n, T) or (n, C, T)."""
    rng = np.random.default_rng(seed)
    shape = (n, T) if C is None else (n, C, T)
    x = np.sin(np.arange(T) * rng.uniform(0.05, 0.5, shape[:-1])[..., None] + rng.uniform(0, 6, shape[:-1])[..., None])
    return x + 0.05 * rng.standard_normal(shape)


def odd_inputs():
    """Series of lengths, gaps and scales that are rare, by what is odd."""
    x = waves(4, 40, C=3)
    silent, constant, sparse = x.copy(), x.copy(), x.copy()
    silent[1, 2], constant[0, 0] = np.nan, 1e9
    sparse[2] = np.nan
    sparse[2, 1, 17] = 5.0
    patchy = x.copy()
    patchy[np.random.default_rng(0).random(x.shape) < 0.3] = np.nan
    return {
        "one step": waves(3, 1),
        "seven steps": waves(3, 7),
        "509 steps": waves(2, 509),
        "5000 steps": waves(2, 5000),
        "a silent channel": silent,
        "a constant channel": constant,
        "a single value": sparse,
        "gaps": patchy,
        "200 channels": waves(2, 20, C=200),
        "unequal lists": [waves(1, t)[0] for t in (1, 7, 8, 600, 33, 33)],
        "unequal lists of channels": [waves(1, t, C=2)[0] for t in (5, 700)],
        "huge": waves(2, 30) * 1e38,
        "tiny": waves(2, 30) * 1e-300,
        "integers": np.arange(60).reshape(2, 30),
    }


__all__ = [
    "CASES",
    "GOLDEN",
    "SIZES",
    "TINY",
    "WEIGHTS",
    "dense",
    "embedder",
    "left_padded",
    "odd_inputs",
    "tiny_net",
    "waves",
]
