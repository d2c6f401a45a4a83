"""Checkpoints in the released layout: config.json beside model.safetensors, with the official key names."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from skts.errors import PersistenceError
from skts.moment.hub import PREFIX, fetch
from skts.moment.module import MomentNet, sinusoids

__all__ = ["CONFIG", "SIZES", "TENSORS", "Checkpoint", "open_checkpoint", "write_checkpoint"]

CONFIG, TENSORS = "config.json", "model.safetensors"

# The three released sizes.
SIZES: dict[str, dict[str, int]] = {
    "small": {"d_model": 512, "d_ff": 1024, "n_layers": 8, "n_heads": 6, "d_kv": 64},
    "base": {"d_model": 768, "d_ff": 2048, "n_layers": 12, "n_heads": 12, "d_kv": 64},
    "large": {"d_model": 1024, "d_ff": 2816, "n_layers": 24, "n_heads": 16, "d_kv": 64},
}

# In the files, but without any part in the computation: the words of T5, and sinusoids that can be computed.
_WORDS, _POSITIONS = "encoder.embed_tokens.weight", "patch_embedding.position_embedding.pe"
_N_WORDS, _N_POSITIONS = 32128, 5000
_WRAPPERS = ("module.", "model.")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_NAMES = {"d_model": "d_model", "d_ff": "d_ff", "n_layers": "num_layers", "n_heads": "num_heads", "d_kv": "d_kv"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found; no tensor has been read yet.

    Parameters
    ----------
    tensors : Path
        The safetensors file.
    sizes : dict of str to int
        d_model, d_ff, n_layers, n_heads, d_kv of its network.
    source : str
        What the user passed.
    revision : str or None
        The commit that a hub gave.
    """

    tensors: Path
    sizes: dict[str, int]
    source: str
    revision: str | None = None

    def about(self) -> dict[str, Any]:
        """Source, revision and SHA-256 of the file, to be kept beside the weights."""
        with self.tensors.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"source": self.source, "revision": self.revision, "sha256": digest}

    def load_into(self, net: MomentNet) -> None:
        """Copy the weights.

        Raises
        ------
        PersistenceError
            If a key is missing, surplus, or of another shape: all of them are named.
        """
        with _opened(self.tensors) as file:
            names = _official_names(file.keys())
            wanted = {k: tuple(v.shape) for k, v in net.state_dict().items()}
            found = {k: tuple(file.get_slice(raw).get_shape()) for k, raw in names.items()}
            _compare(wanted, found, self.tensors)
            net.load_state_dict({k: file.get_tensor(raw).float() for k, raw in names.items()})


def open_checkpoint(weights: str | os.PathLike[str]) -> Checkpoint:
    """Find a checkpoint and read how large its network is.

    Parameters
    ----------
    weights : str or path
        A folder with config.json and model.safetensors, a .safetensors file, or "hub:ORG/NAME" with an optional
        "@REVISION".

    Returns
    -------
    Checkpoint

    Raises
    ------
    PersistenceError
        If there is none, it is of another model, or it is a file that only unpickling could read.
    """
    source, revision = os.fspath(weights), None
    if source.startswith(PREFIX):
        config, tensors, revision = fetch(source.removeprefix(PREFIX), CONFIG, TENSORS)
        return Checkpoint(tensors, _sizes_of_config(config), source, revision)
    path = Path(source).expanduser()
    if path.suffix in _PICKLES:
        raise _unsafe(path)
    if path.is_dir():
        others = sorted(p for p in path.iterdir() if p.suffix in _PICKLES)
        if not (path / TENSORS).is_file() and others:
            raise _unsafe(others[0])
        path = path / TENSORS
    if not path.is_file():
        hint = "Pass a folder that holds it, a .safetensors file, 'random', or 'hub:AutonLab/MOMENT-1-small'."
        raise PersistenceError(f"a MOMENT checkpoint at weights={source!r}", f"no file {path}", hint)
    config = path.with_name(CONFIG)
    sizes = _sizes_of_config(config) if path.name == TENSORS and config.is_file() else _sizes_of_tensors(path)
    return Checkpoint(path, sizes, source, revision)


def write_checkpoint(net: MomentNet, folder: str | os.PathLike[str], seq_len: int = 512) -> Path:
    """Write config.json and model.safetensors as momentfm reads them, with the tensors that it wants and never uses.

    Parameters
    ----------
    net : MomentNet
        With the reconstruction head.
    folder : str or path
        It is made where it is absent.
    seq_len : int, default=512
        Steps of a full-length series.

    Returns
    -------
    Path
        The folder.
    """
    state = {k: v.detach().float().cpu().contiguous() for k, v in net.state_dict().items()}
    sizes = _sizes_of_state({k: tuple(v.shape) for k, v in state.items()})
    state[_WORDS] = torch.zeros(_N_WORDS, sizes["d_model"])
    state[_POSITIONS] = sinusoids(_N_POSITIONS, sizes["d_model"])[None]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / TENSORS)
    (folder / CONFIG).write_text(json.dumps(_config(sizes, seq_len), indent=2))
    return folder


def _sizes_of_config(path: Path) -> dict[str, int]:
    """Sizes that config.json states; everything that would make another network is refused."""
    try:
        config = json.loads(path.read_text())
        t5 = config["t5_config"]
        sizes = {ours: int(t5[theirs]) for ours, theirs in _NAMES.items()}
    except (OSError, ValueError, TypeError, KeyError) as error:
        got = f"{path} ({type(error).__name__}: {error})"
        raise PersistenceError("the config.json of a MOMENT checkpoint", got, "Get an intact copy.") from error
    wanted: dict[str, tuple[Any, Any]] = {
        "model_name": ("MOMENT", config.get("model_name", "MOMENT")),
        "transformer_type": ("encoder_only", config.get("transformer_type", "encoder_only")),
        "patch_len": (8, config.get("patch_len", 8)),
        "patch_stride_len": (8, config.get("patch_stride_len", 8)),
        "d_model": (sizes["d_model"], config.get("d_model") or sizes["d_model"]),
        "add_positional_embedding": (True, config.get("add_positional_embedding", True)),
        "value_embedding_bias": (False, config.get("value_embedding_bias", False)),
        "revin_affine": (False, config.get("revin_affine", False)),
        "t5_config.model_type": ("t5", t5.get("model_type", "t5")),
        "t5_config.feed_forward_proj": ("gated-gelu", t5.get("feed_forward_proj", "gated-gelu")),
        "t5_config.relative_attention_num_buckets": (32, t5.get("relative_attention_num_buckets", 32)),
        "t5_config.relative_attention_max_distance": (128, t5.get("relative_attention_max_distance", 128)),
    }
    odd = {key: pair for key, pair in wanted.items() if pair[0] != pair[1]}
    if odd:
        expected = ", ".join(f"{key}={right!r}" for key, (right, _) in odd.items())
        got = ", ".join(f"{key}={found!r}" for key, (_, found) in odd.items())
        raise PersistenceError(f"a MOMENT checkpoint, with {expected}", f"{path} with {got}", "Pass another one.")
    return sizes


def _sizes_of_tensors(path: Path) -> dict[str, int]:
    with _opened(path) as file:
        names = _official_names(file.keys())
        return _sizes_of_state({k: tuple(file.get_slice(raw).get_shape()) for k, raw in names.items()}, path)


def _sizes_of_state(shapes: Mapping[str, tuple[int, ...]], path: Path | None = None) -> dict[str, int]:
    attention = "encoder.block.0.layer.0.SelfAttention"
    try:
        n_heads = shapes[f"{attention}.relative_attention_bias.weight"][1]
        inner, d_model = shapes[f"{attention}.q.weight"]
        d_ff = shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0]
    except (KeyError, IndexError, ValueError) as error:
        got = f"{path} without {error}, with {sorted(shapes)[:3]}"
        raise PersistenceError("the tensors of a MOMENT checkpoint", got, "Pass another file.") from error
    n_layers = len({key.split(".")[2] for key in shapes if key.startswith("encoder.block.")})
    return {"d_model": d_model, "d_ff": d_ff, "n_layers": n_layers, "n_heads": n_heads, "d_kv": inner // n_heads}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise PersistenceError("a safetensors file", f"{path}: {error}", "Get an intact copy.") from error


def _official_names(keys: Any) -> dict[str, str]:
    """The names in a file by our names for them: without a wrapper's prefix, without dead tensors."""
    keys = list(keys)
    for prefix in _WRAPPERS:
        if keys and all(key.startswith(prefix) for key in keys):
            names = {key.removeprefix(prefix): key for key in keys}
            break
    else:
        names = {key: key for key in keys}
    return {name: raw for name, raw in names.items() if name not in (_WORDS, _POSITIONS)}


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    missing, surplus = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    other = [f"{k} of shape {found[k]} for {wanted[k]}" for k in wanted if k in found and wanted[k] != found[k]]
    if missing or surplus or other:
        parts = {"missing": missing, "surplus": surplus, "of another shape": other}
        got = "; ".join(f"{what}: {', '.join(which)}" for what, which in parts.items() if which)
        hint = "Pass the encoder with its reconstruction head, and the config.json that belongs to it."
        raise PersistenceError(f"in {path} the tensors of a MOMENT checkpoint", got, hint)


def _unsafe(path: Path) -> PersistenceError:
    hint = (
        "Convert it once: skts.persistence.convert.to_safetensors(source, target) reads weights and nothing else; "
        "then pass the target."
    )
    return PersistenceError("weights in safetensors", f"{path}, which could run code when it is read", hint)


def _config(sizes: Mapping[str, int], seq_len: int) -> dict[str, Any]:
    """The released config.json, with these sizes."""
    name = next((size for size, known in SIZES.items() if known == dict(sizes)), "small")
    t5 = {
        "architectures": ["T5ForConditionalGeneration"],
        "d_ff": sizes["d_ff"],
        "d_kv": sizes["d_kv"],
        "d_model": sizes["d_model"],
        "decoder_start_token_id": 0,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-06,
        "model_type": "t5",
        "n_positions": 512,
        "num_decoder_layers": sizes["n_layers"],
        "num_heads": sizes["n_heads"],
        "num_layers": sizes["n_layers"],
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": _N_WORDS,
    }
    return {
        "task_name": "reconstruction",
        "model_name": "MOMENT",
        "transformer_type": "encoder_only",
        "d_model": None,
        "seq_len": seq_len,
        "patch_len": 8,
        "patch_stride_len": 8,
        "device": "cpu",
        "transformer_backbone": f"google/flan-t5-{name}",
        "model_kwargs": {},
        "t5_config": t5,
    }
