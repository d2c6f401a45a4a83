r"""A start near the optimum: the pseudo-likelihood, which needs no normaliser, by L-BFGS on all rows.

Each label is predicted from x and from the other labels (J. Besag, "Statistical Analysis of Non-Lattice Data", 1975);
each pair of items of a ranking from x and from where the two stand. The estimate is consistent for the same model and
convex where potentials are linear in the parameters, and it finds strong couplings in seconds for which stochastic
gradients need hundreds of epochs. Where nothing is coupled it is the likelihood itself.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from skts.engine import ArrayBatches
from skts.jointebm.encoder import StackEncoder
from skts.jointebm.module import JointEBM
from skts.jointebm.own import Listed
from skts.jointebm.spaces import LabelSets, Permutations

__all__ = ["pseudo_likelihood", "start_near_optimum"]

_ITERATIONS = 80
_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03)  # of the start of a coupling
_JUDGED = 256
_MOST_ROWS, _MOST_CELLS = 20_000, 50_000_000  # of X that are dense at a time


def pseudo_likelihood(module: JointEBM, theta: Tensor, Y: Tensor, known: Tensor | None = None) -> Tensor:  # (B,)
    """Minus the log pseudo-likelihood of each row.

    Parameters
    ----------
    module : JointEBM
        The model.
    theta : Tensor of shape (B, D)
        Potentials.
    Y : Tensor of shape (B, k)
        Observed codes; for label sets they may be expectations where they are not known.
    known : Tensor of shape (B, k), optional
        1 where a label was observed.
    """
    space = module.space
    if isinstance(module.inference, Listed):
        return module.negative_log_likelihood(theta, Y)
    if type(space) is LabelSets:
        Y = Y.to(theta.dtype)
        log_odds = theta + module.inference.coupling.conditional(Y)
        each = F.binary_cross_entropy_with_logits(log_odds, Y, reduction="none")
        return (each if known is None else each * known).sum(1)
    if isinstance(space, Permutations):
        i, j = torch.triu_indices(space.k, space.k, 1, device=Y.device)
        table, Y = space.positions(theta), Y.long()
        rows = torch.arange(len(Y), device=Y.device)[:, None]
        stay = table[rows, i, Y[:, i]] + table[rows, j, Y[:, j]]
        swap = table[rows, i, Y[:, j]] + table[rows, j, Y[:, i]]
        return F.softplus(swap - stay).sum(1) / space.k
    return module.negative_log_likelihood(theta, Y)


def start_near_optimum(
    module: JointEBM, batches: ArrayBatches, device: torch.device, deadline: float | None = None
) -> None:
    """Minimise the pseudo-likelihood with the model's ridge, over the parameters in which it is convex (or nearly).

    Parameters
    ----------
    module : JointEBM
        Changed in place.
    batches : ArrayBatches
        Training rows: X, the experts' features, codes, row numbers, given labels, the user's candidates.
    device : torch.device
        Where it computes.
    deadline : float, optional
        ``time.monotonic()`` after which it stops with what it has.
    """
    rows = torch.randperm(len(batches))[:_MOST_ROWS]
    if isinstance(module.encoder, StackEncoder):  # it looks at what the experts say alone: X need not become dense
        batches = replace(batches, tensors=(torch.zeros(len(batches.tensors[0]), 0), *batches.tensors[1:]))
    else:
        rows = rows[: max(1000, _MOST_CELLS // module.encoder.mean.numel())]
    X, features, Y, _, given, listed = (t.to(device) for t in batches.take(rows))
    weight = batches.weights(rows)
    known = (given >= 0).to(X.dtype) if given.shape[1] else None
    Y = Y if known is None else torch.where(given >= 0, Y.to(X.dtype), module.proposal.base.sigmoid())
    coupling = module.inference.coupling
    parameters = module.encoder.convex() + (list(coupling.parameters()) if coupling.from_pseudo_likelihood else [])
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_ITERATIONS, history_size=20, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    weight = torch.ones(len(Y), device=device) if weight is None else weight.to(device)
    module.eval()

    def loss() -> Tensor:
        if deadline is not None and time.monotonic() > deadline:
            raise _OutOfTime
        optimizer.zero_grad()
        each = pseudo_likelihood(module, module.potentials(X, features, listed), Y, known)
        value = (weight * each).sum() / weight.sum() + module.penalty()
        value.backward()
        return value

    _guarded(lambda: optimizer.step(loss), parameters)
    if not coupling.from_pseudo_likelihood:
        some = slice(0, _JUDGED)
        _start_coupling(
            module,
            Y.to(X.dtype),
            module.potentials(X, features),
            lambda: module.negative_log_likelihood(
                module.potentials(X[some], features[some], listed[some]), Y[some].round().long()
            ),
        )
    module.zero_grad()


@torch.no_grad()
def _start_coupling(module: JointEBM, Y: Tensor, theta: Tensor, loss: Callable[[], Tensor]) -> None:
    """The direction of the couplings by the residuals, their length by the likelihood of some rows."""
    coupling, bias = module.inference.coupling, module.encoder.bias.clone()
    coupling.start(Y - theta.sigmoid())
    direction = coupling.weight.clone()
    losses = []
    for length in _LENGTHS:
        coupling.weight.copy_(length * direction)
        module.encoder.bias.copy_(bias - coupling.matrix @ Y.mean(0))  # what they add at the mean is given back
        losses.append(float(loss().mean().nan_to_num(torch.inf)))
    best = _LENGTHS[losses.index(min(losses))]
    coupling.weight.copy_(best * direction)
    module.encoder.bias.copy_(bias - coupling.matrix @ Y.mean(0))


class _OutOfTime(Exception):  # noqa: N818  (a signal)
    pass


def _guarded(step: Callable[[], object], parameters: list[torch.nn.Parameter]) -> None:
    """Run the optimiser; where it ran out of time or left the finite numbers, put the start back."""
    before = [p.detach().clone() for p in parameters]
    with suppress(_OutOfTime):
        step()
    if not all(bool(p.isfinite().all()) for p in parameters):
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
