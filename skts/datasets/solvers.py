"""Solvers of two partial differential equations: reference, and fallback of a simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from skts.datasets.checks import check_count, check_number
from skts.errors import InputError

__all__ = ["fitzhugh_nagumo_solver", "kuramoto_sivashinsky_solver"]


KS_MAX_STEP = 0.25  # an error of 4e-4 of the field after 10 time units
_N_CONTOUR = 64  # points on the circle over which the coefficients of ETDRK4 are averaged
FHN_MAX_STEP = 0.1
FHN_DOMAIN = 20.0
_FHN_DIFFUSION = (1.0, 4.0)  # of u and of v


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
    check_number("max_step", max_step)
    check_number("length", length)
    check_count("n_points", n_points, least=4)
    return KuramotoSivashinsky(float(max_step), float(length), int(n_points))


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
    check_number("max_step", max_step)
    check_number("epsilon", epsilon)
    check_count("n_points", n_points, least=4)
    return FitzHughNagumo(float(max_step), float(epsilon), int(n_points))


@dataclass(frozen=True)
class Solver:
    """``solver(x0, dt, n_steps)``: what the two share. A class, not a closure: that can be sent to worker processes."""

    max_step: float

    @property
    def n_features(self) -> int:
        """Numbers of a state."""
        raise NotImplementedError

    def _samples(self, x: np.ndarray, h: float, n_substeps: int) -> Iterator[np.ndarray]:
        """The states (n, n_features) after each ``n_substeps`` steps of h from x, without an end."""
        raise NotImplementedError

    def __call__(self, x0: Any, dt: float, n_steps: int) -> np.ndarray:
        """States (n, n_steps + 1, d), ``dt`` apart, from starts (n, d); without the first axis from one start (d,)."""
        states = self._states(x0)
        check_number("dt", dt)
        check_count("n_steps", n_steps, least=0)
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


@dataclass(frozen=True)
class KuramotoSivashinsky(Solver):
    """Exponential time differencing; see :func:`kuramoto_sivashinsky_solver`."""

    length: float
    n_points: int

    @property
    def n_features(self) -> int:
        """Numbers of a state."""
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
class FitzHughNagumo(Solver):
    """Implicit diffusion, explicit reaction; see :func:`fitzhugh_nagumo_solver`."""

    epsilon: float
    n_points: int

    @property
    def n_features(self) -> int:
        """Numbers of a state."""
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
    spacing = FHN_DOMAIN / (n_points - 1)
    second = np.eye(n_points, k=1) - 2 * np.eye(n_points) + np.eye(n_points, k=-1)
    second[0, 1] = second[-1, -2] = 2.0  # the point beyond an end equals the one before it
    return np.stack([np.linalg.inv(np.eye(n_points) - h / 2 * d * second / spacing**2).T for d in _FHN_DIFFUSION])
