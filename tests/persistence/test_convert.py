import argparse
import types

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from skts.errors import PersistenceError
from skts.persistence.convert import to_safetensors

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_weights_under_any_name(tmp_path, key):
    torch.save(STATE if key is None else {key: STATE, "epoch": 3}, tmp_path / "old.pth")
    found = load_file(to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors"))
    assert set(found) == set(STATE)
    assert all(torch.equal(found[k], STATE[k]) for k in STATE)


def test_a_namespace_beside_the_weights_is_left_out(tmp_path):
    torch.save({"model": STATE, "args": argparse.Namespace(lr=0.1)}, tmp_path / "old.pth")
    assert set(load_file(to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors"))) == set(STATE)


def test_other_objects_are_refused_with_what_to_do(tmp_path):
    torch.save({"model": STATE, "args": types.SimpleNamespace(lr=0.1)}, tmp_path / "old.pth")
    with pytest.raises(PersistenceError, match="Save the state_dict alone"):
        to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors")


def test_allowing_a_namespace_lasts_for_one_file(tmp_path):
    torch.save({"model": STATE}, tmp_path / "old.pth")
    before = set(torch.serialization.get_safe_globals())
    to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors")
    assert set(torch.serialization.get_safe_globals()) == before


def test_metadata_describe_the_tensors(tmp_path):
    torch.save({"model": STATE}, tmp_path / "old.pth")
    path = to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors", lambda state: {"n": str(len(state))})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"n": "2"}


def test_nothing_is_written_where_the_description_fails(tmp_path):
    def refuse(state):
        raise PersistenceError("another model", "this one", "Pass the other.")

    torch.save({"model": STATE}, tmp_path / "old.pth")
    with pytest.raises(PersistenceError, match="another model"):
        to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors", refuse)
    assert not (tmp_path / "new.safetensors").exists()


def test_shared_memory_is_written_for_each_name(tmp_path):
    tied = torch.ones(3)
    torch.save({"a": tied, "b": tied}, tmp_path / "old.pth")
    found = load_file(to_safetensors(tmp_path / "old.pth", tmp_path / "new.safetensors"))
    assert torch.equal(found["a"], found["b"])
