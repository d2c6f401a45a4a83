"""Which step sizes to keep: those whose rollouts of held-out trajectories are best."""

from collections.abc import Callable, Sequence

__all__ = ["SELECTIONS", "select_steps"]

SELECTIONS = ("range", "greedy", "none")


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

    def judged(candidate: list[int]) -> float:
        name = "-".join(map(str, candidate))
        if name not in tried:
            tried[name] = float(error(candidate))
        return tried[name]

    best = sorted(steps)
    if how == "none" or len(best) == 1:
        judged(best)
        return best, tried
    if how == "range":
        ranges = [best[a:b] for a in range(len(best)) for b in range(len(best), a, -1)]
        return min(ranges, key=judged), tried
    while len(best) > 1:
        shorter = min(([s for s in best if s != drop] for drop in best), key=judged)
        if judged(shorter) >= judged(best):
            break
        best = shorter
    return best, tried
