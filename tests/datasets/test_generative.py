"""Sets of densities: the files are what they are said to be, and anything else is refused by name."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from skts.datasets import fetch_binary_table, fetch_frey_faces, fetch_mnist, fetch_stock_windows, generative
from skts.errors import DataNotFoundError, InputError


def fetch_or_skip(fetch, *arguments, **options):
    try:
        return fetch(*arguments, **options)
    except DataNotFoundError as error:
        pytest.skip(f"SKTS_DATA does not hold the file: {error.expected}")


def put(folder, dataset, text, packed=False):
    """Write a file of the set, and give the set with its checksum."""
    path = folder / dataset.folder / (dataset.file + ".gz" * packed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if packed else text)
    return replace(dataset, sha256=hashlib.sha256(text).hexdigest())


@pytest.mark.parametrize("name", ["nltcs", "plants", "jester", "dna"])
def test_binary_tables_have_their_published_sizes(name):
    table = fetch_or_skip(fetch_binary_table, name)
    for part, dataset in zip(("train", "valid", "test"), generative._TABLES[name], strict=True):
        assert table[part].shape == dataset.shape
        assert table[part].dtype == np.uint8
        assert np.unique(table[part]).tolist() == [0, 1]
    assert name in table.DESCR


@pytest.mark.parametrize("packed", [False, True])
def test_a_binary_table_is_read_part_by_part(packed, user_folder, monkeypatch):
    texts = (b"0,1\n1,1\n", b"0,0\n", b"1,0\n")
    parts = [
        put(user_folder, replace(dataset, shape=(text.count(b"\n"), 2)), text, packed)
        for dataset, text in zip(generative._TABLES["nltcs"], texts, strict=True)
    ]
    monkeypatch.setitem(generative._TABLES, "nltcs", parts)
    table = fetch_binary_table("nltcs")
    assert table.train.tolist() == [[0, 1], [1, 1]]
    assert table.valid.tolist() == [[0, 0]]
    assert table.test.tolist() == [[1, 0]]


def test_other_names_and_other_files_are_refused(user_folder):
    with pytest.raises(InputError, match="nltcs, plants, jester, dna"):
        fetch_binary_table("adult")
    put(user_folder, generative._TABLES["dna"][0], b"0,1\n")
    with pytest.raises(InputError, match="SHA-256"):
        fetch_binary_table("dna")


def test_a_missing_set_says_where_to_put_it(user_folder):
    for fetch in (fetch_mnist, fetch_frey_faces, fetch_stock_windows):
        with pytest.raises(DataNotFoundError, match="SKTS_DATA"):
            fetch()


def test_windows_of_the_stock_are_in_order_of_time():
    stock = fetch_or_skip(fetch_stock_windows)
    assert stock.data.shape == (3662, 24, 6)
    assert np.array_equal(stock.data[1, :-1], stock.data[0, 1:])
    low, high = (stock.data[..., stock.feature_names.index(name)] for name in ("Low", "High"))
    assert (low <= high).all()


@pytest.mark.parametrize(("length", "stride", "n"), [(2, 1, 3), (2, 2, 2), (4, 1, 1)])
def test_strides_skip_windows(length, stride, n, user_folder, monkeypatch):
    days = np.arange(24.0).reshape(4, 6)
    text = "a,b,c,d,e,f\n" + "\n".join(",".join(map(str, day)) for day in days)
    small = put(user_folder, replace(generative._STOCK, shape=(4, 6)), text.encode())
    monkeypatch.setattr(generative, "_STOCK", small)
    found = fetch_stock_windows(length, stride).data
    assert np.array_equal(found, [days[start : start + length] for start in range(0, n * stride, stride)])
    with pytest.raises(InputError, match="at most 4"):
        fetch_stock_windows(5)
    with pytest.raises(InputError, match="stride"):
        fetch_stock_windows(stride=0)


def test_faces_and_digits():
    faces = fetch_or_skip(fetch_frey_faces)
    assert faces.data.shape == (1965, 28, 20)
    assert faces.data.dtype == np.uint8
    digits = fetch_or_skip(fetch_mnist)
    assert digits.data.shape == (60_000, 28, 28)
    assert digits.test_data.shape == (10_000, 28, 28)
    assert np.unique(digits.test_target).tolist() == list(range(10))


def test_binary_digits_are_as_dark_as_the_grey_ones(user_folder, monkeypatch):
    rng = np.random.default_rng(0)
    x = {"x_train": rng.integers(0, 256, (9, 28, 28)), "x_test": rng.integers(0, 256, (9, 28, 28))}
    x["x_train"][0], x["x_test"][0] = 0, 255
    arrays = {**x, "y_train": np.zeros(9), "y_test": np.zeros(9)}
    monkeypatch.setattr(generative, "_bytes_of", lambda *_: {k: v.astype(np.uint8) for k, v in arrays.items()})
    digits, again = fetch_mnist(binary=True), fetch_mnist(binary=True)
    assert np.array_equal(digits.data, again.data)
    assert digits.data[0].max() == 0
    assert digits.test_data[0].min() == 1
    assert abs(digits.data.mean() - x["x_train"].mean() / 255) < 0.02
    assert not np.array_equal(digits.data, fetch_mnist(binary=True, random_state=1).data)


def test_an_archive_of_something_else_is_refused(user_folder):
    path = user_folder / "generative" / "freyfaces.npz"
    path.parent.mkdir()
    np.savez(path, x=np.zeros((3, 28, 20), np.uint8))
    with pytest.raises(InputError, match=r"x of shape \(3, 28, 20\)"):
        fetch_frey_faces()
    np.savez(path, y=np.zeros(3))
    with pytest.raises(InputError, match="KeyError"):
        fetch_frey_faces()
