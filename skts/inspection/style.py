"""What all displays share: matplotlib on demand, and colours that colour-blind readers can tell apart."""

from typing import Any

__all__ = ["ACCENT", "MUTED", "PAST", "TRUTH", "new_axes", "tidy"]

ACCENT, TRUTH, PAST, MUTED = "#0072b2", "#d55e00", "#555555", "#b8b8b8"


def new_axes(rows: int = 1, width: float = 7.0, height: float = 3.2) -> Any:
    """A new figure's axes, (rows,) of them.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib: pip install 'skts[plot]'.") from error
    _, axes = plt.subplots(rows, 1, figsize=(width, height * rows), squeeze=False, layout="constrained")
    return axes[:, 0]


def tidy(ax: Any) -> None:
    """Take away what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
