"""Explanations: they add up, they find what drives a system, and they say nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import skts
from skts import FMambaForecaster
from skts.errors import InputError, ParameterError
from skts.fmamba.attribution import integrated_gradients, variance_shares
from skts.fmamba.mamba import BiMamba, Mamba

SMALL = {
    "context_length": 12,
    "d_model": 16,
    "n_layers": 2,
    "max_epochs": 2,
    "batch_size": 128,
    "lr": 2e-3,
    "guard": None,
    "random_state": 0,
}


def driven(n=500, seed=0):
    """Two drivers with lags 3 and 5, and four variates that follow them."""
    rng = np.random.default_rng(seed)
    e = rng.standard_normal((n, 6))
    y = e.copy()
    for i in (0, 2, 3, 5):
        y[5:, i] = 0.3 * e[5:, i] + 0.8 * e[2:-3, 1] - 0.6 * e[:-5, 4]
    return pd.DataFrame(y, columns=list("abcdef"))


def fitted(**kwargs):
    module = {"n_heads": 2, "d_state": 2, "mix_gate": False, "skip": False, **kwargs.pop("module_kwargs", {})}
    return FMambaForecaster(**{**SMALL, **kwargs}, module_kwargs=module).fit(driven(200), fh=[1, 2, 3])


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.fixture(scope="module")
def contexts():
    values = driven(seed=1).to_numpy()
    return np.stack([values[s : s + 12] for s in range(0, 30, 10)])


@pytest.mark.parametrize("kernel", ["softmax", "favor+", "gauss", "relu"])
@pytest.mark.parametrize("norm", ["row", "kdim"])
def test_attention_rows_sum_to_one(contexts, kernel, norm):
    maps = fitted(attention=kernel, max_epochs=1, module_kwargs={"attention_norm": norm}).attention_map(contexts)
    assert maps.shape == (3, 2, 6, 6)
    assert (maps >= 0).all()
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("step", [None, 2])
def test_attributions_add_up_to_what_the_forecast_gains_over_the_references(model, contexts, step):
    found = model.attributions(contexts, "c", step=step, n_nodes=48)
    assert found.shape == contexts.shape
    mean, spread = contexts.mean(1, keepdims=True), contexts.std(1, keepdims=True)
    typical = [model.predict_windows(mean + spread * course) for course in model.references_]
    gain = (model.predict_windows(contexts) - np.mean(typical, axis=0))[:, :, 2]
    gain = gain.mean(1) if step is None else gain[:, step - 1]
    np.testing.assert_allclose(found.sum((1, 2)), gain, rtol=1e-3, atol=1e-3)


def test_attributions_to_a_given_baseline_add_up_to_the_difference(model, contexts):
    other = contexts[::-1]
    found = model.attributions(contexts, "a", step=1, baseline=other, n_nodes=48)
    gain = model.predict_windows(contexts)[:, 0, 0] - model.predict_windows(other)[:, 0, 0]
    np.testing.assert_allclose(found.sum((1, 2)), gain, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(model.attributions(contexts, "a", baseline=contexts), 0, atol=1e-12)


def test_attributions_do_not_depend_on_what_else_is_asked_for(model, contexts):
    together = model.attributions(contexts, "b")
    np.testing.assert_allclose(model.attributions(contexts[2:3], "b")[0], together[2], atol=1e-5)


def test_integrated_gradients_of_a_linear_function_are_its_terms():
    x, baseline = torch.randn(2, 3, 4, 5).unbind(0)
    w = torch.randn(4, 5)
    found = integrated_gradients(lambda x: (x * w).sum((1, 2)), x, baseline, 1)
    torch.testing.assert_close(found, (x - baseline) * w)


def test_variance_shares_of_a_linear_network_are_the_variances_that_its_inputs_bring():
    torch.manual_seed(0)
    w, x = torch.tensor([3.0, 1.0, 0.0]), torch.randn(4000, 8, 3)
    course = torch.randn(4000, 8, 3)

    def network(x, angles):
        return (x[:, -1] * w).sum(-1)[:, None, None].expand(-1, 1, 3)

    found = variance_shares(network, x, torch.zeros(4000), course)
    np.testing.assert_allclose(found / found.sum(), [0.9, 0.1, 0.0], atol=0.02)


def test_importances_name_the_drivers():
    model = FMambaForecaster(context_length=8, d_model=16, max_epochs=8, lr=1e-2, random_state=0)
    model.fit(driven(600), fh=[1, 2, 3])
    assert set(np.argsort(-model.feature_importances_)[:2]) == {1, 4}
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.get_tag("capability:feature_importance")
    assert "feature_importances" in model.get_fitted_params()


def test_the_influence_matrix_is_the_scan_written_out():
    """With one channel the norm of the map is the size of its only entry: the scan's answer to a unit impulse."""
    torch.manual_seed(0)
    mamba, E = Mamba(8, d_state=3), torch.randn(2, 5, 8)
    _, z, delta, B, C = mamba._selected(E)
    decay = torch.exp(delta[..., None] * -torch.exp(mamba.A_log))  # (2, 5, 8, 3)
    found = mamba.influence(E)
    for i in range(5):
        for j in range(5):
            alpha = torch.zeros(2, 8)
            if j <= i:
                alpha = (C[:, i, None] * decay[:, j + 1 : i + 1].prod(1) * B[:, j, None]).sum(-1) * delta[:, j]
                alpha = alpha + (mamba.D if i == j else 0)
            M = mamba.out.weight * (F.silu(z[:, i]) * alpha)[:, None]
            torch.testing.assert_close(found[:, i, j], M.flatten(1).norm(dim=1), rtol=1e-4, atol=1e-6)


def test_influence_follows_the_direction_and_the_gate(contexts):
    one = fitted(mamba="uni", max_epochs=1).influence(contexts)
    assert one.shape == (3, 2, 6, 6)
    assert (np.triu(one, 1) == 0).all()
    assert (np.tril(one).sum((2, 3)) > 0).all()
    both = fitted(max_epochs=1).influence(contexts)
    assert (both > 0).all()
    E = torch.randn(1, 4, 8)
    assert BiMamba(8, 2).influence(E, torch.zeros(8)).eq(0).all()


def test_order_matters_to_the_state_space_alone(model, contexts):
    assert (model.order_sensitivity(contexts) > 0).all()
    np.testing.assert_array_equal(model.order_sensitivity(contexts), model.order_sensitivity(contexts))
    np.testing.assert_allclose(fitted(mamba=None, max_epochs=1).order_sensitivity(contexts), 0)


def test_windows_with_holes_are_explained_as_they_are_forecast(model, contexts):
    holed = contexts.copy()
    holed[:, 3:5, 2] = np.nan
    found = model.attributions(holed, "c", n_nodes=48)
    assert np.isfinite(found).all()
    assert np.isfinite(model.attention_map(holed)).all()
    assert np.isfinite(model.influence(holed)).all()


def test_looking_changes_nothing(model, contexts):
    before = model.predict_windows(contexts)
    for look in (model.attention_map, model.influence, model.order_sensitivity):
        look(contexts)
    np.testing.assert_array_equal(model.predict_windows(contexts), before)


def test_explanations_survive_saving(model, contexts, tmp_path):
    skts.save(model, tmp_path / "model.skts")
    again = skts.load(tmp_path / "model.skts")
    np.testing.assert_array_equal(again.feature_importances_, model.feature_importances_)
    np.testing.assert_array_equal(again.attributions(contexts, "a"), model.attributions(contexts, "a"))


def test_what_cannot_be_explained_is_refused(model, contexts):
    with pytest.raises(InputError, match="a variate out of"):
        model.attributions(contexts, "z")
    with pytest.raises(InputError, match="a step from 1 to 3"):
        model.attributions(contexts, "a", step=4)
    with pytest.raises(InputError, match="a baseline that broadcasts"):
        model.attributions(contexts, "a", baseline=np.zeros(5))
    with pytest.raises(ParameterError, match="a network with attention"):
        fitted(attention=None, max_epochs=1).attention_map(contexts)
    with pytest.raises(ParameterError, match="a network with mamba"):
        fitted(mamba=None, max_epochs=1).influence(contexts)
