"""The density that the network starts from: a mixture whose components are trees of codes and Gaussians of numbers.

Every conditional of it is known in closed form. With prefix weights r_k proportional to p(k | y) p_k(x_1 .. x_{s-1}),

    p(x_s | x_1 .. x_{s-1}) = sum_k r_k p_k(x_s | x_1 .. x_{s-1}).

A code has at most one parent among the codes before it; the numbers of a component have a covariance L L^T, so
that z = L^{-1} (x - mu) gives the conditional mean x_s - L_ss z_s and the conditional deviation L_ss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["Anchors", "Mixture"]

_MOST_EXACT = 200  # numbers of a row: beyond, a missing one is not integrated out, but counts as the one expected
_MOST_ENTRIES = 4_000_000  # of the covariances that are in memory at a time
_LEAST_VARIANCE = 1e-10


@dataclass
class Anchors:
    """What the mixture says of slots before they are seen.

    Parameters
    ----------
    logits : Tensor of shape (B, codes, V)
        Log-probabilities of the values of the codes.
    log_weight, mean, log_std : Tensor of shape (B, numbers, K)
        The mixtures of normal distributions of the numbers.
    """

    logits: Tensor
    log_weight: Tensor
    mean: Tensor
    log_std: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Self], rows: Tensor) -> Self:
        """Parts one after another, then put into the order of ``rows``."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts])[rows] for f in fields(cls)))


class Mixture(nn.Module):
    """Conditionals of a mixture, all at once or slot by slot. Its numbers are fitted by :mod:`skts.fractal.em`.

    Parameters
    ----------
    n_values : list of int
        Codes of each slot, 0 for a number.
    n_components : int
        K.
    n_classes : int
        C; prior weights of the components for each class, and for no class.
    parents : list of int
        For each code (in the order of the codes) the one that it depends on within a component, or -1.
    full : bool, default=True
        Whether the numbers of a component depend on each other.
    """

    def __init__(
        self, n_values: list[int], n_components: int, n_classes: int, parents: list[int], full: bool = True
    ) -> None:
        super().__init__()
        K, V = n_components, max(1, *n_values)
        codes = [s for s, v in enumerate(n_values) if v]
        numbers = [s for s, v in enumerate(n_values) if not v]
        contexts = V + 1 if any(p >= 0 for p in parents) else 1
        self.rank = {slot: i for i, slot in enumerate(codes)} | {slot: i for i, slot in enumerate(numbers)}
        self.is_code, self.parents = [v > 0 for v in n_values], parents
        for name, value in {"codes": codes, "numbers": numbers, "parent": parents}.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.long), persistent=False)
        self.register_buffer("log_prior", torch.full((n_classes + 1, K), -math.log(K)))
        self.register_buffer("log_table", torch.zeros(len(codes), contexts, K, V))
        self.register_buffer("mu", torch.zeros(K, len(numbers)))
        # With a diagonal covariance only the deviations are kept: there may be thousands of numbers.
        self.register_buffer("L", torch.eye(len(numbers)).repeat(K, 1, 1) if full else torch.ones(K, len(numbers)))

    @property
    def n_components(self) -> int:
        """K."""
        return self.log_prior.shape[1]

    @property
    def exact_among_gaps(self) -> bool:
        """Whether missing numbers are integrated out."""
        return not self._full or len(self.numbers) <= _MOST_EXACT

    def _contexts(self, x: Tensor) -> Tensor:
        """Which row of the table holds for each code (B, codes): the parent's value, or the last one if unknown."""
        last = self.log_table.shape[1] - 1
        if not last:
            return torch.zeros_like(x[:, self.codes], dtype=torch.long)
        value = x[:, self.codes[self.parent.clamp(min=0)]]
        known = ~value.isnan() & (self.parent >= 0)
        return torch.where(known, value.nan_to_num(), float(last)).long()

    def forward(self, x: Tensor, label: Tensor) -> Anchors:
        """What is said of every slot given those before it.

        Parameters
        ----------
        x : Tensor of shape (B, D)
            Codes and numbers, NaN where missing.
        label : Tensor of shape (B,)
            Class, or C for none.
        """
        B, K = len(x), self.n_components
        log_own = x.new_zeros(B, x.shape[1], K)
        table = self.log_table[torch.arange(len(self.codes), device=x.device), self._contexts(x)]  # (B, codes, K, V)
        value = x[:, self.codes]
        at = value.nan_to_num().long()[..., None, None].expand(-1, -1, K, 1)
        log_own[:, self.codes] = table.gather(3, at)[..., 0].masked_fill(value.isnan()[..., None], 0.0)
        mean, std, z = self._numbers(x[:, self.numbers])
        log_own[:, self.numbers] = _log_normal(z, std).masked_fill(x[:, self.numbers, None].isnan(), 0.0)
        before = log_own.cumsum(1) - log_own + self.log_prior[label][:, None]
        log_r = before.log_softmax(-1)
        logits = (table + log_r[:, self.codes, :, None]).logsumexp(2)
        return Anchors(logits, log_r[:, self.numbers], mean, std.log())

    @property
    def _full(self) -> bool:
        return self.L.ndim == 3

    def _numbers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Conditional means and deviations (B, numbers, K), and how many deviations x is off, 0 where missing."""
        K, d = self.mu.shape
        if not self._full:
            mean, std = self.mu.T.expand(len(x), -1, -1), self.L.T.expand(len(x), -1, -1)
            return mean, std, ((x[..., None] - mean) / std).nan_to_num()
        if x.isnan().any() and self.exact_among_gaps:
            parts = [self._among_gaps(rows) for rows in x.split(max(1, _MOST_ENTRIES // (K * d * d)))]
            return tuple(torch.cat(part).to(x.dtype) for part in zip(*parts, strict=True))
        std = self.L.diagonal(dim1=1, dim2=2).T.expand(len(x), -1, -1)
        if x.isnan().any():
            return self._over_gaps(x, std)
        z = torch.linalg.solve_triangular(self.L, (x[None] - self.mu[:, None]).transpose(1, 2), upper=False)
        z = z.permute(2, 1, 0)
        return x[..., None] - std * z, std, z

    def _among_gaps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Exactly, with the covariances S among the numbers that are there: W = S_oo^{-1/2} S_o. up to each number."""
        mu, L = (t if t.device.type == "mps" else t.double() for t in (self.mu, self.L))
        seen = ~x.isnan()
        patterns, of = torch.unique(seen, dim=0, return_inverse=True)
        there, S = patterns[:, None], L @ L.mT
        factor = torch.linalg.cholesky(
            torch.where(there[..., None] & there[..., None, :], S, torch.eye(len(S[0])).to(S))
        )
        W = torch.linalg.solve_triangular(factor, S * there[..., None], upper=False).triu(1)  # (patterns, K, d, d)
        left = S.diagonal(dim1=1, dim2=2) - W.square().sum(2)
        std = torch.where(there, factor.diagonal(dim1=2, dim2=3), left.clamp(min=_LEAST_VARIANCE).sqrt())[of]
        centred = torch.where(seen[:, None], x[:, None] - mu, 0.0)
        z = torch.linalg.solve_triangular(factor[of], centred[..., None], upper=False)
        mean = mu + (W.mT[of] @ z)[..., 0]
        return mean.mT, std.mT, z[..., 0].mT

    def _over_gaps(self, x: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """In long rows: what is missing counts as what is expected there, given the numbers before it."""
        mean, z = std.new_empty(std.shape), std.new_zeros(std.shape)
        for s in range(x.shape[1]):
            mean[:, s] = self.mu[:, s] + torch.einsum("bik,ki->bk", z[:, :s], self.L[:, s, :s])
            z[:, s] = ((x[:, s, None] - mean[:, s]) / std[:, s]).nan_to_num()
        return mean, std, z

    # ---- slot by slot -------------------------------------------------------------------------------------------

    def begin(self, label: Tensor, n_slots: int) -> dict[str, Tensor]:
        """A state before the first slot."""
        log_r = self.log_prior[label].log_softmax(-1)
        return {
            "log_r": log_r,
            "x": log_r.new_full((len(label), n_slots), math.nan),
            "z": log_r.new_zeros(len(label), len(self.numbers), self.n_components),
        }

    def of_code(self, state: dict[str, Tensor], slot: int) -> Tensor:
        """Log-probabilities (B, V) of the values of the next slot."""
        # A sum of probabilities is a product of matrices, which a sum of their logarithms is not.
        table, r = self.log_table[self.rank[slot]].exp(), state["log_r"].exp()
        context = self._context(state["x"], slot)
        p = r @ table[-1] if context is None else torch.bmm(r[:, None], table[context])[:, 0]
        return p.clamp(min=torch.finfo(p.dtype).tiny).log()

    def of_number(self, state: dict[str, Tensor], slot: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and deviations (B, K) of the next slot."""
        i, log_r = self.rank[slot], state["log_r"]
        if not self._full:
            return log_r, self.mu[:, i].expand_as(log_r), self.L[:, i].expand_as(log_r)
        mean = self.mu[:, i] + (state["z"][:, :i] * self.L[:, i, :i].T).sum(1)
        return log_r, mean, self.L[:, i, i].expand_as(mean)

    def update(self, state: dict[str, Tensor], slot: int, x: Tensor) -> None:
        """Take in the value (B,) of a slot, NaN where it stays unknown."""
        if self.is_code[slot]:
            context, by_value = self._context(state["x"], slot), self.log_table[self.rank[slot]].transpose(1, 2)
            log_own = by_value[-1 if context is None else context, x.nan_to_num().long()]
        else:
            _, mean, std = self.of_number(state, slot)
            z = ((x[:, None] - mean) / std).nan_to_num()
            state["z"][:, self.rank[slot]] = z
            log_own = _log_normal(z, std)
        state["x"][:, slot] = x
        # Kept at sum 1, the weights that matter stay small numbers, which lose nothing in float32.
        state["log_r"] = (state["log_r"] + log_own.masked_fill(x.isnan()[:, None], 0.0)).log_softmax(-1)

    def _context(self, x: Tensor, slot: int) -> Tensor | None:
        """Which row of the slot's table holds (B,), see :meth:`_contexts`; None where it is the last one for all."""
        parent = self.parents[self.rank[slot]]
        if parent < 0:
            return None
        value = x[:, self.codes[parent]]
        return torch.where(value.isnan(), float(self.log_table.shape[1] - 1), value).long()


def _log_normal(z: Tensor, std: Tensor) -> Tensor:
    return -0.5 * z.square() - std.log() - 0.5 * math.log(2 * math.pi)
