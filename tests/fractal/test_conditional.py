"""What is filled in follows the conditional; densities of incomplete rows are marginals."""

import itertools
import warnings

import numpy as np
import pytest

from skts import FractalSampler
from skts.errors import InputError, ParameterError

SMALL = {"max_epochs": 2, "dims": 8, "depths": 1, "mixture": 2, "random_state": 0}
EVERYONE = np.array(list(itertools.product(range(3), repeat=5)))


def dependent(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (n, 5))
    X[:, 1], X[:, 4] = X[:, 0], np.where(rng.random(n) < 0.7, X[:, 0], X[:, 4])
    return X


@pytest.fixture(scope="module", params=[{}, {"generator": ["mar", "ar"], "splits": [3, 2], "mixture": None}], ids=str)
def model(request):
    return FractalSampler(**SMALL | {"ordering": "given"} | request.param).fit(dependent())


def distance(model, partial, n=20_000):
    """Total variation between the draws and the conditional by enumeration."""
    drawn, info = model.sample_conditional(partial[None], n, n, random_state=0, return_info=True)
    fits = (np.isnan(partial) | (partial == EVERYONE)).all(1)
    p = np.exp(model.score_samples(EVERYONE)) * fits
    frequency = np.array([(drawn[0] == row).all(1).mean() for row in EVERYONE[fits]])
    assert info["log_evidence"][0] == pytest.approx(np.log(p.sum()), abs=0.1)
    return 0.5 * np.abs(frequency - p[fits] / p.sum()).sum(), info


def test_any_mask(model):
    far, info = distance(model, np.array([np.nan, 1, np.nan, 2, 0.0]))
    assert far < 0.03
    assert not info["exact"][0]


def test_prefixes_are_exact():
    model = FractalSampler(**SMALL | {"ordering": "given"}).fit(dependent())
    far, info = distance(model, np.array([1, 1, np.nan, np.nan, np.nan]))
    assert far < 0.015
    assert info["exact"][0]
    assert info["ess"][0] == pytest.approx(20_000)


def test_density_of_an_incomplete_row_is_the_marginal(model):
    partial = np.array([[np.nan, 1, np.nan, 2, 0.0], [0, np.nan, 1, 1, np.nan]])
    fits = [(np.isnan(row) | (row == EVERYONE)).all(1) for row in partial]
    exact = [np.log(np.exp(model.score_samples(EVERYONE[f])).sum()) for f in fits]
    np.testing.assert_allclose(model.score_samples(partial), exact, atol=0.35)
    np.testing.assert_allclose(model.score_samples(partial[1:]), model.score_samples(partial)[1:])


def test_density_after_training_with_missing_values_is_the_marginal():
    rng = np.random.default_rng(0)
    X = dependent(4000).astype(float)
    holes = rng.random(X.shape) < 0.3
    params = SMALL | {"max_epochs": 10, "dims": 16, "lr": 5e-3, "mixture": "auto"}
    model = FractalSampler(**params).fit(np.where(holes, np.nan, X))
    assert model.knows_missing_
    counts = {tuple(row): (row == X).all(1).sum() for row in EVERYONE}
    p = np.array([counts[tuple(row)] for row in EVERYONE]) / len(X)
    errors = []
    for mask in ([0, 1, 0, 0, 1], [1, 0, 0, 1, 0]):
        for row in EVERYONE[rng.choice(243, 20, p=p)]:
            seen = np.array(mask) == 0
            truth = np.log(p[(EVERYONE[:, seen] == row[seen]).all(1)].sum())
            errors.append(model.score_samples(np.where(seen, row, np.nan)[None])[0] - truth)
    assert abs(np.mean(errors)) < 0.1


@pytest.mark.parametrize("params", [{}, {"mask_rate": 0.3}, {"generator": "mar", "mixture": None}])
def test_density_of_an_incomplete_row_is_the_sum_over_its_completions(params):
    model = FractalSampler(**SMALL | params).fit(dependent())
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((60, 5)) < 0.5, np.nan, EVERYONE[rng.choice(243, 60)])
    p = np.exp(model.score_samples(EVERYONE))
    fits = (np.isnan(rows)[:, None] | (rows[:, None] == EVERYONE)).all(2)
    np.testing.assert_allclose(model.score_samples(rows), np.log(fits @ p), atol=1e-5)


def test_a_gap_that_can_be_filled_in_one_way_is_filled():
    X = np.column_stack([np.full(200, 7), dependent(200)])
    model = FractalSampler(**SMALL | {"ordering": "given"}).fit(X)
    gap = X[:5].astype(float)
    gap[:, 0] = np.nan
    np.testing.assert_allclose(model.score_samples(gap), model.score_samples(X[:5]), atol=1e-5)


def test_gaps_of_a_mixture_of_numbers_are_integrated_out():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 0, 0], np.eye(3) + 0.8, 500)
    model = FractalSampler(generator=None, mixture=1, ordering="given", scaling="standard", random_state=0).fit(X)
    axis = np.linspace(-9, 9, 2001)
    row = np.column_stack([axis, np.full((2001, 2), [0.3, 1.1])])
    marginal = np.log(np.exp(model.score_samples(row)).sum() * (axis[1] - axis[0]))
    assert model.score_samples(np.array([[np.nan, 0.3, 1.1]]))[0] == pytest.approx(marginal, abs=1e-4)


def test_imputation_keeps_what_is_there_and_finds_what_is_implied():
    X = dependent().astype(float)
    model = FractalSampler(**SMALL).fit(X)
    holes = X[:40].copy()
    holes[:, 1] = np.nan
    for strategy in ("mean", "mode", "sample"):
        filled = model.impute(holes, strategy, random_state=0)
        np.testing.assert_array_equal(np.delete(filled, 1, 1), np.delete(X[:40], 1, 1))
        assert np.abs(filled[:, 1] - X[:40, 1]).mean() < 0.45
    assert np.isnan(holes).any()  # what came is left as it is
    np.testing.assert_array_equal(model.impute(X[:3]), X[:3])
    assert np.isfinite(model.impute(np.full((2, 5), np.nan))).all()


def test_completions_of_numbers_follow_the_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=800)
    model = FractalSampler(**SMALL | {"ordering": "given", "mixture": 1}).fit(
        np.column_stack([x, 2 * x + 0.1 * rng.normal(size=800)])
    )
    drawn = model.sample_conditional(np.array([[0.5, np.nan]]), 500, random_state=0)[0, :, 1]
    assert drawn.mean() == pytest.approx(1.0, abs=0.1)
    back = model.sample_conditional(np.array([[np.nan, 1.0]]), 500, 4000, random_state=0)[0, :, 0]
    assert back.mean() == pytest.approx(0.5, abs=0.1)


def test_bad_masks(model):
    with pytest.raises(InputError, match="row 1 with nothing missing"):
        model.sample_conditional(np.array([[np.nan, 1, 1, 1, 1], [0, 1, 1, 1, 1]]))
    with pytest.raises(InputError, match="row 0 with nothing given"):
        model.sample_conditional(np.full((1, 5), np.nan))
    with pytest.raises(ParameterError, match="particles"):
        model.sample_conditional(np.array([[np.nan, 1, 1, 1, 1]]), 10, 5)
    with pytest.raises(ParameterError, match="strategy"):
        model.impute(np.full((1, 5), np.nan), "median")


def test_few_particles_that_count_are_told():
    x = np.random.default_rng(0).normal(size=(300, 1))
    model = FractalSampler(**SMALL | {"ordering": "given", "mixture": 1, "generator": None}).fit(
        np.hstack([x, x + 1e-3])
    )
    with pytest.warns(UserWarning, match="particles"):
        model.sample_conditional(np.array([[np.nan, 2.5]]), 20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample_conditional(np.array([[2.5, np.nan]]), 20, random_state=0)
