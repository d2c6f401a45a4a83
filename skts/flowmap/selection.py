"""Which step sizes to keep: those whose rollouts of held-out trajectories are best."""

from collections.abc import Callable, Sequence

__all__ = ["SELECTIONS", "select_steps"]

SELECTIONS = ("range", "greedy", "none")
_AS_GOOD = 1.02  # errors that differ by less are the same: then fewer steps, and the larger ones, are cheaper


def select_steps(
    steps: Sequence[int], error: Callable[[list[int]], float], how: str
) -> tuple[list[int], dict[str, float]]:
    """The best set of steps, and the held-out error of every set that was tried.

    Parameters
    ----------
    steps : sequence of int
        All step sizes.
    error : callable
        Held-out error of a set; lower is better.
    how : {"range", "greedy", "none"}
        "range" tries every contiguous range of steps; "greedy" drops whichever helps most, until nothing does; "none"
        keeps all.
    """
    tried: dict[str, float] = {}
    sets: dict[str, list[int]] = {}

    def judged(candidate: list[int]) -> float:
        name = "-".join(map(str, candidate))
        if name not in tried:
            tried[name], sets[name] = float(error(candidate)), candidate
        return tried[name]

    best = sorted(steps)
    judged(best)
    if how == "none" or len(best) == 1:
        return best, tried
    if how == "range":
        for ordered in [best[a:b] for a in range(len(best)) for b in range(len(best), a, -1)]:
            judged(ordered)
    while how == "greedy" and len(best) > 1:
        shorter = min(([s for s in best if s != drop] for drop in best), key=judged)
        if judged(shorter) >= judged(best):
            break
        best = shorter
    limit = _AS_GOOD * min(tried.values())
    good = [name for name, found in tried.items() if found <= limit]
    return min((sets[name] for name in good), key=lambda s: (len(s), -sum(s))), tried
