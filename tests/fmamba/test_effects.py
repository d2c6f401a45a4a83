"""The regression on exogenous columns: what it finds, and that it finds nothing where there is nothing."""

import numpy as np
import pytest

from skts.fmamba.effects import Effects


def drawn(effect, n=1500, seed=0, persistence=0.8):
    """Columns that wander, what they add, and a variate whose remainder wanders too."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((n, 2)), 0.3 * rng.standard_normal(n)
    for t in range(1, n):
        x[t] += 0.9 * x[t - 1]
        noise[t] += persistence * noise[t - 1]
    added = effect(x[:, 0])
    return (added + noise)[:, None], x, added - added[: int(0.8 * n)].mean()


def lagged(x):
    return 0.8 * np.concatenate([np.zeros(3), x[:-3]])


@pytest.mark.parametrize("effect", [lambda x: 1.5 * x, np.abs, lagged, lambda x: np.exp(0.3 * x)])
@pytest.mark.parametrize("persistence", [0.0, 0.8, 1.0])
def test_an_effect_is_found_whatever_the_remainder(effect, persistence):
    y, x, added = drawn(effect, persistence=persistence)
    found = Effects.fit([y], [x], 0.2)(x)[:, 0]
    assert np.mean((found - added) ** 2) < 0.05 * added.var()


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_have_no_effect_get_none(seed):
    y, x, _ = drawn(lambda x: 0 * x, seed=seed)
    assert not Effects.fit([y], [x], 0.2)(x).any()


def test_white_remainders_are_least_squares():
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((4000, 2)), rng.standard_normal((4000, 1))
    y = x @ [[1.0], [-0.5]] + noise
    slopes = np.linalg.lstsq(x[:3200], y[:3200], rcond=None)[0]
    np.testing.assert_allclose(
        np.diff(Effects.fit([y], [x], 0.2)(np.array([[0.0, 0], [1, 0], [1, 1]])), axis=0), slopes, atol=0.02
    )


def test_columns_add_up_and_units_do_not_matter():
    y, x, _ = drawn(np.abs)
    effects = Effects.fit([y], [x], 0.2)
    np.testing.assert_allclose(effects.by_column(x).sum(1), effects(x), atol=1e-10)
    other = Effects.fit([100 * y + 7], [x * [10, 0.1] - 3], 0.2)
    np.testing.assert_allclose(other(x * [10, 0.1] - 3), 100 * effects(x), rtol=1e-6, atol=1e-6)


def test_an_effect_knows_nothing_of_later_rows_and_keeps_windows_apart():
    y, x, _ = drawn(lagged)
    effects = Effects.fit([y], [x], 0.2)
    assert effects.memory >= 3
    np.testing.assert_allclose(effects(x)[:100], effects(x[:100]), atol=1e-12)
    both = effects(np.stack([x[:50], x[50:100]]))
    np.testing.assert_allclose(both[1], effects(x[50:100]), atol=1e-12)
    np.testing.assert_allclose(both[1, effects.memory :], effects(x)[50 + effects.memory : 100], atol=1e-12)


def test_held_out_rows_decide_and_do_not_teach():
    y, x, _ = drawn(lambda x: x)
    changed = y.copy()
    changed[1200:] += 1e-3 * np.arange(300)[:, None]
    first, other = (Effects.fit([rows], [x], 0.2) for rows in (y, changed))
    np.testing.assert_allclose(first.coef, other.coef)


def test_series_of_a_panel_and_holes():
    y, x, added = drawn(lambda x: x)
    holed = np.where(np.random.default_rng(1).random(y.shape) < 0.1, np.nan, y)
    parts = slice(0, 700), slice(700, 1490), slice(1490, 1500)
    effects = Effects.fit([holed[p] for p in parts], [x[p] for p in parts], 0.2)
    assert np.var(effects(x)[:, 0] - added) < 0.05 * added.var()


def test_few_rows_and_constant_columns():
    y, x, _ = drawn(lambda x: x, n=12)
    x = np.column_stack([x, np.ones(12)])
    for held_out in (0.0, 0.2):
        assert np.isfinite(Effects.fit([y], [x], held_out)(x)).all()
