"""Containers in and out, layouts, weights, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import skts
from skts import FractalSampler
from skts.errors import InputError, ParameterError

SMALL = {"max_epochs": 2, "dims": 8, "depths": 1, "mixture": 1, "random_state": 0}
RNG = np.random.default_rng(0)


def frame(n=120):
    colour = RNG.choice(["red", "green", "blue"], n)
    return pd.DataFrame(
        {
            "colour": pd.Categorical(colour),
            "word": np.where(colour == "red", "yes", "no").astype(object),
            "count": RNG.integers(0, 5, n),
            "size": RNG.normal(10, 2, n),
            "flag": RNG.random(n) < 0.5,
        }
    )


def test_a_frame_of_many_kinds_comes_back_as_one(tmp_path):
    X = frame()
    X.loc[3, "size"], X.loc[4, "word"] = np.nan, None
    model = FractalSampler(**SMALL).fit(X)
    drawn = model.sample(300, random_state=0)
    assert list(drawn.columns) == list(X.columns)
    assert drawn["colour"].dtype == "category"
    assert drawn["flag"].dtype == bool
    assert drawn["count"].dtype == X["count"].dtype
    assert set(drawn["word"]) <= {"yes", "no"}
    assert ((drawn["colour"] == "red") == (drawn["word"] == "yes")).mean() > 0.95
    filled = model.impute(X)
    assert not filled.isna().any().any()
    again = skts.load(skts.save(model, tmp_path / "model") or tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    with pytest.raises(InputError, match="colour"):
        model.score_samples(X.assign(colour="mauve"))
    with pytest.raises(InputError, match="columns"):
        model.score_samples(X.drop(columns="size"))
    completed = model.sample_conditional(X.iloc[3:5], 2, random_state=0)
    assert len(completed) == 2
    assert completed[0].shape == (2, 5)


@pytest.mark.parametrize(
    ("layout", "shape", "dtype"),
    [
        ("auto", (6, 2), np.float32),
        ("image", (4, 4), np.uint8),
        ("image", (3, 4, 3), np.uint8),
        ("series", (5, 1), np.int16),
        ("table", (3,), bool),
    ],
)
def test_rank_and_dtype_come_back(layout, shape, dtype):
    X = (RNG.random((80, *shape)) * (2 if dtype is bool else 4)).astype(dtype)
    model = FractalSampler(**SMALL, layout=layout).fit(X)
    drawn = model.sample(3, random_state=0)
    assert drawn.shape == (3, *shape)
    assert drawn.dtype == dtype
    assert model.score_slots(X[:2]).shape == (2, *shape)
    assert np.isfinite(model.score_samples(drawn)).all()


def test_pixels_share_a_vocabulary():
    X = np.zeros((60, 4, 4), dtype=np.uint8)
    X[::2, 0, 0], X[::3, 3, 3] = 3, 1
    odd = np.zeros((1, 4, 4), dtype=np.uint8)
    odd[0, 2, 2] = 3
    assert np.isfinite(FractalSampler(**SMALL, layout="image").fit(X).score_samples(odd)).all()


def test_forecasting_is_exact_conditioning():
    t = np.arange(12)
    X = np.sin(0.5 * t + RNG.uniform(0, 6, (150, 1)))[..., None] + 0.05 * RNG.normal(size=(150, 12, 1))
    model = FractalSampler(**SMALL).fit(X)
    known = np.where(t[:, None] < 8, X[:2], np.nan)
    futures, info = model.sample_conditional(known, 30, random_state=0, return_info=True)
    assert futures.shape == (2, 30, 12, 1)
    assert info["exact"].all()
    np.testing.assert_allclose(futures[:, :, :8], np.broadcast_to(X[:2, None, :8], (2, 30, 8, 1)))


def test_weights_count_rows():
    X = np.repeat([[0, 0], [1, 1]], 60, axis=0)
    weight = np.where(X[:, 0] == 0, 1.0, 9.0)
    model = FractalSampler(**SMALL | {"generator": None}).fit(X, sample_weight=weight)
    assert np.exp(model.score_samples([[1, 1]]))[0] == pytest.approx(0.9, abs=0.07)
    without = FractalSampler(**SMALL).fit(X, sample_weight=(X[:, 0] == 0).astype(float))
    assert (without.sample(50, random_state=0) == 0).mean() > 0.9


def test_a_continuous_target_is_no_class():
    model = FractalSampler(**SMALL).fit(RNG.normal(size=(60, 2)), RNG.normal(size=60))
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "predict")


def test_levels_say_what_they_cost():
    X = RNG.integers(0, 2, (200, 8))
    X[:, 1::2] = X[:, ::2]  # what opens a pair is a coin, what follows is known
    model = FractalSampler(**SMALL | {"splits": [4, 2], "ordering": "given"}).fit(X)
    assert model.level_nll_[0] > model.level_nll_[1] + 0.3


def test_baselines_are_the_model_without_its_network():
    X = RNG.integers(0, 2, (100, 20))  # two levels
    for name, baseline in FractalSampler(**SMALL).baselines().items():
        fitted = baseline.fit(X)
        assert fitted.history_ == [], name
        assert np.isfinite(fitted.score(X))


@pytest.mark.parametrize(
    ("params", "X", "match"),
    [
        ({"layout": "image"}, np.zeros((5, 3)), "layout='image'"),
        ({}, np.zeros((5, 3, 3, 1)), "layout='image'"),
        ({"splits": [2, 2]}, RNG.random((20, 9)), "product"),
        ({"generator": "gan"}, RNG.random((20, 3)), "generator"),
        ({"dims": [8, 8]}, RNG.random((20, 3)), "one for each level"),
        ({"ordering": [0, 0, 1]}, RNG.random((20, 3)), "order of the columns"),
        ({"leaf": ["mix"]}, RNG.random((20, 3)), "leaves"),
        ({"generator": "mar", "mixture": 3}, RNG.random((20, 3)), "mixture=None"),
        ({"module_kwargs": {"heads": 2}}, RNG.random((20, 3)), "module_kwargs"),
    ],
)
def test_what_fit_refuses(params, X, match):
    with pytest.raises(ValueError, match=match):
        FractalSampler(**SMALL | params).fit(X)


def test_what_a_fitted_sampler_refuses():
    X = RNG.integers(0, 3, (60, 4))
    model = FractalSampler(**SMALL).fit(X, X[:, 0])
    with pytest.raises(InputError, match=r"classes of fit: \[0, 1, 2\]"):
        model.sample(3, y=5)
    with pytest.raises(InputError, match="Got 9"):
        model.score_samples([[9, 0, 0, 0]])
    plain = FractalSampler(**SMALL).fit(X)
    with pytest.raises(ParameterError, match="cfg=1"):
        plain.sample(2, cfg=2.0)
    with pytest.raises(InputError, match="y=None"):
        plain.score_samples(X, X[:, 0])
    with pytest.raises(ParameterError, match="n_samples"):
        plain.sample(0)
    images = FractalSampler(**SMALL, layout="image").fit(X.reshape(-1, 2, 2))
    with pytest.raises(InputError, match="Resize"):
        images.score_samples(np.zeros((1, 3, 3)))
