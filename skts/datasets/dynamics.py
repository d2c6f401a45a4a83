"""Trajectories of dynamical systems: two partial differential equations and five ordinary ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skts.datasets.checks import check_number, check_sizes
from skts.datasets.solvers import (
    FHN_DOMAIN,
    FHN_MAX_STEP,
    KS_MAX_STEP,
    Solver,
    fitzhugh_nagumo_solver,
    kuramoto_sivashinsky_solver,
)
from skts.errors import InputError

__all__ = ["make_fitzhugh_nagumo", "make_hits_system", "make_kuramoto_sivashinsky"]


_FRONT_TIME = 150.0  # by 125 all those of 600 starts that end in a homogeneous state had come to it; by 100, 96 %
_FRONT_STD = 0.3
_MAX_DRAWS = 10  # each loses one in eight
_RTOL, _ATOL = 1e-10, 1e-12
_LORENZ_WARM_UP = 20.0


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
    check_sizes(n_trajectories, n_times)
    check_number("transient", transient, positive=False)
    check_number("noise", noise, positive=False)
    solver = kuramoto_sivashinsky_solver(KS_MAX_STEP, length, n_points)
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    x0 = rng.uniform(-0.5, 0.5, size=(n_trajectories, n_points))
    X = _after(solver, x0 - x0.mean(axis=1, keepdims=True), transient, dt, n_times)
    if not np.isfinite(X).all():
        got = f"n_points={n_points} for length={length:g}, on which it grows beyond all bounds"
        raise InputError("a grid that resolves the solution", got, f"Pass n_points={math.ceil(length / 0.35)} or more.")
    return X + noise * X.std() * rng.normal(size=X.shape) if noise else X


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
    check_sizes(n_trajectories, n_times)
    check_number("transient", transient, positive=False)
    solver = fitzhugh_nagumo_solver(FHN_MAX_STEP, epsilon, n_points)
    from sklearn.utils import check_random_state

    x0 = _lasting_fronts(solver, n_trajectories, n_points, check_random_state(random_state))
    return _after(solver, x0, transient, dt, n_times)


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
    check_sizes(n_trajectories, n_times)
    system = _HITS[name]
    dt = 0.01 if dt is None else dt
    check_number("dt", dt)
    from sklearn.utils import check_random_state

    low, high = np.transpose(system.box)
    x0 = check_random_state(random_state).uniform(low, high, size=(n_trajectories, len(low)))
    if system.warm_up:
        x0 = _integrate(system, x0, np.array([0.0, system.warm_up]))[:, -1]
    return _integrate(system, x0, dt * np.arange(n_times))


def _after(solver: Solver, x0: np.ndarray, transient: float, dt: float, n_times: int) -> np.ndarray:
    """Samples (n, n_times, n_features) from the time ``transient`` on."""
    if transient:
        x0 = solver(x0, transient, 1)[:, -1]
        if not np.isfinite(x0).all():
            return np.full((len(x0), n_times, x0.shape[1]), np.nan)
    return solver(x0, dt, n_times - 1)


def _lasting_fronts(solver: Solver, n_trajectories: int, n_points: int, rng: np.random.RandomState) -> np.ndarray:
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
    x = np.linspace(0.0, FHN_DOMAIN, n_points)
    center, level, slope = rng.uniform((4.0, -0.12, 0.02), (16.0, 0.05, 0.2), size=(n, 3)).T[..., None]  # (n, 1) each
    return np.concatenate([np.tanh((x - center) / np.sqrt(2)), level + slope * x / FHN_DOMAIN], axis=1)


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
