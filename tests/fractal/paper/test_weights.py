import argparse

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from skts.errors import PersistenceError
from skts.fractal.paper import convert_paper, load_paper, write_paper
from tests.fractal.paper.common import TINY, images, tiny


@pytest.fixture
def net():
    return tiny("guided", dtype=torch.float32)


@pytest.fixture
def released(net, tmp_path):
    """A .pth file as the released training script writes it."""
    arguments = argparse.Namespace(model="fractalmar_base_in256", lr=5e-5, output_dir="out")
    content = {"model": net.state_dict(), "epoch": 799, "scaler": {"scale": 65536.0}, "args": arguments}
    torch.save(content, tmp_path / "checkpoint-last.pth")
    return tmp_path / "checkpoint-last.pth"


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_written_and_read(name, tmp_path):
    net = tiny(name, dtype=torch.float32)
    found = load_paper(write_paper(net, tmp_path / "net.safetensors"))
    assert found.config == net.config
    assert not found.training
    x = images(2, net)
    assert torch.equal(found.nll(x), net.nll(x))


@torch.no_grad()
def test_released_file_converted(net, released, tmp_path):
    path = convert_paper(released, tmp_path / "net.safetensors", heads=net.config.heads)
    found = load_paper(path)
    assert found.config == net.config
    assert torch.equal(found.nll(images(1, net)), net.nll(images(1, net)))
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(net.state_dict())


def test_a_read_network_can_be_trained(net, tmp_path):
    found = load_paper(write_paper(net, tmp_path / "net.safetensors")).train()
    found.loss(images(4, net)).backward()
    assert all(p.requires_grad for p in found.parameters())


def test_heads_have_to_be_known(released, tmp_path):
    with pytest.raises(PersistenceError, match="pass heads="):
        convert_paper(released, tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()


def test_a_pth_file_is_pointed_to_the_converter(released):
    with pytest.raises(PersistenceError, match="convert_paper"):
        load_paper(released)


def test_missing_and_surplus_tensors_are_named(net, tmp_path):
    path = write_paper(net, tmp_path / "net.safetensors")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    del state["fake_latent"]
    save_file(state | {"extra": torch.zeros(1), "class_emb.weight": torch.zeros(3, 4)}, path, metadata)
    with pytest.raises(PersistenceError) as caught:
        load_paper(path)
    for part in ("missing: fake_latent", "surplus: extra", "class_emb.weight (3, 4) for (3, 16)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "ar"}', '{"surprise": 1}'])
def test_damaged_metadata(net, tmp_path, text):
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path, {"skts.fractal.paper": text})
    with pytest.raises(PersistenceError, match="metadata"):
        load_paper(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64])
def test_damaged_files(tmp_path, content):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(PersistenceError, match="safetensors"):
        load_paper(tmp_path / "net.safetensors")
