r"""Exact inference for :math:`p(y) \propto e^{\langle\theta,\varphi(y)\rangle + c(y)}`.

Log-partition, marginals, draws and mode. Every class holds the coupling and answers for a batch of potentials (B, D).
``given`` (B, k) fixes parts of y and is -1 where nothing is known. Where no exact route exists there is
:mod:`skts.jointebm.sampled` or :mod:`skts.jointebm.latent`, behind the same interface.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skts.jointebm.couplings import Cardinality, Coupling, Uncoupled
from skts.jointebm.losses import exact_tau, link
from skts.jointebm.spaces import LabelSets, Permutations, Space

__all__ = ["Counting", "Enumeration", "Independent", "Inference", "PermutationRecursion"]

MOST_STATES = 2**14  # that are enumerated
MOST_ITEMS = 12  # that the recursion over subsets ranks
_LEAST_EXPONENT = 80.0
_NEVER = -1e6  # a potential that leaves no probability, and stays finite in every sum


class Inference(nn.Module):
    """Base of all routes, exact or not.

    Parameters
    ----------
    space : Space
        Where y lives.
    coupling : Coupling
        c(y).
    """

    exact = True

    def __init__(self, space: Space, coupling: Coupling) -> None:
        super().__init__()
        self.space, self.coupling = space, coupling

    def score(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, S, k) -> (B, S)
        """<theta, phi(y)> + c(y): minus the energy."""
        linear = self.space.dot(theta, Y)
        return linear if isinstance(self.coupling, Uncoupled) else linear + self.coupling(Y.to(theta.dtype))

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B,)
        """Log of the sum of exp(score) over all y that agree with ``given``."""
        raise NotImplementedError

    def log_prob(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, S, k) -> (B, S)
        """Log-probability of outputs."""
        return self.score(theta, Y) - self.log_partition(theta)[:, None]

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B, D)
        """Expected features: the gradient of the log-partition.

        They are the probabilities of labels, of classes, or of items at positions (B, k, k).
        """
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            log_z = self.log_partition(leaf, given).sum()
            return torch.autograd.grad(log_z, leaf)[0]

    def draw(
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:  # (B, D) -> (B, S, k)
        """Draws from p."""
        raise NotImplementedError

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B, k)
        """A y of the highest score."""
        raise NotImplementedError


class Enumeration(Inference):
    """All states in a table; every query and every divergence is exact.

    Parameters
    ----------
    space, coupling : Space, Coupling
        See :class:`Inference`.
    log_q : Tensor of shape (n_states,)
        Log-probability of each state under the reference.
    alpha, gamma : float, default=1.0
        Divergence and temperature of the loss; they decide how scores become probabilities.
    """

    def __init__(self, space: Space, coupling: Coupling, log_q: Tensor, alpha: float = 1.0, gamma: float = 1.0) -> None:
        super().__init__(space, coupling)
        self.alpha, self.gamma = alpha, gamma
        states = space.states()
        self.register_buffer("states", states, persistent=False)
        self.register_buffer("table", space.features(states).float(), persistent=False)
        self.register_buffer("parts", space.parts(states).float().flatten(1), persistent=False)
        self.register_buffer("log_q", log_q.float(), persistent=False)

    def all_scores(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B, n_states)
        """Scores of all states; no probability for those that disagree with ``given``."""
        table = self.table.to(theta.dtype)
        coupled = self.coupling(self.states.to(theta.dtype)) if not isinstance(self.coupling, Uncoupled) else 0.0
        scores = theta @ table.T + coupled
        if given is not None:
            differs = self._disagrees(given)
            scores = scores.masked_fill(differs, _NEVER)
        return scores

    def _disagrees(self, given: Tensor) -> Tensor:  # (B, k) -> (B, n_states)
        """Whether a state differs from what is known of a row."""
        if isinstance(self.space, LabelSets):  # a product of matrices counts the differences
            absent, present = (given == 0).float(), (given == 1).float()
            return absent @ self.table.float().T + present @ (1 - self.table.float()).T > 0
        return ((given[:, None] >= 0) & (given[:, None] != self.states)).any(-1)

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return self._tau(self.all_scores(theta, given))

    def _tau(self, scores: Tensor) -> Tensor:
        if self.alpha == 1.0:
            # States of less than e^-80 of the best one's probability would become subnormal numbers, ten times slower.
            return torch.maximum(scores, scores.detach().amax(1, keepdim=True) - _LEAST_EXPONENT).logsumexp(1)
        return exact_tau(scores - self.log_q, self.log_q, self.alpha, self.gamma)

    def log_probs(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B, n_states)
        """Log-probability of every state."""
        scores = self.all_scores(theta)
        log_p = self._as_log_prob(scores, self.log_q, self._tau(scores))
        if given is not None:
            differs = self._disagrees(given)
            log_p = log_p.masked_fill(differs, -torch.inf).log_softmax(1)
        return log_p

    def probabilities(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # (B, D) -> (B, n_states)
        """Probability of every state, at least e^-80 (see ``_tau``)."""
        return self.log_probs(theta, given).clamp_min(-_LEAST_EXPONENT).exp()

    def _as_log_prob(self, scores: Tensor, log_q: Tensor, tau: Tensor) -> Tensor:
        if self.alpha == 1.0:
            return scores - tau[:, None]
        return log_q + link((scores - log_q - tau[:, None]) / self.gamma, self.alpha).log()

    def log_prob(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        if self.alpha == 1.0:
            return super().log_prob(theta, Y)
        where = (Y[:, :, None] == self.states).all(-1).long().argmax(-1)  # (B, S)
        return self.log_probs(theta).gather(1, where)

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        p = self.probabilities(theta, given)
        return (p @ self.parts.to(p)).unflatten(1, self.space.parts(self.states[:1]).shape[1:])

    def marginals_by_size(self, theta: Tensor) -> Tensor:  # (B, D) -> (B, k, k + 1)
        """Probability that label i is present in a set of m labels."""
        p, sizes = self.probabilities(theta), self.states.sum(1)
        parts = [(sizes == m).nonzero()[:, 0] for m in range(self.space.k + 1)]
        return torch.stack([p[:, part] @ self.table[part].to(p) for part in parts], -1)

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        p = self.probabilities(theta, given)
        return self.states[torch.multinomial(p, S, replacement=True, generator=generator)]

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return self.states[self.all_scores(theta, given).argmax(1)]


class Independent(Inference):
    """Labels without coupling: everything is a formula for each label.

    Parameters
    ----------
    space, coupling : Space, Coupling
        See :class:`Inference`.
    """

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return log_factors(theta, given).sum(-1)

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return pinned(theta.sigmoid(), given)

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        p = self.marginals(theta, given)[:, None].expand(-1, S, -1)
        return (torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p).long()

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return (pinned(theta, given, scale=1.0, shift=-0.5) > 0).long()


class Counting(Inference):
    r"""Labels coupled through their number alone: elementary symmetric polynomials, in :math:`O(k^2)`.

    :math:`Z = \sum_m e^{c_m} e_m(e^{\theta_1}, \dots, e^{\theta_k})`, and :math:`e_m` of the first i labels follows
    from that of the first i - 1.

    Parameters
    ----------
    space : LabelSets or Subsets
        Label sets, with a :class:`~skts.jointebm.couplings.Cardinality`; or subsets of one size.
    coupling : Coupling
        See :class:`Inference`.
    """

    def _by_count(self, theta: Tensor) -> Tensor:  # (k + 1,)
        if isinstance(self.coupling, Cardinality):
            return self.coupling.potentials.to(theta.dtype)
        allowed = torch.full((self.space.k + 1,), _NEVER, dtype=theta.dtype, device=theta.device)
        allowed[self.space.size] = 0.0  # type: ignore[attr-defined]
        return allowed

    def _table(self, theta: Tensor, given: Tensor | None) -> list[Tensor]:
        """After i labels (i = 0 .. k): log e_m of them, (B, k + 1)."""
        absent = torch.zeros_like(theta)
        if given is not None:
            theta = theta.masked_fill(given == 0, _NEVER)
            absent = absent.masked_fill(given == 1, _NEVER)
        row = torch.full((len(theta), self.space.k + 1), _NEVER, dtype=theta.dtype, device=theta.device)
        row[:, 0] = 0.0
        rows = [row]
        for i in range(self.space.k):
            with_it = F.pad(row[:, :-1] + theta[:, i : i + 1], (1, 0), value=_NEVER)
            row = torch.logaddexp(row + absent[:, i : i + 1], with_it)
            rows.append(row)
        return rows

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return (self._table(theta, given)[-1] + self._by_count(theta)).logsumexp(1)

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        rows = self._table(theta, given)
        by_count = (rows[-1] + self._by_count(theta)).softmax(1)
        left = torch.multinomial(by_count, S, replacement=True, generator=generator)  # (B, S) labels still to place
        Y = torch.zeros(len(theta), S, self.space.k, dtype=torch.long, device=theta.device)
        chance = torch.rand(Y.shape, generator=generator, device=theta.device, dtype=theta.dtype)
        potentials = theta if given is None else theta.masked_fill(given == 0, _NEVER)
        for i in reversed(range(self.space.k)):
            fewer = rows[i].gather(1, (left - 1).clamp_min(0)) + potentials[:, i : i + 1]
            taken = (chance[..., i] < (fewer - rows[i + 1].gather(1, left)).exp()) & (left > 0)
            Y[..., i] = taken.long()
            left = left - Y[..., i]
        return Y

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:
        """Sort the labels; the best set of each size is a prefix."""
        theta = pinned(theta, given, scale=-2 * _NEVER, shift=_NEVER)
        order = theta.argsort(dim=1, descending=True, stable=True)
        sums = F.pad(theta.gather(1, order).cumsum(1), (1, 0))
        best = (sums + self._by_count(theta)).argmax(1, keepdim=True)
        return (order.argsort(1) < best).long()


class PermutationRecursion(Inference):
    r"""Rankings with a potential for each item and position: recursion over subsets, in :math:`O(k 2^k)`.

    f(A), the log-sum over the orders in which the items of A fill the first positions, follows from the subsets with
    one item less; f of all items is the logarithm of a permanent.

    Parameters
    ----------
    space : Permutations
        The space.
    coupling : Coupling
        None is used with rankings.
    """

    def __init__(self, space: Permutations, coupling: Coupling) -> None:
        super().__init__(space, coupling)
        k = space.k
        masks = np.arange(2**k)
        sizes = (masks[:, None] >> np.arange(k) & 1).sum(1)
        place = np.zeros(2**k, dtype=np.int64)  # of a subset among those of its size
        for size in range(k + 1):
            of_size = masks[sizes == size]
            place[of_size] = np.arange(len(of_size))
            if size:
                items = np.nonzero(of_size[:, None] >> np.arange(k) & 1)[1].reshape(-1, size)
                before = place[of_size[:, None] - (1 << items)]
                self.register_buffer(f"items_{size}", torch.from_numpy(items), persistent=False)
                self.register_buffer(f"before_{size}", torch.from_numpy(before), persistent=False)

    def _layers(self, table: Tensor) -> list[Tensor]:
        """F of all subsets of each size, (B, number of them)."""
        layers = [torch.zeros(len(table), 1, dtype=table.dtype, device=table.device)]
        for size in range(1, self.space.k + 1):
            items, before = getattr(self, f"items_{size}"), getattr(self, f"before_{size}")
            layers.append((layers[-1][:, before] + table[:, items, size - 1]).logsumexp(-1))
        return layers

    def _potentials(self, theta: Tensor, given: Tensor | None) -> Tensor:  # (B, k, k)
        table = self.space.positions(theta)  # type: ignore[attr-defined]
        return table if given is None else pin_positions(table, given)

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return self._layers(self._potentials(theta, given))[-1][:, 0]

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:
        """Probability of item i at position j, (B, k, k)."""
        with torch.enable_grad():
            table = self._potentials(theta, given).detach().requires_grad_()
            return torch.autograd.grad(self._layers(table)[-1].sum(), table)[0]

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        table = self._potentials(theta, given)
        layers, B = self._layers(table), len(theta)
        Y = torch.zeros(B, S, self.space.k, dtype=torch.long, device=theta.device)
        subset = torch.zeros(B, S, dtype=torch.long, device=theta.device)  # all items: the only subset of its size
        for size in range(self.space.k, 0, -1):
            items = getattr(self, f"items_{size}")[subset]  # (B, S, size)
            before = getattr(self, f"before_{size}")[subset]
            earlier = layers[size - 1].gather(1, before.flatten(1)).view(before.shape)
            here = table[:, :, size - 1].gather(1, items.flatten(1)).view(items.shape)
            flat = (earlier + here).softmax(-1).flatten(0, 1)
            chosen = torch.multinomial(flat, 1, generator=generator).view(B, S, 1)
            Y.scatter_(2, items.gather(2, chosen), size - 1)
            subset = before.gather(2, chosen)[..., 0]
        return Y

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return best_permutation(self._potentials(theta, given))


def best_permutation(table: Tensor) -> Tensor:  # (B, k, k) -> (B, k)
    """The assignment of items to positions with the highest sum (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    costs = -table.detach().double().cpu().numpy()
    return torch.stack([torch.from_numpy(linear_sum_assignment(cost)[1]) for cost in costs]).to(table.device)


def pin_positions(table: Tensor, given: Tensor) -> Tensor:  # (B, k, k), (B, k) -> (B, k, k)
    """No probability for positions that disagree with ``given``."""
    position = torch.arange(table.shape[-1], device=table.device)
    known = given[..., None] >= 0
    elsewhere = known & (given[..., None] != position)
    taken = (known & (given[..., None] == position)).any(1, keepdim=True) & ~known
    return table.masked_fill(elsewhere | taken, _NEVER)


def log_factors(theta: Tensor, given: Tensor | None) -> Tensor:
    """log(1 + e^theta) of each label; for a given label the term that it has."""
    free = F.softplus(theta)
    return free if given is None else torch.where(given < 0, free, theta * given)


def pinned(value: Tensor, given: Tensor | None, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Entries of ``value``, those of given labels replaced by scale * label + shift."""
    return value if given is None else torch.where(given < 0, value, scale * given.to(value.dtype) + shift)


def exact_key(codes: Tensor) -> Tensor:  # (..., k) -> (...)
    """A whole number for each code: the same for equal codes, and by all odds for no others."""
    odd = np.random.default_rng(0).integers(1, 2**62, codes.shape[-1]) | 1
    return (codes.long() * torch.from_numpy(odd).to(codes.device)).sum(-1)  # wraps around, exactly


def fresh_noise(n: int, dimensions: int, generator: torch.Generator | None) -> Tensor:  # (1, n, dimensions)
    """Uniform numbers, the same for all rows."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(1, n, dimensions, generator=generator, device=device)


@lru_cache(maxsize=16)
def sobol(n: int, dimensions: int) -> Tensor:  # (1, n, dimensions)
    """Points that fill the unit cube evenly, scrambled by a fixed seed; ends of the interval are left out."""
    points = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=0).draw(n)
    return points[None].clamp(1e-6, 1 - 1e-6)


def make_exact(space: Space, coupling: Coupling, log_q: Tensor | None, alpha: float, gamma: float) -> Inference | None:
    """The cheapest exact route, or None."""
    if alpha == 1.0:
        if type(space) is LabelSets and isinstance(coupling, Uncoupled):
            return Independent(space, coupling)
        if isinstance(coupling, Cardinality) or space.kind == "subset":
            return Counting(space, coupling)
        if isinstance(space, Permutations) and 7 < space.k <= MOST_ITEMS:
            return PermutationRecursion(space, coupling)
    return None if log_q is None else Enumeration(space, coupling, log_q, alpha, gamma)
