r"""Proposals for drawn outputs, and inference by their importance weights where no exact route exists.

A proposal turns uniform noise into outputs and says the density from which they came. It is always a mixture with a
defensive part, and weights are taken by the density of the whole mixture, never of the component that was drawn, so
that no weight can grow without bound.
"""

import math

import torch
from torch import Tensor, nn

from skts.jointebm.ascent import climb
from skts.jointebm.couplings import Coupling
from skts.jointebm.inference import Inference, best_permutation, fresh_noise, pinned, sobol
from skts.jointebm.meanfield import distinct_log_weights, mean_field
from skts.jointebm.spaces import Classes, LabelSets, Permutations, Space, UserSpace

__all__ = ["PROPOSALS", "Marginal", "MeanField", "Prior", "Proposal", "Sampled"]


class Proposal(nn.Module):
    """Base: draws outputs for potentials (B, D) from noise (B or 1, S, k + 1) that is uniform in [0, 1).

    Parameters
    ----------
    space, coupling : Space, Coupling
        Where y lives, and c(y).
    base : Tensor of shape (D,)
        Potentials of the reference distribution.
    defensive : float
        Part of the mixture that is drawn from something broader.
    n_starts : int
        Starts of the mean field.
    """

    def __init__(self, space: Space, coupling: Coupling, base: Tensor, defensive: float, n_starts: int) -> None:
        super().__init__()
        self.space, self.defensive, self.n_starts = space, defensive, n_starts
        self.__dict__["coupling"] = coupling  # the inference owns it
        self.register_buffer("base", base, persistent=False)

    @torch.no_grad()
    def draw(self, theta: Tensor, noise: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, S, k) and their log-density (B, S), without gradient; ``given`` for label sets alone."""
        noise = noise.to(theta.dtype).expand(len(theta), -1, -1)
        potentials, log_weight = self._components(theta, given)
        if given is not None:
            potentials = pinned(potentials, given[:, None], scale=2 * _CERTAIN, shift=-_CERTAIN)
        cumulated = log_weight.exp().cumsum(1)
        which = torch.searchsorted(cumulated, noise[..., 0].contiguous()).clamp_max(cumulated.shape[1] - 1)
        rows = torch.arange(len(theta), device=theta.device)[:, None]
        Y = draw_product(self.space, potentials[rows, which], noise[..., 1:])
        return Y, self._density(potentials, log_weight, Y)

    @torch.no_grad()
    def log_density(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, S, k) -> (B, S)
        """Log-density of the whole mixture at any outputs."""
        return self._density(*self._components(theta, None), Y)

    def _density(self, potentials: Tensor, log_weight: Tensor, Y: Tensor) -> Tensor:
        each = [log_prob_product(self.space, potentials[:, c, None], Y) for c in range(potentials.shape[1])]
        return (torch.stack(each, -1) + log_weight[:, None]).logsumexp(-1)

    def log_reference(self, Y: Tensor) -> Tensor:  # (B, S, k) -> (B, S)
        """Log-probability under the reference distribution q."""
        if isinstance(self.space, UserSpace):
            return self.space.log_reference(Y)
        base = self.base.expand(len(Y), -1)
        return self.space.dot(base, Y) - self.space.log_normaliser(self.base)

    def _components(self, theta: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Potentials (B, C, D) of products, the last one the defensive, and the logarithms of their weights (B, C)."""
        raise NotImplementedError

    def _mixed(self, narrow: Tensor, log_weight: Tensor, broad: Tensor) -> tuple[Tensor, Tensor]:
        """Products (B, C, D) with the defensive one (D,) beside them."""
        broad = broad.to(narrow.dtype).expand(len(narrow), 1, -1)
        last = torch.full_like(log_weight[:, :1], math.log(self.defensive))
        return torch.cat([narrow, broad], 1), torch.cat([log_weight + math.log1p(-self.defensive), last], 1)


class Prior(Proposal):
    """Uniform over the space, as in the paper; or the reference of a space of the user's own.

    Parameters
    ----------
    space, coupling, base, defensive, n_starts
        See :class:`Proposal`.
    """

    def draw(self, theta: Tensor, noise: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:  # noqa: D102
        Y = self.space.uniform(noise[..., 1:]).expand(len(theta), -1, -1)
        if given is None:
            return Y, self.log_density(theta, Y)
        free = (
            (given < 0).sum(1, keepdim=True).to(theta.dtype)
        )  # label sets: each free label doubles the number of sets
        Y = torch.where(given[:, None] < 0, Y, given[:, None])
        return Y, (-math.log(2.0) * free).expand(Y.shape[:2])

    def log_density(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        if isinstance(self.space, UserSpace):
            return self.log_reference(Y).to(theta.dtype)
        return torch.full(Y.shape[:-1], -self.space.log_size, dtype=theta.dtype, device=theta.device)


class Marginal(Proposal):
    """The frequencies of labels, classes or items in the training data, the same for every x.

    Parameters
    ----------
    space, coupling, base, defensive, n_starts
        See :class:`Proposal`.
    """

    def _components(self, theta: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        base = self.base.to(theta.dtype).expand(len(theta), 1, -1)
        return self._mixed(base, torch.zeros_like(base[..., 0]), torch.zeros_like(self.base))


class MeanField(Proposal):
    """What the model itself says: a mixture of mean fields from several starts; Plackett-Luce for rankings.

    Parameters
    ----------
    space, coupling, base, defensive, n_starts
        See :class:`Proposal`.
    """

    def _components(self, theta: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        if type(self.space) is not LabelSets:
            return self._mixed(theta[:, None], torch.zeros_like(theta[:, :1]), self.base)
        log_odds, bound = mean_field(theta, self.coupling, self.n_starts, given)
        mass = (bound + distinct_log_weights(log_odds.sigmoid())).softmax(1)
        return self._mixed(log_odds, (0.5 * mass + 0.5 / mass.shape[1]).log(), self.base)


_CERTAIN = 40.0  # log-odds that leave no doubt and stay finite
PROPOSALS = {"prior": Prior, "marginal": Marginal, "meanfield": MeanField}


def draw_product(space: Space, potentials: Tensor, noise: Tensor) -> Tensor:  # (B, S, D), (B, S, k) -> (B, S, k)
    """Draws from a distribution without coupling: independent labels, a class, or a Plackett-Luce ranking."""
    if isinstance(space, Classes):
        return torch.searchsorted(potentials.softmax(-1).cumsum(-1), noise.contiguous()).clamp_max(space.n_features - 1)
    if isinstance(space, Permutations):
        gumbel = -(-noise.clamp(1e-9, 1 - 1e-7).log()).log()
        return (_worth(space, potentials) + gumbel).argsort(-1, descending=True).argsort(-1)
    return (noise < potentials.sigmoid()).long()


def log_prob_product(space: Space, potentials: Tensor, Y: Tensor) -> Tensor:  # (B, 1, D), (B, S, k) -> (B, S)
    """Log-probability of what :func:`draw_product` draws."""
    if isinstance(space, Classes):
        return potentials.log_softmax(-1).expand(-1, Y.shape[1], -1).gather(-1, Y)[..., 0]
    if isinstance(space, Permutations):
        worth = _worth(space, potentials).expand(-1, Y.shape[1], -1).gather(-1, Y.argsort(-1))  # in ranked order
        return (worth - worth.flip(-1).logcumsumexp(-1).flip(-1)).sum(-1)
    sign = (2 * Y - 1).to(potentials.dtype)
    return torch.nn.functional.logsigmoid(sign * potentials).sum(-1)


def _worth(space: Permutations, potentials: Tensor) -> Tensor:  # (..., D) -> (..., k)
    """Plackett-Luce log-worths near to the potentials of positions."""
    if not space.birkhoff:
        return 0.75 * potentials
    share = space.positions(potentials).softmax(-1)
    return 2 * (share * space._score(torch.arange(space.k, device=potentials.device))).sum(-1)


class Sampled(Inference):
    """Inference by importance weights of drawn outputs.

    Parameters
    ----------
    space, coupling : Space, Coupling
        See :class:`~skts.jointebm.inference.Inference`.
    proposal : Proposal
        Where outputs are drawn.
    n_draws : int
        Draws of each row in queries.
    """

    exact = False

    def __init__(self, space: Space, coupling: Coupling, proposal: Proposal, n_draws: int) -> None:
        super().__init__(space, coupling)
        self.proposal, self.n_draws = proposal, n_draws
        self.n_noise = space.k + 1

    def fixed_noise(self, n: int) -> Tensor:
        """The same noise for all rows and calls, so that an answer does not depend on its neighbours."""
        return sobol(n, self.n_noise).to(self.proposal.base.device)

    def log_weights(self, theta: Tensor, noise: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Importance weights whose mean is Z, log (B, S), and the outputs (B, S, k)."""
        Y, log_density = self.proposal.draw(theta.detach(), noise, given)
        return self.score(theta, Y) - log_density, Y

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        log_w, _ = self.log_weights(theta, self.fixed_noise(self.n_draws), given)
        return log_w.logsumexp(1) - math.log(self.n_draws)

    def log_density(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, k) -> (B,)
        """Log-density of the proposal at observed outputs."""
        return self.proposal.log_density(theta, Y[:, None])[:, 0]

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        log_w, Y = self.log_weights(theta, self.fixed_noise(self.n_draws), given)
        weight = log_w.softmax(1)
        return torch.einsum("bs,bs...->b...", weight, self.space.parts(Y).to(weight.dtype))

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        noise = fresh_noise(max(self.n_draws, 4 * S), self.n_noise, generator)
        log_w, Y = self.log_weights(theta, noise, given)
        chosen = torch.multinomial(log_w.softmax(1), S, replacement=True, generator=generator)
        return Y.gather(1, chosen[..., None].expand(-1, -1, self.space.k))

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:
        """The best of the draws; label sets climb on from there, one label of each at a time."""
        if isinstance(self.space, Permutations):
            return best_permutation(self.space.positions(theta))
        _, Y = self.log_weights(theta, self.fixed_noise(self.n_draws), given)
        best = self.score(theta, Y).topk(min(4, Y.shape[1]), dim=1).indices
        Y = Y.gather(1, best[..., None].expand(-1, -1, self.space.k))
        if type(self.space) is LabelSets:
            Y = climb(theta, self.coupling, Y, given)
        return Y[torch.arange(len(Y), device=Y.device), self.score(theta, Y).argmax(1)]
