"""What all displays share: matplotlib on demand, and colours that colour-blind readers can tell apart."""

from typing import Any

__all__ = ["ACCENT", "DIVERGING", "MUTED", "PAST", "SEQUENTIAL", "TRUTH", "new_axes", "side_by_side", "tidy"]

ACCENT, TRUTH, PAST, MUTED = "#0072b2", "#d55e00", "#555555", "#b8b8b8"
DIVERGING, SEQUENTIAL = "RdBu", "Blues"  # colour maps: red to blue around 0, white to blue from 0


def new_axes(rows: int = 1, width: float = 7.0, height: float = 3.2) -> Any:
    """A new figure's axes, (rows,) of them.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    return _subplots(rows, 1, figsize=(width, height * rows))[:, 0]


def side_by_side(width: float = 10.0, height: float = 3.2) -> Any:
    """A new figure's axes, two of them, left and right.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    return _subplots(1, 2, figsize=(width, height))[0]


def _subplots(rows: int, columns: int, figsize: tuple[float, float]) -> Any:
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib: pip install 'skts[plot]'.") from error
    return plt.subplots(rows, columns, figsize=figsize, squeeze=False, layout="constrained")[1]


def tidy(ax: Any) -> None:
    """Take away what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
