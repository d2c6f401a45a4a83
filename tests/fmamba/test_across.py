"""The linear map across variates: what it finds, and that it stays away where there is nothing to find."""

import numpy as np
import pandas as pd
import pytest
import torch

from skts import load, save
from skts.fmamba.across import AcrossMap, fit_across, lags_across
from skts.fmamba.export import export_program
from skts.fmamba.periodic import PeriodicMap
from skts.fmamba.windows import DatedWindows
from tests.fmamba.test_estimator import forecaster


def driven(n=900, seed=0, weight=0.8):
    """Column b follows a two rows later; c is by itself."""
    rng = np.random.default_rng(seed)
    y = 0.5 * rng.standard_normal((n, 3))
    for t in range(2, n):
        y[t, 0] += 0.5 * y[t - 1, 0]
        y[t, 1] += 2 * weight * y[t - 2, 0]
    return pd.DataFrame(y, columns=["a", "b", "c"])


def parts(y, context=12, horizon=2):
    windows = DatedWindows.of([y.to_numpy(np.float32)], [np.full(len(y), np.nan)], context, horizon)
    return windows.split(0.3, torch.Generator())


def test_it_is_ridge_regression_on_what_is_left():
    y = driven()
    train, valid = parts(y)
    across, skip = AcrossMap(4, 3, 2), PeriodicMap(12, 2, 3, 0, 0)
    fit_across(across, skip, train, valid)
    x, target, _ = train.take(torch.arange(len(train)))
    left = (target - x.mean(1, keepdim=True))[:, :, 1].double().numpy()  # a zero skip forecasts the mean
    f = across.features(x).double().numpy()
    penalties = (1e-3, 1e-2, 0.1, 1.0, 10.0)
    gram = f.T @ f
    solutions = [np.linalg.solve(gram + p * np.diag(gram).mean() * np.eye(12), f.T @ left) for p in penalties]
    found = across.coef[:, :, 1].flatten(0, 1).double().numpy()
    assert min(np.abs(found - solution).max() for solution in solutions) < 1e-4
    assert abs(float(across.coef[0, -2, 1, 0])) > 1  # b's first step follows a's value two rows before it


@pytest.mark.parametrize("seed", range(3))
def test_variates_that_go_their_own_ways_are_left_alone(seed):
    train, valid = parts(driven(seed=seed, weight=0.0))
    across = AcrossMap(4, 3, 2)
    fit_across(across, PeriodicMap(12, 2, 3, 0, 0), train, valid)
    alone = across.coef.clone()
    alone[range(3), :, range(3)] = 0
    assert not alone.any() or float(alone.abs().max()) < 0.2


def test_few_rows_show_who_drives_whom():
    y = driven()
    model = forecaster(guard=None).fit(y[:600], fh=[1, 2])
    without = forecaster(guard=None, module_kwargs={"n_heads": 2, "d_state": 2, "skip": False}).fit(y[:600], fh=[1, 2])
    view = np.lib.stride_tricks.sliding_window_view(y.to_numpy()[588:], 14, axis=0).transpose(0, 2, 1)
    error, other = (((m.predict_windows(view[:, :12]) - view[:, 12:]) ** 2)[..., 1].mean() for m in (model, without))
    assert error < 0.4 * other
    assert model.feature_importances_.argmax() == 0
    assert np.abs(model.attributions(None, "b", step=1)[0, :, 0]).argmax() == 10


def test_the_order_of_the_columns_does_not_matter_to_a_model_that_was_carried_over():
    panel = pd.concat({i: driven(300, seed=i) for i in range(2)})
    model = forecaster(guard=None, validation_fraction=0.3).pretrain(panel, fh=[1, 2])
    assert model.pretrained_["weights"]["across.coef"].any()
    short = driven()[:14]
    first = model.fit(short, fh=[1, 2]).predict()
    turned = model.fit(short[["c", "a", "b"]], fh=[1, 2]).predict()
    pd.testing.assert_frame_equal(turned[["a", "b", "c"]], first, rtol=1e-3)


def test_it_is_exported_with_the_rest():
    y = driven()
    model = forecaster(guard=None, period=None).fit(y[:600], fh=[1, 2])
    assert model.module_.across.coef.any()
    contexts = np.stack([y.to_numpy()[s : s + 12] for s in range(600, 620)])
    program = export_program(model)
    told = program.module()(torch.from_numpy(contexts)).detach().numpy()
    np.testing.assert_allclose(told, model.predict_windows(contexts), atol=1e-5)


def test_a_network_without_mixing_has_none():
    model = forecaster(attention=None, mamba=None).fit(driven(100), fh=[1, 2])
    assert model.module_.across is None


def test_what_it_can_afford():
    assert lags_across(1, 96, 96) == 0
    assert lags_across(7, 96, 96) == 12
    assert lags_across(7, 4, 96) == 4
    assert lags_across(49, 96, 96) * 49 <= 600
    assert lags_across(49, 96, 10_000) == 0


def road(n=260, seed=0, coupled=True):
    """Fifty sensors: a wave passes each one a row later, or each has its own."""
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal((n + 50, 50 if not coupled else 1))
    seen = [wave[50 - i : 50 - i + n, 0 if coupled else i] for i in range(50)]
    return pd.DataFrame(np.stack(seen, 1) + 0.2 * rng.standard_normal((n, 50)))


def test_many_sensors_start_anew_from_closed_forms_that_beat_their_network(tmp_path):
    settings = {"guard": None, "max_epochs": 1, "context_length": 6}
    y = road()
    model = forecaster(**settings).fit(y, fh=[1])
    assert model.history_[-1]["stage"] == "closed forms"
    assert model.history_[-1]["valid_loss"] < 0.3 * min(row["valid_loss"] for row in model.history_[:-1])
    assert model.module_.across.coef.any()
    save(model, tmp_path / "model.skts")
    pd.testing.assert_frame_equal(load(tmp_path / "model.skts").predict(), model.predict())
    again = model.set_params(warm_start=True).fit(y, fh=[1])
    assert again.module_.skip is not None
    assert again.history_[-1]["valid_loss"] < 0.5


def test_many_sensors_that_go_their_own_ways_keep_their_network_and_its_linear_cost():
    model = forecaster(guard=None, max_epochs=1, context_length=6).fit(road(coupled=False), fh=[1])
    assert model.module_.across is None
    assert model.module_.skip is None
    assert {row["stage"] for row in model.history_} == {"attention", "scan"}
    again = model.set_params(warm_start=True).fit(road(coupled=False), fh=[1])
    assert again.module_.across is None
