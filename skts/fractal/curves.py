"""Monotone curves after which a column of numbers looks normal, with exact slopes and an exact inverse.

A curve goes through a few quantiles, each at the place that it would have in a standard normal distribution. Between
them it is a rational quadratic spline. Beyond them it goes on as steeply as it came, and flattens like arsinh: what is
drawn stays close to what has been seen, and what lies far away is improbable, never impossible.

J. A. Gregory, R. Delbourgo: Piecewise rational quadratic interpolation to monotonic data, IMA Journal of Numerical
Analysis 2, 1982, https://doi.org/10.1093/imanum/2.2.123.
"""

import numpy as np
from scipy.special import ndtr, ndtri

__all__ = ["bend", "make_curve", "unbend"]

_KNOTS = 8
_BEYOND = 5  # values beyond the outermost knots on either side
_NEAREST = 1e-4  # distance of two knots; columns are standardised


def make_curve(column: np.ndarray) -> np.ndarray:
    """Knots (M, 3) of a curve: place x, height z and slope; a straight line where there are too few values.

    Parameters
    ----------
    column : numpy.ndarray of shape (n,)
        Finite values, standardised.
    """
    most = -ndtri(min(0.25, _BEYOND / max(1, len(column))))
    z = np.linspace(-most, most, _KNOTS)
    x = np.quantile(column, ndtr(z)) if len(column) else z
    apart = np.diff(x, prepend=-np.inf) > _NEAREST
    x, z = x[apart], z[apart]
    if len(x) < 2:
        return np.array([[-1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    return np.stack([x, z, _slopes(x, z)], 1)


def _slopes(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Weighted harmonic means of the chords on either side, so that the curve never falls."""
    width = np.diff(x)
    chord = np.diff(z) / width
    left, right = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    inner = (left + right) / (left / chord[:-1] + right / chord[1:])
    return np.concatenate([chord[:1], inner, chord[-1:]])


def bend(curve: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights z, and logarithms of the slopes, at places x; NaN stays NaN."""
    at, height, slope = curve.T
    k, low, chord, high = _pieces(curve, at, x)
    t = np.clip((x - at[k]) / (at[k + 1] - at[k]), 0, 1)
    both = t * (1 - t)
    scale = chord + (high + low - 2 * chord) * both
    z = height[k] + (height[k + 1] - height[k]) * (chord * t**2 + low * both) / scale
    steep = chord**2 * (high * t**2 + 2 * chord * both + low * (1 - t) ** 2) / scale**2
    for beyond, end in ((x < at[0], 0), (x > at[-1], -1)):
        away = slope[end] * (x - at[end])
        z = np.where(beyond, height[end] + np.arcsinh(away), z)
        steep = np.where(beyond, slope[end] / np.hypot(1, away), steep)
    return z, np.log(steep)


def unbend(curve: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Places x of heights z."""
    at, height, slope = curve.T
    k, low, chord, high = _pieces(curve, height, z)
    rise = height[k + 1] - height[k]
    up = np.clip(z - height[k], 0, rise)
    bulge = up * (high + low - 2 * chord)
    a, b, c = rise * (chord - low) + bulge, rise * low - bulge, -chord * up
    t = 2 * c / (-b - np.sqrt(b**2 - 4 * a * c))
    x = at[k] + t * (at[k + 1] - at[k])
    for beyond, end in ((z < height[0], 0), (z > height[-1], -1)):
        x = np.where(beyond, at[end] + np.sinh(z - height[end]) / slope[end], x)
    return x


def _pieces(curve: np.ndarray, knots: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Number of the piece that each value lies in; slopes of the curve at its start, of its chord, and at its end."""
    k = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    chord = np.diff(curve[:, 1]) / np.diff(curve[:, 0])
    return k, curve[k, 2], chord[k], curve[k + 1, 2]
