"""Series for embeddings to be judged on: panels with one generating factor, and long series with known parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from skts.datasets.checks import check_count, check_number
from skts.errors import InputError

__all__ = ["make_annotated_series", "make_factor_panel"]

_WAVES = 16.0  # periods over a series whose factor is not the frequency
_RANGES = {
    "trend": (1 / 8, 8.0),
    "frequency": (1.0, 32.0),
    "amplitude": (1 / 4, 4.0),
    "baseline": (-2.0, 2.0),
    "phase": (0.0, 2 * np.pi),
}


def make_factor_panel(
    factor: str = "trend",
    n_series: int = 256,
    n_timepoints: int = 512,
    *,
    frequency: float = _WAVES,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate series that differ in one factor, to see whether it can be read from an embedding.

    Parameters
    ----------
    factor : {"trend", "frequency", "amplitude", "phase", "baseline"}, default="trend"
        What differs.
    n_series : int, default=256
        Number of series, at least 1.
    n_timepoints : int, default=512
        Steps of each, at least 2.
    frequency : float, default=16.0
        Periods in a series, above 0, where the factor is another one.
    noise : float, default=0.1
        Standard deviation of white noise, at least 0.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same series each time. None draws from numpy's global generator.

    Returns
    -------
    X : ndarray of shape (n_series, n_timepoints), float64
        The series.
    y : ndarray of shape (n_series,), float64
        The factor :math:`c` of each, evenly spread over its range, in random order.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    With :math:`t` from 0 to 1 and :math:`s = \sin 2 \pi f t`:

    =========  =============================  =============
    factor     series                         range of c
    =========  =============================  =============
    trend      :math:`t^c + s`                1/8 to 8
    frequency  :math:`\sin 2 \pi c t`         1 to 32
    amplitude  :math:`c\, s`                  1/4 to 4
    phase      :math:`\sin(2 \pi f t + c)`    0 to 2 pi
    baseline   :math:`c + s`                  -2 to 2
    =========  =============================  =============

    The factors and ranges are those of the figure that shows what MOMENT knows; trend and amplitude are evenly spread
    in their logarithm here. An encoder that standardises each series, as MOMENT does, cannot see the baseline, and
    the amplitude by the noise alone.

    References
    ----------
    M. Goswami, K. Szafer, A. Choudhry, Y. Cai, S. Li, A. Dubrawski: MOMENT: A Family of Open Time-series Foundation
    Models, ICML 2024, https://arxiv.org/abs/2402.03885.

    Examples
    --------
    >>> from skts.datasets import make_factor_panel
    >>> X, y = make_factor_panel("frequency", n_series=20, random_state=0)
    >>> X.shape, float(y.min()), float(y.max())
    ((20, 512), 1.0, 32.0)
    """
    if factor not in _RANGES:
        raise InputError(f"a factor out of {sorted(_RANGES)}", repr(factor), "Pass one of them.")
    check_count("n_series", n_series)
    check_count("n_timepoints", n_timepoints, 2)
    check_number("frequency", frequency)
    check_number("noise", noise, positive=False)
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    low, high = _RANGES[factor]
    spread = np.geomspace if factor in ("trend", "amplitude") else np.linspace
    c = rng.permutation(spread(low, high, n_series))
    X = _factor_curve(factor, np.linspace(0, 1, n_timepoints), c[:, None], frequency)
    return X + rng.normal(scale=noise, size=X.shape), c


def _factor_curve(factor: str, t: np.ndarray, c: np.ndarray, frequency: float) -> np.ndarray:
    wave = np.sin(2 * np.pi * frequency * t)
    if factor == "trend":
        return t**c + wave
    if factor == "frequency":
        return np.sin(2 * np.pi * c * t)
    if factor == "phase":
        return np.sin(2 * np.pi * frequency * t + c)
    return c * wave if factor == "amplitude" else c + wave


def make_annotated_series(
    kind: str = "regimes",
    n_timepoints: int | None = None,
    *,
    noise: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate a long series, and what each of its steps belongs to.

    Use it to see whether the windows of a series show on a map what the series is made of.

    Parameters
    ----------
    kind : {"regimes", "outliers", "trends", "anomalies", "seasonal"}, default="regimes"
        What the series is like; see Notes.
    n_timepoints : int, optional
        Steps, at least 64; by default 4800 for the first three kinds, 550 for anomalies and 440 for seasonal.
    noise : float, default=0.2
        Standard deviation of white noise, at least 0, in units of the waves, which have height 1.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same series each time. None draws from numpy's global generator.

    Returns
    -------
    series : ndarray of shape (n_timepoints,), or (3, n_timepoints) for anomalies; float64
        The series.
    y : ndarray of shape (n_timepoints,), int64
        The label of each step.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The series are made after the descriptions of those in the study below.

    regimes (S1)
        Four kinds of stretches of 240 to 480 steps take turns: a wave of 24 steps; one whose every second swing is
        weak; one on a swell of 168 steps; one with ripples of 8. Half a swing does not tell them apart. Labels 0 to 3.
    outliers (S2)
        A daily wave of 96 steps with short spikes, dips and bursts of noise. Label 1 in them, else 0.
    trends (S3)
        A wave of 96 steps on stretches that rise, stay level or fall, of 150 to 400 steps. Labels 1, 0, -1.
    anomalies (Toy)
        Three channels with waves of 25 steps; in two places of 20 steps all of them are torn down. Label 1 in
        them, else 0.
    seasonal (Kohl's)
        Weekly search volume from 0 to 1 with a yearly peak, a small one before it, and little else. Label 1 in the
        weeks of peaks, else 0.

    References
    ----------
    I. Santamaria-Valenzuela, V. Rodriguez-Fernandez, J. Huertas-Tato, J. H. Park, D. Camacho: Decoding Latent Spaces:
    Assessing the Interpretability of Time Series Foundation Models for Visual Analytics, 2025,
    https://arxiv.org/abs/2504.20099.

    Examples
    --------
    >>> import numpy as np
    >>> from skts.datasets import make_annotated_series
    >>> series, y = make_annotated_series("regimes", random_state=0)
    >>> series.shape, np.unique(y).tolist()
    ((4800,), [0, 1, 2, 3])
    """
    if kind not in _KINDS:
        raise InputError(f"a kind out of {sorted(_KINDS)}", repr(kind), "Pass one of them.")
    make, usual = _KINDS[kind]
    n_timepoints = usual if n_timepoints is None else n_timepoints
    check_count("n_timepoints", n_timepoints, 64)
    check_number("noise", noise, positive=False)
    from sklearn.utils import check_random_state

    return make(n_timepoints, noise, check_random_state(random_state))


_Made = tuple[np.ndarray, np.ndarray]


def _regimes(n: int, noise: float, rng: np.random.RandomState) -> _Made:
    t = np.arange(n)
    wave = np.sin(2 * np.pi * t / 24)
    weaker = wave * np.where(t // 24 % 2 == 0, 1.0, 0.2)
    swell, ripple = 0.8 * np.sin(2 * np.pi * t / 168), 0.6 * np.sin(2 * np.pi * t / 8)
    y = _stretches(n, 240, 480, lambda i: i % 4, rng)
    series = np.stack([wave, weaker, wave + swell, wave + ripple])[y, t]
    return series + rng.normal(scale=noise, size=n), y


def _outliers(n: int, noise: float, rng: np.random.RandomState) -> _Made:
    t = np.arange(n)
    series = np.sin(2 * np.pi * t / 96) + rng.normal(scale=noise, size=n)
    y = np.zeros(n, dtype=np.int64)
    size = 12
    for number, start in enumerate(_places(n, size, max(3, n // 320), rng)):
        part = slice(start, start + size)
        bump = np.hanning(size + 2)[1:-1] * rng.uniform(3, 5)
        series[part] += (bump, -bump, rng.normal(scale=1.5, size=size))[number % 3]
        y[part] = 1
    return series, y


def _trends(n: int, noise: float, rng: np.random.RandomState) -> _Made:
    turns = (0, 1, 0, -1)
    y = _stretches(n, 150, 400, lambda i: turns[i % 4], rng)
    level = np.cumsum(y) * 0.01
    return level + np.sin(2 * np.pi * np.arange(n) / 96) + rng.normal(scale=noise, size=n), y


def _anomalies(n: int, noise: float, rng: np.random.RandomState) -> _Made:
    t = np.arange(n)
    shift = np.array([0.0, 1.0, 2.5])
    series = np.sin(2 * np.pi * t / 25 + shift[:, None]) + rng.normal(scale=noise, size=(3, n))
    y = np.zeros(n, dtype=np.int64)
    for start in _places(n, 20, 2, rng):
        series[:, start : start + 20] = 0.3 * series[:, start : start + 20] - 1.5
        y[start : start + 20] = 1
    return series, y


def _seasonal(n: int, noise: float, rng: np.random.RandomState) -> _Made:
    week = np.arange(n) % 52
    peak, small = np.exp(-(((week - 47) / 1.6) ** 2)), 0.35 * np.exp(-(((week - 33) / 2.5) ** 2))
    year = rng.uniform(0.7, 1.0, size=n // 52 + 1)[np.arange(n) // 52]
    series = np.abs(0.12 + year * (peak + small) + rng.normal(scale=0.1 * noise, size=n))
    return series / max(series.max(), 1e-12), (np.abs(week - 47) <= 2).astype(np.int64)


def _stretches(
    n: int, shortest: int, longest: int, label: Callable[[int], int], rng: np.random.RandomState
) -> np.ndarray:
    """(n,) labels of stretches one after another."""
    y, start, i = np.empty(n, dtype=np.int64), 0, 0
    while start < n:
        length = rng.randint(shortest, longest + 1)
        y[start : start + length] = label(i)
        start, i = start + length, i + 1
    return y


def _places(n: int, size: int, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Starts of ``count`` parts of ``size`` steps, one in each equal share of the series."""
    borders = np.linspace(0, n, count + 1).astype(int)
    return np.array([rng.randint(low, max(low + 1, high - size)) for low, high in itertools.pairwise(borders)])


_KINDS: dict[str, tuple[Callable[[int, float, np.random.RandomState], _Made], int]] = {
    "regimes": (_regimes, 4800),
    "outliers": (_outliers, 4800),
    "trends": (_trends, 4800),
    "anomalies": (_anomalies, 550),
    "seasonal": (_seasonal, 440),
}
