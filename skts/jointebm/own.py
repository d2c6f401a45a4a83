r"""Candidates of the user's own, produced by rules or by simulation: the three contracts of ``proposal=``.

===================================  ==================================================================================
the object has                       what it means
===================================  ==================================================================================
``sample(X, n, rng)``, ``log_prob``  a proposal: training draws from it and weighs; the model and its answers stay
``sample(X, n, rng)`` alone          the reference q itself: p = q e^g / Z, and only p / q can be known
``candidates(X)``                    finite lists: p lives on each row's list and is exact there; elsewhere it is zero
===================================  ==================================================================================

X comes as the array of float32 that the estimator sees. A quarter of a proposal's draws (``defensive`` in
``module_kwargs``) comes from the frequencies of the training data instead, and all weigh by the density of the mixture.
"""

import math
import zlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from skts.errors import InputError
from skts.jointebm.couplings import Coupling
from skts.jointebm.inference import Inference, exact_key
from skts.jointebm.sampled import Proposal
from skts.jointebm.spaces import Space
from skts.jointebm.targets import Target

__all__ = ["Candidates", "Listed", "OwnDraws", "Sampler", "contract_of", "draw_by_content", "draw_own", "list_own"]

_PADDING = -1


@runtime_checkable
class Sampler(Protocol):
    """Draws outputs for rows of X; with a method ``log_prob(X, Y) -> (n_rows, n)`` it is a proposal."""

    def sample(self, X: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Outputs (n_rows, n, k), (n_rows, n) for classes, as in y."""
        ...


@runtime_checkable
class Candidates(Protocol):
    """Lists the outputs that are possible for each row of X."""

    def candidates(self, X: np.ndarray) -> list[np.ndarray]:
        """For each row an array (n_candidates, k), (n_candidates,) for classes, as in y."""
        ...


def contract_of(proposal: Any) -> str:
    """Which contract an object keeps, by its methods: "proposal", "reference" or "list".

    Raises
    ------
    InputError
        If it has neither of them.
    """
    if isinstance(proposal, Candidates):
        return "list"
    if isinstance(proposal, Sampler):
        return "proposal" if hasattr(proposal, "log_prob") else "reference"
    raise InputError(
        "a proposal with sample(X, n, rng) or candidates(X)",
        f"{type(proposal).__name__}",
        "See the guide to proposals.",
    )


def draw_own(proposal: Any, X: Any, n: int, rng: np.random.Generator, target: Target) -> tuple[Tensor, Tensor]:
    """Codes (n_rows, n, k) of the user's draws, and their log-density (n_rows, n); zero for a reference."""
    Y = np.asarray(proposal.sample(X, n, rng))
    if Y.shape[:2] != (X.shape[0], n):
        raise InputError(f"draws of shape ({X.shape[0]}, {n}, ...)", f"{Y.shape}", "Correct sample(X, n, rng).")
    codes = target.encode(Y.reshape(X.shape[0] * n, *Y.shape[2:]))
    codes = torch.from_numpy(codes.reshape(X.shape[0], n, -1))
    if not hasattr(proposal, "log_prob"):
        return codes, torch.zeros(codes.shape[:2])
    log_r = np.asarray(proposal.log_prob(X, Y), dtype=np.float32)
    if log_r.shape != Y.shape[:2] or not np.isfinite(log_r).all():
        raise InputError(
            f"finite log-probabilities of shape {Y.shape[:2]} of the draws", f"{log_r.shape}", "Correct log_prob(X, Y)."
        )
    return codes, torch.from_numpy(log_r)


def draw_by_content(proposal: Any, X: Any, n: int, target: Target) -> np.ndarray:
    """Codes (n_rows, n * k) of draws that depend on nothing but the row: not on its neighbours, nor on its place."""
    rows = [X[i : i + 1] for i in range(X.shape[0])]
    seeds = [zlib.crc32((row.toarray() if hasattr(row, "toarray") else row).tobytes()) for row in rows]
    drawn = [
        draw_own(proposal, row, n, np.random.default_rng(seed), target)[0].flatten().numpy()
        for row, seed in zip(rows, seeds, strict=True)
    ]
    return np.stack(drawn)


def list_own(proposal: Any, X: Any, target: Target, observed: np.ndarray | None = None) -> np.ndarray:
    """The user's candidates as codes (n_rows, longest list, k), padded by -1.

    Raises
    ------
    InputError
        If a list is empty, or lacks the observed output of its row.
    """
    lists = [target.encode(np.asarray(part)) if len(part) else None for part in proposal.candidates(X)]
    empty = [row for row, part in enumerate(lists) if part is None]
    if len(lists) != X.shape[0] or empty:
        got = f"{len(lists)} lists, empty for rows {empty[:3]}"
        raise InputError(f"a list of candidates for each of {X.shape[0]} rows", got, "Correct candidates(X).")
    longest = max(len(part) for part in lists)
    table = np.full((len(lists), longest, lists[0].shape[1]), _PADDING, dtype=np.int64)
    for row, part in enumerate(lists):
        table[row, : len(part)] = part
    if observed is not None:
        lacking = np.flatnonzero(~(table == observed[:, None]).all(2).any(1))
        if len(lacking):
            got = f"{len(lacking)} rows whose list lacks it, first {lacking[:3].tolist()}"
            raise InputError(
                "the observed y among the candidates of its row", got, "Widen the rules, or drop the rows."
            )
    return table


class OwnDraws:
    """Fresh draws of the user's sampler for rows of the training set.

    Parameters
    ----------
    proposal : Sampler or None
        The user's.
    X : array or CSR matrix of shape (n, d)
        Training rows as the user gave them.
    n : int
        Draws of each row.
    seed : int
        Their seed.
    """

    def __init__(self, proposal: Any, X: Any, n: int, seed: int) -> None:
        self.proposal, self.X, self.n, self.rng = proposal, X, n, np.random.default_rng(seed)

    def draw(self, rows: Tensor, target: Target, broad: Proposal, defensive: float) -> tuple[Tensor, Tensor]:
        """Codes (B, n, k) and their log-density (B, n).

        A proposal shares its draws with a broad one, and both weigh by the density of the mixture: what it never draws
        would otherwise be missing from the normaliser. A reference is what it is.
        """
        X = self.X[rows.cpu().numpy()]
        n_broad = round(defensive * self.n) if hasattr(self.proposal, "log_prob") else 0
        codes, log_r = draw_own(self.proposal, X, max(1, self.n - n_broad), self.rng, target)
        if n_broad:
            device = broad.base.device
            theta = broad.base.expand(len(codes), -1)
            noise = torch.from_numpy(self.rng.random((len(codes), n_broad, codes.shape[2] + 1))).float()
            codes = torch.cat([codes, broad.draw(theta, noise.to(device))[0].cpu()], 1)
            Y = target.decode(codes.numpy())
            own = torch.from_numpy(np.asarray(self.proposal.log_prob(X, Y), dtype=np.float32))
            share = math.log(n_broad / codes.shape[1])
            log_r = torch.logaddexp(
                own + math.log1p(-math.exp(share)), broad.log_density(theta, codes.to(device)).cpu().float() + share
            )
        return codes.to(rows.device), log_r.to(rows.device)


class Listed(Inference):
    """Everything by the list that comes with each row: potentials are followed by the codes of the list.

    Parameters
    ----------
    space, coupling : Space, Coupling
        See :class:`~skts.jointebm.inference.Inference`.
    relative : bool
        The lists are draws from a reference whose probabilities nobody knows: p / q is all that can be said.
    """

    def __init__(self, space: Space, coupling: Coupling, relative: bool) -> None:
        super().__init__(space, coupling)
        self.relative, self.exact = relative, not relative

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        D = self.space.n_features
        return theta[:, :D], theta[:, D:].unflatten(1, (-1, self.space.k)).long()

    def score(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        return super().score(theta[:, : self.space.n_features], Y)

    def _scores(self, theta: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        potentials, codes = self._split(theta)
        out = (codes == _PADDING).any(-1)
        if given is not None:
            out = out | ((given[:, None] >= 0) & (given[:, None] != codes)).any(-1)
        scores = super().score(potentials, codes.clamp_min(0)).masked_fill(out, -torch.inf)
        return (scores - math.log(codes.shape[1]) if self.relative else scores), codes

    def listed(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B, m, k) of the lists and their log-probabilities (B, m); -inf for padding."""
        scores, codes = self._scores(theta, None)
        return codes, scores.log_softmax(1)

    def log_partition(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        return self._scores(theta, given)[0].logsumexp(1)

    def log_prob(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        found = self.score(theta, Y) - self.log_partition(theta)[:, None]
        if self.relative:
            return found
        listed = (self._split(theta)[1][:, None] == Y[:, :, None]).all(-1).any(-1)
        return found.masked_fill(~listed, -torch.inf)

    def marginals(self, theta: Tensor, given: Tensor | None = None) -> Tensor:  # noqa: D102
        scores, codes = self._scores(theta, given)
        parts = self.space.parts(codes.clamp_min(0)).to(theta.dtype)
        return torch.einsum("bm,bm...->b...", scores.softmax(1), parts)

    def draw(  # noqa: D102
        self, theta: Tensor, S: int, generator: torch.Generator | None = None, given: Tensor | None = None
    ) -> Tensor:
        scores, codes = self._scores(theta, given)
        chosen = torch.multinomial(scores.softmax(1), S, replacement=True, generator=generator)
        return codes.gather(1, chosen[..., None].expand(-1, -1, self.space.k))

    def mode(self, theta: Tensor, given: Tensor | None = None) -> Tensor:
        """The output of the largest mass; one that was drawn twice has twice the mass."""
        scores, codes = self._scores(theta, given)
        key = exact_key(codes)
        mass = ((key[:, :, None] == key[:, None]) * scores.softmax(1)[:, None]).sum(-1)
        return codes[torch.arange(len(codes)), mass.argmax(1)]
