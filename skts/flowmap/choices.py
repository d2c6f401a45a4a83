"""What "auto" and "pow2" stand for, decided from the data."""

from typing import Any

import numpy as np
from sklearn.base import clone

from skts.errors import InputError, ParameterError
from skts.flowmap.coordinates import enough_components
from skts.flowmap.steppers import Stepper, log_spaced_steps

__all__ = [
    "STEPPERS",
    "check_stepper",
    "coordinates_for",
    "kinds_for",
    "n_components_for",
    "named",
    "one_or_all",
    "steps_for",
]

STEPPERS = ("resmlp", "polynomial", "fno1d", "opinf")

_LEAST_MOVE, _MOST_MOVE = 0.05, 0.8  # how far a state moves in a step of "pow2", in spreads of the data
_MOST_STEPPERS = 5
_MOST_POLYNOMIALS = 8  # they cost next to nothing, and whether a long one holds is seen at once
_FIELD = 16  # features from which on "auto" tries them as a periodic field
_FEW = 4  # features that need no other coordinates


def kinds_for(stepper: Any, n_features: int) -> list[Any]:
    """The steppers that are to be tried."""
    if not isinstance(stepper, str) or stepper != "auto":
        return [stepper]
    return [kind for kind in STEPPERS if kind != "fno1d" or n_features >= _FIELD]


def coordinates_for(coordinates: Any, kind: Any, n_features: int) -> Any:
    """The coordinates of a stepper."""
    if not isinstance(coordinates, str) or coordinates != "auto":
        return coordinates
    kinds = {named(k) for k in (kind.values() if isinstance(kind, dict) else [kind])}
    if "fno1d" in kinds or n_features <= _FEW:
        return "identity"
    return {"opinf": "pca", "polynomial": "manifold"}.get(kinds.pop() if len(kinds) == 1 else "", "autoencoder")


def named(kind: Any) -> str:
    """A stepper's name."""
    return kind if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)


def one_or_all(steppers: dict[str, Any]) -> Any:
    """The stepper of all step sizes, or which of them has which."""
    kinds = list(steppers.values())
    return kinds[0] if all(kind is kinds[0] or kind == kinds[0] for kind in kinds) else dict(steppers)


def n_components_for(n_components: Any, coordinates: Any, rows: np.ndarray, n_fields: int) -> int:
    """How many coordinates; those of the user's own are counted on a clone that is fitted to some rows."""
    d = rows.shape[1]
    if isinstance(coordinates, str) and coordinates == "identity":
        return d
    if not isinstance(coordinates, str):
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 2000)).astype(int)]
        return int(np.asarray(clone(coordinates).fit(some).transform(some[:2])).shape[1])
    if n_components != "auto":
        if n_components > d:
            raise ParameterError(f"n_components of at most {d} features", f"{n_components}", "Lower it.")
        return int(n_components)
    spread = rows.reshape(len(rows), n_fields, -1).std((0, 2)).repeat(d // n_fields)
    return enough_components((rows - rows.mean(0)) / np.where(spread > 0, spread, 1))


def steps_for(step_sizes: Any, kind: Any, pieces: list[np.ndarray], n_forward: int) -> dict[str, Any]:
    """Step size to stepper; of each size at least one window fits into the longest piece."""
    longest = max(map(len, pieces))
    if isinstance(kind, dict):
        _check_steps(sorted(kind), longest, sorted(kind))
        return {str(step): kind[step] for step in sorted(kind)}
    if not isinstance(step_sizes, str):
        steps = _check_steps(list(step_sizes), longest, step_sizes)
        return {str(step): kind for step in steps}
    steps = log_spaced_steps(max(1, (longest - 1) // n_forward))
    moves = [_movement(pieces, step) for step in steps]
    most, n = (np.inf, _MOST_POLYNOMIALS) if kind == "polynomial" else (_MOST_MOVE, _MOST_STEPPERS)
    useful = [s for s, move in zip(steps, moves, strict=True) if _LEAST_MOVE <= move <= most]
    chosen = useful[:n] or steps[: max(1, sum(move < _LEAST_MOVE for move in moves))][-1:]
    return {str(step): kind for step in chosen}


def _check_steps(steps: list[Any], longest: int, given: Any) -> list[int]:
    whole = [int(s) for s in steps]
    if not whole or min(whole) < 1 or sorted(set(whole)) != whole or whole != list(steps):
        raise ParameterError("increasing whole step sizes of at least 1", f"{given!r}", "Pass [1, 2, 4].")
    if whole[-1] > longest - 1:
        got = f"a step of {whole[-1]} samples for trajectories of at most {longest}"
        raise InputError("steps that fit into the trajectories", got, "Drop it, or pass longer trajectories.")
    return whole


def check_stepper(stepper: Any) -> None:
    """Refuse what is no stepper.

    Raises
    ------
    ParameterError
        Which says what is.
    """
    kinds = list(stepper.values()) if isinstance(stepper, dict) else [stepper]
    for kind in kinds:
        known = isinstance(kind, str) and kind in STEPPERS + (() if isinstance(stepper, dict) else ("auto",))
        if not (
            known
            or (isinstance(kind, type) and issubclass(kind, Stepper))
            or (callable(kind) and not isinstance(kind, type))
        ):
            raise ParameterError(
                f"stepper of 'auto', {', '.join(map(repr, STEPPERS))}, a subclass of Stepper, or a dict of step sizes "
                "to those or to solvers of your own",
                f"{kind!r}",
                "Pass one of them.",
            )


def _movement(pieces: list[np.ndarray], step: int) -> float:
    """Root mean square of what a state changes in a step, over the spread of all states."""
    moved = [np.square(p[step:] - p[:-step]).sum(1) for p in pieces if len(p) > step]
    spread = np.concatenate(pieces).var(0).sum()
    return float(np.sqrt(np.concatenate(moved).mean() / max(spread, 1e-300))) if moved else np.inf
