"""Displays of density models: what they draw is what the model says, and every picture can be read."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from skts import FractalSampler
from skts.errors import InputError
from skts.inspection import GenerationDisplay, SampleGridDisplay, SeriesFanDisplay, SurpriseDisplay
from skts.inspection.mosaic import mosaic

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def closed_form(**parameters):
    return FractalSampler(generator=None, random_state=0, **parameters)


@pytest.fixture(scope="module")
def images():
    X = np.random.default_rng(0).integers(0, 4, size=(80, 6, 4))
    return closed_form(layout="image", mixture=1).fit(X), X


@pytest.fixture(scope="module")
def windows():
    X = np.random.default_rng(0).normal(size=(200, 10, 2)).cumsum(1) * [1.0, 100.0]
    return closed_form(mixture=1).fit(X), X


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    X = pd.DataFrame({"word": np.where(size > 0, "big", "small"), "count": rng.poisson(3, 200), "size": size})
    return closed_form(mixture=2).fit(X), X


def image_of(ax, which=-1):
    return np.ma.filled(ax.images[which].get_array().astype(float), np.nan)


# ---- which block a number belongs to ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((8, 8), {"layout": "image"}),
        ((8, 6), {"layout": "image"}),
        ((9, 5), {"layout": "image"}),
        ((13, 28), {"layout": "image"}),
        ((5, 5), {"layout": "image", "splits": [3, 2]}),
        ((4, 4, 3), {"layout": "image"}),
        ((24, 3), {"layout": "series"}),
        ((20, 1), {"layout": "series", "splits": [2, 2, 5]}),
        ((5, 18), {"layout": "series"}),
        ((20,), {"ordering": "random"}),
        ((7,), {"splits": [2, 2, 2]}),
    ],
)
def test_blocks_are_visited_one_after_another(shape, parameters):
    # The model itself says whether what is given comes before all that is missing.
    X = np.random.default_rng(0).integers(0, 2, size=(20, *shape))
    model = closed_form(mixture=None, **parameters).fit(X)
    block = model.blocks_
    assert np.unique(block).tolist() == list(range(model.splits_[0]))[: block.max() + 1]
    partial = np.stack([np.where(block < m, X[0], np.nan) for m in range(1, block.max() + 1)])
    _, info = model.sample_conditional(partial, 1, random_state=0, return_info=True)
    assert info["exact"].all()


# ---- samples --------------------------------------------------------------------------------------------------------


def test_a_mosaic_holds_every_image_and_gaps():
    images = np.arange(5 * 2 * 3.0).reshape(5, 2, 3)
    canvas = mosaic(images, columns=2)
    assert canvas.shape == (3 * 2 + 2, 2 * 3 + 1)
    assert np.array_equal(canvas[3:5, 4:7], images[3])
    assert np.isnan(canvas[2]).all()
    assert np.isnan(canvas[6:, 4:]).all()
    assert sorted(canvas[np.isfinite(canvas)]) == sorted(images.ravel())


def test_the_grid_draws_real_beside_drawn(images):
    model, X = images
    display = SampleGridDisplay.from_estimator(model, X, n_samples=4, random_state=0)
    assert np.array_equal(display.drawn, model.sample(4, random_state=0))
    assert [ax.get_title(loc="left") for ax in display.axes_] == ["real", "drawn"]
    assert np.nansum(image_of(display.axes_[1])) == display.drawn.sum()
    assert len(SampleGridDisplay.from_estimator(model, n_samples=3, random_state=0).axes_) == 1


def test_colours_and_other_channels(images):
    rgb = np.random.default_rng(0).integers(0, 256, size=(4, 3, 3, 3))
    canvas = np.asarray(SampleGridDisplay(rgb).plot().axes_[0].images[0].get_array())
    assert canvas.shape == (7, 7, 3)
    assert canvas.max() <= 1.0
    assert SampleGridDisplay(rgb[..., :2]).drawn.shape == (4, 3, 3)
    with pytest.raises(InputError, match="Reshape samples"):
        SampleGridDisplay(rgb[0, 0])


# ---- surprise -------------------------------------------------------------------------------------------------------


def test_surprise_of_rows_is_what_the_model_says(frame):
    model, X = frame
    display = SurpriseDisplay.from_estimator(model, X.iloc[:6])
    np.testing.assert_allclose(image_of(display.axes_[0]), model.score_slots(X.iloc[:6]))
    assert [t.get_text() for t in display.axes_[0].get_xticklabels()] == list(X)


def test_a_reference_takes_the_usual_off(windows):
    model, X = windows
    odd = X[:2].copy()
    odd[1, 6, 1] += 500.0
    raw = SurpriseDisplay.from_estimator(model, odd).surprise
    display = SurpriseDisplay.from_estimator(model, odd, reference=X)
    usual = model.score_slots(X).mean(0)
    np.testing.assert_allclose(display.surprise, raw - usual)
    assert abs(usual[:, 0] - usual[:, 1]).min() > 2  # the units alone
    assert np.unravel_index(display.surprise.argmax(), odd.shape) == (1, 6, 1)
    assert len(display.axes_) == 4
    assert image_of(display.axes_[3]).shape == (2, 10)


def test_surprise_of_images_stands_below_them(images):
    model, X = images
    display = SurpriseDisplay.from_estimator(model, X[:3])
    pictures, maps = (image_of(display.axes_[0], i) for i in (0, 1))
    assert np.nansum(pictures) == X[:3].sum()
    assert np.nansum(maps) == pytest.approx(-model.score_samples(X[:3]).sum())
    assert display.axes_[0].images[0].get_extent()[2] < display.axes_[0].images[1].get_extent()[2]


def test_too_many_samples_are_refused(images, windows, frame):
    for model, X in (images, windows, frame):
        with pytest.raises(InputError, match="at most"):
            SurpriseDisplay.from_estimator(model, X[:40])


# ---- what may follow ------------------------------------------------------------------------------------------------


def test_the_fan_starts_from_what_is_given(windows):
    model, X = windows
    display = SeriesFanDisplay.from_estimator(model, X[0], 6, n_draws=100, random_state=0)
    assert np.array_equal(display.draws[:, :6], np.broadcast_to(X[0, :6], (100, 6, 2)))
    assert display.ess is None
    assert "exact draws" in display.axes_[0].get_title(loc="left")
    assert 0 <= display.coverage_ <= 1
    later = X[0].copy()
    later[6:] = np.nan  # nothing is known of what came
    unknown = SeriesFanDisplay.from_estimator(model, later[None], 6, n_draws=100, random_state=0)
    assert np.array_equal(unknown.draws, display.draws)
    assert np.isnan(unknown.coverage_)


def test_coverage_counts_what_came():
    draws = np.tile(np.linspace(0, 1, 101)[:, None, None], (1, 5, 1))
    window = np.array([0.5, 0.5, 0.5, 0.99, np.nan])[:, None]
    assert SeriesFanDisplay(window, draws, 1).coverage_ == pytest.approx(2 / 3)


@pytest.mark.parametrize("n_given", [0, 10])
def test_the_beginning_must_be_a_part(windows, n_given):
    model, X = windows
    with pytest.raises(InputError, match="n_given from 1 to 9"):
        SeriesFanDisplay.from_estimator(model, X[0], n_given)
    with pytest.raises(InputError, match="one window"):
        SeriesFanDisplay.from_estimator(model, X[:2], 3)


# ---- generation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["images", "windows", "frame"])
def test_less_and_less_is_open(case, request):
    model, X = request.getfixturevalue(case)
    x = X.iloc[[0]] if case == "frame" else X[0]
    display = GenerationDisplay.from_estimator(model, x, n_stages=4, n_draws=50, random_state=0)
    assert display.n_given[0] == 0
    assert display.n_given[-1] == display.n_blocks
    still_open = (display.spread > 0).reshape(len(display.n_given), -1).sum(1)
    assert (np.diff(still_open) < 0).all()
    assert still_open[-1] == 0
    np.testing.assert_allclose(display.spread[0], 1.0)
    for level, nll in model.level_nll_.items():
        assert f"{nll:.2f} at level {level}" in display.ax_.get_title(loc="left")


def test_what_stands_is_the_sample_itself(images):
    model, X = images
    display = GenerationDisplay.from_estimator(model, X[1], n_stages=5, n_draws=20, random_state=0)
    for given, mean in zip(display.given, display.mean, strict=True):
        stands = np.isfinite(given)
        assert np.array_equal(given[stands], X[1][stands])
        np.testing.assert_allclose(mean[stands], given[stands])
    assert np.array_equal(display.mean[-1], X[1])


def test_columns_stand_in_the_order_of_the_visit(frame):
    model, X = frame
    display = GenerationDisplay.from_estimator(model, X.iloc[[3]], n_draws=20, random_state=0)
    assert display.names == [list(X)[i] for i in model.ordering_]
    assert (display.spread[1] > 0).tolist() == [False, True, True]


def test_one_complete_sample_is_needed(images, frame):
    model, X = images
    with pytest.raises(InputError, match=r"shape \(2, 6, 4\)"):
        GenerationDisplay.from_estimator(model, X[:2])
    with pytest.raises(InputError, match="with missing values"):
        GenerationDisplay.from_estimator(frame[0], frame[1].iloc[[0]].assign(count=np.nan))
    with pytest.raises(InputError, match="n_stages"):
        GenerationDisplay.from_estimator(model, X[0], n_stages=1)


def test_classes_are_passed_on():
    X = np.random.default_rng(0).integers(0, 3, size=(90, 4, 4))
    y = np.arange(90) % 3
    model = closed_form(layout="image", mixture=1).fit(X, y)
    assert GenerationDisplay.from_estimator(model, X[0], y=0, n_draws=20, random_state=0).spread.shape[1:] == (4, 4)
    drawn = SampleGridDisplay.from_estimator(model, n_samples=4, y=[0, 1, 2, 0], random_state=0).drawn
    assert np.array_equal(drawn, model.sample(4, y=[0, 1, 2, 0], random_state=0))
