"""Polynomial flow maps: degree, ridge and step sizes by cross-validated rollouts, then a fit to all trajectories."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skts.flowmap.judging import Judge
from skts.flowmap.polynomial import NormalEquations
from skts.flowmap.polynomial_map import PolynomialMap
from skts.flowmap.selection import select_steps
from skts.flowmap.training import Pieces, Training

__all__ = ["ClosedForms"]

_FOLDS = 5
_RIDGES = (1e-6, 1e-9)
_MOST_ROLLOUTS = 6  # of each step
_WORTH_A_ROLLOUT = 1.5  # error of one step of held-out trajectories, over the least of all degrees
_ROWS = 50_000  # single steps of all trajectories

Settings = tuple[int, float]  # number of terms and ridge
Equations = list[NormalEquations | None]  # of each part of the trajectories; None where all are shorter than the step


class ClosedForms(Training):
    """As :class:`Training`, for maps that are solved for in less time than a single rollout of the judge takes.

    One held-out trajectory is too few to choose by: here each of them is held out once. Of the degrees whose error of
    one step is good, some run away beside the data, so rollouts decide between them.

    Parameters
    ----------
    run, module, train, valid, recipe, name, **changes : object
        See :class:`~skts.flowmap.training.Training`.
    """

    def all_stages(self) -> None:
        """Choose, and fit to the training trajectories alone, to be compared with other models on held-out ones."""
        self.coordinates()
        self.learn_range()
        self._choose()
        self._fit()

    def refit(self) -> None:
        """Fit to all trajectories what has been chosen."""
        self.train = [*self.train, *self.valid]
        self.coordinates()
        self.learn_range()
        self._fit()

    def learn_on(self, steps: list[int]) -> None:
        """Choose and fit anew the maps of these steps, to all trajectories; coordinates and steps stay."""
        self.steps = steps
        self.learn_range()
        self._choose()
        self.train = [*self.train, *self.valid]
        self.learn_range()
        self._fit()

    def stepper(self, step: int, epochs: int, member: int = 0, pilot: bool = False) -> None:
        """Nothing is trained."""

    def _map(self, step: int, member: int = 0) -> PolynomialMap:
        return self.module.members[member][str(step)]

    def _fit(self) -> None:
        """All steps; of further members, on trajectories that are drawn with replacement."""
        for step in self.steps:
            parts = [[piece] for piece in self.train if len(piece[0]) > step]
            for member in range(len(self.module.members) if parts else 0):
                found = self._equations(step, parts, member)
                draw = self.rng.integers(len(parts), size=len(parts)) if member else range(len(parts))
                n_terms, ridge = self.settings[step]
                self._map(step, member).solve(_sum([found[i] for i in draw]).first(n_terms), ridge)

    @torch.no_grad()
    def _equations(self, step: int, parts: Sequence[Pieces], member: int = 0) -> Equations:
        stepper = self._map(step, member)
        stepper.measure(self.single_steps([piece for part in parts for piece in part], step))
        found: Equations = []
        for part in parts:
            long = [piece for piece in part if len(piece[0]) > step]
            found.append(stepper.equations(self.single_steps(long, step, rows=_ROWS // len(parts))) if long else None)
        return found

    # ---- choice -------------------------------------------------------------------------------------------------

    def _choose(self) -> None:
        """Of each step size number of terms and ridge, then the step sizes."""
        held_out = self._folds()
        judges = [Judge(fold, max(self.steps)) for fold in held_out]
        judged = [k for k, judge in enumerate(judges) if judge.can_judge]
        parts = held_out if len(held_out) > 1 else [*held_out, self.train]
        fits = {step: _LeftOut(self._equations(step, parts)) for step in self.steps}

        def error(settings: dict[int, Settings], every: int | None = None) -> float:
            found = []
            for k in judged:
                for step, how in settings.items():
                    self._map(step).use(fits[step].coefficients(k, how))
                found.append(judges[k].error(self.module, list(settings), every))
            return sum(found) / len(found)

        self.settings: dict[int, Settings] = {}
        for step in self.steps:
            worth = fits[step].worth_a_rollout(len(held_out), self._map(step).sizes)
            best = min(worth, key=lambda how, step=step: error({step: how}, step)) if judged else worth[0]
            self.settings[step] = best
        if judged:
            self.selected, self.tried = select_steps(
                self.steps, lambda steps: error({s: self.settings[s] for s in steps}), self.recipe.selection
            )

    def _folds(self) -> list[Pieces]:
        """Trajectories that are held out together; the end of the only one."""
        if len(self.train) == 1:
            return [self.valid or self.train]
        pieces = [*self.train, *self.valid]
        return [pieces[k::_FOLDS] for k in range(min(_FOLDS, len(pieces)))]


class _LeftOut:
    """Least squares on all parts of the trajectories but one."""

    def __init__(self, equations: Equations) -> None:
        self.equations = equations
        self.known: dict[tuple[int, Settings], Tensor] = {}

    def coefficients(self, part: int, how: Settings) -> Tensor:
        """Those that have not seen a part."""
        if (part, how) not in self.known:
            n_terms, ridge = how
            others = [e for k, e in enumerate(self.equations) if k != part and e is not None]
            seen = others or self.equations  # of a step that is too long for all others, it has to judge itself
            self.known[part, how] = _sum(seen).first(n_terms).solution(ridge)
        return self.known[part, how]

    def worth_a_rollout(self, n_parts: int, n_terms: Sequence[int]) -> list[Settings]:
        """The best few settings by the error of one step: a geometric mean over the first parts, each left out."""

        def error(how: Settings) -> float:
            left_out = [(k, e.first(how[0])) for k, e in enumerate(self.equations[:n_parts]) if e is not None]
            return sum(0.5 * math.log(e.error(self.coefficients(k, how))) for k, e in left_out) / max(1, len(left_out))

        errors = {(n, ridge): error((n, ridge)) for n in n_terms for ridge in _RIDGES}
        limit = min(errors.values()) + math.log(_WORTH_A_ROLLOUT)
        good = sorted((how for how, found in errors.items() if found <= limit), key=errors.__getitem__)
        return good[:_MOST_ROLLOUTS]


def _sum(equations: Equations) -> NormalEquations:
    found = [e for e in equations if e is not None]
    return sum(found[1:], found[0])
