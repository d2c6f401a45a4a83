"""Where the bytes of a data set come from: the user's folder, the user's cache, or its origin."""

import gzip
import hashlib
import io
import os
import warnings
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from skts.datasets.registry import LocalDataset, RemoteDataset
from skts.errors import DataNotFoundError, InputError

__all__ = ["locate_dataset", "read_dataset"]

# The largest set has 10 MB; a small packed file could otherwise fill the memory when it is unpacked.
MAX_BYTES = 64 * 2**20
TIMEOUT_SECONDS = 30
_GZIP_MAGIC = b"\x1f\x8b"


def read_dataset(dataset: RemoteDataset) -> bytes:
    """Find a data set, check it, and give its unpacked bytes.

    The file is looked for, plain before ``.gz``, in ``$SKTS_DATA/<dataset.folder>`` and in ``$SKTS_DATA``,
    then at the same two places of the user's cache, ``pooch.os_cache("skts")``. If it is at none of them,
    it is downloaded into the cache. The checksum is compared each time, and a download is kept only if it
    is right.

    Parameters
    ----------
    dataset : RemoteDataset
        Which set.

    Returns
    -------
    data : bytes
        The csv file as it came from its origin.

    Raises
    ------
    DataNotFoundError
        If the file is neither found nor reachable.
    InputError
        If the file that was found or downloaded is not the one with the known checksum.
    """
    cache = _cache_folder()
    candidates = _candidates(_user_folder(), dataset) + _candidates(cache, dataset)
    for path in candidates:
        if path.is_file():
            with path.open("rb") as file:
                data = _unpack(file, path.suffix == ".gz", str(path))
            _verify(data, dataset, str(path), f"Delete {path} or replace it by the file from {dataset.url}.")
            return data
    if cache is None or dataset.sha256 is None:
        raise _not_found(dataset, candidates, _why_no_download(dataset))
    raw = _download(dataset, candidates)
    packed = raw.startswith(_GZIP_MAGIC)  # the address does not tell: a server may unpack on the way
    data = _unpack(io.BytesIO(raw), packed, dataset.url)
    _verify(data, dataset, dataset.url, f"Nothing was kept. {_advice(dataset)}")
    _keep(raw, cache / dataset.folder / (dataset.file + ".gz" * packed))
    return data


def locate_dataset(dataset: LocalDataset) -> Path:
    """Find the file of a data set that has no public address.

    It is looked for in ``$SKTS_DATA/<dataset.folder>`` and in ``$SKTS_DATA``, then at the same two places of the
    user's cache, ``pooch.os_cache("skts")``.

    Parameters
    ----------
    dataset : LocalDataset
        Which set.

    Returns
    -------
    path : pathlib.Path
        The first file of that name.

    Raises
    ------
    DataNotFoundError
        If the file is at none of these places.
    """
    folders = (_user_folder(), _cache_folder())
    candidates = [path for folder in folders for path in _candidates(folder, dataset, endings=("",))]
    for path in candidates:
        if path.is_file():
            return path
    places = ", ".join(map(str, candidates)) or "no place, because SKTS_DATA is not set"
    raise DataNotFoundError(
        f"a copy of {dataset.file} (data set {dataset.name!r})",
        f"no such file (searched: {places}), and no download, because a conversion has no address",
        f"Put {dataset.file} into a folder {dataset.folder!r} and set the environment variable SKTS_DATA to the folder "
        f"around it. The file is a conversion of the data at {dataset.url}; the loader's docstring lists its arrays",
    )


def _user_folder() -> Path | None:
    folder = os.environ.get("SKTS_DATA")
    return Path(folder).expanduser() if folder else None


def _cache_folder() -> Path | None:
    try:
        import pooch
    except ImportError:
        return None
    return Path(pooch.os_cache("skts"))


def _candidates(
    folder: Path | None, dataset: RemoteDataset | LocalDataset, endings: tuple[str, ...] = ("", ".gz")
) -> list[Path]:
    if folder is None:
        return []
    places = (folder / dataset.folder, folder)
    return [place / f"{dataset.file}{ending}" for place in places for ending in endings]


def _unpack(stream: BinaryIO, packed: bool, source: str) -> bytes:
    expected = f"{source} to be a {'gzip' if packed else 'csv'} file of at most {MAX_BYTES:,} unpacked bytes"
    hint = "Delete it or replace it by the file from its origin."
    try:
        reader = gzip.GzipFile(fileobj=stream) if packed else stream
        data = reader.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(expected, f"a damaged file ({error})", hint) from error
    if len(data) > MAX_BYTES:
        raise InputError(expected, "a larger one", hint)
    return data


def _verify(data: bytes, dataset: RemoteDataset, source: str, hint: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if dataset.sha256 is not None and digest != dataset.sha256:
        expected = f"{source} to hold the data set {dataset.name!r} with the SHA-256 {dataset.sha256} (unpacked)"
        raise InputError(expected, f"the SHA-256 {digest}, {len(data):,} bytes", hint)


class _CappedBuffer(io.BytesIO):
    """Memory that refuses more than ``MAX_BYTES``, for an origin that sends without an end."""

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(chunk) > MAX_BYTES:
            raise InputError(f"a download of at most {MAX_BYTES:,} bytes", "a larger one", "Nothing was kept.")
        return super().write(chunk)


def _download(dataset: RemoteDataset, searched: list[Path]) -> bytes:
    if not dataset.url.startswith("https://"):
        raise InputError("an address that starts with https://", dataset.url, "Correct the entry of the registry.")
    import pooch

    buffer = _CappedBuffer()
    try:
        pooch.HTTPDownloader(progressbar=False, timeout=TIMEOUT_SECONDS)(dataset.url, buffer, None)
    except OSError as error:  # the base of all errors of requests
        raise _not_found(dataset, searched, f"a failed download ({type(error).__name__}: {error})") from error
    return buffer.getvalue()


def _keep(raw: bytes, target: Path) -> None:
    """Put a whole file in place at once, so that a process beside this one never sees half of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent) as folder:
            partial = Path(folder) / target.name
            partial.write_bytes(raw)
            partial.replace(target)
    except OSError as error:
        # The data are here and right; a cache that cannot be written only costs another download next time.
        warnings.warn(f"{target} could not be written and the download is not kept: {error}", stacklevel=5)


def _not_found(dataset: RemoteDataset, searched: list[Path], reason: str) -> DataNotFoundError:
    places = ", ".join(map(str, searched)) or "no place, because SKTS_DATA is not set"
    return DataNotFoundError(
        f"a copy of {dataset.file} (data set {dataset.name!r})",
        f"no such file (searched: {places}), and {reason}",
        _advice(dataset),
    )


def _why_no_download(dataset: RemoteDataset) -> str:
    if dataset.sha256 is None:
        return "no download, because no checksum of this file is known"
    return "no package pooch, which downloads it (pip install 'skts[data]')"


def _advice(dataset: RemoteDataset) -> str:
    names = f"{dataset.file} or {dataset.file}.gz"
    return (
        f"Put {names} into a folder and set the environment variable SKTS_DATA to that folder. "
        f"The file comes from {dataset.url}"
    )
