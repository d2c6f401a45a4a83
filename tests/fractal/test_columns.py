"""Columns become codes and numbers, and come back."""

import numpy as np
import pytest

from skts.errors import InputError, ParameterError
from skts.fractal.bins import bin_codes, bin_log_density, bin_values, make_bins
from skts.fractal.columns import Columns

RNG = np.random.default_rng(0)


def columns(rows, leaf="auto", repeats=None):
    return Columns.learn(rows, leaf, 16, repeats or rows.shape[1])


def test_kinds_are_read_from_the_values():
    zeros = np.where(RNG.random(300) < 0.5, 0.0, RNG.exponential(size=300))
    rows = np.column_stack([RNG.integers(-2, 5, 300), RNG.normal(size=300), zeros, RNG.choice([1, 1000], 300)])
    assert columns(rows).kinds == ("ordinal", "mix", "bins", "categorical")


@pytest.mark.parametrize("leaf", ["auto", "bins"])
def test_round_trip(leaf):
    rows = np.column_stack([RNG.normal(3, 9, 200), RNG.integers(0, 4, 200)]).astype(float)
    learned = columns(rows, leaf)
    codes, _ = learned.encode(rows)
    back = learned.decode(codes.astype(float), np.full(codes.shape, 0.5))
    np.testing.assert_array_equal(learned.encode(back)[0], codes)
    if leaf == "auto":
        np.testing.assert_allclose(back, rows, atol=1e-4)


def test_a_vocabulary_is_shared_among_like_slots():
    rows = np.column_stack([RNG.integers(0, 3, 50), RNG.integers(5, 9, 50)]).astype(float)
    learned = columns(rows, repeats=1)
    assert learned.n_values == [9, 9]
    learned.encode(np.array([[8.0, 0.0]]))  # neither slot has had that value


def test_missing_values_stay_missing():
    rows = np.column_stack([RNG.normal(size=50), RNG.integers(0, 3, 50)]).astype(float)
    rows[3, 0] = rows[4, 1] = np.nan
    codes, left_out = columns(rows).encode(rows)
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(rows))
    assert (left_out[np.isnan(rows)] == 0).all()


def test_a_value_that_fit_has_not_seen():
    learned = columns(RNG.integers(0, 3, (50, 2)).astype(float))
    with pytest.raises(InputError, match=r"Got 7 in slot 1"):
        learned.encode(np.array([[0.0, 7.0]]))


def test_leaves_that_do_not_fit():
    with pytest.raises(ParameterError, match="whole numbers"):
        columns(RNG.normal(size=(50, 1)), "ordinal")
    with pytest.raises(ParameterError, match="leaves among"):
        columns(RNG.normal(size=(50, 1)), "gaussian")


@pytest.mark.parametrize("kind", ["normal", "tied", "constant", "two"])
def test_bins_hold_a_density_each(kind):
    column = {
        "normal": RNG.normal(size=400),
        "tied": np.where(RNG.random(400) < 0.3, 1.0, RNG.normal(size=400)),
        "constant": np.ones(30),
        "two": RNG.choice([0.0, 2.5], 40),
    }[kind]
    bins = make_bins(column, 12)
    grid = np.linspace(-60, 60, 240_001) + 1e-7
    codes = bin_codes(bins, grid)
    density = np.exp(bin_log_density(bins, codes, grid))
    for k in np.flatnonzero(bins[:, 0] < bins[:, 1]):
        assert np.trapezoid(np.where(codes == k, density, 0), grid) == pytest.approx(1, abs=2e-2)
    drawn = bin_values(bins, codes, RNG.random(len(codes)))
    np.testing.assert_array_equal(bin_codes(bins, drawn), codes)
    atoms = bins[bins[:, 0] == bins[:, 1], 0]
    assert set(atoms) == {"normal": set(), "tied": {1.0}, "constant": {1.0}, "two": {0.0, 2.5}}[kind]
