"""The objective and its divergences, against closed forms, optimisation and enumeration."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from skts.jointebm.losses import conjugate, divergence_of_certainty, exact_tau, joint_objective, link

ALPHAS = [1.0, 1.5, 2.0, 3.0]


def f(u, alpha):
    if alpha == 1.0:
        return u * np.log(np.maximum(u, 1e-300)) - u + 1
    return (u**alpha - alpha * u + alpha - 1) / (alpha * (alpha - 1))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_conjugate_is_the_supremum(alpha):
    for s in (-2.0, -0.3, 0.0, 0.7, 1.9):
        best = minimize_scalar(lambda u, s=s: f(u, alpha) - u * s, bounds=(0, 50), method="bounded")
        got = conjugate(torch.tensor(s, dtype=torch.float64), alpha).item()
        assert got == pytest.approx(-best.fun, abs=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_link_is_the_derivative_of_the_conjugate(alpha):
    s = torch.linspace(-3, 2, 41, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(conjugate(s, alpha).sum(), s)
    torch.testing.assert_close(link(s.detach(), alpha), slope)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_dual_equals_primal(alpha, gamma):
    """min over tau of the dual = max over p of E_p g - gamma D_f(p, q), at p = q link."""
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.standard_normal((1, 12)) * 2)
    q = torch.from_numpy(rng.dirichlet(np.ones(12)))
    gamma = 1.0 if alpha == 1.0 else gamma
    tau = exact_tau(g, q.log(), alpha, gamma)
    p = (q * link((g - tau) / gamma, alpha))[0]
    assert p.sum().item() == pytest.approx(1, abs=1e-8)
    dual = (tau + gamma * (q * conjugate((g - tau) / gamma, alpha)).sum()).item()
    primal = ((p * g[0]).sum() - gamma * (q * torch.from_numpy(f((p / q).numpy(), alpha))).sum()).item()
    assert dual == pytest.approx(primal, abs=1e-8)
    for other in rng.dirichlet(np.full(12, 0.5), 2000):
        worse = (other * g[0].numpy()).sum() - gamma * (q.numpy() * f(other / q.numpy(), alpha)).sum()
        assert worse <= dual + 1e-9


def test_logistic_tau_is_log_partition():
    g = torch.randn(3, 8, dtype=torch.float64)
    log_q = torch.full((8,), -np.log(8), dtype=torch.float64)
    torch.testing.assert_close(exact_tau(g, log_q, 1.0, 1.0), g.logsumexp(1) - np.log(8))


@pytest.mark.parametrize("error", [-2.0, -0.1, 0.0, 0.1, 2.0])
def test_objective_bounds_the_likelihood_by_the_error_of_tau(error):
    """J - NLL = e^d - 1 - d with d = log Z - tau, over all states."""
    g = torch.randn(4, 16, dtype=torch.float64)
    log_z = g.logsumexp(1)
    log_weight = torch.full_like(g, np.log(16))  # E over uniform draws of 16 e^(g - tau) = sum of e^(g - tau)
    value, overflows = joint_objective(log_z - error, g, log_weight, g[:, 3])
    torch.testing.assert_close(value - (log_z - g[:, 3]), torch.full((4,), np.exp(error) - 1 - error).double())
    assert overflows == 0


def test_too_large_exponents_stay_finite_are_counted_and_pull_back():
    tau = torch.zeros(2, requires_grad=True)
    value, overflows = joint_objective(tau, torch.full((2, 3), 200.0), torch.zeros(2, 3), torch.zeros(2))
    value.sum().backward()
    assert value.isfinite().all()
    assert overflows == 6
    assert (tau.grad < -1e6).all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_loss_is_zero_for_a_sure_and_right_model(alpha):
    g = torch.tensor([[60.0, 0, 0, 0]], dtype=torch.float64)
    log_q = torch.full((4,), -np.log(4), dtype=torch.float64)
    tau = exact_tau(g, log_q, alpha, 1.0)
    value, _ = joint_objective(tau, g, log_q + np.log(4) + torch.zeros(1, 4), g[:, 0], alpha)
    assert (value + divergence_of_certainty(log_q[0], alpha)).item() == pytest.approx(0, abs=1e-6)
