import gzip
import hashlib
import sys
from dataclasses import replace

import pytest

from skts.datasets import cache as cache_module
from skts.datasets.cache import read_dataset
from skts.errors import DataNotFoundError, InputError


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["forecasting/tiny.csv", "forecasting/tiny.csv.gz", "tiny.csv", "tiny.csv.gz"])
def test_reads_the_users_folder_plain_and_packed(place, tiny, csv, user_folder, origin):
    put(user_folder / place, csv)
    assert read_dataset(tiny) == csv
    assert origin.asked == []


@pytest.mark.parametrize("place", ["forecasting/tiny.csv", "tiny.csv.gz"])
@pytest.mark.parametrize("folder", ["user_folder", "no_user_folder"])
def test_reads_the_cache_if_the_users_folder_lacks_the_file(place, folder, tiny, csv, cache, origin, request):
    request.getfixturevalue(folder)
    put(cache / place, csv)
    assert read_dataset(tiny) == csv
    assert origin.asked == []


def test_users_folder_goes_before_the_cache(tiny, csv, user_folder, cache):
    put(user_folder / "tiny.csv", csv)
    put(cache / "forecasting/tiny.csv", b"something else")
    assert read_dataset(tiny) == csv


def test_users_folder_may_be_given_below_the_home(tiny, csv, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SKTS_DATA", "~/mine")
    put(tmp_path / "mine/tiny.csv", csv)
    assert read_dataset(tiny) == csv


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("folder", ["user_folder", "no_user_folder"])
def test_downloads_once(pack, folder, tiny, csv, cache, origin, request):
    request.getfixturevalue(folder)
    origin.content = pack(csv)
    assert read_dataset(tiny) == csv
    (kept,) = files_below(cache)
    assert kept.read_bytes() == origin.content
    assert read_dataset(tiny) == csv
    assert origin.asked == [tiny.url]


def test_wrong_download_is_not_kept(tiny, cache, origin, no_user_folder):
    origin.content = b"<html>moved</html>"
    with pytest.raises(InputError, match="Nothing was kept") as caught:
        read_dataset(tiny)
    assert tiny.sha256 in str(caught.value)
    assert files_below(cache) == []


def test_interrupted_download_leaves_nothing(tiny, csv, cache, origin, no_user_folder, monkeypatch):
    def stop(url, output_file, pooch):
        output_file.write(csv[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(origin, "send", stop)
    with pytest.raises(KeyboardInterrupt):
        read_dataset(tiny)
    assert files_below(cache) == []


def test_interrupted_writing_leaves_nothing(tiny, csv, cache, origin, no_user_folder, monkeypatch):
    def stop(partial, target):
        raise KeyboardInterrupt

    origin.content = csv
    monkeypatch.setattr("pathlib.Path.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        read_dataset(tiny)
    assert files_below(cache) == []


def test_download_that_does_not_end_is_stopped(tiny, cache, origin, no_user_folder, monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_BYTES", 1000)
    origin.content = b"0" * 1_000_000
    with pytest.raises(InputError, match="at most 1,000 bytes"):
        read_dataset(tiny)
    assert files_below(cache) == []


def test_cache_that_cannot_be_written_still_gives_the_data(tiny, csv, cache, origin, no_user_folder):
    cache.write_text("a file where the folder should be")
    origin.content = csv
    with pytest.warns(UserWarning, match="not kept"):
        assert read_dataset(tiny) == csv


def test_only_https(tiny, origin, no_user_folder):
    origin.content = b""
    with pytest.raises(InputError, match="https"):
        read_dataset(replace(tiny, url="http://example.org/tiny.csv"))
    assert origin.asked == []


@pytest.mark.parametrize("name", ["tiny.csv", "tiny.csv.gz"])
@pytest.mark.parametrize("place", ["user_folder", "cache"])
def test_checksum_is_compared_at_each_read(name, place, tiny, csv, origin, request):
    request.getfixturevalue("no_user_folder")
    path = put(request.getfixturevalue(place) / name, csv)
    assert read_dataset(tiny) == csv
    put(path, csv + b"2020-01-01 02:00:00,5,6\n")
    with pytest.raises(InputError) as caught:
        read_dataset(tiny)
    error = caught.value
    assert tiny.sha256 in error.expected
    assert hashlib.sha256(csv + b"2020-01-01 02:00:00,5,6\n").hexdigest() in error.got
    assert "Delete" in error.hint
    assert "replace" in error.hint
    assert str(path) in error.hint
    assert origin.asked == []


def test_file_that_is_neither_found_nor_reachable(tiny, user_folder, cache, origin):
    with pytest.raises(DataNotFoundError) as caught:
        read_dataset(tiny)
    error = caught.value
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error.__cause__, ConnectionError)
    assert "tiny.csv" in error.expected
    for folder in (user_folder, cache):
        for place in ("forecasting/tiny.csv", "forecasting/tiny.csv.gz", "tiny.csv", "tiny.csv.gz"):
            assert str(folder / place) in error.got
    assert "no route to host" in error.got
    assert "SKTS_DATA" in error.hint
    assert tiny.url in error.hint
    assert all(part in str(error) for part in (error.expected, error.got, error.hint))
    assert files_below(cache) == []


def test_file_without_checksum_is_read_but_never_downloaded(tiny, csv, user_folder, origin):
    unchecked = replace(tiny, sha256=None)
    origin.content = csv
    with pytest.raises(DataNotFoundError, match="no checksum") as caught:
        read_dataset(unchecked)
    assert tiny.url in caught.value.hint
    assert origin.asked == []
    put(user_folder / "tiny.csv", csv)
    assert read_dataset(unchecked) == csv


def test_without_pooch_a_file_is_read_and_a_download_says_what_to_install(tiny, csv, user_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataNotFoundError, match=r"pip install 'skts\[data\]'"):
        read_dataset(tiny)
    put(user_folder / "tiny.csv", csv)
    assert read_dataset(tiny) == csv


@pytest.mark.parametrize("damage", [lambda packed: b"no gzip at all", lambda packed: packed[:-12]])
def test_damaged_packed_file(damage, tiny, csv, user_folder):
    path = user_folder / "tiny.csv.gz"
    path.write_bytes(damage(gzip.compress(csv)))
    with pytest.raises(InputError, match="damaged"):
        read_dataset(tiny)


@pytest.mark.parametrize("name", ["tiny.csv", "tiny.csv.gz"])
def test_file_that_unpacks_to_too_much_is_refused(name, tiny, user_folder, monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_BYTES", 1000)
    put(user_folder / name, b"0" * 1001)
    with pytest.raises(InputError, match="at most 1,000 unpacked bytes"):
        read_dataset(tiny)
