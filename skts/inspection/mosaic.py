"""Many small images as one, and drawing it."""

import math
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["as_images", "mosaic", "show_mosaic", "show_rows"]


def as_images(X: Any, name: str = "X") -> np.ndarray:
    """Images (n, H, W) or (n, H, W, 3) in float64; other numbers of channels are averaged.

    Raises
    ------
    InputError
        If they have another shape.
    """
    images = np.asarray(X, dtype=np.float64)
    if images.ndim not in (3, 4) or not images.size:
        hint = "Reshape samples to images, X.reshape(-1, height, width)."
        raise InputError(f"{name} as images (n, H, W) or (n, H, W, C)", f"shape {images.shape}", hint)
    return images.mean(3) if images.ndim == 4 and images.shape[3] != 3 else images


def mosaic(images: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images (n, H, W[, 3]), row by row, with NaN between them."""
    n, height, width = images.shape[:3]
    columns = min(n, math.ceil(math.sqrt(n)) if columns is None else columns)
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:]), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def show_mosaic(ax: Any, canvas: np.ndarray, low: float, high: float, cmap: str = "gray_r") -> Any:
    """Draw a mosaic; what is NaN (a gap, a missing number) is a pale colour that no map has."""
    from matplotlib import colormaps

    gap = np.array([0.87, 0.91, 0.96])
    if canvas.ndim == 3:
        scaled = np.clip((canvas - low) / max(high - low, 1e-12), 0, 1)
        drawn = ax.imshow(np.where(np.isnan(scaled), gap, scaled), interpolation="nearest")
    else:
        colors = colormaps[cmap].with_extremes(bad=gap)
        drawn = ax.imshow(canvas, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return drawn


def show_rows(ax: Any, rows: list[tuple[np.ndarray, float, float, str]]) -> list[Any]:
    """Draw mosaics of one size one below the other, each with its limits and colours."""
    top, drawn = -0.5, []
    for canvas, low, high, cmap in rows:
        drawn.append(show_mosaic(ax, canvas, low, high, cmap))
        height, width = canvas.shape[:2]
        drawn[-1].set_extent((-0.5, width - 0.5, top + height, top))
        top += height + 1
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(top - 1, -0.5)
    return drawn
