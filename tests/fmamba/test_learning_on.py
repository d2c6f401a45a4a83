"""``update(update_params=True)``: the network learns on from new rows, and only where that does no harm."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from skts import load, save
from skts.fmamba.replay import Replay
from tests.fmamba.test_estimator import forecaster, panel, waves

LEARNING = {"guard": None, "lr": 0.02, "max_epochs": 10, "patience": None}


def cycles(n, period, start="2024-01-01", level=0.0, seed=0):
    """Sawtooth waves of a period."""
    t, rng = np.arange(n)[:, None], np.random.default_rng(seed)
    values = (t + np.arange(3)) % period / period + 0.2 * rng.standard_normal((n, 3)) + level
    return pd.DataFrame(values, pd.date_range(start, periods=n, freq="h"), ["a", "b", "c"])


def weights(model):
    return torch.cat([w.flatten() for w in model.module_.state_dict().values()])


@pytest.fixture(scope="module")
def fitted():
    return forecaster(**LEARNING, variant="arxiv", d_model=16).fit(cycles(700, 8), fh=[1, 2, 3, 4])


def error(model, y):
    view = np.lib.stride_tricks.sliding_window_view(y.to_numpy(), 16, axis=0).transpose(0, 2, 1)
    return ((model.predict_windows(view[:, :12]) - view[:, 12:]) ** 2).mean()


def test_an_update_learns_what_has_changed_and_keeps_what_it_knew(fitted):
    new = cycles(600, 5, "2024-01-30 04:00", level=3.0, seed=1)
    assert new.index[0] == fitted.cutoff[0] + pd.Timedelta("1h")
    stale, learned = copy.deepcopy(fitted), copy.deepcopy(fitted)
    stale.update(new.iloc[:500], update_params=False)
    learned.update(new.iloc[:500])
    assert learned.updates_[-1]["step"] > 0
    assert error(learned, new.iloc[500:]) < 0.9 * error(stale, new.iloc[500:])
    assert error(learned, cycles(200, 8, seed=2)) < 1.15 * error(stale, cycles(200, 8, seed=2))
    torch.testing.assert_close(weights(stale), weights(fitted), rtol=0, atol=0)
    assert learned.unlearned_.tolist() == [0]


def test_an_update_that_helps_nobody_is_undone(fitted):
    model = copy.deepcopy(fitted)
    model.lr = 10.0  # ruinous
    model.update(cycles(200, 8, "2024-01-30 04:00", seed=1))
    assert model.updates_[-1]["step"] == 0
    torch.testing.assert_close(weights(model), weights(fitted), rtol=0, atol=0)


def test_updates_are_the_same_each_time(fitted):
    new = cycles(300, 5, "2024-01-30 04:00", seed=1)
    one, other = (copy.deepcopy(fitted).update(new) for _ in range(2))
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


def test_few_rows_wait_until_they_are_enough(fitted, tmp_path):
    model, new = copy.deepcopy(fitted), cycles(120, 5, "2024-01-30 04:00", seed=1)
    model.update(new.iloc[:40])
    assert model.unlearned_.tolist() == [40]
    assert model.updates_ == []
    save(model, tmp_path / "f.skts")
    model = load(tmp_path / "f.skts").update(new.iloc[40:])
    assert model.unlearned_.tolist() == [0]
    assert len(model.updates_) == 1


def test_a_panel_learns_on_from_any_of_its_series():
    model = forecaster(**LEARNING).fit(panel(80, 80), fh=[1, 2])
    newer = waves(160, seed=1).reset_index(drop=True).iloc[80:]
    model.update(pd.concat({"p1": newer}, names=["site", "t"]))
    assert len(model.updates_) == 1
    assert model.unlearned_.tolist() == [0, 0]
    assert np.isfinite(model.predict().to_numpy()).all()


def test_a_network_without_a_share_is_not_trained():
    line = pd.DataFrame(np.outer(np.arange(200.0), [1.0, -2.0]), columns=["up", "down"])
    model = forecaster().fit(line.iloc[:140], fh=[1, 2])
    assert not model.guard_weights_["network"].any()
    assert model.update(line.iloc[140:]).updates_ == []


def test_windows_of_each_part_foresee_the_rows_of_that_part():
    parts = Replay.of([30, 20], [10, 0], context=4, horizon=2, held_out=0.2)
    # Rows 0 to 15, 16 to 19, 20 to 27 and 28 to 29 of the first series; 0 to 15 and 16 to 19 of the second.
    assert parts.old.tolist() == [*range(0, 11), *range(30, 41)]
    assert parts.old_held_out.tolist() == [*range(12, 15), *range(42, 45)]
    assert parts.new.tolist() == [*range(16, 23)]
    assert parts.new_held_out.tolist() == [24]
    mixed = parts.mixed(8, torch.Generator().manual_seed(0))
    assert len(set(mixed.tolist()) & set(parts.new.tolist())) == len(set(mixed.tolist()) & set(parts.old.tolist())) == 4
    assert not Replay.of([30], [3], 4, 2, 0.2).enough()
