"""Batches: every sample once, windows that never cross a join, splits that do not leak."""

import itertools

import numpy as np
import pytest
import torch

from skts.engine.batches import ArrayBatches, WindowBatches, as_tensor, iterate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 100])
@pytest.mark.parametrize("shuffle", [False, True])
def test_one_pass_takes_every_sample_once(batch_size, shuffle):
    batches = ArrayBatches.of(np.arange(10))
    parts = [batch[0] for batch, _, _ in iterate(batches, batch_size, generator() if shuffle else None)]
    assert sorted(torch.cat(parts).tolist()) == list(range(10))
    assert [len(p) for p in parts].count(1) == 0 or batch_size == 1


def test_passes_differ_with_one_generator_and_agree_with_equal_ones():
    batches, g = ArrayBatches.of(np.arange(50)), generator()
    orders = [torch.cat([b[0] for b, _, _ in iterate(batches, 8, g)]).tolist() for _ in range(2)]
    again = torch.cat([b[0] for b, _, _ in iterate(batches, 8, generator())]).tolist()
    assert orders[0] != orders[1]
    assert orders[0] == again


def test_memory_map_is_not_copied(tmp_path):
    disk = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(100, 3))
    disk[:] = np.arange(300).reshape(100, 3)
    batches = ArrayBatches.of(np.memmap(tmp_path / "x", dtype=np.float32, mode="r", shape=(100, 3)))
    disk[7] = -1.0
    assert batches.take(torch.tensor([7]))[0].eq(-1).all()


def test_arrays_share_memory_and_reversed_ones_are_copied():
    x = np.zeros((4, 2), np.float32)
    assert np.shares_memory(as_tensor(x).numpy(), x)
    assert as_tensor(x[::-1]).shape == (4, 2)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.99])
def test_random_split_is_a_partition_and_keeps_a_training_row(fraction):
    train, valid = ArrayBatches.of(np.arange(11), sample_weight=np.arange(11.0)).split(fraction, generator())
    rows = [part.take(torch.arange(len(part)))[0].tolist() for part in (train, valid) if part is not None]
    assert sorted(itertools.chain(*rows)) == list(range(11))
    assert len(train) >= 1
    assert (valid is None) == (fraction == 0)
    assert train.weights(torch.arange(len(train))).tolist() == rows[0]


def test_split_of_a_split_stays_inside():
    train, _ = ArrayBatches.of(np.arange(20)).split(0.5, generator())
    inner, held = train.split(0.5, generator(1))
    all_rows = set(train.take(torch.arange(len(train)))[0].tolist())
    parts = [set(p.take(torch.arange(len(p)))[0].tolist()) for p in (inner, held)]
    assert parts[0] | parts[1] == all_rows
    assert not parts[0] & parts[1]


def series(*lengths):
    """Series whose values tell series and time: 1000 * series + time."""
    return [np.arange(n, dtype=np.float32)[:, None] + 1000 * i for i, n in enumerate(lengths)]


def test_windows_are_contiguous_and_stay_in_their_series():
    windows = WindowBatches.of(series(10, 3, 8), context=4, horizon=2)
    assert len(windows) == 5 + 0 + 3
    x, y = windows.take(torch.arange(len(windows)))
    both = torch.cat([x, y], 1).squeeze(-1)
    assert x.shape[1:] == (4, 1)
    assert y.shape[1:] == (2, 1)
    assert (both.diff(dim=1) == 1).all()


def test_validation_windows_foresee_only_held_out_rows():
    train, valid = WindowBatches.of(series(100, 50), 8, 4).split(0.2, generator())
    _, y_train = train.take(torch.arange(len(train)))
    _, y_valid = valid.take(torch.arange(len(valid)))
    for first, cut in ((0, 80), (1000, 1040)):
        inside = lambda t, first=first: t[(t >= first) & (t < first + 1000)]  # noqa: E731
        assert inside(y_train).max() == cut - 1
        assert inside(y_valid).min() == cut


def test_short_series_of_a_panel_are_held_out_whole():
    train, valid = WindowBatches.of(series(*[12] * 10), 8, 4).split(0.2, generator())
    owners = [set((p.take(torch.arange(len(p)))[0][:, 0, 0] // 1000).tolist()) for p in (train, valid)]
    assert len(owners[1]) == 2
    assert not owners[0] & owners[1]


def test_one_short_series_has_no_validation_part():
    windows = WindowBatches.of(series(13), 8, 4)
    assert windows.split(0.2, generator()) == (windows, None)
