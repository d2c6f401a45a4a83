"""Monotone curves: their inverse, their slopes, and what they do for skewed columns."""

import numpy as np
import pytest
from scipy import stats

from skts import FractalSampler
from skts.fractal.curves import bend, make_curve, unbend

RNG = np.random.default_rng(0)
COLUMNS = {
    "normal": RNG.normal(size=400),
    "skewed": RNG.exponential(size=2000),
    "bounded": RNG.random(50),
    "heavy": RNG.standard_t(2, size=1000),
    "few values": np.round(RNG.normal(size=100)),
    "two values": np.array([1.0, 2.0]),
    "constant": np.ones(10),
    "empty": np.empty(0),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_curve_rises_has_an_exact_inverse_and_true_slopes(name):
    curve = make_curve(COLUMNS[name])
    x = np.linspace(-9, 9, 2000)
    z, log_slope = bend(curve, x)
    assert (np.diff(z) > 0).all()
    np.testing.assert_allclose(unbend(curve, z), x, atol=1e-9)
    step = 1e-6
    smooth = np.abs(np.subtract.outer(x, curve[:, 0])).min(1) > step
    numeric = (bend(curve, x + step)[0] - bend(curve, x - step)[0]) / (2 * step)
    np.testing.assert_allclose(numeric[smooth], np.exp(log_slope[smooth]), rtol=1e-4)


def test_what_was_skewed_looks_normal():
    bent = bend(make_curve(COLUMNS["skewed"]), RNG.exponential(size=3000))[0]
    assert abs(stats.skew(bent)) < 0.2 < stats.skew(COLUMNS["skewed"])
    assert abs(stats.kurtosis(bent)) < 0.4


def test_missing_stays_missing():
    assert np.isnan(bend(make_curve(COLUMNS["normal"]), np.array([np.nan]))).all()


def skewed_rows(n):
    return np.exp(1.5 * RNG.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], n))


def test_skewed_columns_are_bent_and_normal_ones_are_not():
    train, test = skewed_rows(1500), skewed_rows(500)
    simple = {"generator": None, "random_state": 0}
    auto = FractalSampler(**simple).fit(train)
    standard = FractalSampler(**simple, scaling="standard").fit(train)
    assert auto.scaling_ == "normal"
    assert auto.score(test) > standard.score(test) + 0.3
    assert auto.mixture_score_ == pytest.approx(auto.score(test), abs=0.5)
    assert (auto.sample(500, random_state=0) > -0.1).all()
    normal = np.log(train)
    assert FractalSampler(**simple).fit(normal).scaling_ == "standard"


@pytest.mark.parametrize("scaling", ["standard", "normal"])
def test_the_density_of_bent_columns_integrates_to_one(scaling):
    model = FractalSampler(generator=None, mixture=2, scaling=scaling, random_state=0).fit(skewed_rows(400) ** 0.3)
    axis = np.linspace(-6, 6, 401)
    grid = np.sinh(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    area = np.cosh(np.arcsinh(grid)).prod(1) * (axis[1] - axis[0]) ** 2
    assert (np.exp(model.score_samples(grid)) * area).sum() == pytest.approx(1, abs=1e-3)


def test_channels_of_a_series_share_a_curve():
    X = np.exp(RNG.normal(size=(300, 4, 2)))
    model = FractalSampler(generator=None, scaling="normal", random_state=0).fit(X)
    assert len(model.columns_["tables"]) == 2
    assert len(set(model.columns_["table_of"])) == 2
    assert FractalSampler(generator=None, random_state=0).fit(X).scaling_ == "standard"
