"""Does a surrogate pay? Solver and surrogate at equal accuracy, with what the training cost."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["speedup_table"]


def speedup_table(
    simulate: Callable[[np.ndarray, int], np.ndarray],
    solvers: Any,
    x0: np.ndarray,
    dt: float,
    n_steps: int,
    tol: float | None,
    fit_seconds: float,
) -> Any:
    """One row for each solver and one for the surrogate: error, seconds, and after how many runs training has paid.

    Parameters
    ----------
    simulate : callable
        ``simulate(x0, n_steps)``: the surrogate's states (n_traj, n_steps + 1, d).
    solvers : callable or dict of str to callable
        ``solver(x0, dt, n_steps)``; the first one is the reference that errors are measured against.
    x0 : ndarray of shape (n_traj, d)
        Starts.
    dt : float
        Time between samples.
    n_steps : int
        Samples to simulate.
    tol : float or None
        Largest error that is of use; None takes the surrogate's.
    fit_seconds : float
        What training has cost.
    """
    import pandas as pd

    named = dict(solvers) if isinstance(solvers, Mapping) else {"solver": solvers}
    rows: dict[str, dict[str, float]] = {}
    reference = None
    for name, solver in named.items():
        found, seconds = _timed(lambda solver=solver: np.asarray(solver(x0, dt, n_steps), dtype=float))
        if found.shape != (len(x0), n_steps + 1, x0.shape[1]):
            expected = (len(x0), n_steps + 1, x0.shape[1])
            raise InputError(f"solver(x0, dt, n_steps) of shape {expected}", f"{found.shape}", "Correct the solver.")
        reference = found if reference is None else reference
        rows[name] = {"error": _error(found, reference), "seconds": seconds}
    found, seconds = _timed(lambda: simulate(x0, n_steps))
    rows["surrogate"] = {"error": _error(found, reference), "seconds": seconds}
    table = pd.DataFrame(rows).T.rename_axis("method")
    limit = rows["surrogate"]["error"] if tol is None else tol
    table["good_enough"] = table["error"] <= limit * (1 + 1e-9)
    useful = table.drop(index="surrogate")[table["good_enough"].drop(index="surrogate")]
    cheapest = useful["seconds"].min() if len(useful) else np.nan
    table["speedup"] = np.where(table.index == "surrogate", cheapest / seconds, np.nan)
    saved = cheapest - seconds
    pays = table.loc["surrogate", "good_enough"] and saved > 0
    table["runs_to_pay"] = np.where(table.index == "surrogate", fit_seconds / saved if pays else np.inf, np.nan)
    table.attrs = {"tol": limit, "n_trajectories": len(x0), "fit_seconds": fit_seconds}
    return table


def _timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The result, and the shortest of three runs."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return found, min(seconds)


def _error(found: np.ndarray, reference: np.ndarray | None) -> float:
    """Root mean square error over all times, in spreads of the reference; infinite where it is not finite."""
    assert reference is not None
    gap = np.sqrt(np.square(found - reference).mean() / max(reference.var(axis=(0, 1)).mean(), 1e-300))
    return float(gap) if np.isfinite(gap) else np.inf
