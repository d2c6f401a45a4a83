"""Windows with their angles, samples of them, and what a data set's shape decides."""

import numpy as np
import pandas as pd
import pytest
import torch

from skts import FMambaForecaster
from skts.fmamba.cycle import Cycle
from skts.fmamba.defaults import WIDE, carried, defaults
from skts.fmamba.windows import DatedWindows

L, H = 4, 3


def counted(*lengths):
    """Rows and angles that both say how many rows stand before them."""
    series = [np.arange(n, dtype=np.float32)[:, None] + 1000 * i for i, n in enumerate(lengths)]
    return DatedWindows.of(series, [s[:, 0] for s in series], L, H)


def test_the_angle_is_that_of_the_first_step_of_the_horizon():
    windows = counted(20, 15)
    x, y, angle = windows.take(torch.arange(len(windows)))
    torch.testing.assert_close(angle, y[:, 0, 0])
    torch.testing.assert_close(angle, x[:, -1, 0] + 1)


def test_the_parts_keep_their_angles():
    for part in counted(40).split(0.25, torch.Generator()):
        _, y, angle = part.take(torch.arange(len(part)))
        torch.testing.assert_close(angle, y[:, 0, 0])


def test_a_sample_takes_one_window_of_each_stretch_and_another_one_next_time():
    windows = counted(106)  # 100 windows
    sample = windows.sampled(20, seed=0)
    assert len(sample) == 20
    first, second = (sample.take(torch.arange(20))[0][:, 0, 0] for _ in range(2))
    for drawn in (first, second):
        torch.testing.assert_close(torch.div(drawn, 5, rounding_mode="floor"), torch.arange(20.0))
    assert (first != second).any()


def test_without_a_seed_the_sample_is_always_the_same_and_small_sets_are_taken_whole():
    windows = counted(106)
    even = windows.sampled(20)
    torch.testing.assert_close(even.take(torch.arange(20))[0][:, 0, 0], 5 * torch.arange(20.0))
    assert len(windows.sampled(1000, seed=0)) == 100


def test_windows_per_epoch_bounds_an_epoch():
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((400, 2)).cumsum(0))
    seen = []

    class Counting(FMambaForecaster):
        def _loss(self, module, contexts, targets, angles):
            if module.training:
                seen.append(len(contexts))
            return super()._loss(module, contexts, targets, angles)

    small = {"context_length": 8, "d_model": 8, "n_layers": 1, "max_epochs": 2, "mamba": None}
    Counting(**small, module_kwargs={"windows_per_epoch": 50}).fit(y, fh=[1])
    assert 2 * 40 <= sum(seen) <= 2 * 60


def test_harmonics_need_turns_of_the_cycle():
    day = Cycle(24.0, 1.0, False)
    assert defaults(3, 96, 24, 24 * 100, day)["n_modulations"] == 2
    assert defaults(3, 96, 24, 24 * 10, day)["n_modulations"] == 0
    assert defaults(3, 96, 24, 24 * 10, day)["n_harmonics"] == 4
    assert defaults(3, 96, 24, 24 * 2, day)["n_harmonics"] == 0
    assert (
        defaults(3, 96, 24, 10_000, Cycle(7.0, 1.0, False))["n_harmonics"] == 3
    )  # the fourth is an alias of the third
    assert defaults(3, 96, 24, 10_000, None)["phase_embed"] == 0


@pytest.mark.parametrize("n_variates", [WIDE - 1, WIDE])
def test_many_sensors_are_mixed_from_the_start(n_variates):
    wide = n_variates == WIDE
    found = defaults(n_variates, 24, 12, 1000, None)
    assert found["skip"] is not wide
    assert found["mix_gate"] == ("mamba" if wide else True)


def test_weights_of_single_variates_are_looked_up_by_column():
    weights = {"variate_position": torch.arange(3.0)[:, None], "skip.coef": torch.arange(3.0)[:, None, None]}
    found = carried(weights, ["a", "b", "c"], ["c", "new", "a"])
    assert found["variate_position"].flatten().tolist() == [2.0, 0.0, 0.0]
    assert found["skip.coef"].flatten().tolist() == [2.0, 1.0, 0.0]


def test_for_many_sensors_the_scan_comes_second_and_never_makes_it_worse():
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((60, WIDE)).cumsum(0))
    small = {"context_length": 6, "d_model": 8, "n_layers": 1, "max_epochs": 2, "guard": None, "random_state": 0}
    model = FMambaForecaster(**small, module_kwargs={"n_heads": 2, "d_state": 2}).fit(y, fh=[1])
    stages = {row["stage"]: row["valid_loss"] for row in model.history_}
    assert list(stages) == ["attention", "scan"]
    assert model.n_iter_ == len(model.history_) == 4
    assert not any(layer.closed for layer in model.module_.layers)
