"""A released network behind the estimator's verbs."""

import numpy as np
import pytest
import torch

import skts
from skts import FractalSampler
from skts.errors import InputError, ParameterError, PersistenceError
from skts.fractal.paper import PaperConfig, PaperFractal, write_paper

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    config = PaperConfig("ar", (8, 4, 1), (16, 8, 8), (1, 1, 1), (2, 2, 2), n_classes=5)
    return write_paper(PaperFractal(config).eval(), tmp_path_factory.mktemp("paper") / "tiny.safetensors")


def test_densities_and_samples_are_those_of_the_network(path, tmp_path):
    model = FractalSampler(weights=path).fit(IMAGES)
    net = model.module_.net
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = -net.nll(images).sum(1)
    np.testing.assert_allclose(model.score_samples(IMAGES), expected, rtol=1e-5)
    slots = model.score_slots(IMAGES)
    with torch.no_grad():
        np.testing.assert_allclose(slots, net.nll(images).view(3, 3, 8, 8).permute(0, 2, 3, 1), atol=1e-4)
    drawn, log_prob = model.sample(2, y=3, random_state=0, return_log_prob=True)
    assert drawn.shape == (2, 8, 8, 3)
    assert drawn.dtype == np.uint8
    np.testing.assert_allclose(model.score_samples(drawn, [3, 3]), log_prob, rtol=1e-5)
    skts.save(model, tmp_path / "model")
    np.testing.assert_array_equal(skts.load(tmp_path / "model").sample(2, y=3, random_state=0), drawn)


def test_what_a_released_network_refuses(path, tmp_path):
    model = FractalSampler(weights=path).fit(IMAGES)
    with pytest.raises(InputError, match="classes of fit"):
        model.sample(1, y=7)
    with pytest.raises(InputError, match="shape"):
        FractalSampler(weights=path).fit(IMAGES[:, :4])
    with pytest.raises(ParameterError, match="trained here"):
        model.sample_conditional(np.where(np.arange(8)[:, None, None] < 4, IMAGES.astype(float), np.nan))
    with pytest.raises(ParameterError, match="trained here"):
        model.score_samples(np.where(np.arange(8)[:, None, None] < 4, IMAGES.astype(float), np.nan))
    with pytest.raises(PersistenceError):
        FractalSampler(weights=tmp_path / "nothing.safetensors").fit(IMAGES)
    with pytest.raises(AttributeError, match="predict_proba"):
        _ = model.predict_proba
