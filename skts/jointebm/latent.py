r"""The low-rank coupling as latent factors: the sum over y in closed form, an integral over r numbers by draws.

.. math::

    Z = \mathbb E_{z \sim N(0, I_r)} \prod_i \big(1 + e^{\theta_i - |v_i|^2 / 2 + \langle v_i, z \rangle}\big)

The integrand has few modes, and each is close to a Gaussian: draws come from a mixture of Gaussians at the modes found
from several starts, widened, and weigh by the mixture's density. With y summed out, the weights vary far less than
those of drawn label sets.
"""

import math

import torch
from torch import Tensor

from skts.jointebm.ascent import climb
from skts.jointebm.couplings import LowRank
from skts.jointebm.inference import Inference, fresh_noise, log_factors, pinned, sobol
from skts.jointebm.meanfield import distinct_log_weights, starts
from skts.jointebm.spaces import Space

__all__ = ["Latent"]

_ITERATIONS = 12
_POINTS_OF_ASCENT, _BEST_OF_THEM = 64, 8
_DEFENSIVE = 0.3  # part of the mixture that ignores how heavy a mode looks
_LEAST_CURVATURE = 0.15  # a flat or saddle-like mode gets a Gaussian of this precision


class Latent(Inference):
    """Inference for label sets with a low-rank coupling; not exact, but with draws whose weights tell how good it is.

    Parameters
    ----------
    space : Space
        Label sets.
    coupling : LowRank
        The coupling.
    n_starts : int
        Starts of the search for modes.
    n_draws : int
        Points of the integral in queries.
    """

    exact = False

    def __init__(self, space: Space, coupling: LowRank, n_starts: int, n_draws: int) -> None:
        super().__init__(space, coupling)
        self.n_starts, self.n_draws = n_starts, n_draws
        self.n_noise = coupling.weight.shape[1] + 1

    def _shifted(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        V = self.coupling.factors.to(theta.dtype)  # type: ignore[attr-defined]
        return theta - 0.5 * V.square().sum(1), V

    def _modes(self, u: Tensor, V: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Modes z (B, C, r) and the curvature there (B, C, r, r): I - V' diag(m (1 - m)) V."""
        known = None if given is None else given[:, None]
        first = torch.cat([torch.zeros(1, V.shape[1]).to(V), starts(V @ V.T, self.n_starts - 1).sigmoid() @ V])
        z = first.expand(len(u), -1, -1)
        for _ in range(_ITERATIONS):
            z = 0.3 * z + 0.7 * pinned((u[:, None] + z @ V.T).sigmoid(), known) @ V
        m = pinned((u[:, None] + z @ V.T).sigmoid(), known)
        eye = torch.eye(V.shape[1]).to(V)
        return z, eye - torch.einsum("kr,bck,kq->bcrq", V, m * (1 - m), V)

    def _log_joint(self, u: Tensor, V: Tensor, z: Tensor, given: Tensor | None) -> Tensor:  # (B, S, r) -> (B, S)
        known = None if given is None else given[:, None]
        log_prior = -0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
        return log_factors(u[:, None] + z @ V.T, known).sum(-1) + log_prior

    @torch.no_grad()
    def _propose(self, u: Tensor, V: Tensor, noise: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points z (B, S, r) of the mixture from uniform noise (B or 1, S, r + 1), and their log-density (B, S)."""
        modes, curvature = self._modes(u, V, given)
        value, basis = torch.linalg.eigh(curvature)
        value = value.clamp(_LEAST_CURVATURE, 1.0)  # never narrower than the prior: it only widens
        mass = self._log_joint(u, V, modes, given) - 0.5 * value.log().sum(-1) + distinct_log_weights(modes)
        weight = (1 - _DEFENSIVE) * mass.softmax(1) + _DEFENSIVE / mass.shape[1]
        noise = noise.to(u.dtype).expand(len(u), -1, -1)
        which = torch.searchsorted(weight.cumsum(1), noise[..., 0].contiguous()).clamp_max(mass.shape[1] - 1)
        normal = torch.special.ndtri(noise[..., 1:].clamp(1e-6, 1 - 1e-6))
        spread = basis * value.rsqrt()[:, :, None]  # (B, C, r, r)
        rows = torch.arange(len(u), device=u.device)[:, None]
        z = modes[rows, which] + (spread[rows, which] @ normal[..., None])[..., 0]
        along = torch.einsum("bscr,bcrq->bscq", z[:, :, None] - modes[:, None], basis)
        log_density = -0.5 * (along.square() * value[:, None]).sum(-1) + 0.5 * value.log().sum(-1)[:, None]
        log_density = log_density - 0.5 * V.shape[1] * math.log(2 * math.pi)
        return z, (log_density + weight.log()[:, None]).logsumexp(-1)

    def log_weights(self, theta: Tensor, noise: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Importance weights whose mean is Z, log (B, S), and the log-odds (B, S, k) of the labels at each point."""
        u, V = self._shifted(theta)
        z, log_density = self._propose(u.detach(), V.detach(), noise, given)
        return self._log_joint(u, V, z, given) - log_density, u[:, None] + z @ V.T

    def fixed_noise(self, n: int) -> Tensor:
        """The points of the integral in queries, the same for all rows and calls."""
        return sobol(n, self.n_noise).to(self.coupling.weight.device)  # type: ignore[attr-defined]

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        log_w, _ = self.log_weights(theta, self.fixed_noise(self.n_draws), given)
        return log_w.logsumexp(1) - math.log(log_w.shape[1])

    @torch.no_grad()
    def log_density(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, k) -> (B,)
        """Log-density of observed outputs when factors are drawn from the proposal, and labels given factors."""
        sign, found = (2 * Y - 1).to(theta.dtype), []
        for part, signs in zip(theta.split(32), sign.split(32), strict=True):
            _, log_odds = self.log_weights(part, self.fixed_noise(self.n_draws))
            each = torch.nn.functional.logsigmoid(signs[:, None] * log_odds).sum(-1)
            found.append(each.logsumexp(1) - math.log(self.n_draws))
        return torch.cat(found)

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        noise = fresh_noise(max(self.n_draws, 4 * S), self.n_noise, generator)
        log_w, log_odds = self.log_weights(theta, noise, given)
        chosen = torch.multinomial(log_w.softmax(1), S, replacement=True, generator=generator)
        p = log_odds.sigmoid().gather(1, chosen[..., None].expand(-1, -1, self.space.k))
        Y = (torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p).long()
        return Y if given is None else torch.where(given[:, None] < 0, Y, given[:, None])

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:
        """Ascent from the best sets at the integral's points, by whole sets and then label by label."""
        u, V = self._shifted(theta)
        known = None if given is None else given[:, None]
        _, log_odds = self.log_weights(theta, self.fixed_noise(_POINTS_OF_ASCENT), given)
        for _ in range(_ITERATIONS):  # each step maximises a bound that touches, since |V'y|^2 is convex
            Y = (pinned(log_odds, known, shift=-0.5) > 0).to(theta.dtype)
            log_odds = u[:, None] + Y @ V @ V.T
        rows = torch.arange(len(theta), device=theta.device)[:, None]
        Y = Y[rows, self.score(theta, Y).topk(_BEST_OF_THEM, dim=1).indices]
        Y = climb(theta, self.coupling, Y, given)  # type: ignore[arg-type]
        return Y[rows[:, 0], self.score(theta, Y).argmax(1)]
