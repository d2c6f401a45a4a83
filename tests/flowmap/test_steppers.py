"""Flow maps against closed forms."""

import pytest
import torch

from skts.flowmap.coordinates import LinearCoordinates, enough_components
from skts.flowmap.polynomial import ChebyshevProducts, Monomials, degree_for
from skts.flowmap.quadratic import QuadraticODE
from skts.flowmap.resmlp import ResMLP
from skts.flowmap.steppers import FNO1d, log_spaced_steps, rollout_loss
from skts.flowmap.trajectories import StepWindows


def linear_pieces(A, dt, n=400):
    t = torch.arange(n, dtype=torch.float64) * dt
    starts = torch.tensor([[1.0, 0.0], [0.3, -0.7], [-0.5, 0.9]], dtype=torch.float64)
    flow = torch.linalg.matrix_exp(A * t[:, None, None])
    return [(flow @ z, torch.zeros(n, 0).double()) for z in starts]


@pytest.mark.parametrize("step", [1, 7])
def test_operator_inference_reproduces_a_linear_system(step):
    A, dt = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64), 0.01
    stepper = QuadraticODE(step, 2, 0, dt)
    stepper.fit(linear_pieces(A, dt), ridge=1e-14)
    z = torch.randn(5, 2, dtype=torch.float64)
    exact = z @ torch.linalg.matrix_exp(A * dt * step).T
    torch.testing.assert_close(stepper(z, torch.zeros(5, 0)), exact, atol=1e-8, rtol=0)


def test_operator_inference_finds_quadratic_terms_and_controls():
    """z' = -z^2 + 2 c, from trajectories with a control that varies."""
    dt, pieces = 0.01, []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        c = (
            1
            + 0.5
            * torch.sin(torch.arange(600) * dt * (1 + seed) + torch.rand(1, generator=generator)).double()[:, None]
        )
        z = [torch.tensor([0.5 + seed], dtype=torch.float64)]
        fine = 20
        for k in range(599):
            value = z[-1]
            for j in range(fine):
                here = c[k] + (c[k + 1] - c[k]) * j / fine
                value = value + dt / fine * (-(value**2) + 2 * here)
            z.append(value)
        pieces.append((torch.stack(z), c))
    stepper = QuadraticODE(1, 1, 1, dt)
    stepper.fit(pieces, ridge=1e-12)
    torch.testing.assert_close(stepper.coef[:, 0], torch.tensor([0.0, 0.0, -1.0, 2.0]).double(), atol=0.02, rtol=0)


def test_fourier_operator_commutes_with_shifts():
    torch.manual_seed(0)
    stepper = FNO1d(1, 32, 1).double()
    torch.nn.init.normal_(stepper.project[-1].weight)
    z, c = torch.randn(3, 32).double(), torch.randn(3, 1).double()
    torch.testing.assert_close(stepper(z.roll(5, 1), c), stepper(z, c).roll(5, 1))


@pytest.mark.parametrize("make", [lambda: ResMLP(2, 4, 1, (8,)), lambda: FNO1d(2, 8, 1)])
def test_networks_start_as_the_identity(make):
    stepper = make()
    z = torch.rand(6, 4 if isinstance(stepper, ResMLP) else 8)
    torch.testing.assert_close(stepper(z, torch.randn(6, 1)), z)


def test_noise_is_for_training_alone():
    stepper = ResMLP(1, 2, 0, (4,))
    states, context = torch.randn(20, 3, 2), torch.zeros(20, 2, 0)
    stepper.eval()
    torch.testing.assert_close(rollout_loss(stepper, states, context, 1.0), rollout_loss(stepper, states, context, 0.0))
    stepper.train()
    assert (rollout_loss(stepper, states, context, 1.0) != rollout_loss(stepper, states, context, 0.0)).any()


def test_windows_never_cross_a_join_and_average_their_controls():
    pieces = [(torch.full((n, 1), float(n)), torch.arange(n).float()[:, None]) for n in (9, 4, 7)]
    windows = StepWindows.of(pieces, step=2, n_forward=2)
    states, context = windows.take(torch.arange(len(windows)))
    assert len(windows) == 5 + 0 + 3
    assert (states == states[:, :1]).all()
    torch.testing.assert_close(context[0, :, 0], torch.tensor([0.5, 2.5]))


def test_principal_components_are_orthonormal_and_keep_most_variance():
    rows = torch.randn(200, 6) @ torch.diag(torch.tensor([5.0, 3.0, 1.0, 0.1, 0.1, 0.1])) @ torch.randn(6, 6)
    pca = LinearCoordinates(6, 6)
    pca.start(rows, n_fields=rows.shape[1])
    torch.testing.assert_close(pca.basis.T @ pca.basis, torch.eye(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(pca.decode(pca.encode(rows)), rows, atol=1e-3, rtol=1e-3)
    variance = pca.encode(rows).var(0)
    assert (variance[:-1] >= variance[1:] - 1e-6).all()
    assert 2 <= enough_components(pca.scaled(rows).numpy()) <= 4


def test_log_spaced_steps():
    assert log_spaced_steps(1) == [1]
    assert log_spaced_steps(31) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("n", "degree"), [(1, 4), (2, 7), (3, 5), (6, 2), (9, 1)])
def test_chebyshev_products_are_the_polynomials_of_each_degree(n, degree):
    """The first terms of either basis, as many as there are up to a degree, span the same."""
    x = torch.rand(400, n, dtype=torch.float64) * 2 - 1
    products, monomials = ChebyshevProducts(n, degree)(x), Monomials(n, degree)(x)
    assert products.shape == monomials.shape
    for k in range(degree + 1):
        first = Monomials.count(n, k)
        coef = torch.linalg.lstsq(products[:, :first], monomials[:, :first]).solution
        torch.testing.assert_close(products[:, :first] @ coef, monomials[:, :first], atol=1e-9, rtol=0)


def test_a_polynomial_of_high_degree_keeps_its_digits_in_single_precision():
    """A turn whose speed is a steep function of the radius, as a closed form alone."""
    torch.manual_seed(0)
    z = torch.rand(4000, 2) * 2 - 1
    speed = 0.3 / (1 + 4 * z.square().sum(1))
    turned = torch.stack(
        [z[:, 0] * speed.cos() - z[:, 1] * speed.sin(), z[:, 0] * speed.sin() + z[:, 1] * speed.cos()], 1
    )
    stepper, none = ResMLP(1, 2, 0, (4,)), torch.zeros(4000, 0)
    parts = [(z[part], none[part], turned[part]) for part in (slice(3000), slice(3000, 4000))]
    stepper.start(*parts)
    assert len(stepper.of_state.products.sizes) - 1 == degree_for(2, 300, 12) == 12
    found = stepper(z, none)
    assert float((found - turned).detach().abs().max()) < 1e-2
    torch.testing.assert_close(found.double(), stepper.double()(z.double(), none.double()), atol=1e-5, rtol=0)
