"""The usual course through the cycle."""

import numpy as np

from skts.fmamba.course import angles_ahead, course_at, fit_course


def test_a_course_is_found_through_holes_and_read_at_any_angle():
    rng, angles = np.random.default_rng(0), 2 * np.pi * np.arange(240) / 24
    true = lambda a: np.stack([np.cos(a), 0.5 * np.sin(2 * a)], axis=-1)  # noqa: E731
    rows = true(angles) + 0.05 * rng.standard_normal((240, 2))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    coef = fit_course([rows[:100], rows[100:]], [angles[:100], angles[100:]], 3)
    other = rng.random((4, 5)) * 2 * np.pi
    np.testing.assert_allclose(course_at(other, coef), true(other), atol=0.05)
    np.testing.assert_allclose(angles_ahead(angles[:3], 2, 24)[:, 1], angles[1:4])


def test_what_is_unknown_has_no_course():
    coef = fit_course([np.full((50, 1), np.nan)], [np.arange(50.0)], 2)
    assert coef.shape == (4, 1)
    assert not coef.any()
    assert not course_at(np.array([np.nan]), np.ones((4, 1))).any()
    assert course_at(np.zeros(2), np.zeros((0, 3))).shape == (2, 3)
