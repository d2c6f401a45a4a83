r"""What exogenous data add to a series: an additive regression with lags and bends, solved in closed form.

With z the K standardised columns, the effect on all variates at time t is :math:`B^\top f_t`,

.. math::

    f_t = [z_t, z_{t-1}, \dots, z_{t-m};\; (z_t - \kappa_j)_+ ,\; j \le J], \qquad y_t = B^\top f_t + n_t,

the same at every step of every forecast: what is learned of one hour serves all of them. The hinges at the quantiles
:math:`\kappa_j` let the effect of a column bend (heating below a temperature, cooling above). The remainder n is what a
forecaster of windows goes on with. It is far from white, so B is solved by generalised least squares: rows and features
go through the filter that whitens n, which is re-estimated in turn (Cochrane and Orcutt's iteration). Memory m, bends
and ridge penalty are those of the lowest whitened error on held-out rows, variate by variate; a variate whose gain
could be luck takes no effect at all.

References
----------
D. Cochrane, G. H. Orcutt: Application of Least Squares Regression to Relationships Containing Auto-Correlated Error
Terms, Journal of the American Statistical Association, 1949, https://doi.org/10.1080/01621459.1949.10483290.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from skts.engine import cut_last_part
from skts.fmamba.missing import filled

__all__ = ["Effects"]

_MEMORIES = (0, 1, 3, 7, 15, 31)
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
_PENALTIES = (1e-4, 1e-2, 1e-1, 1.0)
_ORDER = 8  # of the filter that whitens the remainder
_ROUNDS = 3  # of filter and regression in turn
_ROWS_PER_FEATURE, _MOST_NUMBERS = 4, 2**25
_TOLERANCE = 0.002  # of the lowest error: the smallest form within it is taken
_LUCK = 3.0  # standard errors of the mean gain


@dataclass(frozen=True)
class Effects:
    """The regression of N variates on K columns.

    Parameters
    ----------
    center, scale : array of shape (K,)
        Standardisation of the columns.
    knots : array of shape (K, J)
        Where an effect may bend, in standardised units.
    memory : int
        m, earlier rows that matter.
    level : array of shape (F,)
        Mean of the features in training: effects are relative to it.
    coef : array of shape (F, N)
        B, in the units of the variates.
    """

    center: np.ndarray
    scale: np.ndarray
    knots: np.ndarray
    memory: int
    level: np.ndarray
    coef: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The effects at consecutive rows; the first row stands for those before it.

        Parameters
        ----------
        x : array of shape (..., T, K)
            Rows of the columns, in their units.

        Returns
        -------
        array of shape (..., T, N)
            What they add to each variate, above the mean in training.
        """
        used = self.coef.any(1)
        return (self._features(x) - self.level)[..., used] @ self.coef[used]

    def by_column(self, x: np.ndarray) -> np.ndarray:
        """The effect of each column alone; they add up to the whole one.

        Parameters
        ----------
        x : array of shape (..., T, K)
            Rows of the columns.

        Returns
        -------
        array of shape (..., T, K, N)
            What each adds to each variate.
        """
        f, k = self._features(x) - self.level, len(self.center)
        owner = np.concatenate([np.tile(np.arange(k), self.memory + 1), np.repeat(np.arange(k), self.knots.shape[1])])
        return np.stack([f[..., owner == i] @ self.coef[owner == i] for i in range(k)], axis=-2)

    def _features(self, x: np.ndarray) -> np.ndarray:
        z = (x - self.center) / self.scale
        front = np.repeat(z[..., :1, :], self.memory, axis=-2)
        past, n = np.concatenate([front, z], axis=-2), z.shape[-2]
        lags = [past[..., self.memory - j : self.memory - j + n, :] for j in range(self.memory + 1)]
        bends = np.maximum(z[..., None] - self.knots, 0.0).reshape(*z.shape[:-1], -1)
        return np.concatenate([*lags, bends], axis=-1)

    @classmethod
    def fit(cls, series: Sequence[np.ndarray], exogenous: Sequence[np.ndarray], held_out: float) -> "Effects":
        """Learn from all series together.

        Parameters
        ----------
        series : sequence of arrays (T_i, N)
            The variates; NaN is a missing value.
        exogenous : sequence of arrays (T_i, K)
            The columns beside them.
        held_out : float
            Last part of each that is held out for the choices, and for whoever judges what is made of the remainder.

        Returns
        -------
        Effects
            Zero where nothing is gained.
        """
        cuts = [max(1, cut_last_part(len(s), held_out)) for s in series]
        seen = np.concatenate([x[:cut] for x, cut in zip(exogenous, cuts, strict=True)])
        center, spread = seen.mean(0), seen.std(0)
        scale = np.where(spread > 1e-12 * np.abs(seen).max(0), spread, 1.0)
        knots = np.quantile((seen - center) / scale, _QUANTILES, axis=0).T
        n_rows, n_columns = seen.shape
        most = min(n_rows // _ROWS_PER_FEATURE, _MOST_NUMBERS // sum(map(len, series))) // n_columns
        memory = max([m for m in _MEMORIES if m + 1 + len(_QUANTILES) <= most], default=0)
        largest = cls(center, scale, knots, memory, np.zeros(1), np.zeros((0, 0)))
        f = [largest._features(x) for x in exogenous]
        level = np.concatenate([rows[:cut] for rows, cut in zip(f, cuts, strict=True)]).mean(0)
        scaled, y_scale = _standardised(series, cuts)
        coef = _solve(scaled, [rows - level for rows in f], cuts, list(_forms(n_columns, memory)))
        return replace(largest, level=level, coef=coef * y_scale)._without_idle_memory()

    def _without_idle_memory(self) -> "Effects":
        k = len(self.center)
        used = [j for j in range(self.memory + 1) if self.coef[j * k : (j + 1) * k].any()]
        memory = max(used, default=0)
        kept = np.r_[0 : k * (memory + 1), k * (self.memory + 1) : len(self.coef)]
        return replace(self, memory=memory, level=self.level[kept], coef=self.coef[kept])


def _forms(n_columns: int, memory: int) -> Iterator[np.ndarray]:
    """Feature numbers of the regressions that are tried, smallest first."""
    bends = n_columns * (memory + 1) + np.arange(n_columns * len(_QUANTILES))
    for m in _MEMORIES:
        if m <= memory:
            lags = np.arange(n_columns * (m + 1))
            yield lags
            yield np.concatenate([lags, bends])


def _solve(y: list[np.ndarray], f: list[np.ndarray], cuts: list[int], forms: list[np.ndarray]) -> np.ndarray:
    """B (F, N): the filter that whitens the remainder, then the form and penalty of each variate."""
    phi = np.ones(1)
    for _ in range(_ROUNDS):
        seen, _ = _whitened(y, f, cuts, phi)
        coef = _Moments.of(*seen).ridge(forms[-1], _PENALTIES[1])
        phi = _filter([s[:cut] - g[:cut] @ coef for s, g, cut in zip(y, f, cuts, strict=True)])
    seen, (y_left, f_left) = _whitened(y, f, cuts, phi)
    moments = _Moments.of(*seen)
    if not len(y_left):
        return moments.ridge(forms[0], _PENALTIES[2])
    tried = [moments.ridge(form, penalty) for form in forms for penalty in _PENALTIES]
    errors = np.stack([np.square(y_left - f_left @ coef).mean(0) for coef in tried])  # (tried, N)
    taken = (errors <= (1 + _TOLERANCE) * errors.min(0)).argmax(0)
    coef = np.stack([tried[number][:, variate] for variate, number in enumerate(taken)], axis=1)
    gain = np.square(y_left) - np.square(y_left - f_left @ coef)
    return coef * (gain.mean(0) > _LUCK * gain.std(0) / np.sqrt(len(gain)))


@dataclass(frozen=True)
class _Moments:
    """What ridge regressions of y (T, N) on some of the features f (T, F) need."""

    ff: np.ndarray
    fy: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, f: np.ndarray) -> "_Moments":
        return cls(f.T @ f, f.T @ y)

    def ridge(self, form: np.ndarray, penalty: float) -> np.ndarray:
        """Coefficients (F, N), zero outside of the form."""
        gram = self.ff[np.ix_(form, form)]
        size = max(float(np.trace(gram)) / len(form), 1e-12)
        coef = np.zeros_like(self.fy)
        coef[form] = np.linalg.solve(gram + penalty * size * np.eye(len(form)), self.fy[form])
        return coef


def _standardised(series: Sequence[np.ndarray], cuts: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """The series without holes, standardised by the training part, and its spread."""
    whole = [filled(torch.from_numpy(np.array(s, dtype=np.float64))[None])[0].numpy() for s in series]
    seen = np.concatenate([s[:cut] for s, cut in zip(whole, cuts, strict=True)])
    scale = np.where(seen.std(0) > 0, seen.std(0), 1.0)
    return [(s - seen.mean(0)) / scale for s in whole], scale


def _whitened(
    y: list[np.ndarray], f: list[np.ndarray], cuts: list[int], phi: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Filtered rows and features of the training part, and of the held-out one."""
    order = len(phi)

    def passed(rows: np.ndarray) -> np.ndarray:
        return rows[order:] - sum(c * rows[order - i : max(0, len(rows) - i)] for i, c in enumerate(phi, start=1))

    y, f = [passed(rows) for rows in y], [passed(rows) for rows in f]
    cuts = [max(0, cut - order) for cut in cuts]

    def parts(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(zip(rows, cuts, strict=True))
        return np.concatenate([r[:cut] for r, cut in pairs]), np.concatenate([r[cut:] for r, cut in pairs])

    (y_seen, y_left), (f_seen, f_left) = parts(y), parts(f)
    return (y_seen, f_seen), (y_left, f_left)


def _filter(remainders: list[np.ndarray]) -> np.ndarray:
    """Coefficients of the autoregression that all variates of all series share."""
    order = min(_ORDER, max(1, max(map(len, remainders)) // 10))
    gram, moment = 1e-6 * np.eye(order), np.zeros(order)
    for rows in remainders:
        rows = rows - rows.mean(0)
        lags = np.stack([rows[order - i : max(0, len(rows) - i)].ravel() for i in range(1, order + 1)])
        gram, moment = gram + lags @ lags.T, moment + lags @ rows[order:].ravel()
    return np.linalg.solve(gram, moment)
