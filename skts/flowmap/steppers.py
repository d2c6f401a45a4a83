r"""Flow maps: from the state z now to the state s samples later, :math:`z_{t+s} = N_s(z_t, c)`.

c are the step's mean controls and the parameters; it may be empty.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["FNO1d", "QuadraticODE", "ResMLP", "Stepper", "log_spaced_steps", "rollout_loss"]


_SUBSTEPS = 4  # of Runge-Kutta for each sample: fields have modes that decay much faster than they are sampled


class Stepper(nn.Module):
    """Base of all flow maps.

    Parameters
    ----------
    step : int
        s, in samples.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # (B, z), (B, c) -> (B, z)
        """The state ``step`` samples later."""
        raise NotImplementedError

    def fit_scale(self, states: Tensor, increments: Tensor) -> None:
        """Set units from training states and increments, both (n, z)."""


class ResMLP(Stepper):
    r"""Residual network with normalised input and increment: :math:`z + \sigma_s\, g(z / \sigma_z, c)`.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    hidden : sequence of int
        Widths of g.
    """

    def __init__(self, step: int, n_state: int, n_context: int, hidden: tuple[int, ...]) -> None:
        super().__init__(step)
        widths, layers = [n_state + n_context, *hidden], []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.GELU()]
        self.g = nn.Sequential(*layers, nn.Linear(widths[-1], n_state))
        nn.init.zeros_(self.g[-1].weight)
        nn.init.zeros_(self.g[-1].bias)
        self.register_buffer("center", torch.zeros(n_state))
        self.register_buffer("spread", torch.ones(n_state))
        self.register_buffer("increment", torch.ones(n_state))

    def fit_scale(self, states: Tensor, increments: Tensor) -> None:  # noqa: D102
        self.center.copy_(states.mean(0))
        self.spread.copy_(states.std(0).clamp_min(1e-6))
        self.increment.copy_(increments.std(0).clamp_min(1e-6 * self.spread))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        inputs = torch.cat([(z - self.center) / self.spread, c], -1)
        return z + self.increment * self.g(inputs)


class FNO1d(Stepper):
    """Fourier neural operator on a periodic field: what it says of a shifted field is shifted (Li et al. 2021).

    Parameters
    ----------
    step, n_state, n_context : int
        s, grid points and c.
    width, n_modes, n_layers : int, default=32, 16, 4
        Channels, Fourier modes that are mixed, layers.
    """

    def __init__(
        self, step: int, n_state: int, n_context: int, width: int = 32, n_modes: int = 16, n_layers: int = 4
    ) -> None:
        super().__init__(step)
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
        self.register_buffer("increment", torch.ones(()))

    def fit_scale(self, states: Tensor, increments: Tensor) -> None:
        """One unit for the whole field: units of grid points would know where they are."""
        self.spread.copy_(states.std().clamp_min(1e-6))
        self.increment.copy_(increments.std().clamp_min(1e-9))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        n = z.shape[-1]
        field = torch.cat([z[:, None] / self.spread, c[..., None].expand(-1, -1, n)], 1)
        h = self.lift(field)
        for weight, local in zip(self.spectral, self.local, strict=True):
            modes = torch.fft.rfft(h)[..., : self.n_modes]
            mixed = torch.einsum("bim,mio->bom", modes, torch.view_as_complex(weight))
            h = nn.functional.gelu(local(h) + torch.fft.irfft(mixed, n=n))
        return z + self.increment * self.project(h)[:, 0]


class QuadraticODE(Stepper):
    r"""Operator inference: :math:`\dot z = a + A z + H (z \otimes z) + B c`, integrated by Runge-Kutta over the step.

    Parameters
    ----------
    step, n_state, n_context : int
        s, z and c.
    dt : float
        Time between samples.
    """

    def __init__(self, step: int, n_state: int, n_context: int, dt: float) -> None:
        super().__init__(step)
        self.dt = dt
        i, j = torch.triu_indices(n_state, n_state)
        self.register_buffer("i", i, persistent=False)
        self.register_buffer("j", j, persistent=False)
        self.register_buffer("coef", torch.zeros(1 + n_state + len(i) + n_context, n_state, dtype=torch.float64))

    def terms(self, z: Tensor, c: Tensor) -> Tensor:  # (B, z), (B, c) -> (B, number of terms)
        """1, z, products of z, c."""
        return torch.cat([torch.ones_like(z[:, :1]), z, z[:, self.i] * z[:, self.j], c], 1)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # noqa: D102
        kind, z, c = z.dtype, z.double(), c.double()
        h, coef = self.dt / _SUBSTEPS, self.coef.double()
        for _ in range(self.step * _SUBSTEPS):
            k1 = self.terms(z, c) @ coef
            k2 = self.terms(z + h / 2 * k1, c) @ coef
            k3 = self.terms(z + h / 2 * k2, c) @ coef
            k4 = self.terms(z + h * k3, c) @ coef
            z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return z.to(kind)

    def fit(self, pieces: list[tuple[Tensor, Tensor]], ridge: float) -> None:
        """Regularised least squares on derivatives by sixth-order central differences."""
        weights = torch.tensor([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0], dtype=torch.float64) / (60 * self.dt)
        n = self.coef.shape[0]
        gram, moment = torch.zeros(n, n, dtype=torch.float64), torch.zeros_like(self.coef)
        for states, context in pieces:
            if len(states) < 8:
                continue
            z = states.double()
            slope = sum(w * z[k : len(z) - 6 + k] for k, w in enumerate(weights))
            terms = self.terms(z[3:-3], context[3:-3].double())
            gram += terms.T @ terms
            moment += terms.T @ slope
        scale = gram.diagonal().clamp_min(1e-300).sqrt()
        scaled = gram / scale[:, None] / scale
        self.coef.copy_(
            torch.linalg.solve(scaled + ridge * torch.eye(n).double(), moment / scale[:, None]) / scale[:, None]
        )


def rollout_loss(stepper: Stepper, states: Tensor, context: Tensor, noise: float) -> Tensor:
    """Mean squared error of m steps on the stepper's own output, in units of the increments' spread, (B,).

    In training the start is moved by isotropic noise: it teaches the way back to the data, where one-step errors would
    otherwise carry a rollout away.
    """
    z = states[:, 0]
    if stepper.training and noise > 0:
        z = z + noise * torch.randn_like(z)
    unit = stepper.increment.square().mean()
    total = z.new_zeros(len(z))
    for j in range(1, states.shape[1]):
        z = stepper(z, context[:, j - 1])
        total = total + (z - states[:, j]).square().mean(-1)
    return total / unit / (states.shape[1] - 1)


def log_spaced_steps(longest: int) -> list[int]:
    """1, 2, 4, ... up to ``longest``."""
    return [2**k for k in range(int(math.log2(max(longest, 1))) + 1)]
