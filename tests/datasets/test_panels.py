import numpy as np
import pytest

from skts.datasets import make_annotated_series, make_factor_panel
from skts.errors import InputError

FACTORS = ["trend", "frequency", "amplitude", "phase", "baseline"]
KINDS = ["regimes", "outliers", "trends", "anomalies", "seasonal"]
T = np.linspace(0, 1, 512)
WAVE = np.sin(2 * np.pi * 16 * T)


@pytest.mark.parametrize("factor", FACTORS)
def test_without_noise_the_factor_can_be_read_off(factor):
    X, c = make_factor_panel(factor, n_series=9, noise=0, random_state=0)
    assert X.shape == (9, 512)
    if factor == "frequency":
        found = [np.abs(np.sin(2 * np.pi * k * T) - x).max() for k, x in zip(c, X, strict=True)]
        assert max(found) < 1e-9
    elif factor == "phase":
        np.testing.assert_allclose(X[:, 0], np.sin(c), atol=1e-9)
    elif factor == "amplitude":
        np.testing.assert_allclose(X @ WAVE / (WAVE @ WAVE), c)
    elif factor == "baseline":
        np.testing.assert_allclose(X[:, 0], c, atol=1e-9)
    else:
        np.testing.assert_allclose((X - WAVE)[:, [128, 400]], T[[128, 400]] ** c[:, None])


@pytest.mark.parametrize(
    ("factor", "low", "high"),
    [("trend", 1 / 8, 8), ("frequency", 1, 32), ("amplitude", 1 / 4, 4), ("phase", 0, 2 * np.pi), ("baseline", -2, 2)],
)
def test_factors_fill_their_range_in_random_order(factor, low, high):
    c = make_factor_panel(factor, n_series=101, random_state=0)[1]
    assert (c.min(), c.max()) == (pytest.approx(low), pytest.approx(high))
    steps = np.diff(np.sort(np.log(c) if factor in ("trend", "amplitude") else c))
    np.testing.assert_allclose(steps, steps[0])
    assert abs(np.corrcoef(c, np.arange(101))[0, 1]) < 0.3


def test_noise_and_frequency_are_those_asked_for():
    clean = make_factor_panel("baseline", n_series=50, frequency=3, noise=0, random_state=0)[0]
    noisy = make_factor_panel("baseline", n_series=50, frequency=3, noise=0.5, random_state=0)[0]
    assert np.std(noisy - clean) == pytest.approx(0.5, rel=0.02)
    spectrum = np.abs(np.fft.rfft(clean - clean.mean(1, keepdims=True)))[0]
    assert spectrum.argmax() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_series_and_labels_have_one_length(kind):
    series, y = make_annotated_series(kind, random_state=0)
    usual = {"anomalies": 550, "seasonal": 440}.get(kind, 4800)
    assert series.shape == ((3, usual) if kind == "anomalies" else (usual,))
    assert y.shape == (usual,)
    assert y.dtype == np.int64
    assert np.isfinite(series).all()
    expected = {"regimes": {0, 1, 2, 3}, "trends": {-1, 0, 1}}.get(kind, {0, 1})
    assert set(y.tolist()) == expected
    assert make_annotated_series(kind, 64, random_state=0)[0].shape[-1] == 64


@pytest.mark.parametrize(
    "make", [lambda s: make_factor_panel("trend", 5, random_state=s), lambda s: make_annotated_series(random_state=s)]
)
def test_a_seed_gives_the_same_data_and_another_one_others(make):
    np.testing.assert_array_equal(make(0)[0], make(0)[0])
    assert not np.array_equal(make(0)[0], make(1)[0])


def test_each_regime_has_its_spectrum():
    series, y = make_annotated_series("regimes", 20_000, noise=0, random_state=0)
    at = {24: [], 8: [], 168: [], 48: []}
    for start in range(0, 20_000 - 336, 336):
        part = y[start : start + 336]
        if part.min() == part.max():
            power = np.abs(np.fft.rfft(series[start : start + 336])) ** 2 / 336**2
            for period, found in at.items():
                found.append((part[0], power[336 // period]))
    mean = {
        p: [np.mean([v for k, v in found if k == label] or [np.nan]) for label in range(4)] for p, found in at.items()
    }
    assert np.nanargmax(mean[8]) == 3
    assert np.nanargmax(mean[168]) == 2
    assert np.nanargmax(mean[48]) == 1


def test_trends_are_the_slope_of_their_steps():
    series, y = make_annotated_series("trends", noise=0, random_state=0)
    level = series - np.sin(2 * np.pi * np.arange(4800) / 96)
    np.testing.assert_allclose(np.diff(level), 0.01 * y[1:], atol=1e-9)


def test_outliers_and_anomalies_are_where_the_labels_say():
    series, y = make_annotated_series("outliers", noise=0, random_state=0)
    wave = np.sin(2 * np.pi * np.arange(4800) / 96)
    np.testing.assert_allclose(series[y == 0], wave[y == 0])
    assert (np.abs(series - wave)[y == 1] > 1e-6).mean() > 0.9
    assert np.count_nonzero(np.diff(y) == 1) == 15
    channels, y = make_annotated_series("anomalies", random_state=0)
    assert np.count_nonzero(y) == 40
    assert (channels[:, y == 1].mean(1) < -1).all()


def test_seasonal_is_search_volume():
    series, y = make_annotated_series("seasonal", random_state=0)
    assert series.min() >= 0
    assert series.max() == 1
    years = series[:416].reshape(8, 52)
    assert set(years.argmax(1).tolist()) <= {46, 47, 48}
    assert series[y == 1].mean() > 3 * series[y == 0].mean()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: make_factor_panel("colour"), "a factor out of"),
        (lambda: make_factor_panel(n_series=0), "n_series"),
        (lambda: make_factor_panel(noise=-1), "noise"),
        (lambda: make_annotated_series("S1"), "a kind out of"),
        (lambda: make_annotated_series(n_timepoints=63), "at least 64"),
    ],
)
def test_what_cannot_be_made_is_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()
