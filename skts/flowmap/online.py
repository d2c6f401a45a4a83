"""Learning on: old trajectories are replayed beside the new ones, and no update that spoils the old is kept."""

import copy
import warnings

import numpy as np
import torch
from torch import Tensor

from skts.engine import FitRun
from skts.flowmap.closed_forms import ClosedForms
from skts.flowmap.judging import Judge
from skts.flowmap.module import FlowMap
from skts.flowmap.polynomial_map import PolynomialMap
from skts.flowmap.training import Pieces, Recipe, Training

__all__ = ["as_arrays", "as_pieces", "kept_pieces", "mixed", "update"]

_SLOWER = 3.0  # learning rate of an update, over that of a fit
_ALLOWED = 1.1  # how much the held-out error of the old trajectories may rise
_NEGLIGIBLE = 0.005  # what it may rise by in any case, in spreads: a tenth of hardly anything is nothing
_PARTS_OF_THE_WAY = (0.75, 0.5, 0.25, 0.1)  # from the old weights to the trained ones

Weights = dict[str, Tensor]


def update(
    run: FitRun,
    module: FlowMap,
    old: tuple[Pieces, Pieces],
    new: tuple[Pieces, Pieces],
    recipe: Recipe,
    steps: list[int],
) -> bool:
    """Train the chosen flow maps on; whether something of it was kept.

    Judged by held-out rollouts are the trained flow maps, their closed forms alone, and parts of the way to either. Of
    those that the old trajectories bear, the best for the new ones is kept.

    Parameters
    ----------
    run : FitRun
        The fit that collects the stages.
    module : FlowMap
        The model so far; coordinates stay as they are, for all steppers live in them.
    old, new : tuple of (list, list)
        Training and held-out pieces: those that were kept, and those that came.
    recipe : Recipe
        What the user has decided.
    steps : list of int
        Chosen step sizes.
    """
    before = copy.deepcopy(module.state_dict())
    judges = [Judge(valid or train, max(steps)) for train, valid in (old, new) if train]
    judges = [judge for judge in judges if judge.can_judge]
    if not judges:
        warnings.warn(
            "nothing was learned: no trajectory is long enough to judge an update by. Pass longer ones.", stacklevel=8
        )
        return False
    errors = [judge.error(module, steps) for judge in judges]
    try:
        moves = _trained(run, module, old, new, recipe, steps)
    except BaseException:
        module.load_state_dict(before)  # nobody has judged what an interrupt leaves
        raise
    best, least, seen = before, errors, []
    for weights in [*reversed(moves), *(between(before, move, part) for part in _PARTS_OF_THE_WAY for move in moves)]:
        module.load_state_dict(weights)
        seen.append([judge.error(module, steps) for judge in judges])
        if seen[-1][0] <= max(_ALLOWED * errors[0], errors[0] + _NEGLIGIBLE) and seen[-1][-1] < least[-1]:
            best, least = weights, seen[-1]
    module.load_state_dict(best)
    if best is not before:
        return True
    warnings.warn(
        f"the update was undone: it took the held-out error of earlier trajectories from {errors[0]:.3g} to "
        f"{seen[0][0]:.3g}, that of the new ones from {errors[-1]:.3g} to {seen[0][-1]:.3g}, and no smaller move was "
        "better. Pass more trajectories, or fit a model of their own for the new ones.",
        stacklevel=8,
    )
    return False


def _trained(
    run: FitRun,
    module: FlowMap,
    old: tuple[Pieces, Pieces],
    new: tuple[Pieces, Pieces],
    recipe: Recipe,
    steps: list[int],
) -> list[Weights]:
    """Weights with closed forms for both kinds of trajectories, and after training."""
    if all(type(stepper) is PolynomialMap for stepper in module.members[0].values()):
        ClosedForms(run, module, [*old[0], *new[0]], [*old[1], *new[1]], recipe).learn_on(steps)
        return [copy.deepcopy(module.state_dict())]
    slower = {"lr": run.settings.lr / _SLOWER, "keep_start": True}
    training = Training(run, module, mixed(old[0], new[0]), mixed(old[1], new[1]), recipe, "update ", **slower)
    training.learn_range()
    which = [(member, step) for member in range(len(module.members)) for step in steps]
    training.started.update(which)
    with torch.no_grad():
        for member, step in which:
            if str(step) in module.members[member]:
                module.members[member][str(step)].widen(training.single_steps(training.train, step))
    closed = copy.deepcopy(module.state_dict())
    for member, step in which:
        training.stepper(step, recipe.max_epochs, member)
    return [closed, copy.deepcopy(module.state_dict())]


def between(start: Weights, stop: Weights, part: float) -> Weights:
    """Weights so far on the way from one state to another."""
    return {
        name: torch.lerp(value, stop[name].to(value), part) if value.is_floating_point() else stop[name]
        for name, value in start.items()
    }


def mixed(old: Pieces, new: Pieces) -> Pieces:
    """Both, the fewer ones repeated, so that a window comes from either with about the same chance."""
    rows_old, rows_new = (sum(len(x) for x, _ in part) for part in (old, new))
    if not rows_old or not rows_new:
        return [*old, *new]
    again_old, again_new = max(1, round(rows_new / rows_old)), max(1, round(rows_old / rows_new))
    return [*old * again_old, *new * again_new]


def kept_pieces(old: Pieces, new: Pieces, n_rows: int, rng: np.random.Generator) -> Pieces:
    """At most ``n_rows`` rows of both, in whole pieces as far as they fit, half of them of the new ones."""
    half = n_rows // 2 if old else 0
    return [*_some(new, n_rows - half, rng), *_some(old, half, rng)]


def _some(pieces: Pieces, n_rows: int, rng: np.random.Generator) -> Pieces:
    """Pieces in random order; the last one is cut where it would be too long."""
    kept: Pieces = []
    for number in rng.permutation(len(pieces)):
        if n_rows < 2:
            break
        states, context = (part[:n_rows].clone() for part in pieces[number])
        kept.append((states, context))
        n_rows -= len(states)
    return kept


def as_arrays(pieces: Pieces) -> list[list[np.ndarray]]:
    """For an attribute that is saved."""
    return [[x.numpy(), c.numpy()] for x, c in pieces]


def as_pieces(arrays: list[list[np.ndarray]]) -> Pieces:
    """Back."""
    return [(torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(c))) for x, c in arrays]
