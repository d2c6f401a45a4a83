"""Learning on: old trajectories are replayed beside the new ones, and an update that spoils the old is undone."""

import copy
import warnings

import numpy as np
import torch

from skts.engine import FitRun
from skts.flowmap.judging import Judge
from skts.flowmap.module import FlowMap
from skts.flowmap.training import Pieces, Recipe, Training

__all__ = ["as_arrays", "as_pieces", "kept_pieces", "mixed", "update"]

_SLOWER = 3.0  # learning rate of an update, over that of a fit
_ALLOWED = 1.1  # how much the held-out error of the old trajectories may rise


def update(
    run: FitRun,
    module: FlowMap,
    old: tuple[Pieces, Pieces],
    new: tuple[Pieces, Pieces],
    recipe: Recipe,
    steps: list[int],
) -> bool:
    """Train the chosen flow maps on; whether the update was kept.

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
    errors = [judge.error(module, steps) for judge in judges]
    slower = {"lr": run.settings.lr / _SLOWER, "keep_start": True}
    training = Training(run, module, mixed(old[0], new[0]), mixed(old[1], new[1]), recipe, "update ", **slower)
    training.learn_range()
    for member in range(len(module.members)):
        for step in steps:
            training.started.add((member, step))
            if str(step) in module.members[member]:
                with torch.no_grad():
                    module.members[member][str(step)].widen(training.single_steps(training.train, step))
            training.stepper(step, recipe.max_epochs, member)
    after = [judge.error(module, steps) for judge in judges]
    kept = after[0] <= _ALLOWED * errors[0] + 1e-6 and after[-1] <= errors[-1]
    if not kept:
        module.load_state_dict(before)
        warnings.warn(
            f"the update was undone: it took the held-out error of earlier trajectories from {errors[0]:.3g} to "
            f"{after[0]:.3g}, that of the new ones from {errors[-1]:.3g} to {after[-1]:.3g}. Pass more trajectories, "
            "or fit a model of their own for the new ones.",
            stacklevel=8,
        )
    return kept


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
