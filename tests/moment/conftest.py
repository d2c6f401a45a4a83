"""The golden weights as a checkpoint in the released layout."""

import shutil

import pytest
from safetensors.torch import save_file

from tests.moment.common import GOLDEN, WEIGHTS


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    save_file(WEIGHTS, folder / "model.safetensors")
    shutil.copy(GOLDEN / "config.json", folder)
    return folder
