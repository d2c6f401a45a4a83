"""A layout is a permutation with padding; levels and splits."""

import numpy as np
import pytest

from skts.errors import ParameterError
from skts.fractal.layout import lay_out

SHAPES = [
    ("table", (1,)),
    ("table", (7,)),
    ("table", (180,)),
    ("series", (24, 6)),
    ("series", (5, 1)),
    ("series", (100, 20)),
    ("image", (8, 8)),
    ("image", (28, 28)),
    ("image", (28, 20)),
    ("image", (5, 3, 3)),
    ("image", (70, 64)),
]


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_every_slot_stands_once_and_in_order(kind, shape):
    layout = lay_out(kind, shape)
    assert sorted(layout.order) == list(range(int(np.prod(shape))))
    assert list(layout.places) == sorted(set(layout.places))
    assert layout.places[-1] < layout.n_leaves
    assert max(layout.arities) <= 64
    X = np.random.default_rng(0).normal(size=(3, *shape))
    np.testing.assert_array_equal(layout.restore(layout.flatten(X)), X)


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_blocks_are_stretches_of_the_visit(kind, shape):
    layout = lay_out(kind, shape)
    visited = layout.flatten(layout.blocks[None])[0]
    assert layout.blocks.shape == shape
    assert visited[0] == 0
    assert set(np.diff(visited)) <= {0, 1}
    assert np.bincount(visited).max() <= layout.n_leaves // layout.arities[0]


def test_series_are_visited_in_time():
    layout = lay_out("series", (24, 6))
    assert list(layout.order) == list(range(144))
    assert layout.arities == (6, 4, 6)


def test_image_blocks_are_squares():
    layout = lay_out("image", (8, 8), splits=[4, 2])
    first_block = np.array(layout.order[:4])
    assert set(zip(first_block // 8, first_block % 8, strict=True)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert layout.arities == (16, 4)


def test_channels_of_a_pixel_stand_together():
    layout = lay_out("image", (4, 4, 3))
    np.testing.assert_array_equal(np.reshape(layout.order, (-1, 3)) % 3, np.tile([0, 1, 2], (16, 1)))
    assert layout.repeats == 3


def test_order_and_splits_of_a_table():
    layout = lay_out("table", (5,), order=[4, 2, 0, 1, 3], splits=[3, 2])
    assert layout.order == (4, 2, 0, 1, 3)
    np.testing.assert_array_equal(layout.opening_levels, [0, 1, 0, 1, 0])


@pytest.mark.parametrize(("kind", "shape", "splits"), [("table", (9,), [2, 4]), ("image", (8, 8), [2, 2])])
def test_splits_that_leave_slots_out(kind, shape, splits):
    with pytest.raises(ParameterError, match="product"):
        lay_out(kind, shape, splits=splits)
