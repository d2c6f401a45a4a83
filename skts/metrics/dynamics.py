"""Scores of simulations: how long they stay with the truth, how far they drift, whether they live on its attractor."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from skts.errors import InputError, InputTypeError

__all__ = [
    "climate_error",
    "largest_lyapunov_exponent",
    "mean_normalised_absolute_difference",
    "valid_prediction_time",
]

_N_WAVES = 6


def valid_prediction_time(
    y_true: Any,
    y_pred: Any,
    *,
    dt: float = 1.0,
    threshold: float = 0.5,
    scale: Any = None,
    time_unit: float = 1.0,
) -> np.ndarray:
    r"""Time until a simulation has left the true trajectory.

    Use it to judge simulations of chaotic systems: their mean error soon is that of two states drawn at random and
    tells nothing any more, while the time until then tells one simulator from another.

    Parameters
    ----------
    y_true : array-like of shape (n_trajectories, n_times, n_features) or (n_times, n_features)
        The truth, finite. The first sample is the state from which the simulation started, at time 0.
    y_pred : array-like of the same shape
        The simulation. NaN and infinity count as an error above the threshold.
    dt : float, default=1.0
        Time between two samples, above 0.
    threshold : float, default=0.5
        Normalised error, above 0, up to which a state is valid. Two states of the attractor drawn at random have
        about 1.4.
    scale : float or array-like of shape (n_features,), default=None
        What the errors are divided by, above 0: a number for a field, one number for each feature if they have
        different units. None is the standard deviation of all of ``y_true``; pass the one of the whole data set
        to compare figures of different parts of it.
    time_unit : float, default=1.0
        The unit of the result, above 0, in the unit of ``dt``; with the Lyapunov time, 1 over the largest Lyapunov
        exponent, figures of different systems can be compared.

    Returns
    -------
    times : ndarray of shape (n_trajectories,), float64
        The time of the first sample whose error exceeds the threshold, in units of ``time_unit``; where none
        does, the length of the record, ``(n_times - 1) * dt / time_unit``. One trajectory gives an array of one.

    Raises
    ------
    InputError
        If the shapes differ, ``y_true`` is not finite, or a number is out of its range; also if ``scale`` is None
        and ``y_true`` is constant.

    Notes
    -----
    With the error of sample :math:`t`

    .. math:: e_t = \sqrt{\frac1d \sum_i \left(\frac{\hat y_{ti} - y_{ti}}{\sigma_i}\right)^2},

    the time is :math:`\min \{t : e_t > \theta\} \cdot \Delta t`. A record that is not left is a lower bound, so
    report medians, and use records longer than the median.

    References
    ----------
    P. R. Vlachas, J. Pathak, B. R. Hunt, T. P. Sapsis, M. Girvan, E. Ott, P. Koumoutsakos, "Backpropagation
    Algorithms and Reservoir Computing in Recurrent Neural Networks for the Forecasting of Complex Spatiotemporal
    Dynamics", Neural Networks 126, 191-217, 2020. https://arxiv.org/abs/1910.05266

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import valid_prediction_time
    >>> y_true = np.zeros((2, 5, 1))
    >>> y_pred = np.array([[0.0, 0.1, 0.4, 0.6, 0.2], [0.0, 0.0, 0.0, 0.0, 0.0]])[:, :, None]
    >>> valid_prediction_time(y_true, y_pred, dt=0.5, scale=1.0)
    array([1.5, 2. ])
    """
    for name, value in (("dt", dt), ("threshold", threshold), ("time_unit", time_unit)):
        _check_positive(name, value)
    true, pred = _pair(y_true, y_pred)
    scale = _scale(true, scale)
    with np.errstate(over="ignore", invalid="ignore"):  # what has diverged exceeds any threshold
        error = np.sqrt((((pred - true) / scale) ** 2).mean(axis=2))  # (n, T)
    exceeds = ~(error <= threshold)
    first = np.where(exceeds.any(axis=1), exceeds.argmax(axis=1), true.shape[1] - 1)
    return first * float(dt) / float(time_unit)


def mean_normalised_absolute_difference(y_true: Any, y_pred: Any, *, fields: int = 1) -> np.ndarray:
    r"""Mean absolute error of each field, in units of the range of its true values (MNAD).

    Use it to judge simulations of periodic systems, where it is mostly the drift of the phase.

    Parameters
    ----------
    y_true : array-like of shape (n_trajectories, n_times, n_features) or (n_times, n_features)
        The truth, finite.
    y_pred : array-like of the same shape
        The simulation.
    fields : int, default=1
        Number of fields, at least 1, that stand one after another in the features, with as many features each: 2
        for :func:`~skts.datasets.make_fitzhugh_nagumo`.

    Returns
    -------
    differences : ndarray of shape (fields,), float64
        At least 0; lower is better. NaN or infinite where the simulation of the field is.

    Raises
    ------
    InputError
        If the shapes differ, ``y_true`` is not finite, the features cannot be divided into ``fields`` equal parts,
        or the truth of a field is constant.

    Notes
    -----
    .. math:: \frac{\operatorname{mean} |\hat y - y|}{\max y - \min y},

    over all trajectories, times and points of a field.

    References
    ----------
    P. R. Vlachas, G. Arampatzis, C. Uhler, P. Koumoutsakos, "Multiscale simulations of complex systems by learning
    their effective dynamics", Nature Machine Intelligence 4, 359-366, 2022. https://arxiv.org/abs/2006.13431

    Examples
    --------
    >>> from skts.metrics import mean_normalised_absolute_difference
    >>> y_true = [[0.0, 1.0, 10.0, 30.0], [2.0, 1.0, 20.0, 20.0]]
    >>> y_pred = [[0.0, 1.0, 11.0, 29.0], [2.0, 2.0, 21.0, 21.0]]
    >>> mean_normalised_absolute_difference(y_true, y_pred, fields=2)
    array([0.125, 0.05 ])
    """
    _check_count("fields", fields)
    true, pred = _pair(y_true, y_pred)
    if true.shape[2] % fields:
        got = f"{true.shape[2]} features"
        raise InputError(f"features that can be divided into {fields} equal fields", got, "Pass another `fields`.")
    true, pred = (y.reshape(-1, fields, y.shape[2] // fields) for y in (true, pred))
    extent = np.ptp(true, axis=(0, 2))  # (fields,)
    if not extent.all():
        got = f"a constant field {int(extent.argmin())}"
        raise InputError("a truth that varies in each field", got, "Pass more samples, or leave the field out.")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(pred - true).mean(axis=(0, 2)) / extent


def climate_error(y_true: Any, y_pred: Any, n_bins: int = 100) -> dict[str, float]:
    r"""Differences between the long-time statistics of a simulation and of the truth.

    Use it to judge simulations beyond the time over which they can follow the truth: a good one still is of the
    same climate.

    Parameters
    ----------
    y_true : array-like of shape (n_trajectories, n_times, n_features) or (n_times, n_features)
        The truth, finite: a field on the equidistant grid of a periodic domain. For features that are no such
        field, ``spectrum_log10`` means nothing.
    y_pred : array-like of shape (m_trajectories, m_times, n_features) or (m_times, n_features)
        The simulation, after it has forgotten its initial condition. It may have another number of trajectories
        and times.
    n_bins : int, default=100
        Number of equal bins over the range of the truth, at least 1.

    Returns
    -------
    errors : dict of str to float
        ===============  =====================================================================  ============
        key              what                                                                   no error
        ===============  =====================================================================  ============
        std_ratio        standard deviation of the simulation, over that of the truth           1
        pdf_l1           L1 distance of the histograms of all values, 0 to 2                    0
        spectrum_log10   largest difference of the log10 mean power of the waves k = 1 to 6     0
        ===============  =====================================================================  ============

        All are NaN if the simulation is not finite.

    Raises
    ------
    InputError
        If the numbers of features differ, ``y_true`` is not finite or constant, or ``n_bins`` is no such number.

    Notes
    -----
    With the share :math:`p_b` of the values in bin :math:`b`, two more bins for what lies below and above the range
    of the truth, and the discrete Fourier transform :math:`F_k` along the features,

    .. math:: D_\text{pdf} = \sum_b |\hat p_b - p_b|, \qquad
              D_\text{spectrum} = \max_{1 \le k \le 6}
              \left| \log_{10} \langle |F_k \hat y|^2 \rangle - \log_{10} \langle |F_k y|^2 \rangle \right|,

    with means over trajectories and times, and with fewer waves where there are fewer than 12 features. Two
    samples of one climate do not give 0: compare with the figures of one part of the truth against another.

    References
    ----------
    P. R. Vlachas, G. Arampatzis, C. Uhler, P. Koumoutsakos, "Multiscale simulations of complex systems by learning
    their effective dynamics", Nature Machine Intelligence 4, 359-366, 2022. https://arxiv.org/abs/2006.13431

    Examples
    --------
    >>> from skts.datasets import make_kuramoto_sivashinsky
    >>> from skts.metrics import climate_error
    >>> X = make_kuramoto_sivashinsky(n_trajectories=2, n_times=50, random_state=0)
    >>> climate_error(X, X)
    {'std_ratio': 1.0, 'pdf_l1': 0.0, 'spectrum_log10': 0.0}
    >>> round(climate_error(X, 2 * X)["spectrum_log10"], 3)
    0.602
    """
    _check_count("n_bins", n_bins)
    true, pred = _trajectories(y_true, "y_true"), _trajectories(y_pred, "y_pred")
    _check_finite(true)
    if true.shape[2] != pred.shape[2]:
        got = f"{true.shape[2]} and {pred.shape[2]}"
        raise InputError("y_true and y_pred to have as many features", got, "Pass both on the same grid.")
    if true.min() == true.max():
        raise InputError("a truth that varies", f"{true.min():g} everywhere", "Pass more samples.")
    if not np.isfinite(pred).all():
        return {"std_ratio": np.nan, "pdf_l1": np.nan, "spectrum_log10": np.nan}
    return {
        "std_ratio": float(pred.std() / true.std()),
        "pdf_l1": _pdf_distance(true, pred, n_bins),
        "spectrum_log10": _spectrum_distance(true, pred),
    }


def largest_lyapunov_exponent(
    step: Callable[[np.ndarray], np.ndarray],
    x0: Any,
    *,
    n_steps: int = 1000,
    dt: float = 1.0,
    perturbation: float = 1e-6,
    n_transient: int = 100,
    random_state: int | np.random.RandomState | None = 0,
) -> tuple[float, float]:
    r"""Rate at which two near trajectories of a map part: how chaotic a simulator is.

    Use it to see whether a learned simulator is as predictable as the system it stands for.

    Parameters
    ----------
    step : callable
        ``step(x)`` takes states (n, n_features) and gives those one time step later, of the same shape.
    x0 : array-like of shape (n_starts, n_features)
        States on the attractor, finite. More of them make the result more precise; they are advanced together.
    n_steps : int, default=1000
        Number of steps over which the rate is measured, at least 1.
    dt : float, default=1.0
        Time of one step, above 0.
    perturbation : float, default=1e-6
        Euclidean distance, above 0, to which the two trajectories are brought back after each step, in the units
        of the states. It must be small beside the attractor and large beside the rounding of ``step``: for a
        network in float32 take about 1e-3 of the norm of a state.
    n_transient : int, default=100
        Number of steps before the measurement, at least 0, in which the difference turns into the direction that
        grows fastest.
    random_state : int, RandomState instance or None, default=0
        Source of the directions of the first perturbations. None draws from numpy's global generator.

    Returns
    -------
    exponent : float
        Mean over the starts, per unit of time. Above 0 the map is chaotic, at 0 periodic, below 0 it comes to
        rest. 1 / exponent is the Lyapunov time.
    standard_error : float
        Of that mean, from the scatter between the starts; NaN for one start.

    Raises
    ------
    InputError
        If an argument is out of its range, if ``step`` gives another shape or states that are not finite, or if
        the two trajectories become equal, so that there is no rate.

    Notes
    -----
    Benettin's method. With the difference :math:`\delta_t` of norm :math:`\epsilon` before a step and the map
    :math:`\Phi`,

    .. math:: \lambda = \frac{1}{m\, \Delta t} \sum_{t=1}^{m}
              \ln \frac{\| \Phi(x_t + \delta_t) - \Phi(x_t) \|}{\epsilon},

    after which the new difference is scaled back to :math:`\epsilon`.

    References
    ----------
    G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, "Lyapunov Characteristic Exponents for smooth dynamical
    systems and for hamiltonian systems; a method for computing all of them. Part 1: Theory", Meccanica 15, 9-20,
    1980. https://doi.org/10.1007/BF02128236

    Examples
    --------
    The logistic map has the exponent ln 2 = 0.693.

    >>> import numpy as np
    >>> from skts.metrics import largest_lyapunov_exponent
    >>> x0 = np.linspace(0.1, 0.9, 20)[:, None]
    >>> exponent, standard_error = largest_lyapunov_exponent(lambda x: 4 * x * (1 - x), x0)
    >>> bool(abs(exponent - np.log(2)) < 0.01)
    True
    """
    _check_count("n_steps", n_steps)
    _check_count("n_transient", n_transient, least=0)
    _check_positive("dt", dt)
    _check_positive("perturbation", perturbation)
    x = _starts(x0)
    from sklearn.utils import check_random_state

    direction = check_random_state(random_state).normal(size=x.shape)
    delta = perturbation * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    log_growth = np.zeros(len(x))
    for number in range(n_transient + n_steps):
        x, beside = np.split(_advance(step, np.concatenate([x, x + delta]), number), 2)
        distance = _distances(beside - x, number)  # (n, 1)
        delta = perturbation * (beside - x) / distance
        if number >= n_transient:
            log_growth += np.log(distance[:, 0] / perturbation)
    rates = log_growth / (n_steps * dt)
    error = rates.std(ddof=1) / np.sqrt(len(rates)) if len(rates) > 1 else np.nan
    return float(rates.mean()), float(error)


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} to be an int of at least {least}", repr(value), f"Pass {name}={least} or more.")


def _check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < np.inf:
        raise InputError(f"{name} to be a finite number above 0", repr(value), f"Pass {name}=1.0, for instance.")


def _trajectories(values: Any, name: str) -> np.ndarray:
    """An array (n, T, d) in float64; two dimensions are one trajectory."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        hint = "Pass numbers; trajectories of different lengths one by one."
        raise InputError(f"{name} to be an array of numbers", str(error), hint) from error
    if array.ndim not in (2, 3) or array.size == 0:
        expected = f"{name} to have the shape (n_trajectories, n_times, n_features) or (n_times, n_features), not empty"
        raise InputError(expected, f"shape {array.shape}", "Reshape it; a single variable is one feature.")
    return array if array.ndim == 3 else array[None]


def _check_finite(true: np.ndarray) -> None:
    if not np.isfinite(true).all():
        raise InputError("y_true to be finite", "NaN or infinity", "Cut out the times that are not known.")


def _pair(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    true, pred = _trajectories(y_true, "y_true"), _trajectories(y_pred, "y_pred")
    if np.shape(y_true) != np.shape(y_pred):
        got = f"shapes {np.shape(y_true)} and {np.shape(y_pred)}"
        raise InputError("y_true and y_pred to have the same shape", got, "Pass both at the same times.")
    _check_finite(true)
    return true, pred


def _scale(true: np.ndarray, scale: Any) -> np.ndarray:
    n_features = true.shape[2]
    if scale is None and true.std() == 0:
        raise InputError("a truth that varies, or a scale", "a constant y_true", "Pass scale=, a typical size of y.")
    try:
        array = np.asarray(true.std() if scale is None else scale, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.shape not in ((), (n_features,)) or not ((array > 0) & np.isfinite(array)).all():
        expected = f"scale to be a finite number above 0, or {n_features} of them"
        raise InputError(expected, repr(scale), "Pass the standard deviation of the data set, or None.")
    return array


def _pdf_distance(true: np.ndarray, pred: np.ndarray, n_bins: int) -> float:
    edges = np.linspace(true.min(), true.max(), n_bins + 1)

    def shares(y: np.ndarray) -> np.ndarray:
        inside = np.histogram(y, edges)[0]
        return np.array([(y < edges[0]).sum(), *inside, (y > edges[-1]).sum()]) / y.size

    return float(np.abs(shares(pred) - shares(true)).sum())


def _spectrum_distance(true: np.ndarray, pred: np.ndarray) -> float:
    n_waves = min(_N_WAVES, true.shape[2] // 2)
    if n_waves == 0:
        return np.nan  # one feature has no waves
    power = [(np.abs(np.fft.rfft(y, axis=2)[..., 1 : n_waves + 1]) ** 2).mean(axis=(0, 1)) for y in (pred, true)]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.abs(np.subtract(*np.log10(power)))
    return float(np.where(power[0] == power[1], 0.0, difference).max())  # a wave that neither has is no error


def _starts(x0: Any) -> np.ndarray:
    expected = "x0 to have the shape (n_starts, n_features), of finite numbers, not empty"
    try:
        x = np.asarray(x0, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(expected, str(error), "Pass an array of numbers.") from error
    if x.ndim != 2 or x.size == 0:
        raise InputError(expected, f"shape {x.shape}", "Pass one state in a row.")
    if not np.isfinite(x).all():
        raise InputError(expected, "NaN or infinity", "Drop these states.")
    return x


def _advance(step: Callable[[np.ndarray], np.ndarray], x: np.ndarray, number: int) -> np.ndarray:
    if not callable(step):
        raise InputTypeError("step to be a callable", type(step).__name__, "Pass a function of states (n, n_features).")
    after = np.asarray(step(x), dtype=np.float64)
    if after.shape != x.shape:
        hint = "The states of all starts, and those beside them, are passed together."
        raise InputError(f"step(x) to have the shape of x, {x.shape}", f"shape {after.shape}", hint)
    if not np.isfinite(after).all():
        n_lost = int((~np.isfinite(after).all(axis=1)).sum())
        got = f"NaN or infinity in {n_lost} of {len(x)} states after {number + 1} steps"
        raise InputError("step(x) to stay finite", got, "Measure over fewer steps, or find out why the map diverges.")
    return after


def _distances(difference: np.ndarray, number: int) -> np.ndarray:
    distance = np.linalg.norm(difference, axis=1, keepdims=True)
    if not distance.all():
        got = f"none after {number + 1} steps in {int((distance == 0).sum())} of {len(distance)} starts"
        hint = "Pass a larger perturbation: that of a map in float32 is lost below 1e-7 of the states."
        raise InputError("a distance between the two trajectories", got, hint)
    return distance
