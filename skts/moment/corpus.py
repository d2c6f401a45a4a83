"""Series to pre-train on, drawn, not downloaded: Gaussian processes, trends, seasons, events, changes of regime."""

from collections.abc import Callable

import numpy as np

__all__ = ["draw_series"]

Part = Callable[[np.random.Generator, int], np.ndarray]


def draw_series(
    n_series: int, random_state: int | None = None, shortest: int = 24, longest: int = 512
) -> list[np.ndarray]:
    """Draw series of many kinds and lengths.

    Each is the sum or product of one to three parts, with a change of regime in some of them, and noise from almost
    none to almost nothing else.

    Parameters
    ----------
    n_series : int
        How many.
    random_state : int, optional
        Seed.
    shortest, longest : int, default=24 and 512
        Their lengths; shorter ones are as frequent as longer ones on a logarithmic scale.

    Returns
    -------
    list of ndarray of shape (T_i,)
        In float32, with mean 0 and standard deviation 1.

    References
    ----------
    A. F. Ansari et al.: Chronos: Learning the Language of Time Series, Transactions on Machine Learning Research 2024,
    https://arxiv.org/abs/2403.07815, for sums and products of random kernels.

    Examples
    --------
    >>> from skts.moment.corpus import draw_series
    >>> [len(x) for x in draw_series(3, random_state=0, shortest=100, longest=100)]
    [100, 100, 100]
    """
    rng = np.random.default_rng(random_state)
    lengths = np.exp(rng.uniform(np.log(shortest), np.log(longest + 1), n_series)).astype(int)
    return [_one(rng, int(length)) for length in lengths]


def _one(rng: np.random.Generator, length: int) -> np.ndarray:
    x = _mixture(rng, length)
    if rng.random() < 0.25:
        x = np.where(np.arange(length) < rng.uniform(0.15, 0.85) * length, x, _mixture(rng, length) + rng.normal(0, 1))
    x = _warped(rng, x) if rng.random() < 0.3 else x
    x = x + 10 ** rng.uniform(-2.5, 0) * rng.standard_normal(length)
    return _standardised(x).astype(np.float32)


def _mixture(rng: np.random.Generator, length: int) -> np.ndarray:
    """One to three parts, added or multiplied."""
    x = _PARTS[rng.integers(len(_PARTS))](rng, length)
    for _ in range(rng.integers(3)):
        other = _PARTS[rng.integers(len(_PARTS))](rng, length)
        x = _standardised(
            x * (1 + rng.uniform(0.3, 1) * other) if rng.random() < 0.3 else x + rng.uniform(0.3, 1.5) * other
        )
    return x


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / (x.std() + 1e-9)


def _process(rng: np.random.Generator, length: int) -> np.ndarray:
    """A stationary Gaussian process: noise whose spectrum is that of a smooth kernel, a rough one, or of resonances."""
    frequency = np.arange(length + 1) / (2 * length)  # of twice the length: the end knows nothing of the start
    kind, scale = rng.integers(3), np.exp(rng.uniform(np.log(2), np.log(length)))
    if kind == 0:
        amplitude = np.exp(-((frequency * scale) ** 2))
    elif kind == 1:
        amplitude = (frequency + 1 / scale) ** -rng.uniform(0.5, 2.5)
    else:
        centres = rng.uniform(1, length / 4, rng.integers(1, 4)) / length
        amplitude = np.exp(-(((frequency[:, None] - centres) * scale) ** 2)).sum(1)
    noise = rng.standard_normal(length + 1) + 1j * rng.standard_normal(length + 1)
    return _standardised(np.fft.irfft(amplitude * noise)[:length])


def _season(rng: np.random.Generator, length: int) -> np.ndarray:
    """A random shape again and again, at a speed and strength that may drift."""
    period = np.exp(rng.uniform(np.log(4), np.log(length)))
    phase = np.arange(length) / period + rng.random() + rng.normal(0, 0.3) * np.linspace(0, 1, length) ** 2
    if rng.random() < 0.3:
        x = np.where(phase % 1 < rng.uniform(0.1, 0.9), 1.0, -1.0) if rng.random() < 0.5 else phase % 1
    else:
        harmonic = np.arange(1, rng.integers(2, 7))
        size, shift = rng.standard_normal(len(harmonic)) / harmonic, rng.random(len(harmonic))
        x = (size * np.sin(2 * np.pi * (phase[:, None] * harmonic + shift))).sum(1)
    return _standardised(x) * (1 + rng.uniform(-0.8, 0.8) * np.linspace(-1, 1, length))


def _trend(rng: np.random.Generator, length: int) -> np.ndarray:
    """Straight pieces with jumps, or a power of time."""
    t = np.linspace(0, 1, length)
    if rng.random() < 0.4:
        return _standardised(t ** np.exp(rng.normal(0, 0.7)) * rng.choice([-1, 1]))
    knots = np.sort(np.r_[0, rng.random(rng.integers(1, 5)), 1])
    x = np.interp(t, knots, rng.standard_normal(len(knots)))
    return _standardised(x + (t > rng.random()) * rng.normal(0, 1) * (rng.random() < 0.5))


def _events(rng: np.random.Generator, length: int) -> np.ndarray:
    """Bumps, dips and decays at random times."""
    t, x = np.linspace(0, 1, length)[:, None], np.zeros(length)
    n = rng.integers(1, 7)
    since, width = t - rng.random(n), np.exp(rng.uniform(np.log(0.01), np.log(0.2), n))
    shape = (
        np.where(since > 0, np.exp(-since.clip(0) / width), 0)
        if rng.random() < 0.4
        else np.exp(-((since / width) ** 2))
    )
    x = (rng.standard_normal(n) * shape).sum(1)
    return _standardised(x)


def _warped(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """The same course, faster in some places and slower in others."""
    t = np.linspace(0, 1, len(x))
    speed = np.exp(np.interp(t, np.linspace(0, 1, 5), rng.normal(0, 0.5, 5))).cumsum()
    return np.interp((speed - speed[0]) / (speed[-1] - speed[0]), t, x)


_PARTS: tuple[Part, ...] = (_process, _process, _season, _season, _trend, _events)
