"""Against momentfm itself, where it is installed (its pins do not resolve: see make_golden.py): the round trip."""

import numpy as np
import pytest
import torch

from tests.moment.common import embedder, left_padded, waves

momentfm = pytest.importorskip("momentfm", reason="momentfm is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # its own


def test_momentfm_reads_what_export_writes(tmp_path):
    x = waves(4, 90, C=2)
    model = embedder(strict_parity=True, layer=-1).fit(x)
    theirs = momentfm.MOMENTPipeline.from_pretrained(str(model.export(tmp_path)), local_files_only=True).eval()
    wide, mask = left_padded(torch.from_numpy(x).float())
    with torch.no_grad():
        expected = theirs.embed(x_enc=wide, input_mask=mask).embeddings
    np.testing.assert_allclose(model.transform(x), expected, rtol=0, atol=1e-5)


def test_skts_reads_what_momentfm_writes(tmp_path):
    x = waves(4, 512)
    model = embedder().fit(x)
    theirs = momentfm.MOMENTPipeline.from_pretrained(str(model.export(tmp_path / "a")), local_files_only=True)
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(0.01)
    theirs.save_pretrained(tmp_path / "b")
    again = embedder(weights=tmp_path / "b" / "model.safetensors").fit(x)
    with torch.no_grad():
        expected = theirs.eval().embed(x_enc=torch.from_numpy(x).float()[:, None]).embeddings
    np.testing.assert_allclose(again.transform(x), expected, rtol=0, atol=1e-5)
    assert np.abs(again.transform(x) - model.transform(x)).max() > 1e-3
