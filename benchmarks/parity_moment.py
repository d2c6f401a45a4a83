"""MomentEmbedder beside momentfm, on the same weights: encodings, reconstructions, files in both directions.

momentfm's pins cannot be met beside a current numpy, though it runs with one: `make parity` installs it without its
dependencies into an environment of its own, .venv/momentfm, and runs this script there. A network of the released
small size has random weights, its norms, mask token and distances moved away from their start. skts writes it in the
released layout (`export`), momentfm reads that, and both are asked the same. What momentfm writes after a change of all
weights is read back by skts. The bar is 1e-5, for reconstructions in units of the largest value.

Run by `make parity`; the exit status is 1 where a case misses its bar.
"""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from momentfm import MOMENTPipeline

from skts import MomentEmbedder

BAR = 1e-5
BASE_FILE = 453_940_120  # bytes of the released model.safetensors of MOMENT-1-base


def network(size: str) -> MomentEmbedder:
    """Random weights; the parameters that start at a constant are moved away from it."""
    model = MomentEmbedder("random", size=size, random_state=0, device="cpu").fit(walks(1, 1, 64))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.module_.named_parameters():
            if "norm" in name or "mask_embedding" in name or name.endswith("bias.weight"):
                value += 0.5 * torch.randn(value.shape, generator=generator)
    return model


def walks(n: int, channels: int, length: int) -> np.ndarray:
    """Random walks with a level, (n, channels, length)."""
    rng = np.random.default_rng(length + channels)
    walk = rng.standard_normal((n, channels, length)).cumsum(-1)
    return (walk + 10 * rng.standard_normal((n, channels, 1))).astype(np.float32)


def padded(x: np.ndarray) -> dict[str, torch.Tensor]:
    """Zeros on the left, up to 512 steps, and the mask that says so."""
    missing = 512 - x.shape[-1]
    wide = torch.nn.functional.pad(torch.from_numpy(x), (missing, 0))
    return {"x_enc": wide, "input_mask": (torch.arange(512) >= missing).float().expand(len(x), 512)}


def ours(folder: Path, x: np.ndarray, short: str = "pad") -> MomentEmbedder:
    """An embedder of these weights that does as momentfm does."""
    return MomentEmbedder(folder, strict_parity=True, short=short, device="cpu").fit(x)


@torch.no_grad()
def encodings(folder: Path, theirs: Any) -> Iterator[tuple[str, float]]:
    """Largest difference of the embeddings in every case."""
    for length, channels in [(512, 1), (512, 3), (24, 1), (33, 1), (64, 3), (96, 1), (140, 1), (509, 1)]:
        x = walks(3, channels, length)
        expected = theirs.embed(x_enc=torch.from_numpy(x)).embeddings.numpy()
        yield f"{length} steps, channels: {channels}", distance(ours(folder, x, "raw").transform(x), expected)
    for length, channels in [(24, 1), (33, 1), (96, 3), (140, 1)]:
        x = walks(3, channels, length)
        expected = theirs.embed(**padded(x)).embeddings.numpy()
        yield f"{length} steps, padded, channels: {channels}", distance(ours(folder, x).transform(x), expected)
    x = walks(3, 2, 512)
    x[0, 0, 40:59] = x[1, 1, ::7] = np.nan
    expected = theirs.embed(x_enc=torch.from_numpy(x)).embeddings.numpy()
    yield "512 steps, missing values", distance(ours(folder, x).transform(x), expected)


@torch.no_grad()
def reconstructions(folder: Path, theirs: Any) -> Iterator[tuple[str, float]]:
    """Largest difference of the reconstructions, in units of the largest value."""
    hidden = np.zeros((2, 512), dtype=bool)
    hidden[0, 320:400] = hidden[1, 480:] = True
    visible = torch.from_numpy(~hidden).float()
    for length, channels in [(512, 2), (200, 1)]:
        x = walks(2, channels, length)
        expected = theirs.reconstruction(**padded(x), mask=visible).reconstruction.numpy()[..., 512 - length :]
        found = ours(folder, x).reconstruct(x, hidden=hidden[:, 512 - length :])
        yield f"reconstruction of {length} steps", distance(found, expected) / np.abs(expected).max()


@torch.no_grad()
def back(folder: Path, theirs: Any) -> Iterator[tuple[str, float]]:
    """What momentfm writes, read by skts."""
    before = walks(3, 1, 512)
    old = ours(folder, before).transform(before)
    for value in theirs.parameters():
        value.add_(0.01)
    theirs.save_pretrained(folder / "back")
    expected = theirs.embed(x_enc=torch.from_numpy(before)).embeddings.numpy()
    assert distance(old, expected) > 100 * BAR, "the change of the weights is seen in the embeddings"
    found = ours(folder / "back" / "model.safetensors", before).transform(before)
    yield "written by momentfm, read by skts", distance(found, expected)


def base_file(folder: Path) -> int:
    """Bytes of an exported network of the base size."""
    return (network("base").export(folder / "base") / "model.safetensors").stat().st_size


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference; the shapes have to be the same."""
    assert found.shape == expected.shape, f"shapes {found.shape} and {expected.shape}"
    return float(np.abs(found - expected).max())


def main() -> None:
    """Compare, print, and fail where a bar is missed."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"momentfm {version('momentfm')}, transformers {version('transformers')}, torch {torch.__version__}")
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = network("small").export(Path(name))
        theirs = MOMENTPipeline.from_pretrained(str(folder), local_files_only=True).eval()
        for part in (encodings, reconstructions, back):
            for case, value in part(folder, theirs):
                print(f"{case:45} {value:.2e}", flush=True)
                missed += [case] if not value <= BAR else []
        size = base_file(folder)
        print(f"{'bytes of an exported base network':45} {size:,}")
        missed += ["bytes of base"] if size != BASE_FILE else []
    sys.exit(f"beyond their bar: {missed}" if missed else 0)


if __name__ == "__main__":
    main()
