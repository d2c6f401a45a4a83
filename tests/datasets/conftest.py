"""No test of this folder reaches the network or the cache of the person who runs it."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pooch
import pytest

from skts.datasets.registry import REGISTRY, RemoteDataset

CSV = b"date,a,b\n2020-01-01 00:00:00,1,2\n2020-01-01 01:00:00,3,-9999.0\n"


class Origin:
    """Stands in for the network: answers with ``content``, or fails if that is None."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.asked: list[str] = []

    def __call__(self, progressbar=False, **kwargs):
        assert progressbar is False
        return self.send

    def send(self, url, output_file, pooch):
        self.asked.append(url)
        if self.content is None:
            raise ConnectionError("no route to host")
        for start in range(0, len(self.content), 16):
            output_file.write(self.content[start : start + 16])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def origin(cache, monkeypatch) -> Origin:
    origin = Origin()
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache)
    monkeypatch.setattr(pooch, "HTTPDownloader", origin)
    return origin


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("SKTS_DATA", str(folder))
    return folder


@pytest.fixture
def no_user_folder(monkeypatch) -> None:
    monkeypatch.delenv("SKTS_DATA", raising=False)


@pytest.fixture
def csv() -> bytes:
    return CSV


@pytest.fixture
def tiny() -> RemoteDataset:
    return replace(
        REGISTRY["ETTh1"],
        name="tiny",
        file="tiny.csv",
        url="https://example.org/tiny.csv",
        sha256=hashlib.sha256(CSV).hexdigest(),
        shape=(2, 2),
    )
