"""Weights of other libraries to safetensors, the one place that reads their files; nothing in them is executed."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from skts.errors import PersistenceError

__all__ = ["to_safetensors"]

_NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights


def to_safetensors(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    describe: Callable[[Mapping[str, Tensor]], Mapping[str, str]] | None = None,
) -> Path:
    """Turn a .bin, .pt or .pth file of tensors into a safetensors file.

    Parameters
    ----------
    source : str or path
        A file of named tensors, alone or under "state_dict", "model_state_dict" or "model"; what lies beside those
        (optimiser, epoch, the Namespace of a command line) is left out.
    target : str or path
        The file to write.
    describe : callable, optional
        Of the tensors: texts to be kept as the file's metadata, such as the configuration of the network.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    PersistenceError
        If the file holds anything but tensors and plain values, or no tensors.

    Examples
    --------
    >>> import tempfile, torch
    >>> from skts.persistence.convert import to_safetensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"w": torch.ones(2)}, f"{folder}/old.pt")
    ...     to_safetensors(f"{folder}/old.pt", f"{folder}/new.safetensors").name
    'new.safetensors'
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise PersistenceError("a file of weights", f"no file {source}", "Check the path.")
    try:
        # A Namespace is a bag of names, made without running anything; training scripts keep their arguments in one.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: Any = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here
        hint = "Files that hold objects are not read. Save the state_dict alone where you trust the file."
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise PersistenceError("a file of tensors alone", f"{source}: {reason}", hint) from error
    key = next((k for k in _NESTED if isinstance(content, Mapping) and isinstance(content.get(k), Mapping)), None)
    state = content if key is None else content[key]
    named = isinstance(state, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    if not named or not state:
        got = f"{source} with a {type(state).__name__} that holds none, or more than them"
        raise PersistenceError("a file of named tensors", got, "Save the state_dict alone.")
    # Tensors that share memory are written once each: the format knows no sharing.
    metadata = None if describe is None else dict(describe(state))
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, target, metadata)
    return target
