"""Generated series whose structure is known."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from skts.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_traffic"]

_STEPS_PER_DAY = 288
_WARM_UP_STEPS = 200  # waves shrink to less than 1e-4 of their height within it
_WAVE_DECAY = 0.95
_INCIDENT_RATE = 0.02
_NOISE_KMH = 1.5


def make_traffic(
    n_sensors: int = 20, n_steps: int = 2000, random_state: int | np.random.RandomState | None = None
) -> pd.DataFrame:
    r"""Generate speeds at the sensors of a ring road, with congestion that moves from sensor to sensor.

    Use it to see whether a forecaster takes from the other variables what a variable's own past cannot tell
    it.

    Parameters
    ----------
    n_sensors : int, default=20
        Number of sensors on the ring, at least 2. The neighbours of a column are the columns beside it; the
        last one is beside the first.
    n_steps : int, default=2000
        Number of time points, at least 1. A day has 288.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same series each time. None draws from numpy's global
        generator.

    Returns
    -------
    data : pandas.DataFrame of shape (n_steps, n_sensors)
        float64 speeds in km/h, at least 0, one column "sensor_<i>" per sensor, indexed by a DatetimeIndex
        named "date" with a step of 5 minutes.

    Notes
    -----
    Sensor :math:`i` at step :math:`t` shows

    .. math:: v_{t,i} = \max(0, f_i \exp(-a_i r_t - w_{t,i}) + \epsilon_{t,i}),
              \qquad w_{t,i} = 0.95\, w_{t-1,i+1} + s_{t,i},

    with a free speed :math:`f_i` of 90 to 120 km/h, a sensitivity :math:`a_i` of 0.1 to 0.4 to the rush
    hours :math:`r_t` at 8:00 and 17:30, normal noise of 1.5 km/h and incidents :math:`s` that are zero
    except with probability 0.02, where they are exponential with mean 0.3. Congestion thus runs against the
    traffic, by one sensor in each step, and fades by a factor e in about 20 steps: the neighbour at
    :math:`i+1` announces it, while the sensor's own past does not (on a large ring).

    Examples
    --------
    >>> from skts.datasets import make_traffic
    >>> data = make_traffic(n_sensors=5, n_steps=288, random_state=0)
    >>> data.shape
    (288, 5)
    >>> data.index.freqstr
    '5min'
    """
    for name, value, least in (("n_sensors", n_sensors, 2), ("n_steps", n_steps, 1)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise InputError(f"{name} to be an int of at least {least}", repr(value), f"Pass {name}={least} or more.")
    import pandas as pd
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    free_speed = rng.uniform(90.0, 120.0, size=n_sensors)  # (N,)
    sensitivity = rng.uniform(0.1, 0.4, size=n_sensors)  # (N,)
    load = sensitivity * _rush_hours(n_steps)[:, None] + _congestion_waves(n_sensors, n_steps, rng)  # (L, N)
    noise = rng.normal(scale=_NOISE_KMH, size=(n_steps, n_sensors))
    speed = np.maximum(free_speed * np.exp(-load) + noise, 0.0)
    width = len(str(n_sensors - 1))
    columns = [f"sensor_{i:0{width}d}" for i in range(n_sensors)]
    return pd.DataFrame(speed, pd.date_range("2024-01-01", periods=n_steps, freq="5min", name="date"), columns)


def _rush_hours(n_steps: int) -> np.ndarray:
    hour = np.arange(n_steps) % _STEPS_PER_DAY / _STEPS_PER_DAY * 24.0
    return np.exp(-((hour - 8.0) ** 2) / 2.0) + np.exp(-((hour - 17.5) ** 2) / 4.0)


def _congestion_waves(n_sensors: int, n_steps: int, rng: np.random.RandomState) -> np.ndarray:
    size = (_WARM_UP_STEPS + n_steps, n_sensors)
    waves = rng.exponential(0.3, size=size) * (rng.uniform(size=size) < _INCIDENT_RATE)
    for step in range(1, len(waves)):
        waves[step] += _WAVE_DECAY * np.roll(waves[step - 1], -1)
    return waves[_WARM_UP_STEPS:]
