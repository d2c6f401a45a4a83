"""Weights of the paper's networks: released .pth files to safetensors, and safetensors to a network."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from skts.errors import PersistenceError
from skts.fractal.paper.config import METADATA, PaperConfig, config_of
from skts.fractal.paper.net import PaperFractal
from skts.persistence.convert import to_safetensors

__all__ = ["convert_paper", "load_paper", "write_paper"]


def convert_paper(
    source: str | os.PathLike[str], target: str | os.PathLike[str], heads: tuple[int, ...] | None = None
) -> Path:
    """Turn a released .pth file into a safetensors file that `load_paper` reads; nothing in it is executed.

    Parameters
    ----------
    source : str or path
        A dictionary with the weights under "model".
    target : str or path
        The file to write; its metadata hold the configuration.
    heads : tuple of int, optional
        Attention heads of each level and of the pixel head, where the sizes are those of no released network.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    PersistenceError
        If the file holds objects that are not read, or the tensors of another model.
    """

    def describe(state: Mapping[str, Tensor]) -> dict[str, str]:
        return {METADATA: config_of({k: tuple(v.shape) for k, v in state.items()}, heads).to_json()}

    return to_safetensors(source, target, describe)


def write_paper(net: PaperFractal, target: str | os.PathLike[str]) -> Path:
    """Write a network as `load_paper` reads it."""
    state = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    save_file(state, target, {METADATA: net.config.to_json()})
    return Path(target)


def load_paper(path: str | os.PathLike[str]) -> PaperFractal:
    """Read a network, in evaluation mode, from a safetensors file with the released names.

    The configuration comes from the file's metadata, else from the shapes of its tensors.

    Parameters
    ----------
    path : str or path
        The file; `convert_paper` makes one from a .pth file.

    Returns
    -------
    PaperFractal

    Raises
    ------
    PersistenceError
        If it is no such file, or its tensors are not those of a fractal network.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        hint = "Turn a .pth file into one: skts.fractal.paper.convert_paper(source, target)."
        raise PersistenceError("a .safetensors file of a fractal network", str(path), hint)
    try:
        with safe_open(path, framework="pt") as file:
            config = _config(file, path)
            shapes = {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118 - not a mapping
            with torch.device("meta"):
                net = PaperFractal(config)
            _compare({k: tuple(v.shape) for k, v in net.state_dict().items()}, shapes, path)
            net.load_state_dict({k: file.get_tensor(k).float() for k in shapes}, assign=True)
    except (SafetensorError, OSError) as error:
        raise PersistenceError("a safetensors file", f"{path}: {error}", "Get an intact copy.") from error
    return net.requires_grad_(True).eval()


def _config(file: Any, path: Path) -> PaperConfig:
    text = (file.metadata() or {}).get(METADATA)
    if text is None:
        return config_of({k: tuple(file.get_slice(k).get_shape()) for k in file.keys()})  # noqa: SIM118
    try:
        return PaperConfig.from_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        got = f"{path} with {text[:80]!r} ({error})"
        raise PersistenceError(
            f"a configuration in the metadata under {METADATA!r}", got, "Convert it anew."
        ) from error


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Refuse a file whose tensors are not exactly those of the network."""
    problems = {
        "missing": sorted(set(wanted) - set(found)),
        "surplus": sorted(set(found) - set(wanted)),
        "of another shape": [f"{k} {found[k]} for {wanted[k]}" for k in wanted if k in found and wanted[k] != found[k]],
    }
    if any(problems.values()):
        got = "; ".join(f"{what}: {', '.join(which[:5])}" for what, which in problems.items() if which)
        hint = "Pass the weights that belong to the configuration in its metadata."
        raise PersistenceError(f"in {path} the tensors of a fractal network", got, hint)
