"""Vectors in compiled functions against torch."""

import math

import numba
import pytest
import torch

from skts.nn.lanes import exp, inverse, lanes_of, load, store, total

DTYPES = [torch.float32, torch.float64]


@numba.njit
def exponentials(x, lanes):
    for i in range(0, len(x), lanes):
        store(x, (i,), exp(load(x, (i,))))


@numba.njit
def reduced(x):
    total_ = total(load(x, (0,)))
    store(x, (0,), inverse(load(x, (0,))))
    return total_


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_right_to_two_units(dtype):
    low = math.log(torch.finfo(dtype).tiny)
    x = torch.cat(
        [torch.linspace(low + 1e-3, -low - 1e-3, 3200, dtype=dtype), torch.linspace(-2, 2, 3200, dtype=dtype)]
    )
    y = x.clone()
    exponentials(y.numpy(), lanes_of(dtype))
    # A large argument is known to one unit only, and so its exponential to as many as its logarithm has.
    assert ((y - x.exp()).abs() <= 2 * torch.finfo(dtype).eps * x.exp() * x.abs().clamp_min(1)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_outside_the_range(dtype):
    x = torch.full((lanes_of(dtype),), torch.nan, dtype=dtype)
    x[:5] = torch.tensor([-torch.inf, -1e6, 0.0, 1e6, torch.inf], dtype=dtype)
    exponentials(x.numpy(), lanes_of(dtype))
    assert x[:5].tolist() == [0.0, 0.0, 1.0, math.inf, math.inf]
    assert x[5:].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_and_inverse(dtype):
    x = torch.arange(1, lanes_of(dtype) + 1, dtype=dtype)
    expected = 1 / x
    assert reduced(x.numpy()) == lanes_of(dtype) * (lanes_of(dtype) + 1) / 2
    assert torch.allclose(x, expected)
