r"""Flow maps: from the state z now to the state s samples later, :math:`z_{t+s} = N_s(z_t, c)`.

c are the step's mean controls and the parameters; it may be empty. The two that are learned by gradients are here, with
their loss; a quadratic differential equation by least squares is in ``quadratic.py``.
"""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from skts.flowmap.correction import correction
from skts.flowmap.polynomial import (
    ChebyshevProducts,
    Monomials,
    NormalEquations,
    best_degree,
    degree_for,
    least_squares,
)

__all__ = ["FNO1d", "ResMLP", "Stepper", "Steps", "log_spaced_steps", "moved_by_noise", "rollout_loss"]

_MOST_TERMS = 300  # of the polynomial: more cost more than the network that corrects it
# Of the polynomial. Beyond two variables high degrees run away between the trajectories of a measured pendulum.
_HIGHEST_DEGREE = {1: 12, 2: 12}
_USUAL_DEGREE = 5
_BASE_RIDGE = 1e-8
_FOLDS = 5  # every fifth training step is to be foretold by the others
_BLOCK = 4096
_BEYOND = 1.1  # how far outside of its training range a variable may enter a polynomial, which knows no bounds
_SPECIAL = 10  # every tenth window is moved by noise, another tenth is followed for several steps

Steps = tuple[Tensor, Tensor, Tensor]  # states (n, z), context (n, c), states one step later (n, z)


class Stepper(nn.Module):
    """Base of all flow maps: derive from it to bring one of your own.

    Parameters
    ----------
    step : int
        s, in samples.
    n_state, n_context : int
        z and c.
    """

    of_field = False  # whether all coordinates are one quantity at several places, and need one unit

    def __init__(self, step: int, n_state: int, n_context: int) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("unit", torch.ones(()))  # of the loss

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # (B, z), (B, c) -> (B, z)
        """The state ``step`` samples later."""
        raise NotImplementedError

    def start(self, train: Steps, held_out: Steps) -> None:
        """What is known before training: units, and what has a closed form."""
        z, _, after = train
        self.unit.copy_((after - z).square().mean().sqrt().clamp_min(1e-12))

    def finish(self, train: Steps) -> None:
        """What has a closed form once the rest has been trained."""

    def widen(self, train: Steps) -> None:
        """Closed forms anew, for states of another kind, before a trained flow map learns on."""


class ResMLP(Stepper):
    r"""Polynomial by least squares, and a network for what it leaves.

    .. math::

        z_{t+s} = z + \sigma_s W \varphi(z, c) + \sigma_r g(z, c)

    :math:`\varphi` are polynomials up to the twelfth degree (less for more than two variables), :math:`\sigma_s` is the
    spread of the increments, :math:`\sigma_r` that of what the polynomial leaves.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    hidden : sequence of int
        Widths of g.
    """

    def __init__(self, step: int, n_state: int, n_context: int, hidden: tuple[int, ...]) -> None:
        super().__init__(step, n_state, n_context)
        n = n_state + n_context
        # SiLU is so close to a parabola around zero that it learns nothing of what a cubic polynomial leaves.
        self.g = correction([n, *hidden, n_state], nn.GELU)
        degree = degree_for(n, _MOST_TERMS, _HIGHEST_DEGREE.get(n, _USUAL_DEGREE))
        self.products = ChebyshevProducts(n, degree)
        self.register_buffer("W", torch.zeros(Monomials.count(n, degree), n_state))
        self.register_buffer("center", torch.zeros(n))
        self.register_buffer("spread", torch.ones(n))
        self.register_buffer("low", -torch.ones(n))  # where the polynomial ends
        self.register_buffer("high", torch.ones(n))
        self.register_buffer("increment", torch.ones(n_state))
        self.register_buffer("rest", torch.ones(n_state))
        self.register_buffer("n_used", torch.ones((), dtype=torch.long))

    def start(self, train: Steps, held_out: Steps) -> None:
        """The polynomial, of the degree that is best on steps between those that it has seen, and on held-out ones."""
        z, c, after = train
        inputs, moved = torch.cat([z, c], 1), after - z
        spread = inputs.std(0, correction=0)
        self.center.copy_(inputs.mean(0))
        self.spread.copy_(torch.where(spread > 1e-6 * inputs.abs().amax(0), spread, torch.ones_like(spread)))
        self.increment.copy_(moved.std(0, correction=0).clamp_min(1e-6 * z.std(0, correction=0)).clamp_min(1e-12))
        x = self.scaled(z, c)
        self.low.copy_(_BEYOND * x.amin(0))
        self.high.copy_((_BEYOND * x.amax(0)).maximum(self.low + 1e-3))  # of what never changes, too
        highest = self.products.degree
        self.n_used.fill_(Monomials.count(x.shape[1], highest))
        folds = [tuple(part[k::_FOLDS] for part in train) for k in range(min(_FOLDS, len(z)))]
        equations = [NormalEquations.of(self._blocks(fold, None)) for fold in folds]
        beside = NormalEquations.of(self._blocks(held_out, None))
        self.n_used.fill_(Monomials.count(x.shape[1], best_degree(equations, beside, x.shape[1], highest, _BASE_RIDGE)))
        self.W.zero_()
        self.W[: int(self.n_used)] = least_squares(self._blocks(train, None), _BASE_RIDGE).to(self.W.dtype)
        left = torch.cat([y - terms @ self.W[: int(self.n_used)].double() for terms, y in self._blocks(train, None)])
        self.rest.copy_(self.increment * left.std(0, correction=0).clamp_min(1e-6))
        self.unit.copy_(self.rest.square().mean().sqrt())

    def finish(self, train: Steps) -> None:
        """Polynomial and last layer together by least squares: gradients stop short of what these features can do."""
        n = int(self.n_used)
        coef = least_squares(self._blocks(train, copy.deepcopy(self.g[:-1]).double()), _BASE_RIDGE)
        self.W[:n] = coef[:n].to(self.W.dtype)
        self.g[-1].weight.copy_((coef[n:] * (self.increment / self.rest)).T)
        self.g[-1].bias.zero_()  # the polynomial has a constant

    def widen(self, train: Steps) -> None:
        """Let the polynomial see as far as new states are, and solve for its coefficients."""
        x = self.scaled(train[0], train[1])
        self.low.copy_(torch.minimum(self.low, _BEYOND * x.amin(0)))
        self.high.copy_(torch.maximum(self.high, _BEYOND * x.amax(0)))
        self.finish(train)
        z, c, after = train
        rest = (after - self.forward(z, c)).std(0, correction=0).maximum(self.rest)
        self.g[-1].weight.mul_((self.rest / rest)[:, None])  # the same map in the units of what is left to learn
        self.rest.copy_(rest)
        self.unit.copy_(rest.square().mean().sqrt())

    def scaled(self, z: Tensor, c: Tensor) -> Tensor:
        """Inputs in units of training data."""
        return (torch.cat([z, c], -1) - self.center) / self.spread

    def _within(self, x: Tensor) -> Tensor:
        """Scaled inputs in [-1, 1]."""
        low, high = self.low, self.high
        return (2 * x.clamp(low, high) - (low + high)) / (high - low)

    def _blocks(self, steps: Steps, hidden: nn.Module | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Terms of the polynomial, and values of the last hidden layer, with scaled increments, in float64."""
        for z, c, after in zip(*(part.split(_BLOCK) for part in steps), strict=True):
            x = self.scaled(z, c)
            terms = self.products(self._within(x).double())[:, : int(self.n_used)]
            terms = terms if hidden is None else torch.cat([terms, hidden(x.double())], 1)
            yield terms, ((after - z) / self.increment).double()

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        x = self.scaled(z, c)
        polynomial = self.products(self._within(x)) @ self.W
        return z + self.increment * polynomial + self.rest * self.g(x)


class FNO1d(Stepper):
    """Fourier neural operator on a periodic field: what it says of a shifted field is shifted (Li et al. 2021).

    Parameters
    ----------
    step, n_state, n_context : int
        s, grid points and c.
    width, n_modes, n_layers : int, default=32, 16, 4
        Channels, Fourier modes that are mixed, layers.
    """

    of_field = True

    def __init__(
        self, step: int, n_state: int, n_context: int, width: int = 32, n_modes: int = 16, n_layers: int = 4
    ) -> None:
        super().__init__(step, n_state, n_context)
        self.n_modes = min(n_modes, n_state // 2 + 1)
        self.lift = nn.Conv1d(1 + n_context, width, 1)
        self.spectral = nn.ParameterList(
            nn.Parameter(torch.randn(self.n_modes, width, width, 2) / width) for _ in range(n_layers)
        )
        self.local = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(n_layers))
        self.project = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GELU(), nn.Conv1d(2 * width, 1, 1))
        nn.init.zeros_(self.project[-1].weight)
        nn.init.zeros_(self.project[-1].bias)
        self.register_buffer("spread", torch.ones(()))

    def start(self, train: Steps, held_out: Steps) -> None:
        """One unit for the whole field: units of grid points would know where they are."""
        super().start(train, held_out)
        self.spread.copy_(train[0].std().clamp_min(1e-6))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        n = z.shape[-1]
        field = torch.cat([z[:, None] / self.spread, c[..., None].expand(-1, -1, n)], 1)
        h = self.lift(field)
        for weight, local in zip(self.spectral, self.local, strict=True):
            modes = torch.fft.rfft(h)[..., : self.n_modes]
            mixed = torch.einsum("bim,mio->bom", modes, torch.view_as_complex(weight))
            h = nn.functional.gelu(local(h) + torch.fft.irfft(mixed, n=n))
        return z + self.unit * self.project(h)[:, 0]


def rollout_loss(stepper: Stepper, states: Tensor, context: Tensor, noise: float) -> Tensor:
    """Mean squared error of m steps on the stepper's own output, in units of what there is to learn, (B,).

    In training only a tenth of the windows is followed for all m steps, the others for one: long rollouts teach a limit
    cycle its period, but cost m times as much, and of chaos they teach less than as many single steps. Another tenth
    starts from a state moved by isotropic noise: it teaches the way back to the data, where one-step errors would
    otherwise carry a rollout away; noise on all of them would blur what there is to learn.
    """
    z, m = states[:, 0], states.shape[1] - 1
    few = max(1, len(z) // _SPECIAL) if stepper.training else len(z)
    if stepper.training:
        z = moved_by_noise(z, noise)
    z = stepper(z, context[:, 0])
    first = (z - states[:, 1]).square().mean(-1)
    total, z = first[:few], z[:few]
    for j in range(1, m):
        z = stepper(z, context[:few, j])
        total = total + (z - states[:few, j + 1]).square().mean(-1)
    return torch.cat([total / m, first[few:]]) / stepper.unit.square()


def moved_by_noise(z: Tensor, noise: float) -> Tensor:
    """States, every tenth of them moved by isotropic noise."""
    if not noise:
        return z
    moved = (torch.arange(len(z), device=z.device) % _SPECIAL == _SPECIAL - 1)[:, None]
    return z + noise * moved * torch.randn_like(z)


def log_spaced_steps(longest: int) -> list[int]:
    """1, 2, 4, ... up to ``longest``."""
    return [2**k for k in range(int(math.log2(max(longest, 1))) + 1)]
