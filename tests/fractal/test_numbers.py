"""Normal distributions: both ways to the same numbers, and regressions that reach only so far."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skts.fractal import numbers
from skts.fractal.em import Shape
from skts.fractal.incomplete import IncompleteNumbers, numbers_of
from skts.fractal.numbers import Numbers
from skts.fractal.search import MixtureSearch

RNG = np.random.default_rng(0)


def components(n=300, d=4, K=3):
    X = RNG.normal(size=(n, d)) @ RNG.normal(size=(d, d))
    return X, RNG.dirichlet(np.ones(K), size=n)


def test_moments_and_components_one_by_one_agree(monkeypatch):
    X, R = components()
    by_moments = Numbers(X, True)
    monkeypatch.setattr(numbers, "_MOST_MOMENTS", 0)
    one_by_one = Numbers(X, True)
    assert by_moments.moments is not None
    assert one_by_one.moments is None
    for ours, theirs in zip(by_moments.maximise(R, 2.0, 4), one_by_one.maximise(R, 2.0, 4), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    mu, L = by_moments.maximise(R, 2.0, 4)
    np.testing.assert_allclose(by_moments.log_prob(mu, L), one_by_one.log_prob(mu, L), atol=1e-7)


@pytest.mark.parametrize("full", [True, False])
def test_log_densities_are_those_of_normal_distributions(full):
    X, R = components()
    rows = Numbers(X, full)
    mu, L = rows.maximise(R, 0.0, 4)
    covariance = L @ L.transpose(0, 2, 1) if full else np.stack([np.diag(std**2) for std in L])
    expected = [multivariate_normal(m, c).logpdf(X) for m, c in zip(mu, covariance, strict=True)]
    np.testing.assert_allclose(rows.log_prob(mu, L), np.stack(expected, 1), atol=1e-6)
    weighted = np.cov(X.T, aweights=R[:, 0], ddof=0)
    np.testing.assert_allclose(covariance[0], weighted if full else np.diag(np.diag(weighted)), atol=1e-6)


def test_a_number_depends_only_on_those_in_reach():
    X, R = components(d=6)
    _, L = Numbers(X, True).maximise(R, 1.0, 2)
    back = np.linalg.inv(L)
    far = np.subtract.outer(np.arange(6), np.arange(6)) > 2
    assert np.abs(back[:, far]).max() < 1e-12
    full = Numbers(X, True).maximise(R, 1.0, 5)[1]
    near = np.abs(np.subtract.outer(np.arange(6), np.arange(6))) <= 2
    covariance, nearest = full @ full.transpose(0, 2, 1), L @ L.transpose(0, 2, 1)
    np.testing.assert_allclose(nearest[:, near], covariance[:, near], rtol=1e-6)


def test_walks_are_fitted_with_a_short_reach_and_not_by_heart():
    walks = RNG.normal(size=(300, 40)).cumsum(1)
    walks = (walks - walks.mean(0)) / walks.std(0)
    held = np.arange(300) % 4 == 0
    shape = Shape([0] * 40, 0, [], np.zeros(0, dtype=bool), full=True)
    found = MixtureSearch(walks, 0 * walks, np.zeros(300, dtype=int), None, shape, held, seed=0).best(1)
    assert found.restraint.reach == 8
    freely = Numbers(walks[~held], True).maximise(np.ones((sum(~held), 1)), found.restraint.strength, 39)

    def learned_by_heart(mu, L):
        z = np.linalg.solve(L[0], (walks - mu[0]).T)
        return z[:, held].std() / z[:, ~held].std()

    assert learned_by_heart(found.buffers["mu"], found.buffers["L"]) < 1.1 < learned_by_heart(*freely)


def test_incomplete_rows_are_judged_by_what_they_hold():
    X, R = components(d=4)
    holes = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
    mu, L = Numbers(X, True).maximise(R, 1.0, 4)
    log_prob = IncompleteNumbers(holes, True).log_prob(mu, L)
    for row, said in zip(holes[:40], log_prob[:40], strict=True):
        o = np.isfinite(row)
        S = L @ L.transpose(0, 2, 1)
        for k in range(len(mu)):
            expected = multivariate_normal(mu[k, o], S[k][np.ix_(o, o)]).logpdf(row[o]) if o.any() else 0.0
            assert said[k] == pytest.approx(expected, abs=1e-8)


def test_a_step_with_nothing_missing_is_the_complete_one():
    X, R = components()
    step = IncompleteNumbers(X, True)
    step.caution = 0.0
    for ours, theirs in zip(step.maximise(R, 2.0, 4), Numbers(X, True).maximise(R, 2.0, 4), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("full", [True, False])
def test_covariances_survive_missing_numbers(full):
    Z = RNG.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 4000)
    Z[RNG.random(Z.shape) < 0.3] = np.nan
    rows, found = numbers_of(Z, full), None
    assert isinstance(rows, IncompleteNumbers)
    for _ in range(30):
        found = rows.maximise(np.ones((len(Z), 1)), 0.0, 1, found)
    covariance = found[1][0] @ found[1][0].T if full else np.diag(found[1][0] ** 2)
    np.testing.assert_allclose(covariance, [[1, 0.9 * full], [0.9 * full, 1]], atol=0.05)
