"""The k most probable outputs."""

import heapq
import math
from typing import Any

import torch
from torch import Tensor

from skts.jointebm.inference import MOST_STATES, Enumeration, Independent, Inference, exact_key
from skts.jointebm.own import Listed
from skts.jointebm.spaces import LabelSets

__all__ = ["draws_by_row", "k_best", "k_best_independent"]

_DRAWS = 256


def k_best(module: Any, theta: Tensor, k: int, seen: Tensor) -> Tensor:  # (B, D) -> (B, k, n_outputs + 1)
    """Codes, the most probable first, with their log-probability behind them."""
    inference = module.inference
    if isinstance(inference, Enumeration):
        value, where = inference.log_probs(theta).topk(min(k, len(inference.states)), dim=1)
        return torch.cat([inference.states[where].to(theta.dtype), value[..., None]], -1)
    if isinstance(inference, Listed):
        codes, log_p = inference.listed(theta)
        return _best(codes, log_p.masked_fill(_repeated(codes), -torch.inf), k, theta)
    if isinstance(inference, Independent):
        codes = torch.stack([k_best_independent(row, k) for row in theta])
    elif module.space.log_size <= math.log(MOST_STATES):
        codes = module.space.states().to(theta.device).expand(len(theta), -1, -1)
    else:
        codes = _candidates(module, theta, k, seen)
    log_z = inference.log_partition(theta) if inference.exact else module.log_partition(theta)
    log_p = inference.score(theta, codes) - log_z[:, None]
    return _best(codes, log_p.masked_fill(_repeated(codes), -torch.inf), k, theta)


def _best(codes: Tensor, log_p: Tensor, k: int, theta: Tensor) -> Tensor:
    value, where = log_p.topk(min(k, codes.shape[1]), dim=1)
    codes = codes.gather(1, where[..., None].expand(-1, -1, codes.shape[2])).clamp_min(0)
    return torch.cat([codes.to(theta.dtype), value[..., None]], -1)


def k_best_independent(theta: Tensor, k: int) -> Tensor:  # (D,) -> (k, D)
    """The k best sets of independent labels: cheapest sets of flips away from the best one, by a heap."""
    best = (theta > 0).long()
    cost, order = theta.abs().double().sort()
    costs = cost.tolist()
    flips: list[list[int]] = [[]]
    heap = [(costs[0], [0])]
    while heap and len(flips) < min(k, 2 ** min(len(costs), 30)):
        total, chosen = heapq.heappop(heap)
        flips.append(chosen)
        last = chosen[-1]
        if last + 1 < len(costs):  # add the next label, or move the last flip on to it
            heapq.heappush(heap, (total + costs[last + 1], [*chosen, last + 1]))
            heapq.heappush(heap, (total - costs[last] + costs[last + 1], [*chosen[:-1], last + 1]))
    codes = best.repeat(len(flips), 1)
    for row, chosen in zip(codes, flips, strict=True):
        where = order[chosen]
        row[where] = 1 - row[where]
    return codes


def _candidates(module: Any, theta: Tensor, k: int, seen: Tensor) -> Tensor:
    """Draws, the mode and what is one step away from it, and the most frequent outputs of the training data."""
    inference = module.inference
    mode = inference.mode(theta)[:, None]
    found = [draws_by_row(inference, theta, max(_DRAWS, 4 * k), 0), mode]
    if type(module.space) is LabelSets:
        found.append((mode - torch.eye(mode.shape[-1], dtype=torch.long, device=theta.device)).abs())
    return torch.cat([*found, seen[:_DRAWS].to(theta.device).expand(len(theta), -1, -1)], 1)


def draws_by_row(inference: Inference, theta: Tensor, n: int, seed: int) -> Tensor:  # (B, D) -> (B, n, k)
    """Draws that do not depend on a row's neighbours: every row uses the same random numbers."""
    return torch.cat([inference.draw(row[None], n, torch.Generator(theta.device).manual_seed(seed)) for row in theta])


def _repeated(codes: Tensor) -> Tensor:  # (B, S, k) -> (B, S)
    """True for a code that stands earlier in its row already."""
    order = exact_key(codes).argsort(dim=1, stable=True)
    in_order = exact_key(codes).gather(1, order)
    same = torch.zeros_like(in_order, dtype=torch.bool)
    same[:, 1:] = in_order[:, 1:] == in_order[:, :-1]
    return torch.zeros_like(same).scatter(1, order, same)
