"""The periodic closed form: against least squares, and on worlds that it must foresee exactly."""

import numpy as np
import pandas as pd
import pytest
import torch

from skts import FMambaForecaster
from skts.fmamba.closed_forms import PERIODIC, fit_closed_forms
from skts.fmamba.linear import KINDS, WindowMoments, linear_forecast, ridge
from skts.fmamba.module import FMambaNet
from skts.fmamba.periodic import PeriodicMap, harmonics, n_features, periodic_features
from skts.fmamba.windows import DatedWindows

PERIOD, L, H = 12, 6, 4


def rows(n=300, N=2, seed=0):
    """A course of the day that is not a sine, its size varying, and noise."""
    t, rng = np.arange(n), np.random.default_rng(seed)
    course = np.exp(np.cos(2 * np.pi * t / PERIOD))[:, None] * rng.uniform(1, 2, N)
    return course + 0.1 * rng.standard_normal((n, N)).cumsum(0)


def angles(n):
    return (2 * np.pi * np.arange(n) / PERIOD % (2 * np.pi)).astype(np.float32)


def dated(n=300, **kwargs):
    return DatedWindows.of([rows(n, **kwargs)], [angles(n)], L, H)


def features_of(windows, n_harmonics, n_modulations):
    x, y, angle = windows.take(torch.arange(len(windows)))
    x, y = x.double(), y.double()
    mean = x.mean(1, keepdim=True)
    f = periodic_features((x - mean).permute(2, 0, 1), angle, n_harmonics, n_modulations)
    return f.numpy(), (y - mean).permute(2, 0, 1).numpy()


@pytest.mark.parametrize(("n_harmonics", "n_modulations"), [(2, 0), (3, 2)])
def test_it_is_ridge_regression_on_its_features(n_harmonics, n_modulations):
    windows = dated()
    moments = WindowMoments.of(windows, n_harmonics, n_modulations, chunk=50)
    found = ridge(moments, torch.full((2,), 0.1, dtype=torch.float64)).numpy()
    f, y = features_of(windows, n_harmonics, n_modulations)
    assert f.shape[2] == n_features(L, n_harmonics, n_modulations)
    for n in range(2):
        # a ridge penalty is least squares with rows of their own
        penalty = np.sqrt(0.1 * np.square(f[n, :, :L]).sum() / L)
        stacked = np.vstack([f[n], penalty * np.eye(f.shape[2])])
        expected = np.linalg.lstsq(stacked, np.vstack([y[n], np.zeros((f.shape[2], H))]), rcond=None)[0]
        np.testing.assert_allclose(found[n], expected, atol=1e-6)


def test_moments_add_up():
    one, other = dated(150), dated(90, seed=1)
    both = WindowMoments.of(one, 2, 1) + WindowMoments.of(other, 2, 1)
    f = [features_of(w, 2, 1)[0] for w in (one, other)]
    expected = np.concatenate(f, axis=1)
    np.testing.assert_allclose(both.ff[1].numpy(), expected[1].T @ expected[1] / expected.shape[1], rtol=1e-8)


def test_harmonics_turn_with_the_cycle_and_vanish_where_it_is_unknown():
    angle = torch.tensor([0.3, 0.3 + 2 * np.pi, torch.nan], dtype=torch.float64)
    wave = harmonics(angle, 3)
    torch.testing.assert_close(wave[0], wave[1])
    assert (wave[2] == 0).all()
    torch.testing.assert_close(wave[0, 2::2].square() + wave[0, 3::2].square(), torch.ones(2, dtype=torch.float64))


def test_every_form_is_in_the_pool_and_the_periodic_one_is_the_best_in_a_periodic_world():
    train, valid = dated(600).split(0.25, torch.Generator())
    forms = fit_closed_forms(train, valid, 4, 2)
    assert set(forms.maps) == set(forms.final) == {*KINDS, PERIODIC}
    x, y, angle = (t.numpy() for t in valid.take(torch.arange(len(valid))))
    errors = {k: np.square(linear_forecast(x, m.numpy(), angle, 4, 2) - y).mean() for k, m in forms.maps.items()}
    assert errors[PERIODIC] < 0.8 * errors["linear per variate"]


def test_groups_of_variates_do_not_matter(monkeypatch):
    train, valid = dated(N=5).split(0.25, torch.Generator())
    whole = fit_closed_forms(train, valid, 2, 1)
    monkeypatch.setattr("skts.fmamba.closed_forms._GROUP", 2)
    parts = fit_closed_forms(train, valid, 2, 1)
    for name, coef in whole.final.items():
        torch.testing.assert_close(coef, parts.final[name])


def test_map_in_the_network_is_the_map_outside():
    module = PeriodicMap(L, H, 2, 2, 1)
    module.set(torch.randn(2, n_features(L, 2, 1), H))
    x, angle = torch.randn(7, L, 2), torch.rand(7)
    expected = linear_forecast(x.numpy(), module.coef.numpy(), angle.numpy(), 2, 1)
    np.testing.assert_allclose(module(x, angle), expected, atol=1e-5)


def test_network_with_a_skip_starts_as_the_closed_form_and_leaves_it_alone():
    torch.manual_seed(0)
    net = FMambaNet(L, H, 2, d_model=8, n_heads=2, skip=True, n_harmonics=2, n_modulations=1, mix_gate=True)
    net.skip.set(torch.randn(2, n_features(L, 2, 1), H))
    x, angle = torch.randn(5, L, 2), torch.rand(5)
    torch.testing.assert_close(net(x, angle), net.skip(x, angle))
    net(x, angle).square().sum().backward()
    assert "skip.coef" not in dict(net.named_parameters())
    assert net.project.weight.grad.abs().sum() > 0


def test_training_starts_at_the_error_of_the_closed_form():
    y = pd.DataFrame(rows(400), index=pd.date_range("2024-01-01", periods=400, freq="2h"))
    slow = FMambaForecaster(context_length=24, d_model=8, max_epochs=1, lr=1e-12, random_state=0).fit(y, fh=[1, 2, 3])
    assert slow.module_config_["n_harmonics"] > 0
    np.testing.assert_allclose(slow.guard_errors_["network"], slow.guard_errors_[PERIODIC], rtol=1e-3)


def test_a_periodic_series_is_forecast_almost_exactly():
    t = np.arange(24 * 30)
    course = np.where(t % 24 < 8, 0.0, 1.0) + 0.5 * (t % 24 == 12)  # jumps that a short context cannot foresee
    y = pd.DataFrame({"a": course, "b": 3 - 2 * course}, index=pd.date_range("2024-01-01", periods=len(t), freq="h"))
    model = FMambaForecaster(context_length=30, d_model=8, max_epochs=1, random_state=0)
    forecast = model.fit(y[:-24], fh=range(1, 25)).predict()
    np.testing.assert_allclose(forecast, y[-24:], atol=0.05)


def test_expected_harmonics_stand_in_for_angles():
    x, angle = torch.randn(2, 5, L), torch.rand(5)
    torch.testing.assert_close(harmonics(harmonics(angle, 4), 3), harmonics(angle, 3))
    torch.testing.assert_close(periodic_features(x, harmonics(angle, 4), 3, 2), periodic_features(x, angle, 3, 2))
    net = FMambaNet(L, H, 2, d_model=8, n_heads=2, skip=True, n_harmonics=2, n_modulations=1, phase_embed=3).eval()
    torch.testing.assert_close(net(x.permute(1, 2, 0), harmonics(angle, 3)), net(x.permute(1, 2, 0), angle))
