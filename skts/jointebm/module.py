r"""The joint model: an energy and its log-partition, two functions of x that are learned together.

.. math::

    p(y \mid x) = e^{\,g(x, y) - \tau(x)}, \qquad g(x, y) = \langle \theta(x), \varphi(y) \rangle + c(y), \qquad
    \tau(x) \approx \log \sum_y e^{g(x, y)}
"""

import math

import torch
from torch import Tensor, nn

from skts.jointebm.couplings import Coupling, LowRank, make_coupling
from skts.jointebm.encoder import make_encoder
from skts.jointebm.inference import MOST_STATES, Inference, make_exact
from skts.jointebm.latent import Latent
from skts.jointebm.losses import LARGEST_EXPONENT, divergence_of_certainty, joint_objective
from skts.jointebm.own import Listed
from skts.jointebm.sampled import PROPOSALS, Sampled
from skts.jointebm.spaces import Space

__all__ = ["JointEBM", "LogPartition"]

_ROUGH_DRAWS = 256


class LogPartition(nn.Module):
    """tau: a rough log-partition, a small correction learned from the potentials, and a constant.

    Parameters
    ----------
    kind : {"exact", "structured", "net", "constant", "per_sample"}
        What is learned; "exact" learns nothing.
    n_features : int
        D.
    n_rows : int
        Training rows.
    """

    def __init__(self, kind: str, n_features: int, n_rows: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("offset", torch.zeros(()))
        if kind in ("structured", "net"):
            self.net = nn.Sequential(nn.Linear(n_features + 1, 64), nn.ReLU(), nn.Linear(64, 1))
            nn.init.zeros_(self.net[-1].weight)
            nn.init.zeros_(self.net[-1].bias)
        elif kind == "constant":
            self.value = nn.Parameter(torch.zeros(()))
        elif kind == "per_sample":
            self.values = nn.Parameter(torch.zeros(n_rows))

    def forward(self, theta: Tensor, rough: Tensor, rows: Tensor | None) -> Tensor:  # (B, D), (B,) -> (B,)
        """The estimate; ``rows`` are the numbers of training rows, None for new ones."""
        if self.kind == "exact":
            return rough
        if self.kind == "constant":
            return (self.value + self.offset).expand(len(theta))
        if self.kind == "per_sample":
            return self.offset + (self.values.mean().expand(len(theta)) if rows is None else self.values[rows])
        scale = math.sqrt(theta.shape[1])
        inputs = torch.cat([theta.detach() / scale, rough[:, None] / scale], 1)
        correction = self.net(inputs)[:, 0] + self.offset
        return correction + rough if self.kind == "structured" else correction


class JointEBM(nn.Module):
    """Energy, log-partition, and the ways to ask them.

    Parameters
    ----------
    space : Space
        Where y lives.
    coupling : str
        "unary", "cardinality", "pairwise", "lowrank"; for rankings the space has it.
    encoder : str
        "stack", "forest", "kernel", "linear" or "mlp".
    n_in, n_rows : int
        Features of x, training rows.
    base : list of float
        Potentials of the reference distribution.
    experts : dict
        Sizes of the experts' tables.
    proposal, tau : str
        How the objective is estimated, and what stands for the log-partition; no "auto" here.
    alpha, gamma : float
        Divergence and temperature of the loss.
    n_samples : int
        Draws of each row in training.
    rare : dict
        C, hidden, dropout, rank, n_starts, n_draws, defensive, coupling_ridge.
    listed : {"list", "reference"}, optional
        Candidates of the user's own come with the rows; see :mod:`skts.jointebm.own`.
    """

    made_by_each_fit = ("encoder.center", "encoder.scale", "encoder.mean", "encoder.experts.")

    def __init__(
        self,
        space: Space,
        coupling: str,
        encoder: str,
        n_in: int,
        n_rows: int,
        base: list[float],
        experts: dict[str, dict[str, int]],
        proposal: str,
        tau: str,
        alpha: float,
        gamma: float,
        n_samples: int,
        rare: dict[str, float],
        listed: str | None = None,
    ) -> None:
        super().__init__()
        self.space, self.alpha, self.gamma, self.n_samples = space, alpha, gamma, n_samples
        self.n_rows, self.rare, self.proposal_name = n_rows, rare, proposal
        potentials = torch.tensor(base)
        link = "identity" if not space.binary_features else "log" if space.kind == "multiclass" else "logit"
        self.encoder = make_encoder(encoder, n_in, potentials, experts, link, n_rows, rare)
        law = make_coupling(coupling, space.k, rare["rank"])
        maker = PROPOSALS.get(proposal, PROPOSALS["prior" if space.kind in ("own", "subset") else "meanfield"])
        self.proposal = maker(space, law, potentials, rare["defensive"], rare["n_starts"])
        self.inference = self._route(law) if listed is None else Listed(space, law, relative=listed == "reference")
        kind = "prior" if space.kind in ("own", "subset") else "marginal"
        self.broad = PROPOSALS[kind](space, law, potentials, rare["defensive"], rare["n_starts"])
        self.tau = LogPartition(tau, space.n_features, n_rows)
        self.__dict__["rough"] = self._few_draws()  # shares its parts with the inference
        self.register_buffer("n_overflows", torch.zeros((), dtype=torch.long), persistent=False)

    def _route(self, coupling: Coupling) -> Inference:
        """Exact where there is a way, else latent factors, else weighted draws."""
        log_q = None
        if self.space.log_size <= math.log(MOST_STATES) + 1e-9:
            log_q = self.proposal.log_reference(self.space.states()[None])[0]
        exact = make_exact(self.space, coupling, log_q, self.alpha, self.gamma)
        if exact is not None:
            return exact
        if isinstance(coupling, LowRank) and self.alpha == 1.0:
            return Latent(self.space, coupling, self.rare["n_starts"], self.rare["n_draws"])
        return Sampled(self.space, coupling, self.proposal, self.rare["n_draws"])

    def _few_draws(self) -> Inference:
        """The inference that a structured tau starts from."""
        if isinstance(self.inference, Latent):
            return Latent(self.space, self.inference.coupling, self.rare["n_starts"], _ROUGH_DRAWS // 2)
        return Sampled(self.space, self.inference.coupling, self.proposal, _ROUGH_DRAWS)

    # ---- the two functions of x ---------------------------------------------------------------------------------

    def potentials(
        self, X: Tensor, features: Tensor | None = None, listed: Tensor | None = None
    ) -> Tensor:  # (B, d) -> (B, D)
        """theta(x); ``features`` are the experts' held-out predictions of training rows.

        ``listed`` are codes of the row's own candidates; they travel behind the potentials.
        """
        theta = self.encoder(X, self.encoder.features(X) if features is None else features)
        return theta if listed is None or not listed.shape[1] else torch.cat([theta, listed.to(theta.dtype)], 1)

    def log_partition(self, theta: Tensor, rows: Tensor | None = None) -> Tensor:  # (B, D) -> (B,)
        """tau(x)."""
        return self.tau(theta[:, : self.space.n_features], self._rough(theta), rows)

    def _rough(self, theta: Tensor) -> Tensor:
        """What tau starts from: no gradient flows through it."""
        if self.tau.kind not in ("exact", "structured"):
            return theta.new_zeros(len(theta))
        with torch.no_grad():
            if self.tau.kind == "exact":
                return self.inference.log_partition(theta)
            return self.rough.log_partition(theta)

    # ---- objectives ---------------------------------------------------------------------------------------------

    def objective(
        self,
        theta: Tensor,
        Y: Tensor,
        rows: Tensor | None = None,
        given: Tensor | None = None,
        draws: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # (B,)
        """The joint objective of each row, from fresh draws of torch's global generator.

        ``given`` stands for Y where labels are missing (-1). ``draws`` are outputs and their log-density of a sampler
        of the user's own.
        """
        if self.proposal_name == "exact":
            return self.negative_log_likelihood(theta, Y, given)
        affinity, log_weight = self._draws(theta, draws)
        observed = self._observed(theta, Y, given)
        if self.alpha != 1.0:
            observed = observed - self.proposal.log_reference(Y[:, None])[:, 0]
        tau = self.log_partition(theta, rows)
        value, overflows = joint_objective(tau, affinity, log_weight, observed, self.alpha, self.gamma)
        self.n_overflows += overflows
        return value

    def tau_objective(
        self, theta: Tensor, rows: Tensor | None = None, draws: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:  # (B,)
        """The joint objective as a function of tau alone."""
        with torch.no_grad():
            affinity, log_weight = self._draws(theta, draws)
        tau = self.log_partition(theta, rows)
        return joint_objective(tau, affinity, log_weight, torch.zeros_like(tau), self.alpha, self.gamma)[0]

    def excess(self, theta: Tensor, rows: Tensor | None = None) -> Tensor:  # (B,)
        """How far the objective lies above its minimum in tau: e^d - 1 - d for an error d of the log-partition."""
        d = (self.inference.log_partition(theta) - self.log_partition(theta, rows)).clamp_max(LARGEST_EXPONENT)
        return torch.expm1(d) - d if self.alpha == 1.0 else 0.5 * d.square()

    def _draws(self, theta: Tensor, draws: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Scores less log q of the samples, and log q - log r; q cancels in the Kullback-Leibler case."""
        if self.proposal_name == "latent":
            noise = torch.rand(len(theta), self.n_samples, self.inference.n_noise, device=theta.device)
            log_w, _ = self.inference.log_weights(theta, noise)
            return log_w, torch.zeros_like(log_w)
        if draws is not None:
            Y, log_r = draws
        elif self.proposal_name == "enumerate":
            Y = self.space.states().to(theta.device).expand(len(theta), -1, -1)
            log_r = theta.new_full(Y.shape[:2], -math.log(Y.shape[1]))
        else:
            noise = torch.rand(len(theta), self.n_samples, self.space.k + 1, device=theta.device)
            Y, log_r = self.proposal.draw(theta, noise)
        scores = self.inference.score(theta, Y)
        if self.alpha == 1.0:
            return scores, -log_r
        log_q = self.proposal.log_reference(Y)
        return scores - log_q, log_q - log_r

    def _observed(self, theta: Tensor, Y: Tensor, given: Tensor | None) -> Tensor:
        if given is None:
            return self.inference.score(theta, Y[:, None])[:, 0]
        return self.inference.log_partition(theta, given)

    def negative_log_likelihood(self, theta: Tensor, Y: Tensor, given: Tensor | None = None) -> Tensor:  # (B,)
        """Independent of tau: exact, or by weighted draws; the Fenchel-Young loss for other divergences."""
        log_z = self.inference.log_partition(theta)
        observed = self._observed(theta, Y, given)
        if self.alpha == 1.0:
            return log_z - observed
        return self._fenchel_young(theta, Y, log_z.detach(), observed)

    def _fenchel_young(self, theta: Tensor, Y: Tensor, tau: Tensor, observed: Tensor) -> Tensor:
        """At its best tau the objective has no gradient in tau: it is the loss of the energy alone."""
        log_q = self.inference.log_q.to(theta.dtype)
        affinity = self.inference.all_scores(theta) - log_q
        log_weight = (log_q + math.log(len(log_q))).expand(len(theta), -1)
        log_q = self.proposal.log_reference(Y[:, None])[:, 0]
        value, _ = joint_objective(tau, affinity, log_weight, observed - log_q, self.alpha, self.gamma)
        return value + self.gamma * divergence_of_certainty(log_q, self.alpha)

    def penalty(self) -> Tensor:
        """Ridge, on the scale of one row's loss."""
        return (self.encoder.penalty() + self.rare["coupling_ridge"] * self.inference.coupling.penalty()) / self.n_rows
