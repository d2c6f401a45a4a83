"""The file: a zip or folder of skts.json and tensors.safetensors, each with its checksum."""

import hashlib
import json
import os
import platform
import sys
import uuid
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from skts import __version__
from skts.engine import seeded
from skts.errors import PersistenceError
from skts.persistence.encoding import Decoder, Encoder
from skts.persistence.registry import class_of, name_of
from skts.validation import check_params

__all__ = ["FORMAT", "load", "save"]

FORMAT = 1
_META, _TENSORS = "skts.json", "tensors.safetensors"
_MODULE = "module."
_WRONG = (SafetensorError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)
_DAMAGED = "The file is damaged or was changed; get an intact copy."


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator, fitted or not, as JSON and safetensors.

    Parameters
    ----------
    estimator : estimator
        One of skts, or of a class given to :func:`skts.persistence.register`.
    path : str or path
        A zip file; or a folder, where it ends with a separator or is an existing folder.

    Raises
    ------
    PersistenceError
        If the estimator holds an object that has no safe form, for instance callbacks; nothing is written then.

    Examples
    --------
    >>> import skts, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skts.save(skts.FMambaForecaster(d_model=64), f"{folder}/model.skts")
    ...     skts.load(f"{folder}/model.skts").d_model
    64
    """
    encoder = Encoder()
    params = estimator.get_params(deep=False)
    state = _state(estimator)
    module = state.pop("module_", None)
    meta: dict[str, Any] = {
        "format": FORMAT,
        "class": name_of(estimator),
        "versions": _versions(),
        "params": {k: encoder.encode(v, f"parameter {k!r}") for k, v in params.items()},
        "state": {k: encoder.encode(v, f"attribute {k!r}") for k, v in state.items()},
        "fitted": isinstance(module, nn.Module),
    }
    tensors = dict(encoder.tensors)
    if module is not None:
        weights = module.state_dict()
        tensors.update({_MODULE + k: v.detach().cpu().contiguous().clone() for k, v in weights.items()})
    body = tensor_bytes(tensors)
    meta["sha256"] = {_TENSORS: _sha256(body), "content": _content_hash(meta)}
    text = json.dumps(meta, indent=1, allow_nan=False).encode()
    if os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir():
        _write_folder(Path(path), {_TENSORS: body, _META: text})
    else:
        _write_zip(Path(path), {_META: text, _TENSORS: body})


def load(path: str | os.PathLike[str]) -> Any:
    """Read an estimator that :func:`save` wrote. Nothing in the file is executed.

    Parameters
    ----------
    path : str or path
        The zip file or folder.

    Returns
    -------
    estimator
        It predicts what the saved one did; training can go on from it with ``warm_start=True``.

    Raises
    ------
    PersistenceError
        If the file is missing, damaged, of a newer format or of a class that is not registered.

    Warns
    -----
    UserWarning
        If another version of skts wrote the file.
    """
    meta, body = _read(Path(path))
    found = meta.get("format")
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise PersistenceError(f"a file of format 1 to {FORMAT}", f"format {found!r}", "Update skts to read it.")
    cls = class_of(meta.get("class"))
    if meta.get("sha256") != {_TENSORS: _sha256(body), "content": _content_hash(meta)}:
        raise PersistenceError("contents that match their SHA-256", f"other contents in {path}", _DAMAGED)
    try:
        estimator, writer = _rebuilt(cls, meta, read_tensors(body)), str(meta["versions"]["skts"])
    except PersistenceError:
        raise
    except _WRONG as error:
        raise PersistenceError(f"a file that skts.save wrote for {cls.__name__}", str(error), _DAMAGED) from error
    if writer != __version__:
        warnings.warn(
            f"{path} was written by skts {writer}, this is {__version__}: compare a prediction.", stacklevel=2
        )
    return estimator


def _rebuilt(cls: type, meta: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """The estimator of a file whose checksums are right."""
    decoder = Decoder(tensors)
    estimator = cls(**{name: decoder.decode(form) for name, form in meta["params"].items()})
    state = {name: decoder.decode(form) for name, form in meta["state"].items()}
    allowed = getattr(cls, "_persisted", ())
    strange = [name for name in state if (not name.endswith("_") and name not in allowed) or hasattr(cls, name)]
    if strange:
        raise PersistenceError("fitted attributes", f"{strange[:5]}", _DAMAGED)
    own: Callable[[dict[str, Any]], None] | None = getattr(estimator, "_set_state", None)
    own(state) if own is not None else estimator.__dict__.update(state)
    if meta["fitted"]:
        check_params(estimator)
        weights = {k.removeprefix(_MODULE): v for k, v in tensors.items() if k.startswith(_MODULE)}
        estimator.module_ = _module(estimator, weights).eval()
        estimator._to_device_or_cpu()
    return estimator


def _module(estimator: Any, weights: dict[str, Tensor]) -> nn.Module:
    """The network with its weights. Shapes are compared first: a file cannot ask for more memory than it fills."""
    with torch.device("meta"):
        plan = estimator._build(**estimator.module_config_)
    wanted = {name: tuple(value.shape) for name, value in plan.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if wanted != found:
        odd = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        raise PersistenceError("weights that fit the parameters", f"others for {odd[:3]}", _DAMAGED)
    with seeded(0):  # building draws initial weights; the caller's generator stays where it is
        module: nn.Module = estimator._build(**estimator.module_config_)
    module.load_state_dict(weights, strict=True)
    return module


def _state(estimator: Any) -> dict[str, Any]:
    """What fit has left: the estimator's own word on it, else its attributes with a trailing underscore."""
    own = getattr(estimator, "_get_state", None)
    if own is not None:
        return dict(own())
    return {k: v for k, v in vars(estimator).items() if k.endswith("_") and k != "net_"}


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    if path.is_dir():
        files = {name: path / name for name in (_META, _TENSORS)}
        missing = [name for name, file in files.items() if not file.is_file()]
        if missing:
            raise PersistenceError(f"a folder with {_META} and {_TENSORS}", f"one without {missing}", _DAMAGED)
        text, body = (file.read_bytes() for file in files.values())
    elif path.is_file():
        text, body = _read_zip(path)
    else:
        raise PersistenceError("a file or folder that skts.save wrote", f"no file {path}", "Check the path.")
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PersistenceError(f"JSON in {_META}", str(error), _DAMAGED) from error
    if not isinstance(meta, dict):
        raise PersistenceError(f"a JSON object in {_META}", type(meta).__name__, _DAMAGED)
    return meta, body


def _read_zip(path: Path) -> tuple[bytes, bytes]:
    """The two members and nothing else, uncompressed: no other names, no path parts, no decompression bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = sorted(member.filename for member in members)
            if names != sorted((_META, _TENSORS)):
                raise PersistenceError(f"a zip of {_META} and {_TENSORS} alone", f"members {names[:5]}", _DAMAGED)
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise PersistenceError("members without compression", "a compressed member", _DAMAGED)
            return archive.read(_META), archive.read(_TENSORS)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise PersistenceError("a zip file that skts.save wrote", f"{path}: {error}", _DAMAGED) from error


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    def write(handle: Any) -> None:
        with zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)

    _replace(path, write)


def _write_folder(path: Path, files: dict[str, bytes]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        _replace(path / name, partial(_write_bytes, data))


def _write_bytes(data: bytes, handle: Any) -> None:
    handle.write(data)


def _replace(path: Path, write: Callable[[Any], Any]) -> None:
    """Write beside ``path`` and move into place: a reader never sees half a file."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as handle:
            write(handle)
        os.replace(beside, path)
    except FileNotFoundError as error:
        raise PersistenceError("a folder to write into", f"no folder {path.parent}", "Create it first.") from error
    finally:
        beside.unlink(missing_ok=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content_hash(meta: dict[str, Any]) -> str:
    content = {k: v for k, v in meta.items() if k != "sha256"}
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _versions() -> dict[str, str]:
    found = {"skts": __version__, "python": platform.python_version(), "platform": sys.platform}
    for package in ("numpy", "scikit-learn", "skorch", "torch", "sktime", "pandas"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
