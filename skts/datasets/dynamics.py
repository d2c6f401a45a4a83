"""Trajectories of dynamical systems: two partial differential equations with their solvers, five ODEs, a pendulum."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skts.datasets.cache import locate_dataset
from skts.datasets.registry import LocalDataset
from skts.datasets.structured import _load_npz
from skts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.utils import Bunch

__all__ = [
    "fetch_double_pendulum",
    "fitzhugh_nagumo_solver",
    "kuramoto_sivashinsky_solver",
    "make_fitzhugh_nagumo",
    "make_hits_system",
    "make_kuramoto_sivashinsky",
]

_KS_MAX_STEP = 0.25  # an error of 4e-4 of the field after 10 time units
_N_CONTOUR = 64  # points on the circle over which the coefficients of ETDRK4 are averaged

_FHN_MAX_STEP = 0.1
_FHN_DOMAIN = 20.0
_FHN_DIFFUSION = (1.0, 4.0)  # of u and of v
_FRONT_TIME = 150.0  # by 125 all those of 600 starts that end in a homogeneous state had come to it; by 100, 96 %
_FRONT_STD = 0.3
_MAX_DRAWS = 10  # each loses one in eight

_RTOL, _ATOL = 1e-10, 1e-12
_LORENZ_WARM_UP = 20.0

_UNREADABLE = (KeyError, ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
_SECONDS = 0.001
_HELD_OUT = ("train_01", "train_04", "train_07", "train_12", "train_17", "train_22", "val_01")
_PENDULUM = LocalDataset(
    name="double_pendulum_measured",
    folder="dynamics",
    shape=(80_001, 4),  # all segments together
    n_targets=0,
    origin="Kaheman et al. (2022)",
    url="https://github.com/dynamicslab/MultiArm-Pendulum",
    licence="MIT",
)
_SEGMENTS = {f"train_{i:02d}": 2_667 for i in range(26)} | {f"val_{i:02d}": 2_667 for i in range(3)} | {"val_03": 2_658}


def make_kuramoto_sivashinsky(
    n_trajectories: int = 4,
    n_times: int = 200,
    dt: float = 0.25,
    *,
    length: float = 22.0,
    n_points: int = 64,
    transient: float = 300.0,
    noise: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    r"""Simulate the Kuramoto-Sivashinsky equation: chaos in one space dimension.

    Use it to judge a simulator of spatio-temporal chaos, on which any error grows by a factor e in one Lyapunov
    time: 20.8 time units at ``length=22``.

    Parameters
    ----------
    n_trajectories : int, default=4
        Number of trajectories, at least 1. Each has an initial condition of its own.
    n_times : int, default=200
        Number of samples of each trajectory, at least 1.
    dt : float, default=0.25
        Time units between two samples, above 0.
    length : float, default=22.0
        Length :math:`L` of the periodic domain, above 0. Below :math:`2 \pi` every solution decays to 0.
    n_points : int, default=64
        Grid points :math:`x_j = j L / n`, at least 4. Keep the spacing of 0.35 when ``length``
        changes; at 1.8 the solution grows beyond all bounds.
    transient : float, default=300.0
        Time units from the initial condition to the first sample, at least 0. The standard deviation of
        the field is that of the attractor, to 2 %, after 50.
    noise : float, default=0.0
        Standard deviation of white measurement noise, at least 0, as a fraction of the standard deviation of the
        whole set: 0.01 is 1 %.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same data each time. None draws from numpy's global
        generator.

    Returns
    -------
    X : ndarray of shape (n_trajectories, n_times, n_points), float64
        The field :math:`u`. Without noise its spatial mean is 0.

    Raises
    ------
    InputError
        If an argument is out of its range, or if the grid is so coarse that the solution grows beyond all bounds.

    See Also
    --------
    kuramoto_sivashinsky_solver : The solver, from any initial condition.

    Notes
    -----
    .. math:: u_t = -u u_x - u_{xx} - u_{xxxx}, \qquad u(x + L, t) = u(x, t),

    solved in Fourier space by ETDRK4 with steps of at most 0.25 time units. The initial condition is uniform on
    (-0.5, 0.5) at each point, less its spatial mean, which the equation conserves. At ``length=22`` the field has
    the standard deviation 1.186 and the range ±3.1, the largest Lyapunov exponent is 0.048. Integrated anew
    from their first sample with a tiny step, trajectories are off by 4e-4 of the field after 10 time units and by 2 %
    after 25; beyond that they are, as for any chaotic system, typical solutions, not the one of that start.

    References
    ----------
    Y. Kuramoto, T. Tsuzuki, "Persistent Propagation of Concentration Waves in Dissipative Media Far from Thermal
    Equilibrium", Progress of Theoretical Physics 55 (2), 356-369, 1976. https://doi.org/10.1143/PTP.55.356

    G. I. Sivashinsky, "Nonlinear analysis of hydrodynamic instability in laminar flames I", Acta Astronautica 4
    (11-12), 1177-1206, 1977. https://doi.org/10.1016/0094-5765(77)90096-0

    A.-K. Kassam, L. N. Trefethen, "Fourth-Order Time-Stepping for Stiff PDEs", SIAM Journal on Scientific
    Computing 26 (4), 1214-1233, 2005. https://doi.org/10.1137/S1064827502410633

    Examples
    --------
    >>> from skts.datasets import make_kuramoto_sivashinsky
    >>> X = make_kuramoto_sivashinsky(n_trajectories=2, n_times=100, random_state=0)
    >>> X.shape
    (2, 100, 64)
    >>> bool(abs(X.mean(axis=2)).max() < 1e-12)
    True
    """
    _check_sizes(n_trajectories, n_times)
    _check_number("transient", transient, positive=False)
    _check_number("noise", noise, positive=False)
    solver = kuramoto_sivashinsky_solver(_KS_MAX_STEP, length, n_points)
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    x0 = rng.uniform(-0.5, 0.5, size=(n_trajectories, n_points))
    X = _after(solver, x0 - x0.mean(axis=1, keepdims=True), transient, dt, n_times)
    if not np.isfinite(X).all():
        got = f"n_points={n_points} for length={length:g}, on which it grows beyond all bounds"
        raise InputError("a grid that resolves the solution", got, f"Pass n_points={math.ceil(length / 0.35)} or more.")
    return X + noise * X.std() * rng.normal(size=X.shape) if noise else X


def kuramoto_sivashinsky_solver(
    max_step: float = 0.25, length: float = 22.0, n_points: int = 64
) -> Callable[[Any, float, int], np.ndarray]:
    r"""Make a solver of the Kuramoto-Sivashinsky equation, to be called as ``solver(x0, dt, n_steps)``.

    Use it as the reference in a comparison of speed, with the coarsest ``max_step`` that is accurate enough, or as
    what a learned simulator falls back on.

    Parameters
    ----------
    max_step : float, default=0.25
        Longest step in time units, above 0: each sampling step ``dt`` is divided into the fewest equal steps
        that are not longer.
    length : float, default=22.0
        Length :math:`L` of the periodic domain, above 0.
    n_points : int, default=64
        Grid points, at least 4.

    Returns
    -------
    solver : callable
        ``solver(x0, dt, n_steps)`` takes states of shape (n, n_points), or one of shape (n_points,), a sampling
        step in time units and a number of steps. It gives float64 (n, n_steps + 1, n_points), or
        (n_steps + 1, n_points): the states at the times 0, ``dt``, ..., ``n_steps * dt``. It keeps no
        state between calls, can be sent to worker processes, and raises InputError if an argument does not fit.
        Where the steps or the grid are too coarse, the result holds NaN.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    With the Fourier coefficients :math:`v`, the wave numbers :math:`k = 2 \pi m / L`, :math:`\ell = k^2 - k^4` and
    :math:`N(v) = -\tfrac{ik}{2} F[(F^{-1} v)^2]`, one step :math:`h` of ETDRK4 is

    .. math:: a = e^{h\ell/2} v + Q N(v), \qquad b = e^{h\ell/2} v + Q N(a), \qquad
              c = e^{h\ell/2} a + Q (2 N(b) - N(v)),

    .. math:: v' = e^{h\ell} v + f_1 N(v) + 2 f_2 (N(a) + N(b)) + f_3 N(c).

    :math:`Q, f_1, f_2, f_3` are quotients in :math:`z = h\ell` that lose all digits near :math:`z = 0`. They are
    averaged over 64 points of the unit circle around :math:`z`, which by Cauchy's formula is the value itself. The
    order is 4 in the limit and 3 in practice: halving a step between 0.5 and 0.1 divides the error by 8, because the
    stiffest waves (:math:`h\ell = -1700` at 0.25) are far from where the expansion in :math:`h` holds. Steps of 0.25
    give an error of 4e-4 of the field after 10 time units, steps of 1 give 1.5 %.

    References
    ----------
    A.-K. Kassam, L. N. Trefethen, "Fourth-Order Time-Stepping for Stiff PDEs", SIAM Journal on Scientific
    Computing 26 (4), 1214-1233, 2005. https://doi.org/10.1137/S1064827502410633

    Examples
    --------
    >>> import numpy as np
    >>> from skts.datasets import kuramoto_sivashinsky_solver
    >>> solver = kuramoto_sivashinsky_solver(max_step=0.1)
    >>> u0 = np.cos(2 * np.pi * np.arange(64) / 64)
    >>> solver(u0, 0.5, 20).shape
    (21, 64)
    """
    _check_number("max_step", max_step)
    _check_number("length", length)
    _check_count("n_points", n_points, least=4)
    return _KuramotoSivashinsky(float(max_step), float(length), int(n_points))


def make_fitzhugh_nagumo(
    n_trajectories: int = 3,
    n_times: int = 500,
    dt: float = 1.0,
    *,
    epsilon: float = 0.006,
    n_points: int = 101,
    transient: float = 2.0,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    r"""Simulate the FitzHugh-Nagumo equations: a front that wanders to and fro, slow beside fast.

    Use it to judge a simulator of a multiscale periodic system over many periods, where the drift of the phase is
    the error that is left.

    Parameters
    ----------
    n_trajectories : int, default=3
        Number of trajectories, at least 1. Each has an initial condition of its own.
    n_times : int, default=500
        Number of samples of each trajectory, at least 1.
    dt : float, default=1.0
        Time units between two samples, above 0.
    epsilon : float, default=0.006
        Rate :math:`\epsilon` of the slow variable, above 0.
    n_points : int, default=101
        Grid points from 0 to 20, both ends included, at least 4.
    transient : float, default=2.0
        Time units from the initial condition to the first sample, at least 0. The limit cycle is reached to 1 %
        of the range of the fields after about 200.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same data each time. None draws from numpy's global
        generator.

    Returns
    -------
    X : ndarray of shape (n_trajectories, n_times, 2 * n_points), float64
        The activator :math:`u` at all grid points, then the inhibitor :math:`v`.

    Raises
    ------
    InputError
        If an argument is out of its range, or if no initial condition leads to a front.

    See Also
    --------
    fitzhugh_nagumo_solver : The solver, from any initial condition.

    Notes
    -----
    .. math:: u_t = u_{xx} + u - u^3 - v, \qquad v_t = 4 v_{xx} + \epsilon (u - 2 v + 0.03)

    on :math:`0 \le x \le 20` without flux through the ends, solved with steps of at most 0.1. The initial
    condition is a front in :math:`u` and a line in :math:`v`,

    .. math:: u = \tanh\frac{x - c}{\sqrt 2}, \qquad v = a + b \frac{x}{20}, \qquad
              c \sim U(4, 16), \; a \sim U(-0.12, 0.05), \; b \sim U(0.02, 0.2).

    One in eight of them loses the front and comes to rest at a homogeneous state. Those whose :math:`u` has a
    spatial standard deviation of less than 0.3 after 150 time units are drawn anew. The others reach one limit
    cycle, with the period 185.87 at the default ``epsilon`` and ``n_points``. The setting is that of Vlachas et
    al., who solve it by a lattice Boltzmann method from six initial conditions of their own; the two differ by
    0.0015 of the range, so do not mix them.

    References
    ----------
    R. FitzHugh, "Impulses and Physiological States in Theoretical Models of Nerve Membrane", Biophysical Journal
    1 (6), 445-466, 1961. https://doi.org/10.1016/S0006-3495(61)86902-6

    P. R. Vlachas, G. Arampatzis, C. Uhler, P. Koumoutsakos, "Multiscale simulations of complex systems by learning
    their effective dynamics", Nature Machine Intelligence 4, 359-366, 2022. https://arxiv.org/abs/2006.13431

    Examples
    --------
    >>> from skts.datasets import make_fitzhugh_nagumo
    >>> X = make_fitzhugh_nagumo(n_trajectories=2, n_times=50, random_state=0)
    >>> X.shape
    (2, 50, 202)
    """
    _check_sizes(n_trajectories, n_times)
    _check_number("transient", transient, positive=False)
    solver = fitzhugh_nagumo_solver(_FHN_MAX_STEP, epsilon, n_points)
    from sklearn.utils import check_random_state

    x0 = _lasting_fronts(solver, n_trajectories, n_points, check_random_state(random_state))
    return _after(solver, x0, transient, dt, n_times)


def fitzhugh_nagumo_solver(
    max_step: float = 0.1, epsilon: float = 0.006, n_points: int = 101
) -> Callable[[Any, float, int], np.ndarray]:
    r"""Make a solver of the FitzHugh-Nagumo equations, to be called as ``solver(x0, dt, n_steps)``.

    Use it as the reference in a comparison of speed, with the coarsest ``max_step`` that is accurate enough, or as
    what a learned simulator falls back on.

    Parameters
    ----------
    max_step : float, default=0.1
        Longest step in time units, above 0: each sampling step ``dt`` is divided into the fewest equal steps
        that are not longer. Steps of 1 and more are unstable.
    epsilon : float, default=0.006
        Rate :math:`\epsilon` of the slow variable, above 0.
    n_points : int, default=101
        Grid points from 0 to 20, both ends included, at least 4.

    Returns
    -------
    solver : callable
        ``solver(x0, dt, n_steps)`` takes states of shape (n, 2 * n_points), first :math:`u`, then :math:`v`, or
        one of shape (2 * n_points,), a sampling step in time units and a number of steps. It gives float64
        (n, n_steps + 1, 2 * n_points), or (n_steps + 1, 2 * n_points): the states at the times 0, ``dt``, ...,
        ``n_steps * dt``. It keeps no state between calls, can be sent to worker processes, and raises InputError
        if an argument does not fit. Where the steps are too long, the result holds NaN.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The equations stand at :func:`make_fitzhugh_nagumo`. With the second difference :math:`\Delta`, mirrored at the
    two ends (no flux), the diffusion :math:`D` and the reaction :math:`R`, one step :math:`h` of Crank-Nicolson
    and Adams-Bashforth is

    .. math:: \left(I - \tfrac h2 D \Delta\right) w' = \left(I + \tfrac h2 D \Delta\right) w
              + h \left(\tfrac32 R(w) - \tfrac12 R(w_\text{before})\right).

    The first step of a call has no state before it. It takes :math:`R(w)` to predict, then the mean of
    :math:`R(w)` and of the predicted reaction. The order is 2: over 100
    time units on the limit cycle, steps of 0.1 give a largest error of 2.5e-4 of the range, steps of 0.5 of 0.008.

    References
    ----------
    U. M. Ascher, S. J. Ruuth, B. T. R. Wetton, "Implicit-Explicit Methods for Time-Dependent Partial Differential
    Equations", SIAM Journal on Numerical Analysis 32 (3), 797-823, 1995. https://doi.org/10.1137/0732037

    Examples
    --------
    >>> from skts.datasets import fitzhugh_nagumo_solver, make_fitzhugh_nagumo
    >>> X = make_fitzhugh_nagumo(n_trajectories=2, n_times=20, random_state=0)
    >>> quick = fitzhugh_nagumo_solver(max_step=0.5)
    >>> bool(abs(quick(X[:, 0], 1.0, 19) - X).max() < 0.01)
    True
    """
    _check_number("max_step", max_step)
    _check_number("epsilon", epsilon)
    _check_count("n_points", n_points, least=4)
    return _FitzHughNagumo(float(max_step), float(epsilon), int(n_points))


def make_hits_system(
    name: str,
    n_trajectories: int = 20,
    n_times: int = 1000,
    dt: float | None = None,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    r"""Integrate one of five small systems on which hierarchical time-steppers are compared.

    Use it to test a method on motions of several kinds: a slow manifold, damped and relaxation oscillations, a
    bifurcation, chaos. The truth is known to 1e-9; on "lorenz" one digit is lost in each 2.5 time units.

    Parameters
    ----------
    name : {"hyperbolic", "cubic", "van_der_pol", "hopf", "lorenz"}
        ===========  =====================================================  ======================================
        name         equations                                              initial conditions
        ===========  =====================================================  ======================================
        hyperbolic   x' = -0.05 x, y' = -(y - x²)                           x, y in (-1, 1)
        cubic        x' = -0.1 x³ + 2 y³, y' = -2 x³ - 0.1 y³               x, y in (-1, 1)
        van_der_pol  x' = y, y' = 2 (1 - x²) y - x                          x in (-2, 2), y in (-4, 4)
        hopf         μ' = 0, x' = μ x + y - x r², y' = μ y - x - y r²,      μ in (-0.2, 0.6), x in (-1, 2),
                     r² = x² + y²                                           y in (-1, 1)
        lorenz       x' = 10 (y - x), y' = x (28 - z) - y,                  on the attractor
                     z' = x y - 8/3 z
        ===========  =====================================================  ======================================
    n_trajectories : int, default=20
        Number of trajectories, at least 1. Each has an initial condition of its own.
    n_times : int, default=1000
        Number of samples of each trajectory, at least 1; the first is the initial condition.
    dt : float, default=None
        Time units between two samples, above 0. None is 0.01, for each of the systems.
    random_state : int, RandomState instance or None, default=None
        Source of the randomness; an int gives the same data each time. None draws from numpy's global
        generator.

    Returns
    -------
    X : ndarray of shape (n_trajectories, n_times, n_features), float64
        The state variables in the order of the equations: 2 of them, 3 for "hopf" (the first is the constant
        parameter) and "lorenz".

    Raises
    ------
    InputError
        If the name is none of the five or an argument is out of its range.

    Notes
    -----
    DOP853, of order 8, at a relative tolerance of 1e-10 and an absolute one of 1e-12, over all trajectories at
    once; scipy takes the root mean square of the errors over all of them, so the tolerances are divided by the
    root of their number to hold for each. Initial conditions are uniform. For "lorenz" they are uniform on
    (-10, 10) x (-10, 10) x (15, 35) and integrated for 20 time units before the first sample; a difference of
    1e-10 takes about 25 time units to become as large as the attractor (largest Lyapunov exponent 0.906).

    Three things differ from Liu et al.: they integrate at scipy's default tolerance, whose mean square error is 0.007
    on "van_der_pol" and 0.001 on "hopf", as large as what they report for their models; they sample "lorenz" at
    0.0005; they test "van_der_pol" from y in (-2, 2), which ``X[abs(X[:, 0, 1]) < 2]`` gives.

    References
    ----------
    Y. Liu, J. N. Kutz, S. L. Brunton, "Hierarchical deep learning of multiscale differential equation
    time-steppers", Philosophical Transactions of the Royal Society A 380 (2229), 2022.
    https://arxiv.org/abs/2008.09768

    E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I: Nonstiff Problems", 2nd
    edition, Springer, 1993. https://doi.org/10.1007/978-3-540-78862-1

    Examples
    --------
    >>> from skts.datasets import make_hits_system
    >>> make_hits_system("van_der_pol", n_trajectories=3, n_times=100, random_state=0).shape
    (3, 100, 2)
    >>> make_hits_system("hopf", n_trajectories=3, n_times=100, random_state=0).shape
    (3, 100, 3)
    """
    if not isinstance(name, str) or name not in _HITS:
        raise InputError(f"name to be one of {', '.join(_HITS)}", repr(name), "Choose one of these names.")
    _check_sizes(n_trajectories, n_times)
    system = _HITS[name]
    dt = 0.01 if dt is None else dt
    _check_number("dt", dt)
    from sklearn.utils import check_random_state

    low, high = np.transpose(system.box)
    x0 = check_random_state(random_state).uniform(low, high, size=(n_trajectories, len(low)))
    if system.warm_up:
        x0 = _integrate(system, x0, np.array([0.0, system.warm_up]))[:, -1]
    return _integrate(system, x0, dt * np.arange(n_times))


def fetch_double_pendulum() -> Bunch:
    """Fetch a measured double pendulum: a swing from large, chaotic motion to small, nearly linear motion.

    Use it to see what a simulator learns from a real instrument, with friction and measurement errors.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        With the keys

        * data : list of 30 ndarrays of shape (2667, 4), the last one (2658, 4), float32: the angles of the two
          arms in rad, π where the arm hangs down, and their angular velocities in rad/s
        * names : list of 30 str, "train_00" to "train_25", then "val_00" to "val_03"
        * train : list of 23 int, indices into data to learn from
        * test : list of 7 int, indices of the trajectories to hold out, from the whole of the record
        * dt : float, 0.001 s between two samples
        * DESCR : str

    Raises
    ------
    InputError
        If the file holds something else than the set.
    DataNotFoundError
        If the file is not found; the message says where to put it.

    Notes
    -----
    The file is ``dynamics/double_pendulum_measured.npz`` in the folder of the environment variable ``SKTS_DATA``,
    else in the user's cache; it is never downloaded. It holds one array for each name and ``dt``. The trajectories
    are one record of 80 s at 1 kHz, cut in the order in which they stand: each begins where the one before it
    ends, and the amplitude falls from one to the next. Trajectories of the origin's "val" are the end of that
    record, where the motion is small; ``test`` therefore takes one from "val" and six from all over the rest. No
    sample is in both parts, but do not learn from windows that span two trajectories.

    Licence: MIT.

    References
    ----------
    K. Kaheman, U. Fasel, J. J. Bramburger, B. Strom, J. N. Kutz, S. L. Brunton, "The Experimental Multi-Arm
    Pendulum on a Cart: A Benchmark System for Chaos, Learning, and Control", 2022.
    https://arxiv.org/abs/2205.06231

    Data: https://github.com/dynamicslab/MultiArm-Pendulum

    Examples
    --------
    >>> from skts.datasets import fetch_double_pendulum
    >>> pendulum = fetch_double_pendulum()  # doctest: +SKIP
    >>> len(pendulum.data), pendulum.data[0].shape, pendulum.dt  # doctest: +SKIP
    (30, (2667, 4), 0.001)
    """
    from sklearn.utils import Bunch

    path = locate_dataset(_PENDULUM)
    arrays = _read_segments(path)
    names = list(_SEGMENTS)
    test = [names.index(name) for name in _HELD_OUT]
    return Bunch(
        data=[arrays[name].astype(np.float32) for name in names],
        names=names,
        train=[i for i in range(len(names)) if i not in test],
        test=test,
        dt=_SECONDS,
        DESCR=(
            f"{_PENDULUM.name}: {len(names)} trajectories, {_PENDULUM.shape[0]} rows of two angles (rad) and their "
            f"velocities (rad/s) at 1 kHz. Origin: {_PENDULUM.origin}, {_PENDULUM.url}. Licence: {_PENDULUM.licence}."
        ),
    )


def _check_sizes(n_trajectories: Any, n_times: Any) -> None:
    _check_count("n_trajectories", n_trajectories)
    _check_count("n_times", n_times)


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} to be an int of at least {least}", repr(value), f"Pass {name}={least} or more.")


def _check_number(name: str, value: Any, positive: bool = True) -> None:
    known = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not known or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise InputError(f"{name} to be a finite number {bound}", repr(value), f"Pass a number {bound} as {name}.")


# Partial differential equations


@dataclass(frozen=True)
class _Solver:
    """``solver(x0, dt, n_steps)``: what the two share. A class, not a closure: that can be sent to worker processes."""

    max_step: float

    @property
    def n_features(self) -> int:
        raise NotImplementedError

    def _samples(self, x: np.ndarray, h: float, n_substeps: int) -> Iterator[np.ndarray]:
        """The states (n, n_features) after each ``n_substeps`` steps of h from x, without an end."""
        raise NotImplementedError

    def __call__(self, x0: Any, dt: float, n_steps: int) -> np.ndarray:
        states = self._states(x0)
        _check_number("dt", dt)
        _check_count("n_steps", n_steps, least=0)
        n_substeps = max(1, math.ceil(dt / self.max_step - 1e-9))  # 0.3 / 0.1 is a little more than 3
        out = np.empty((*states.shape[:-1], n_steps + 1, self.n_features))
        out[..., 0, :] = states
        samples = self._samples(np.atleast_2d(states), dt / n_substeps, n_substeps)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN in the result is what tells of a step too long
            for step in range(1, n_steps + 1):
                out[..., step, :] = next(samples)
        return out

    def _states(self, x0: Any) -> np.ndarray:
        expected = f"x0 to have the shape (n, {self.n_features}) or ({self.n_features},), of finite real numbers"
        hint = "Pass states of the grid that the solver was made for, one in a row."
        try:
            states = np.asarray(x0, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(expected, str(error), hint) from error
        if states.ndim not in (1, 2) or states.shape[-1] != self.n_features:
            raise InputError(expected, f"shape {states.shape}", hint)
        if not np.isfinite(states).all():
            raise InputError(expected, "NaN or infinity", hint)
        return states


def _after(solver: _Solver, x0: np.ndarray, transient: float, dt: float, n_times: int) -> np.ndarray:
    """Samples (n, n_times, n_features) from the time ``transient`` on."""
    if transient:
        x0 = solver(x0, transient, 1)[:, -1]
        if not np.isfinite(x0).all():
            return np.full((len(x0), n_times, x0.shape[1]), np.nan)
    return solver(x0, dt, n_times - 1)


@dataclass(frozen=True)
class _KuramotoSivashinsky(_Solver):
    length: float
    n_points: int

    @property
    def n_features(self) -> int:
        return self.n_points

    def _samples(self, x: np.ndarray, h: float, n_substeps: int) -> Iterator[np.ndarray]:
        whole, half, q, f1, f2, f3, derivative = _etdrk4(h, self.length, self.n_points)

        def advection(v: np.ndarray) -> np.ndarray:
            u = np.fft.irfft(v, self.n_points)
            return derivative * np.fft.rfft(u * u)

        v = np.fft.rfft(x)  # (n, n_points // 2 + 1)
        while True:
            for _ in range(n_substeps):
                halfway, at_v = half * v, advection(v)
                a = halfway + q * at_v
                at_a = advection(a)
                at_b = advection(halfway + q * at_a)
                at_c = advection(half * a + q * (2 * at_b - at_v))
                v = whole * v + f1 * at_v + f2 * (at_a + at_b) + f3 * at_c
            yield np.fft.irfft(v, self.n_points)


@lru_cache(maxsize=16)  # a fallback is called thousands of times with the same step
def _etdrk4(h: float, length: float, n_points: int) -> tuple[np.ndarray, ...]:
    """exp(hℓ), exp(hℓ/2), Q, f1, 2 f2, f3 and -ik/2 for each wave number, (n_points // 2 + 1,)."""
    modes = np.arange(n_points // 2 + 1)
    k = 2 * np.pi * modes / length
    linear = h * (k**2 - k**4)
    derivative = -0.5j * k
    if n_points % 2 == 0:
        derivative[-1] = 0.0  # the grid holds only the cosine of this wave; its derivative is the sine
    circle = np.exp(1j * np.pi * (np.arange(1, _N_CONTOUR + 1) - 0.5) / _N_CONTOUR)
    z = linear[:, None] + circle  # (K, 64), the upper half: the lower one is its conjugate
    q = h * ((np.exp(z / 2) - 1) / z).mean(axis=1).real
    f1 = h * ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).mean(axis=1).real
    f2 = h * ((2 + z + np.exp(z) * (z - 2)) / z**3).mean(axis=1).real
    f3 = h * ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).mean(axis=1).real
    return np.exp(linear), np.exp(linear / 2), q, f1, 2 * f2, f3, derivative


@dataclass(frozen=True)
class _FitzHughNagumo(_Solver):
    epsilon: float
    n_points: int

    @property
    def n_features(self) -> int:
        return 2 * self.n_points

    def _reaction(self, w: np.ndarray) -> np.ndarray:
        u, v = w
        return np.stack([u - u * u * u - v, self.epsilon * (u - 2 * v + 0.03)])

    def _samples(self, x: np.ndarray, h: float, n_substeps: int) -> Iterator[np.ndarray]:
        implicit = _crank_nicolson(h, self.n_points)  # (2, N, N)

        def step(w: np.ndarray, reaction: np.ndarray) -> np.ndarray:
            # (I - A)⁻¹ (I + A) w = 2 (I - A)⁻¹ w - w: one product for the diffusion and the reaction
            return (2 * w + h * reaction) @ implicit - w

        w = np.stack(np.split(x, 2, axis=1))  # (2, n, N)
        now = self._reaction(w)
        predicted = self._reaction(step(w, now))
        before = 2 * now - predicted  # makes the first step the mean of now and predicted
        while True:
            for _ in range(n_substeps):
                w = step(w, 1.5 * now - 0.5 * before)
                before, now = now, self._reaction(w)
            yield np.concatenate(tuple(w), axis=1)


@lru_cache(maxsize=16)
def _crank_nicolson(h: float, n_points: int) -> np.ndarray:
    """The transposed inverses of I - h/2 D Δ for u and for v, (2, n_points, n_points)."""
    spacing = _FHN_DOMAIN / (n_points - 1)
    second = np.eye(n_points, k=1) - 2 * np.eye(n_points) + np.eye(n_points, k=-1)
    second[0, 1] = second[-1, -2] = 2.0  # the point beyond an end equals the one before it
    return np.stack([np.linalg.inv(np.eye(n_points) - h / 2 * d * second / spacing**2).T for d in _FHN_DIFFUSION])


def _lasting_fronts(solver: _Solver, n_trajectories: int, n_points: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw initial conditions (n_trajectories, 2 * n_points) whose front is still there after a while."""
    kept = np.empty((0, 2 * n_points))
    for _ in range(_MAX_DRAWS):
        drawn = _draw_fronts(n_trajectories - len(kept), n_points, rng)
        late = solver(drawn, _FRONT_TIME, 1)[:, -1, :n_points]  # u
        with np.errstate(over="ignore", invalid="ignore"):  # an epsilon of 5 and more is unstable
            kept = np.concatenate([kept, drawn[late.std(axis=1) >= _FRONT_STD]])
        if len(kept) == n_trajectories:
            return kept
    got = (
        f"{len(kept)} of {n_trajectories} after {_MAX_DRAWS} draws with epsilon={solver.epsilon:g}, n_points={n_points}"
    )
    hint = "Pass an epsilon near 0.006 and n_points=51 or more."
    raise InputError("initial conditions that lead to a front which lasts", got, hint)


def _draw_fronts(n: int, n_points: int, rng: np.random.RandomState) -> np.ndarray:
    x = np.linspace(0.0, _FHN_DOMAIN, n_points)
    center, level, slope = rng.uniform((4.0, -0.12, 0.02), (16.0, 0.05, 0.2), size=(n, 3)).T[..., None]  # (n, 1) each
    return np.concatenate([np.tanh((x - center) / np.sqrt(2)), level + slope * x / _FHN_DOMAIN], axis=1)


# Ordinary differential equations


class _System(NamedTuple):
    rates: Callable[..., tuple[np.ndarray, ...]]  # of the arrays of the state variables
    box: tuple[tuple[float, float], ...]  # where initial conditions are drawn, for each variable
    warm_up: float = 0.0


def _hyperbolic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return -0.05 * x, x * x - y


def _cubic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    x3, y3 = x * x * x, y * y * y
    return -0.1 * x3 + 2 * y3, -2 * x3 - 0.1 * y3


def _van_der_pol(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return y, 2 * (1 - x * x) * y - x


def _hopf(mu: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    growth = mu - x * x - y * y
    return np.zeros_like(mu), growth * x + y, growth * y - x


def _lorenz(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
    return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z


_HITS = {
    "hyperbolic": _System(_hyperbolic, ((-1, 1), (-1, 1))),
    "cubic": _System(_cubic, ((-1, 1), (-1, 1))),
    "van_der_pol": _System(_van_der_pol, ((-2, 2), (-4, 4))),
    "hopf": _System(_hopf, ((-0.2, 0.6), (-1, 2), (-1, 1))),
    "lorenz": _System(_lorenz, ((-10, 10), (-10, 10), (15, 35)), _LORENZ_WARM_UP),
}


def _integrate(system: _System, x0: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The states (n, T, d) at the times (T,), of which the first is 0, from x0 (n, d)."""
    if len(times) == 1:
        return x0[:, None]
    from scipy.integrate import solve_ivp

    n, d = x0.shape
    solution = solve_ivp(
        lambda _, x: np.concatenate(system.rates(*x.reshape(d, n))),
        (0.0, times[-1]),
        x0.T.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=_RTOL / np.sqrt(n),
        atol=_ATOL / np.sqrt(n),
    )
    return np.ascontiguousarray(solution.y.reshape(d, n, -1).transpose(1, 2, 0))


# Files


def _read_segments(path: Path) -> dict[str, np.ndarray]:
    """The trajectories of the pendulum's file by name, once all are there, finite and of their shapes."""
    expected = f"{path} to hold {len(_SEGMENTS)} arrays train_00, ... of finite floats (2667, 4), and dt = {_SECONDS}"
    hint = f"Replace it by a conversion of the data at {_PENDULUM.url}"
    try:
        arrays = _load_npz(path, (*_SEGMENTS, "dt"))
        dt = float(arrays.pop("dt"))
    except (*_UNREADABLE, TypeError) as error:
        raise InputError(expected, f"one that cannot be read so ({type(error).__name__}: {error})", hint) from error
    if dt != _SECONDS:
        raise InputError(expected, f"dt = {dt}", hint)
    for name, array in arrays.items():
        if array.shape != (_SEGMENTS[name], 4) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(expected, f"{name} of shape {array.shape}, dtype {array.dtype}, or with NaN", hint)
    return arrays
