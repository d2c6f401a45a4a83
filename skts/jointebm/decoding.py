"""From a distribution over outputs to one output: what to answer depends on what a wrong answer costs."""

from collections.abc import Callable

import torch
from torch import Tensor

from skts.jointebm.inference import Enumeration, Inference, best_permutation
from skts.jointebm.own import Listed
from skts.jointebm.spaces import Permutations, Subsets

__all__ = ["DECODERS", "best_f1_set", "best_f1_set_by_size"]


def best_f1_set(p: Tensor, p_empty: Tensor) -> Tensor:  # (B, k), (B,) -> (B, k)
    """The prefix of the labels, sorted by probability, with the highest expected F1.

    For a set of m labels it is about 2 (sum of their probabilities) / (m + expected number of labels); the empty set
    earns its own probability, by the convention that F1 of two empty sets is 1.
    """
    value, order = p.sort(dim=1, descending=True, stable=True)
    size = torch.arange(1, p.shape[1] + 1, device=p.device)
    f1 = 2 * value.cumsum(1) / (size + p.sum(1, keepdim=True)).clamp_min(1e-12)
    best, where = f1.max(1, keepdim=True)
    chosen = (order.argsort(1) <= where) & (best >= p_empty[:, None])
    return chosen.long()


def best_f1_set_by_size(p: Tensor, p_empty: Tensor) -> Tensor:  # (B, k, k + 1), (B,) -> (B, k)
    """The set of highest expected F1, exactly, from p(label i is present and the set has m labels).

    For a set of s labels, label i earns sum over m of 2 p(i, m) / (s + m); the best set of each size takes the labels
    that earn most (W. Waegeman, K. Dembczynski, A. Jachnik, W. Cheng, E. Huellermeier, "On the Bayes-Optimality of
    F-Measure Maximizers", JMLR 15, 2014, https://jmlr.org/papers/v15/waegeman14a.html).
    """
    k = p.shape[1]
    size = torch.arange(1, k + 1, device=p.device, dtype=p.dtype)
    earned = p @ (2 / (size + torch.arange(k + 1, device=p.device, dtype=p.dtype)[:, None]))  # (B, k, sizes)
    value, order = earned.sort(dim=1, descending=True, stable=True)
    total = value.cumsum(1).diagonal(dim1=1, dim2=2)  # of the best set of each size
    best, where = total.max(1, keepdim=True)
    rank = order.argsort(1).gather(2, where[:, None].expand(-1, k, -1))[..., 0]
    return ((rank <= where) & (best >= p_empty[:, None])).long()


def _largest(p: Tensor, size: int) -> Tensor:  # (B, k) -> (B, k)
    """The set of the ``size`` most probable labels."""
    return (p.argsort(dim=1, descending=True, stable=True).argsort(1) < size).long()


def _of_list(inference: Listed, theta: Tensor, gain: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The candidate of the largest expected gain(candidates, outputs), both (B, m, k)."""
    codes, log_p = inference.listed(theta)
    expected = torch.einsum("bcm,bm->bc", gain(codes, codes).to(log_p.dtype), log_p.exp())
    return codes[torch.arange(len(codes)), expected.masked_fill(log_p == -torch.inf, -torch.inf).argmax(1)]


def _f1_gain(a: Tensor, b: Tensor) -> Tensor:  # (B, m, k), (B, n, k) -> (B, m, n)
    a, b = a.clamp_min(0).double(), b.clamp_min(0).double()
    total = a.sum(-1)[:, :, None] + b.sum(-1)[:, None]
    return torch.where(total > 0, 2 * a @ b.transpose(1, 2) / total.clamp_min(1), 1.0)


def _agreement(a: Tensor, b: Tensor) -> Tensor:  # (B, m, k), (B, n, k) -> (B, m, n)
    return (a[:, :, None] == b[:, None]).double().mean(-1)


def _f1(inference: Inference, theta: Tensor, seen: Tensor) -> Tensor:
    if isinstance(inference, Listed):
        return _of_list(inference, theta, _f1_gain)
    if isinstance(inference.space, Subsets):
        return _largest(inference.marginals(theta), inference.space.size)
    if isinstance(inference, Enumeration) and inference.space.kind == "multilabel":
        by_size = inference.marginals_by_size(theta)
        return best_f1_set_by_size(by_size, inference.probabilities(theta)[:, 0])
    p = inference.marginals(theta)
    empty = torch.zeros(len(theta), 1, p.shape[1], dtype=torch.long, device=theta.device)
    return best_f1_set(p, inference.log_prob(theta, empty)[:, 0].exp())


def _map(inference: Inference, theta: Tensor, seen: Tensor) -> Tensor:
    return inference.mode(theta)


def _hamming(inference: Inference, theta: Tensor, seen: Tensor) -> Tensor:
    if isinstance(inference, Listed):
        return _of_list(inference, theta, _agreement)
    p = inference.marginals(theta)
    if isinstance(inference.space, Subsets):
        return _largest(p, inference.space.size)
    if isinstance(inference.space, Permutations):
        return best_permutation(p)
    if inference.space.kind == "multiclass":
        return p.argmax(1, keepdim=True)
    return (p > 0.5).long()


def _marginal(inference: Inference, theta: Tensor, seen: Tensor) -> Tensor:
    if not isinstance(inference.space, Permutations):
        return _hamming(inference, theta, seen)
    position = torch.arange(inference.space.k, device=theta.device, dtype=theta.dtype)
    return (inference.marginals(theta) @ position).argsort(dim=1, stable=True).argsort(1)


def _seen(inference: Inference, theta: Tensor, seen: Tensor) -> Tensor:
    best = torch.full((len(theta),), -torch.inf, dtype=theta.dtype, device=theta.device)
    found = torch.zeros(len(theta), seen.shape[1], dtype=torch.long, device=theta.device)
    for part in seen.to(theta.device).split(1024):
        value, where = inference.score(theta, part.expand(len(theta), -1, -1)).max(1)
        better = value > best
        best, found = torch.where(better, value, best), torch.where(better[:, None], part[where], found)
    return found


# decode(inference, theta, codes seen in training) -> codes (B, k)
DECODERS: dict[str, Callable[[Inference, Tensor, Tensor], Tensor]] = {
    "map": _map,
    "f1": _f1,
    "marginal": _marginal,
    "hamming": _hamming,
    "seen": _seen,
    "kendall": _marginal,
}
