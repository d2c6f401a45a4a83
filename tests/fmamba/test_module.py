"""The network as a whole: shapes, symmetries, gradients."""

import pytest
import torch

from skts.fmamba.mamba import BiMamba, Mamba
from skts.fmamba.module import PRESETS, FMambaNet


def net(seed=0, **kwargs):
    torch.manual_seed(seed)
    return FMambaNet(12, 5, 4, d_model=16, n_heads=2, d_state=4, **kwargs).eval()


WIRINGS = [
    {"attention": a, "mamba": m}
    for a in (None, "gauss", "relu", "favor+", "softmax", "auto")
    for m in (None, "uni", "bi")
]


@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
def test_shape_and_every_parameter_learns(wiring):
    module = net(**wiring)
    Y = module(torch.randn(3, 12, 4))
    assert Y.shape == (3, 5, 4)
    Y.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_build(preset):
    assert net(**PRESETS[preset])(torch.randn(2, 12, 4)).shape == (2, 5, 4)


def test_forecast_follows_an_affine_change_of_each_variate():
    module, X = net(), torch.randn(3, 12, 4)
    a, b = torch.tensor([1.0, 10.0, 0.5, -3.0]), torch.tensor([0.0, 5.0, -7.0, 100.0])
    # exact up to the 1e-5 in the window's variance; odd symmetry (a < 0) is not a property of the network
    a = a.abs()
    assert torch.allclose(module(X * a + b), module(X) * a + b, rtol=1e-3, atol=2e-3)


def test_prediction_does_not_depend_on_the_rest_of_the_batch():
    module, X = net(), torch.randn(8, 12, 4)
    assert torch.allclose(module(X)[3:4], module(X[3:4]), atol=1e-6)


def test_without_mixing_variates_are_independent():
    module, X = net(attention=None, mamba=None), torch.randn(2, 12, 4)
    changed = X.clone()
    changed[..., 1] += torch.randn(2, 12)
    same = [0, 2, 3]
    assert torch.allclose(module(X)[..., same], module(changed)[..., same])


@pytest.mark.parametrize(
    "mixer", [{"attention": "softmax", "mamba": None}, {"attention": None, "mamba": "bi"}], ids=str
)
def test_with_mixing_every_variate_sees_every_other(mixer):
    module, X = net(n_layers=1, **mixer), torch.randn(1, 12, 4, requires_grad=True)
    for n in range(4):
        (grad,) = torch.autograd.grad(module(X)[..., n].sum(), X, retain_graph=False)
        assert (grad.abs().sum((0, 1)) > 0).all()


def test_mamba_is_causal_and_bimamba_is_not():
    torch.manual_seed(0)
    E = torch.randn(1, 6, 16)
    changed = E.clone()
    changed[:, 4] += 1
    uni, bi = Mamba(16, 4), BiMamba(16, 4)
    assert torch.allclose(uni(E)[:, :4], uni(changed)[:, :4])
    assert not torch.allclose(bi(E)[:, 0], bi(changed)[:, 0])


@pytest.mark.parametrize("pos_embed", ["none", "time", "variate"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_switches(pos_embed, norm):
    module = net(pos_embed=pos_embed, norm=norm, mlp_embed=False, instance_norm=False, gated=True, d_ff=8)
    assert module(torch.randn(2, 12, 4)).shape == (2, 5, 4)
