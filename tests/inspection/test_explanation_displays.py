"""Displays of what a forecast rests on: their data, their order, their errors."""

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot as plt

from skts import FMambaForecaster
from skts.datasets import load_us_change
from skts.errors import InputError
from skts.inspection import AttributionDisplay, InfluenceDisplay


@pytest.fixture(scope="module")
def model():
    forecaster = FMambaForecaster(context_length=12, d_model=8, max_epochs=1, batch_size=128, random_state=0)
    return forecaster.fit(load_us_change(), fh=[1, 2])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_attributions_of_the_end_of_the_series_are_drawn_with_their_sums(model):
    display = AttributionDisplay.from_estimator(model, "Income", step=2)
    given = load_us_change().to_numpy()[None, -12:]
    np.testing.assert_allclose(display.attributions, model.attributions(given, "Income", step=2)[0])
    heat, sums = display.axes_
    np.testing.assert_allclose(heat.images[0].get_array(), display.attributions.T)
    np.testing.assert_allclose([bar.get_width() for bar in sums.patches], display.attributions.sum(0))
    assert heat.images[0].get_extent()[:2] == [-11.5, 0.5]
    assert heat.get_title(loc="left") == "Income, step 2"


def test_of_many_variates_the_strongest_are_drawn():
    values = np.zeros((4, 50))
    values[:, 10:40] = np.arange(30) + 1
    assert AttributionDisplay(values, range(50)).plot().order_.tolist() == list(range(10, 40))
    matrix = np.zeros((50, 50))
    matrix[:, 5:45] = 1
    np.fill_diagonal(matrix, 99)
    assert InfluenceDisplay(matrix, range(50)).plot().order_.tolist() == list(range(5, 45))


@pytest.mark.parametrize("kind", ["mamba", "attention"])
def test_influence_is_the_mean_over_windows_and_layers(model, kind):
    windows = np.stack([load_us_change().to_numpy()[s : s + 12] for s in (0, 50)])
    every = (model.influence if kind == "mamba" else model.attention_map)(windows)
    display = InfluenceDisplay.from_estimator(model, windows, kind=kind)
    np.testing.assert_allclose(display.matrix, every.mean((0, 1)))
    one = InfluenceDisplay.from_estimator(model, windows, kind=kind, layer=1, ax=plt.subplots()[1])
    np.testing.assert_allclose(one.matrix, every[:, 1].mean(0))
    assert [tick.get_text() for tick in one.ax_.get_yticklabels()] == list(load_us_change().columns)


def test_what_is_not_there_is_refused(model):
    windows = load_us_change().to_numpy()[None]
    with pytest.raises(InputError, match="a kind out of"):
        InfluenceDisplay.from_estimator(model, windows, kind="gradient")
    with pytest.raises(InputError, match="a layer from 0 to 1"):
        InfluenceDisplay.from_estimator(model, windows, layer=2)
    with pytest.raises(InputError, match="a variate out of"):
        AttributionDisplay.from_estimator(model, "GDP")
