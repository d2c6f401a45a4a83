"""Files come back as they were, and hostile ones are refused before anything happens."""

import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

import skts
from skts import FMambaForecaster
from skts.errors import PersistenceError
from skts.fmamba import LinearForecaster
from skts.persistence import register
from skts.persistence.encoding import Decoder, Encoder
from tests.small import SmallClassifier

rng = np.random.default_rng(0)
SMALL = {"context_length": 8, "d_model": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0}
TIMES = pd.date_range("2024-01-01", periods=40, freq="h", tz="Europe/Berlin")
PANEL = pd.MultiIndex.from_product([["x", "y"], range(20)], names=["site", "t"])
SERIES = {
    "integers": pd.DataFrame(rng.standard_normal((40, 2)), columns=["a", "b"]),
    "zoned times": pd.DataFrame(rng.standard_normal((40, 2)), index=TIMES, columns=["a", "b"]),
    "periods": pd.Series(rng.standard_normal(40), index=pd.period_range("1990", periods=40, freq="Q"), name="gdp"),
    "array": rng.standard_normal((40, 2)),
    "panel": pd.DataFrame(rng.standard_normal((40, 2)), index=PANEL, columns=["a", "b"]),
}


@pytest.fixture(scope="module")
def fitted():
    return FMambaForecaster(**SMALL).fit(SERIES["integers"], fh=[1, 2])


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "model.skts"
    skts.save(fitted, path)
    return path


@pytest.mark.parametrize("kind", SERIES)
@pytest.mark.parametrize("template", [FMambaForecaster(**SMALL), LinearForecaster(context_length=8)], ids=repr)
def test_forecast_after_loading_is_the_same(template, kind, tmp_path):
    forecaster = template.clone().fit(SERIES[kind], fh=[1, 3])
    skts.save(forecaster, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    for fh in (None, [2, 9]):
        one, other = forecaster.predict(fh), loaded.predict(fh)
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one.equals(other)
            assert one.index.equals(other.index)


def test_loaded_forecaster_lives_on(saved):
    more = SERIES["integers"].iloc[:5].set_axis(range(40, 45))
    loaded = skts.load(saved)
    assert loaded.update(more).predict().index.tolist() == [45, 46]
    assert loaded.fit(SERIES["integers"], fh=[1]).predict().shape == (1, 2)


def test_pretrained_state_survives(tmp_path):
    panel = SERIES["panel"]
    teacher = FMambaForecaster(**SMALL, horizon=2).pretrain(panel)
    skts.save(teacher, tmp_path / "m.skts")
    short = SERIES["integers"].iloc[:4]
    one, other = (f.fit(short, fh=[1, 2]).predict() for f in (teacher, skts.load(tmp_path / "m.skts")))
    assert one.equals(other)


def test_unfitted_estimator_keeps_its_parameters(tmp_path):
    path = tmp_path / "m.skts"
    skts.save(FMambaForecaster(d_model=64, module_kwargs={"dropout": 0.3}), path)
    loaded = skts.load(path)
    assert loaded.get_params()["module_kwargs"] == {"dropout": 0.3}
    assert not loaded.is_fitted


def test_folder_instead_of_zip(fitted, tmp_path):
    skts.save(fitted, f"{tmp_path}/model/")
    assert sorted(os.listdir(tmp_path / "model")) == ["skts.json", "tensors.safetensors"]
    assert skts.load(tmp_path / "model").predict().equals(fitted.predict())


def test_file_has_no_pickle_in_it(saved):
    with zipfile.ZipFile(saved) as archive:
        assert sorted(archive.namelist()) == ["skts.json", "tensors.safetensors"]
        assert json.loads(archive.read("skts.json"))["class"] == "FMambaForecaster"


# ---- hostile files ----------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def rewrite(path, change):
    """The zip with its members changed by a function of {name: bytes}."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in change(members).items():
            archive.writestr(name, data)


def with_meta(**changes):
    def change(members):
        meta = json.loads(members["skts.json"])
        meta.update(changes)
        return {**members, "skts.json": json.dumps(meta).encode()}

    return change


def flipped(name):
    def change(members):
        data = bytearray(members[name])
        data[-3] ^= 1
        return {**members, name: bytes(data)}

    return change


def consistent(name, data):
    """Replace a member and correct the checksums, as an attacker would."""

    def change(members):
        from skts.persistence.store import _content_hash, _sha256

        members = {**members, name: data}
        meta = json.loads(members["skts.json"])
        meta["sha256"] = {"tensors.safetensors": _sha256(members["tensors.safetensors"])}
        meta["sha256"]["content"] = _content_hash(meta)
        return {**members, "skts.json": json.dumps(meta).encode()}

    return change


HOSTILE = {
    "a pickle as tensors": (
        consistent("tensors.safetensors", pickle.dumps(Bomb())),
        "safetensors|header|damaged",
    ),
    "a pickle as JSON": (lambda m: {**m, "skts.json": pickle.dumps(Bomb())}, "JSON"),
    "a path out of the folder": (lambda m: {**m, "../evil": b"x"}, "members"),
    "an absolute path": (lambda m: {**m, "/tmp/evil": b"x"}, "members"),
    "a missing member": (lambda m: {"skts.json": m["skts.json"]}, "members"),
    "an unknown class": (with_meta(**{"class": "os.system"}), "class 'os.system'"),
    "a class that is no word": (with_meta(**{"class": ["FMambaForecaster"]}), "class"),
    "a newer format": (with_meta(format=99), "format 99"),
    "a format that is no number": (with_meta(format="1"), "format"),
    "a changed byte of the tensors": (flipped("tensors.safetensors"), "SHA-256"),
    "a changed parameter": (with_meta(params={}), "SHA-256"),
    "JSON that is no object": (lambda m: {**m, "skts.json": b"[]"}, "JSON object"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_file_is_refused(saved, attack, monkeypatch, tmp_path):
    change, message = HOSTILE[attack]
    rewrite(saved, change)
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(PersistenceError, match=message) as caught:
        skts.load(saved)
    assert caught.value.hint
    assert sorted(os.listdir(tmp_path)) == before


def test_pickle_renamed_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.skts").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PersistenceError, match="zip"):
        skts.load(tmp_path / "model.skts")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("part", [0.0, 0.3, 0.95])
def test_truncated_file_is_refused(saved, part):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(PersistenceError, match="zip"):
        skts.load(saved)


def test_every_changed_byte_is_noticed(saved):
    """A single flipped bit anywhere is refused, or harmless bookkeeping of the zip."""
    data, expected = saved.read_bytes(), skts.load(saved).predict()
    for position in range(0, len(data), max(1, len(data) // 150)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        saved.write_bytes(bytes(changed))
        try:
            loaded = skts.load(saved)
        except PersistenceError:
            continue
        assert loaded.predict().equals(expected)


def test_compressed_member_is_refused(saved):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(PersistenceError, match="compress"):
        skts.load(saved)


def test_missing_file_says_so(tmp_path):
    with pytest.raises(PersistenceError, match="Check the path"):
        skts.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PersistenceError, match="without"):
        skts.load(tmp_path / "empty")


def test_weights_of_another_architecture_are_refused(fitted, tmp_path):
    other = FMambaForecaster(**{**SMALL, "d_model": 16}).fit(SERIES["integers"], fh=[1, 2])
    one, two = tmp_path / "one", tmp_path / "two"
    skts.save(fitted, f"{one}/")
    skts.save(other, f"{two}/")
    (one / "tensors.safetensors").write_bytes((two / "tensors.safetensors").read_bytes())
    with pytest.raises(PersistenceError, match="SHA-256"):
        skts.load(one)


def test_object_of_the_users_own_is_refused_by_name_and_nothing_is_written(fitted, tmp_path):
    from skorch.callbacks import EpochTimer

    mine = FMambaForecaster(**SMALL, callbacks=[EpochTimer()]).fit(SERIES["integers"], fh=[1, 2])
    with pytest.raises(PersistenceError, match=r"parameter 'callbacks'\[0\].*EpochTimer"):
        skts.save(mine, tmp_path / "m.skts")
    assert os.listdir(tmp_path) == []


def test_failed_write_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "m.skts"
    skts.save(fitted, path)
    before = path.read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        skts.save(fitted, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.skts"]


def test_another_version_warns(saved, monkeypatch):
    monkeypatch.setattr("skts.persistence.store.__version__", "99.0")
    with pytest.warns(UserWarning, match=r"this is 99\.0"):
        skts.load(saved)


def test_unregistered_class_is_refused(tmp_path):
    class Unknown(SmallClassifier):
        pass

    with pytest.raises(PersistenceError, match="Unknown"):
        skts.save(Unknown(), tmp_path / "m")
    with pytest.raises(PersistenceError, match="not taken"):
        register(type("FMambaForecaster", (), {}))


# ---- values -----------------------------------------------------------------------------------------------------

VALUES = [
    None,
    True,
    -3,
    0.1,
    float("nan"),
    float("-inf"),
    "words",
    [1, [2.5, None]],
    (1, ("a",)),
    {"a": {1: (2,)}, ("t", 0): None},
    np.float32(0.1),
    np.bool_(True),
    np.arange(6, dtype=np.int8).reshape(2, 3),
    np.array(3.5),
    np.array(["a", "bc"]),
    np.array(["a", "bc"], dtype=object),
    np.array(["2020-01-01", "NaT"], dtype="datetime64[s]"),
    torch.arange(3, dtype=torch.bfloat16),
    pd.RangeIndex(2, 10, 3, name="r"),
    pd.Index([1.5, 2.5]),
    pd.Index(["x", "y"], name="names"),
    pd.date_range("2020", periods=3, freq="ME"),
    pd.period_range("2020Q1", periods=3, freq="Q", name="p"),
    pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["u", "v"]}, index=pd.Index([3, 4], name="i")),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}")
def test_values_come_back(value):
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
    back = Decoder(encoder.tensors).decode(json.loads(text))
    assert type(back) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(back, value)
    elif isinstance(value, pd.Index):
        pd.testing.assert_index_equal(back, value)
        assert getattr(back, "freq", None) == getattr(value, "freq", None)
    elif isinstance(value, np.ndarray | np.generic):
        np.testing.assert_array_equal(back, value)
        assert back.dtype == value.dtype
    elif isinstance(value, torch.Tensor):
        assert torch.equal(back, value)
    else:
        assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "value", [object(), print, {1, 2}, 1j, np.array([1j]), np.array([object()]), b"bytes"], ids=repr
)
def test_other_objects_have_no_form(value):
    with pytest.raises(PersistenceError, match="the thing"):
        Encoder().encode(value, "the thing")


def test_saving_warns_of_nothing(fitted, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skts.save(fitted, tmp_path / "m")
        skts.load(tmp_path / "m")
