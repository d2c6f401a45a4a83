"""Reading, refusing and writing checkpoints."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import skts
from skts.errors import DataNotFoundError, ParameterError, PersistenceError
from skts.moment.checkpoint import SIZES, open_checkpoint, write_checkpoint
from skts.moment.module import MomentNet, sinusoids
from skts.persistence.convert import to_safetensors
from tests.moment.common import TINY, WEIGHTS, embedder, waves

X = waves(4, 60)


@pytest.fixture(scope="module")
def embedding(released):
    return embedder(weights=released).fit(X).transform(X)


def test_config_overrides_size(released):
    model = embedder(weights=str(released), size="large").fit(X)
    assert model.module_config_ == TINY
    for name, value in model.module_.state_dict().items():
        torch.testing.assert_close(value, WEIGHTS[name], rtol=0, atol=0)
    assert model.checkpoint_.keys() == {"source", "revision", "sha256"}
    assert len(model.checkpoint_["sha256"]) == 64


def test_a_bare_file_tells_its_sizes(tmp_path, embedding):
    for prefix in ("", "model.", "module."):
        path = tmp_path / f"bare{prefix}safetensors.safetensors"
        save_file({prefix + k: v for k, v in WEIGHTS.items()}, path)
        model = embedder(weights=path).fit(X)
        assert model.module_config_ == TINY
        np.testing.assert_array_equal(model.transform(X), embedding)


def test_export_and_back(tmp_path, released, embedding):
    folder = embedder(weights=released).fit(X).export(tmp_path / "out")
    written = load_file(folder / "model.safetensors")
    assert set(written) - set(WEIGHTS) == {
        "encoder.embed_tokens.weight",
        "patch_embedding.position_embedding.pe",
    }
    assert written["encoder.embed_tokens.weight"].shape == (32128, 32)
    assert torch.equal(written["patch_embedding.position_embedding.pe"], sinusoids(5000, 32)[None])
    again = embedder(weights=folder).fit(X)
    np.testing.assert_array_equal(again.transform(X), embedding)


@pytest.mark.parametrize(("size", "n_layers"), [("small", 8), ("base", 12), ("large", 24)])
def test_released_sizes_have_the_known_numbers(size, n_layers):
    with torch.device("meta"):
        net = MomentNet(**SIZES[size])
    d = SIZES[size]["d_model"]
    dead = 32128 * d
    known = {"small": 35_341_512, "base": 109_641_608, "large": 341_248_520}
    assert sum(p.numel() for p in net.parameters()) + dead == known[size]
    assert len(net.state_dict()) + 2 == 8 + 9 * n_layers


@pytest.mark.slow
def test_base_has_the_released_file_size(tmp_path):
    write_checkpoint(MomentNet(**SIZES["base"]), tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size == 453_940_120


def edited(released, tmp_path, change):
    config = json.loads((released / "config.json").read_text())
    change(config)
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("model_name", lambda c: c.update(model_name="TimesNet")),
        ("patch_len", lambda c: c.update(patch_len=16)),
        ("feed_forward_proj", lambda c: c["t5_config"].update(feed_forward_proj="relu")),
        ("add_positional_embedding", lambda c: c.update(add_positional_embedding=False)),
        ("t5_config", lambda c: c.pop("t5_config")),
        ("of another shape", lambda c: c["t5_config"].update(d_ff=64)),
        ("missing", lambda c: c["t5_config"].update(num_layers=3)),
        ("surplus", lambda c: c["t5_config"].update(num_layers=1)),
    ],
)
def test_other_models_are_refused(released, tmp_path, word, change):
    with pytest.raises(PersistenceError, match=word):
        embedder(weights=edited(released, tmp_path, change)).fit(X)


def test_missing_and_surplus_keys_are_named(tmp_path):
    gone = "encoder.block.1.layer.0.SelfAttention.q.weight"
    state = {k: v for k, v in WEIGHTS.items() if k != gone} | {"extra.weight": torch.zeros(1)}
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(PersistenceError) as caught:
        embedder(weights=tmp_path / "odd.safetensors").fit(X)
    assert f"missing: {gone}" in str(caught.value)
    assert "surplus: extra.weight" in str(caught.value)


def test_files_that_could_run_code_are_refused_and_converted(tmp_path, embedding):
    torch.save({"state_dict": dict(WEIGHTS)}, tmp_path / "pytorch_model.bin")
    for weights in (tmp_path / "pytorch_model.bin", tmp_path):
        with pytest.raises(PersistenceError, match="to_safetensors"):
            embedder(weights=weights).fit(X)
    path = to_safetensors(tmp_path / "pytorch_model.bin", tmp_path / "converted.safetensors")
    np.testing.assert_array_equal(embedder(weights=path).fit(X).transform(X), embedding)


def test_conversion_reads_tensors_alone(tmp_path):
    torch.save({"weight": torch.zeros(1), "object": types.SimpleNamespace()}, tmp_path / "object.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("object.pt", "list.pt", "text.pt", "absent.pt"):
        with pytest.raises(PersistenceError):
            to_safetensors(tmp_path / name, tmp_path / "new.safetensors")
        assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 64])
def test_damaged_files(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(PersistenceError, match="safetensors"):
        embedder(weights=tmp_path).fit(X)


def test_nothing_there(tmp_path):
    with pytest.raises(PersistenceError, match="no file"):
        open_checkpoint(tmp_path / "absent")


def test_sizes_beside_a_checkpoint_are_refused(released):
    with pytest.raises(ParameterError, match="module_kwargs"):
        embedder(weights=released).set_params(module_kwargs=TINY).fit(X)


def test_random_weights_without_being_asked_warn():
    with pytest.warns(UserWarning, match="random weights"):
        embedder(weights="random").set_params(weights=None, module_kwargs=TINY).fit(X)


def test_saved_estimator_needs_no_checkpoint(tmp_path, released, embedding):
    model = embedder(weights=str(edited(released, tmp_path, lambda c: None))).fit(X)
    skts.save(model, tmp_path / "model.skts")
    (tmp_path / "model.safetensors").unlink()
    loaded = skts.load(tmp_path / "model.skts")
    np.testing.assert_array_equal(loaded.transform(X), embedding)
    assert loaded.checkpoint_ == model.checkpoint_


class FakeHub(types.ModuleType):
    """What hf_hub_download does with a cache: files of a commit, and an error where there is none."""

    def __init__(self, folder, commit):
        super().__init__("huggingface_hub")
        self.folder, self.commit, self.asked = folder, commit, []

    def hf_hub_download(self, repository, file, revision=None):
        self.asked.append((repository, file, revision))
        if repository != "ORG/NAME":
            raise OSError("offline mode is on, and the file is not in the cache")
        return str(self.folder / "snapshots" / self.commit / file)


@pytest.fixture
def hub(tmp_path, released, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / commit).symlink_to(released)
    fake = FakeHub(tmp_path, commit)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


def test_hub(hub, embedding):
    model = embedder(weights="hub:ORG/NAME@main").fit(X)
    np.testing.assert_array_equal(model.transform(X), embedding)
    assert model.checkpoint_["source"] == "hub:ORG/NAME@main"
    assert model.checkpoint_["revision"] == hub.commit
    # The tensors are those of the config's commit, and nothing but safetensors is asked for.
    assert hub.asked == [("ORG/NAME", "config.json", "main"), ("ORG/NAME", "model.safetensors", hub.commit)]


def test_hub_that_has_nothing(hub):
    with pytest.raises(DataNotFoundError, match="not in the cache"):
        embedder(weights="hub:ORG/OTHER").fit(X)
    with pytest.raises(ParameterError, match="hub:ORG/NAME"):
        embedder(weights="hub:NAME").fit(X)


def test_hub_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ParameterError, match=r"skts\[hub\]"):
        embedder(weights="hub:ORG/NAME").fit(X)


def test_offline_cache_of_the_real_package(tmp_path, released, embedding):
    """A folder laid out as huggingface_hub's cache; offline mode asks nothing else."""
    pytest.importorskip("huggingface_hub")
    import subprocess

    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--ORG--NAME"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    (cache / "snapshots").mkdir()
    (cache / "snapshots" / commit).symlink_to(released)
    code = (
        "from skts.moment.checkpoint import open_checkpoint; c = open_checkpoint('hub:ORG/NAME')\n"
        "print(c.revision); open_checkpoint('hub:ORG/OTHER')"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == commit
    assert "DataNotFoundError" in done.stderr
