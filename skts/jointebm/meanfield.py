r"""Mean field: the products of independent labels that come closest to a coupled distribution.

A fixed point of :math:`\mu = \sigma(\theta + \partial c / \partial \mu)` is a mode of the bound :math:`\log Z \ge
\langle \theta, \mu \rangle + c(\mu) + H(\mu)`. Coupled labels have several; from one start the others stay unseen, and
a normaliser that is estimated from one mode is too small.
"""

import torch
from torch import Tensor

from skts.jointebm.couplings import Cardinality, Coupling, Uncoupled
from skts.jointebm.inference import log_factors, pinned

__all__ = ["mean_field", "starts"]

_ITERATIONS = 12
_STEP = 0.6  # damping: parallel updates of strongly coupled labels would swing


@torch.no_grad()
def mean_field(theta: Tensor, coupling: Coupling, n_starts: int, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Fixed points from several starts, and the bound at each.

    Parameters
    ----------
    theta : Tensor of shape (B, k)
        Log-odds of the labels alone.
    coupling : Coupling
        Pairwise or low-rank; anything else has no matrix, and one start is its answer.
    n_starts : int
        At the most; the labels alone come first.
    given : Tensor of shape (B, k), optional
        Known labels, -1 elsewhere.

    Returns
    -------
    log_odds : Tensor of shape (B, C, k)
        Of the products.
    bound : Tensor of shape (B, C)
        Lower bounds of the log-partition.
    """
    if isinstance(coupling, Uncoupled | Cardinality):
        return theta[:, None], log_factors(theta, given).sum(-1)[:, None]
    U = coupling.matrix.to(theta.dtype)  # type: ignore[attr-defined]
    given = None if given is None else given[:, None]
    mu = torch.cat([theta.sigmoid()[:, None], starts(U, n_starts - 1).sigmoid().expand(len(theta), -1, -1)], 1)
    for _ in range(_ITERATIONS):
        mu = mu + _STEP * (pinned((theta[:, None] + mu @ U).sigmoid(), given) - mu)
    log_odds = theta[:, None] + mu @ U
    mu = pinned(log_odds.sigmoid(), given)
    entropy = torch.special.entr(mu).sum(-1) + torch.special.entr(1 - mu).sum(-1)
    bound = (theta[:, None] * mu).sum(-1) + 0.5 * ((mu @ U) * mu).sum(-1) + entropy
    return log_odds, bound


def starts(U: Tensor, n: int) -> Tensor:  # (k, k) -> (n, k)
    """Log-odds to start from: all labels low, all high, and both ways along the strongest directions of U."""
    k = len(U)
    found = [torch.full((k,), -3.0), torch.full((k,), 3.0)]
    if n > 2:
        values, vectors = torch.linalg.eigh(U)
        for i in values.abs().argsort(descending=True)[: (n - 1) // 2]:
            direction = 3 * vectors[:, i] / vectors[:, i].abs().max().clamp_min(1e-6)
            found += [direction.cpu(), -direction.cpu()]
    return torch.stack(found[: max(n, 0)]).to(U) if n > 0 else U.new_empty(0, k)


def distinct_log_weights(points: Tensor, tolerance: float = 0.05) -> Tensor:  # (B, C, k) -> (B, C)
    """Minus the logarithm of how many of the C points are the same one: starts that meet count once."""
    far = (points[:, :, None] - points[:, None]).abs().amax(-1)
    return -(far < tolerance).sum(-1).to(points.dtype).log()
