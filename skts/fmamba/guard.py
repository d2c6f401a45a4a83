r"""The guard: a blend of the network and the closed forms that validation data can vouch for.

Only candidates that beat a plain reference by more than luck take part (see :mod:`skts.fmamba.evidence`). For each
variate their weights minimise the blend's squared error :math:`w^\top S w` over the simplex, where :math:`S_{ij}` is
the mean product of the errors of candidates i and j. Validation is short, so each variate's weights are drawn half-way
to those that serve all variates together.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skts.fmamba.evidence import NETWORK, Evidence

__all__ = ["Guard", "choose", "simplex_weights"]


@dataclass
class Guard:
    """What was chosen.

    Attributes
    ----------
    weights : dict of str to array (n_variates,)
        Share of every candidate in the forecast of each variate.
    errors : dict of str to array (n_variates,)
        Validation mean squared error of every candidate, in standardised units.
    coef : array of shape (n_variates, F, H)
        The closed forms' part of the blend, one map: a sum of linear maps is linear.
    """

    weights: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    coef: np.ndarray

    @classmethod
    def network_alone(cls, n_variates: int) -> "Guard":
        """No guard."""
        return cls({NETWORK: np.ones(n_variates)}, {}, np.zeros((n_variates, 0, 0)))

    @property
    def selected(self) -> list[str]:
        """The candidate with the lowest validation error of each variate."""
        table = self.errors or {name: 1 - weight for name, weight in self.weights.items()}
        names = list(table)
        return [names[i] for i in np.stack([table[name] for name in names]).argmin(0)]


def choose(evidence: Evidence, maps: dict[str, Tensor]) -> Guard:
    """Weigh the candidates; ``maps`` (1 or n_variates, L or F, H) are the closed forms to forecast with."""
    trusted = [evidence.names.index(name) for name in evidence.trusted()]
    products = evidence.products[:, trusted][:, :, trusted]
    common = simplex_weights(products.mean(0, keepdim=True))
    weights = torch.zeros(evidence.products.shape[:2], dtype=products.dtype)  # (N, K)
    weights[:, trusted] = 0.5 * simplex_weights(products) + 0.5 * common
    shares = dict(zip(evidence.names, weights.unbind(1), strict=True))
    width = max(coef.shape[1] for coef in maps.values())
    total = torch.zeros(len(weights), width, evidence.horizon, dtype=weights.dtype)
    for name, coef in maps.items():
        total += shares[name][:, None, None] * F.pad(coef, (0, 0, 0, width - coef.shape[1]))
    return Guard({name: share.numpy().copy() for name, share in shares.items()}, evidence.errors(), total.numpy())


def simplex_weights(products: Tensor) -> Tensor:
    """The w on the simplex that minimises w' S w for each S (N, K, K), exactly.

    With few candidates, the optimum on every face of the simplex is one small linear system.
    """
    n, k = products.shape[:2]
    level = products.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-300)[:, None, None]
    # Candidates that are one and the same (a network that learned nothing) make S singular.
    products = products / level + 1e-9 * torch.eye(k, dtype=products.dtype)
    best, lowest = torch.zeros(n, k, dtype=products.dtype), torch.full((n,), torch.inf, dtype=products.dtype)
    for size in range(1, k + 1):
        for face in map(list, combinations(range(k), size)):
            on_face = products[:, face][:, :, face]
            w = torch.linalg.solve(on_face, torch.ones(n, size, dtype=products.dtype))
            w = w / w.sum(1, keepdim=True)
            error = torch.einsum("ni,nij,nj->n", w, on_face, w)
            better = (w >= 0).all(1) & (error < lowest)
            lowest = torch.where(better, error, lowest)
            best[better] = 0.0
            best[better.nonzero(), torch.tensor(face)] = w[better]
    return best
