import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skts.datasets import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.datasets.registry import REGISTRY
from skts.errors import DataNotFoundError, InputError


def fetch_or_skip(fetch, *args, **kwargs):
    try:
        return fetch(*args, **kwargs)
    except DataNotFoundError as error:
        pytest.skip(f"SKTS_DATA does not hold the file: {error.expected}")


@pytest.fixture
def tiny_etth1(tiny, user_folder, csv, monkeypatch):
    (user_folder / "tiny.csv.gz").write_bytes(gzip.compress(csv))
    monkeypatch.setitem(REGISTRY, "ETTh1", tiny)
    return tiny


def test_registry_entries_can_be_fetched():
    for name, dataset in REGISTRY.items():
        assert dataset.name == name
        assert dataset.url.startswith("https://")
        assert dataset.url.removesuffix(".gz").endswith(dataset.file)
        assert dataset.sha256 is None or len(bytes.fromhex(dataset.sha256)) == 32
        assert dataset.origin
        assert dataset.licence


def test_frame_has_floats_and_a_regular_index(tiny_etth1):
    frame = fetch_ett("ETTh1")
    assert frame.columns.tolist() == ["a", "b"]
    assert (frame.dtypes == np.float64).all()
    assert frame.index.name == "date"
    assert frame.index.freqstr == "h"


def test_returned_frame_is_the_callers_own(tiny_etth1):
    frame = fetch_ett("ETTh1")
    frame.iloc[:] = 0.0
    assert fetch_ett("ETTh1").iloc[0, 0] == 1.0


@pytest.mark.parametrize("name", ["ETTh3", "etth1", None])
def test_wrong_name_lists_the_names(name):
    with pytest.raises(InputError) as caught:
        fetch_ett(name)
    for known in ("ETTh1", "ETTh2", "ETTm1", "ETTm2"):
        assert known in caught.value.expected
    assert repr(name) in caught.value.got
    assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"time,a,b\n2020-01-01 00:00:00,1,2\n2020-01-01 01:00:00,3,4\n",
        b"date,a,b\n2020-01-01 00:00:00,1,2\n2020-01-01 02:30:00,3,4\n2020-01-01 03:00:00,3,4\n",
        b"date,a,b\n1/1/2020,1,2\n1/2/2020,3,4\n",
        b"date,a,b\n2020-01-01 00:00:00,1,x\n2020-01-01 01:00:00,3,4\n",
        b"date,a,b\n2020-01-01 00:00:00,1,2\n",
        b"",
    ],
    ids=["no date", "irregular", "other stamps", "no number", "too short", "empty"],
)
def test_unchecked_file_of_another_content_is_refused(content, tiny, user_folder, monkeypatch):
    monkeypatch.setitem(REGISTRY, "ETTh2", replace(tiny, sha256=None))
    (user_folder / "tiny.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"Expected tiny\.csv to be a csv"):
        fetch_ett("ETTh2")


def test_sentinel_becomes_missing_only_if_asked(tiny, user_folder, csv, monkeypatch):
    monkeypatch.setitem(REGISTRY, "weather", tiny)
    (user_folder / "tiny.csv").write_bytes(csv)
    assert fetch_weather().loc["2020-01-01 01:00:00", "b"] == -9999.0
    missing = fetch_weather(missing_sentinel=-9999.0).isna().to_numpy()
    assert missing.tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("sentinel", ["-9999", True])
def test_sentinel_has_to_be_a_number(sentinel):
    with pytest.raises(InputError, match="missing_sentinel"):
        fetch_weather(missing_sentinel=sentinel)


@pytest.mark.parametrize("name", ["ETTh1", "ETTh2", "ETTm1", "ETTm2"])
def test_ett(name):
    frame = fetch_or_skip(fetch_ett, name)
    assert frame.shape == REGISTRY[name].shape
    assert frame.columns.tolist() == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert frame.index[0] == pd.Timestamp("2016-07-01")
    assert frame.index.freqstr == ("h" if "h" in name else "15min")
    assert np.isfinite(frame.to_numpy()).all()


def test_both_resolutions_of_ett_are_the_same_transformer():
    hourly, quarter_hourly = fetch_or_skip(fetch_ett, "ETTh1"), fetch_or_skip(fetch_ett, "ETTm1")
    assert (quarter_hourly["OT"].reindex(hourly.index) == hourly["OT"]).all()


def test_weather():
    frame = fetch_or_skip(fetch_weather)
    assert frame.shape == (52_696, 21)
    assert frame.index.freq is None
    assert frame.index.duplicated().sum() == 1
    assert (frame.index.to_series().diff() > pd.Timedelta("10min")).sum() == 1
    assert [name for name in frame.columns if not name.isascii()] == [
        "SWDR (W/m²)",
        "PAR (µmol/m²/s)",
        "max. PAR (µmol/m²/s)",
    ]
    assert not any("\ufffd" in name for name in frame.columns)
    assert (frame == -9999.0).sum().sum() == fetch_weather(missing_sentinel=-9999.0).isna().sum().sum() == 81


def test_exchange():
    frame = fetch_or_skip(fetch_exchange)
    assert frame.shape == (7_588, 8)
    assert frame.index.freqstr == "D"
    assert (frame > 0).all().all()


def test_illness():
    frame = fetch_or_skip(fetch_illness)
    assert frame.shape == (966, 7)
    assert frame.index.freqstr == "W-TUE"
    assert (frame.dtypes == np.float64).all()
