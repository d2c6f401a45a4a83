"""Multiply-accumulates, against torch's own counter and against what grows how."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from skts import FMambaForecaster
from skts.datasets import load_us_change
from skts.fmamba.complexity import multiply_accumulates
from skts.fmamba.module import FMambaNet


def counted(network, L, N):
    # torch does not count its fused attention for the CPU
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.randn(1, L, N), torch.zeros(1))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("kernel", [None, "softmax", "gauss", "relu", "favor+"])
def test_without_scan_it_is_what_torch_counts(kernel):
    sizes = {"d_model": 16, "n_layers": 2, "n_heads": 2, "attention_norm": "kdim"}
    network = FMambaNet(12, 5, 7, attention=kernel, mamba=None, skip=True, n_harmonics=2, phase_embed=3, **sizes).eval()
    assert sum(multiply_accumulates(network, 7).values()) == counted(network, 12, 7)


def test_with_scan_torch_misses_convolution_and_recurrence_alone():
    network = FMambaNet(12, 5, 7, d_model=16, n_heads=2, n_layers=2, attention=None, d_state=4, d_conv=3).eval()
    apart = 7 * 2 * 2 * (16 * 3 + 3 * 16 * 4)  # variates, layers, directions
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(1, 12, 7))
    products = 7 * 2 * 2 * 16 * 4  # those of C and the states, where the scan at hand makes them one by one
    assert sum(multiply_accumulates(network, 7).values()) - counter.get_total_flops() // 2 in (apart, apart - products)


def test_all_but_softmax_is_linear_in_the_variates():
    for kernel, ratio in (("favor+", 4.0), ("softmax", 16.0)):
        network = FMambaNet(12, 5, 100, d_model=16, n_heads=2, attention=kernel)
        few, many = (sum(multiply_accumulates(network, N).values()) for N in (100_000, 400_000))
        assert many / few == pytest.approx(ratio, rel=0.02)


def test_a_fitted_forecaster_says_what_it_costs():
    assert not hasattr(FMambaForecaster(), "complexity_")
    model = FMambaForecaster(context_length=8, d_model=8, max_epochs=1, random_state=0).fit(load_us_change(), fh=[1])
    cost = model.complexity_
    assert cost["n_parameters"] == model.cost_["n_parameters"]
    assert cost["multiply_accumulates"] == sum(cost["by_part"].values()) > 0
    assert cost["growth"] == "quadratic"
