r"""Flow maps: from the state z now to the state s samples later, :math:`z_{t+s} = N_s(z_t, c)`.

c are the step's mean controls and the parameters; it may be empty. The base, one for fields, and the loss by which flow
maps are trained are here; polynomials are in ``polynomial_map.py``, a network that corrects them in ``resmlp.py``, a
quadratic differential equation in ``quadratic.py``.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["FNO1d", "Stepper", "Steps", "log_spaced_steps", "moved_by_noise", "rollout_loss"]

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
