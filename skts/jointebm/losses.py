r"""The joint objective over an energy and its log-partition, and the f-divergences that generalise it.

With a reference q, an affinity g and a scalar :math:`\tau(x)`,

.. math::

    J(g, \tau) = \mathbb E_x\Big[ \tau(x) + \gamma\, \mathbb E_{y' \sim q} f^*_+\big((g(x, y') - \tau(x)) / \gamma\big)
    - g(x, y) \Big]

is minimised over *both*. At its minimum in tau the distribution :math:`p = q\, \ell((g - \tau) / \gamma)`, with the
link :math:`\ell = (f^*_+)'`, sums to one. For the Kullback-Leibler divergence :math:`f^*_+(s) = e^s - 1`, J is an upper
bound of the negative log-likelihood that touches it where :math:`\tau = \log Z`. The expectation stands outside of
everything nonlinear, so that samples give unbiased gradients; for samples of another proposal r each term is weighted
by q / r.
"""

import torch
from torch import Tensor

__all__ = ["LARGEST_EXPONENT", "conjugate", "divergence_of_certainty", "exact_tau", "joint_objective", "link"]

# exp is continued by its tangent beyond this exponent: finite numbers, and a gradient that still pulls back. That is no
# longer unbiased, so the estimator counts how often it happens.
LARGEST_EXPONENT = 15.0


def conjugate(s: Tensor, alpha: float) -> Tensor:
    r""":math:`f^*_+` of the Tsallis family: alpha=1 is Kullback-Leibler, 2 is Gini (sparsemax)."""
    if alpha == 1.0:
        return torch.expm1(s)
    return ((1 + (alpha - 1) * s).clamp_min(0) ** (alpha / (alpha - 1)) - 1) / alpha


def link(s: Tensor, alpha: float) -> Tensor:
    r"""The derivative of :func:`conjugate`: p / q as a function of :math:`(g - \tau) / \gamma`."""
    if alpha == 1.0:
        return s.exp()
    return (1 + (alpha - 1) * s).clamp_min(0) ** (1 / (alpha - 1))


def divergence_of_certainty(log_q: Tensor, alpha: float) -> Tensor:
    """Divergence from q of the distribution that is sure of y: the constant that makes the loss >= 0.

    Parameters
    ----------
    log_q : Tensor
        Log-probability of y under the reference.
    alpha : float
        1 or more.

    Returns
    -------
    Tensor
        Of the shape of ``log_q``.
    """
    if alpha == 1.0:
        return -log_q
    return (torch.exp((1 - alpha) * log_q) - 1) / (alpha * (alpha - 1))


def joint_objective(
    tau: Tensor, affinity: Tensor, log_weight: Tensor, observed: Tensor, alpha: float = 1.0, gamma: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The objective of each row, and how many exponents were too large for exp.

    Parameters
    ----------
    tau : Tensor of shape (B,)
        Log-partition, or its estimate.
    affinity : Tensor of shape (B, S)
        g of the samples.
    log_weight : Tensor of shape (B, S)
        log q - log r of the samples, r the density from which they were drawn.
    observed : Tensor of shape (B,)
        g of the observed outputs.
    alpha, gamma : float
        Divergence and temperature; alpha=1 takes no temperature.

    Returns
    -------
    objective : Tensor of shape (B,)
        Unbiased for J of each row.
    n_overflows : Tensor
        A count.
    """
    if alpha == 1.0:
        exponent = affinity + log_weight - tau[:, None]
        excess = (exponent - LARGEST_EXPONENT).clamp_min(0)
        ratio = (exponent - excess).exp() * (1 + excess)
        return tau + ratio.mean(1) - 1 - observed, (excess > 0).sum()
    s = (affinity - tau[:, None]) / gamma
    inner = (log_weight.exp() * (conjugate(s, alpha) + 1 / alpha)).mean(1) - 1 / alpha
    return tau + gamma * inner - observed, torch.zeros((), dtype=torch.long, device=tau.device)


def exact_tau(affinity: Tensor, log_q: Tensor, alpha: float, gamma: float) -> Tensor:
    """The tau at which q * link((g - tau) / gamma) sums to one over all states.

    Parameters
    ----------
    affinity : Tensor of shape (B, n_states)
        g of every state.
    log_q : Tensor of shape (n_states,) or (B, n_states)
        Log-probability of every state under the reference.
    alpha, gamma : float
        Divergence and temperature.

    Returns
    -------
    Tensor of shape (B,)
        The root, by bisection where there is no closed form.
    """
    if alpha == 1.0:
        return (affinity + log_q).logsumexp(1)
    q = log_q.exp()
    # The sum is decreasing in tau; at tau = max g it is at most 1, since the link of s <= 0 is at most 1.
    high = affinity.amax(1)
    low = (affinity - gamma * (torch.exp((1 - alpha) * log_q) - 1) / (alpha - 1)).amax(1).clamp(max=high)
    for _ in range(80):
        middle = (low + high) / 2
        too_low = (q * link((affinity - middle[:, None]) / gamma, alpha)).sum(1) > 1
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return (low + high) / 2
