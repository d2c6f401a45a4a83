r"""Integrated gradients: which inputs made a number what it is, in shares that add up.

On the straight line from a baseline :math:`x'` to the input :math:`x`,

.. math::

    a_i = (x_i - x'_i) \int_0^1 \partial_i f\big(x' + t (x - x')\big)\, dt, \qquad \sum_i a_i = f(x) - f(x').

The integral is taken by Gauss-Legendre quadrature. A constant window, the usual baseline, would tell nothing here: a
network that divides each window by its own standard deviation sees the same course all along the line, and every other
variate would get zero. The baselines are courses of other windows, at the level and spread of the window in question.

References
----------
M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks, ICML 2017,
https://arxiv.org/abs/1703.01365.

G. Erion, J. D. Janizek, P. Sturmfels, S. M. Lundberg, S.-I. Lee: Improving performance of deep learning models with
axiomatic attribution priors and expected gradients, Nature Machine Intelligence, 2021,
https://arxiv.org/abs/1906.10670.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["courses", "integrated_gradients", "variance_shares", "with_course"]

Network = Callable[[Tensor, Tensor], Tensor]  # windows (B, L, N) and angles (B,) to forecasts (B, H, N)
_NODES = 8  # of the shares


def integrated_gradients(f: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, n_nodes: int) -> Tensor:
    """Attributions of ``f(x) - f(baseline)``, one number for each row, to the entries of ``x``.

    Parameters
    ----------
    f : callable
        Inputs (B, ...) to numbers (B,), row by row.
    x, baseline : Tensor of shape (B, ...)
        Where the line ends, and where it starts. An entry that is NaN in either gets nothing.
    n_nodes : int
        Points of the quadrature: as many forward and backward passes.

    Returns
    -------
    Tensor of shape (B, ...)
        They add up to the difference, up to the error of the quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    total = torch.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point = (baseline + node * (x - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(f(point).sum(), point)
        total += weight * gradient
    # A variate that stands still has 0 times a gradient that may be infinite; what is missing moves nothing.
    return ((x - baseline) * total).nan_to_num(0.0, 0.0, 0.0)


def courses(windows: Tensor) -> Tensor:  # (B, L, N) -> (B, L, N)
    """Windows less their mean and over their standard deviation, variate by variate; zero where one is constant."""
    centred = windows - windows.nanmean(1, keepdim=True)
    spread = centred.square().nanmean(1, keepdim=True).sqrt()
    return (centred / spread.clamp_min(1e-6)).nan_to_num(0.0)


def with_course(windows: Tensor, course: Tensor) -> Tensor:
    """Windows (B, L, N) with the mean and standard deviation of ``windows`` and the course of others."""
    mean = windows.nanmean(1, keepdim=True)
    return mean + (windows - mean).square().nanmean(1, keepdim=True).sqrt() * course


def variance_shares(network: Network, windows: Tensor, angles: Tensor, course: Tensor) -> np.ndarray:
    """How much of the variance of the forecasts comes from the course of each variate.

    The attributions of the squared change of the forecast when each window takes another course: of a linear network
    with independent inputs these are the variances that each input contributes. All targets take part together, so that
    the cost does not grow with their number.

    Parameters
    ----------
    network : callable
        In evaluation mode.
    windows, course : Tensor of shape (B, L, N)
        Windows in standardised units, and the courses that they take.
    angles : Tensor of shape (B,)
        Where in the cycle the forecasts begin.

    Returns
    -------
    numpy.ndarray of shape (N,)
        Not normalised, summed over the windows.
    """
    baseline = with_course(windows, course)
    with torch.no_grad():
        before = network(baseline, angles)
    energy = integrated_gradients(
        lambda x: (network(x, angles) - before).square().sum((1, 2)), windows, baseline, _NODES
    )
    return energy.sum((0, 1)).double().cpu().numpy()
