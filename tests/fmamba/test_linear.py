"""The closed forms against least squares of scikit-learn, and against what they must reproduce exactly."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from skts.engine import WindowBatches
from skts.errors import ParameterError
from skts.fmamba import LinearForecaster
from skts.fmamba.linear import KINDS, WindowMoments, closed_form, linear_forecast, solve_linear


def series(n=120, N=2, seed=0):
    return np.random.default_rng(seed).standard_normal((n, N)).cumsum(0) * 0.1


def windows(n=120, L=5, H=2, **kwargs):
    return WindowBatches.of([series(n, **kwargs)], L, H)


def pairs(batches):
    x, y = batches.take(torch.arange(len(batches)))
    return x.numpy(), y.numpy()


def test_without_penalty_it_is_least_squares(monkeypatch):
    monkeypatch.setattr("skts.fmamba.linear.ALPHAS", (1e-12,))
    data = windows()
    coef = solve_linear(WindowMoments.of(data), WindowMoments.of(data)).numpy()
    x, y = pairs(data)
    mean = x.mean(1, keepdims=True)
    for n in range(2):
        # the features sum to zero in each window, so the minimum-norm solution is one of many; predictions agree
        expected = (
            LinearRegression(fit_intercept=False)
            .fit((x - mean)[..., n], (y - mean)[..., n])
            .predict((x - mean)[..., n])
        )
        found = linear_forecast(x, coef)[..., n] - mean[..., n]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pooled_map_is_least_squares_over_all_variates(monkeypatch):
    monkeypatch.setattr("skts.fmamba.linear.ALPHAS", (1e-12,))
    data = windows(N=3)
    moments = WindowMoments.of(data)
    coef = closed_form("linear", moments, moments).numpy()
    x, y = pairs(data)
    mean = x.mean(1, keepdims=True)
    flat = lambda a: a.transpose(2, 0, 1).reshape(-1, a.shape[1])  # noqa: E731
    expected = Ridge(1e-10, fit_intercept=False).fit(flat(x - mean), flat(y - mean)).predict(flat(x - mean))
    np.testing.assert_allclose(flat(linear_forecast(x, coef) - mean), expected, atol=1e-5)


def test_error_from_moments_is_the_error_on_the_windows():
    train, valid = windows(seed=0), windows(seed=1)
    unseen = WindowMoments.of(valid)
    for kind in KINDS:
        coef = closed_form(kind, WindowMoments.of(train), unseen)
        x, y = pairs(valid)
        direct = ((linear_forecast(x, coef.numpy()) - y) ** 2).mean((0, 1))
        np.testing.assert_allclose(unseen.error(coef).numpy(), direct, rtol=1e-6)


def test_last_value_repeats():
    x = np.random.default_rng(0).standard_normal((4, 5, 2))
    coef = closed_form("last value", WindowMoments.of(windows()), None).numpy()
    np.testing.assert_allclose(linear_forecast(x, coef), np.repeat(x[:, -1:], 2, axis=1))


@pytest.mark.parametrize("kind", ["linear", "linear per variate"])
def test_a_sine_is_continued(kind):
    t = np.arange(300)
    y = pd.DataFrame({"a": np.sin(t / 4), "b": 3 * np.cos(t / 4) + 7})
    forecast = LinearForecaster(kind, context_length=20).fit(y.iloc[:280], fh=range(1, 21)).predict()
    np.testing.assert_allclose(forecast, y.iloc[280:], atol=0.05)


def test_units_do_not_matter():
    y = pd.DataFrame(series(200, 3))
    one, other = (LinearForecaster(context_length=10).fit(v, fh=[1, 2]).predict() for v in (y, y * [1, 1e3, 1e-3] + 9))
    np.testing.assert_allclose(one * [1, 1e3, 1e-3] + 9, other, rtol=1e-6)


def test_bad_parameters():
    with pytest.raises(ParameterError, match="kind"):
        LinearForecaster("quadratic").fit(pd.DataFrame(series()), fh=[1])
