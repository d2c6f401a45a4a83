"""Series that are drawn for pre-training."""

import numpy as np
import pytest

from skts.moment.corpus import draw_series


def test_they_are_standardised_and_of_the_lengths_asked_for():
    series = draw_series(300, random_state=0, shortest=30, longest=90)
    lengths = np.array([len(x) for x in series])
    assert lengths.min() >= 30
    assert lengths.max() <= 90
    assert np.median(lengths) < 60  # uniform on a logarithmic scale
    for x in series:
        assert x.dtype == np.float32
        assert abs(x.mean()) < 1e-4
        assert x.std() == pytest.approx(1, abs=1e-3)


def test_the_seed_decides():
    one, same, other = (np.concatenate(draw_series(5, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[:24], other[:24])


def test_they_are_of_many_kinds():
    """From nearly white noise to nearly smooth, and no two alike."""
    series = draw_series(200, random_state=0, shortest=200, longest=200)
    echo = np.array([np.mean(x[1:] * x[:-1]) for x in series])
    assert np.quantile(echo, 0.1) < 0.6
    assert np.quantile(echo, 0.9) > 0.98
    alike = np.corrcoef(np.stack(series)) - np.eye(200)
    assert np.abs(alike).max() < 0.9999
    assert np.median(np.abs(alike)) < 0.2
