"""Drawing what is missing from what is given, by particles that walk the tree together.

A particle takes a given value as it comes and is weighted by its probability; between the parts of a sample particles
are redrawn by their weights. Where all that is given stands before all that is missing, every weight is the same and
the draws are exact. The mean of the weights estimates the probability of what is given.

C. A. Naesseth, F. Lindsten, T. B. Schon: Elements of sequential Monte Carlo, Foundations and Trends in Machine Learning
12, 2019, https://arxiv.org/abs/1903.04797.
"""

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skts.engine import draw_seed
from skts.errors import InputError, ParameterError
from skts.fractal.module import FractalNet
from skts.fractal.samples import as_given, as_samples
from skts.fractal.walk import Walk

__all__ = ["Conditioned", "Particles", "draw_particles", "log_evidence"]

_FEW = 0.5  # of the particles: below that effective number they are redrawn
_MOST_ROWS = 4096  # particles of all rows that walk together
_FOR_EVIDENCE = 64
_FEWEST = 128


@dataclass
class Particles:
    """Particles of a few rows.

    Parameters
    ----------
    x : Tensor of shape (rows, P, D)
        Codes and numbers.
    log_weight : Tensor of shape (rows, P)
        Their weights since they were last redrawn, sum 1.
    log_evidence : Tensor of shape (rows,)
        Estimated log-probability of what is given, nats.
    """

    x: Tensor
    log_weight: Tensor
    log_evidence: Tensor

    @property
    def ess(self) -> Tensor:
        """Effective number of the particles (rows,)."""
        return (-(2 * self.log_weight).logsumexp(1)).exp()


@torch.no_grad()
def walk_particles(net: FractalNet, given: Tensor, label: Tensor, uniforms: Tensor, order: int = 0) -> Particles:
    """Walk with P particles for each row.

    Parameters
    ----------
    net : FractalNet
        In evaluation mode, float64, on the CPU.
    given : Tensor of shape (rows, D)
        What is given, NaN elsewhere.
    label : Tensor of shape (rows, P)
        Classes of the particles.
    uniforms : Tensor of shape (rows, P, D, 2)
        What decides the draws.
    order : int
        Which of the network's orders.
    """
    rows, P = uniforms.shape[:2]
    redraw = _Redraw(torch.zeros(rows, dtype=uniforms.dtype), P, uniforms[:, 0, :, 1])
    walk = Walk(
        net,
        label.flatten(),
        uniforms.flatten(0, 1),
        given=given.repeat_interleave(P, 0),
        order=order,
        reselect=redraw,
    )
    x, _ = walk.run()
    w = walk.log_weight.view(rows, P)
    return Particles(x.view(rows, P, -1), w.log_softmax(1), redraw.log_evidence + w.logsumexp(1) - math.log(P))


@dataclass
class _Redraw:
    """Redraws the particles of those rows of which few count: systematic resampling."""

    log_evidence: Tensor
    n_particles: int
    offsets: Tensor  # (rows, D): one number for each row and time
    times: int = 0

    def __call__(self, log_weight: Tensor) -> tuple[Tensor, Tensor] | None:
        P, rows = self.n_particles, len(self.log_evidence)
        w = log_weight.view(rows, P)
        poor = (-(2 * w.log_softmax(1)).logsumexp(1)).exp() < _FEW * P
        offset = self.offsets[:, self.times % self.offsets.shape[1], None]
        self.times += 1
        if not poor.any():
            return None
        self.log_evidence += (w.logsumexp(1) - math.log(P)).masked_fill(~poor, 0.0)
        chosen = torch.where(poor[:, None], _systematic(w, offset, P), torch.arange(P))
        settled = w.masked_fill(poor[:, None], 0.0)
        return (chosen + P * torch.arange(rows)[:, None]).flatten(), settled.flatten()


def _systematic(log_weight: Tensor, offset: Tensor, n: int) -> Tensor:
    """Indices (rows, n) drawn by weights (rows, P), with one uniform number (rows, 1) for each row."""
    edges = log_weight.softmax(1).cumsum(1)
    ticks = (torch.arange(n) + offset) / n * edges[:, -1:]
    return torch.searchsorted(edges.contiguous(), ticks.contiguous()).clamp(max=log_weight.shape[1] - 1)


def draw_particles(net: FractalNet, codes: np.ndarray, label: np.ndarray, uniforms: np.ndarray) -> Particles:
    """Particles of all rows, over all orders of the network, a few thousand at a time.

    Parameters
    ----------
    net : FractalNet
        In evaluation mode, float64, on the CPU.
    codes : numpy.ndarray of shape (n, D)
        What is given, NaN elsewhere.
    label : numpy.ndarray of shape (n, P)
        Classes of the particles.
    uniforms : numpy.ndarray of shape (n or 1, P, D, 2)
        What decides the draws; one for all rows makes each row independent of the others.
    """
    P, parts = label.shape[1], []
    step = max(1, _MOST_ROWS // P)
    for start in range(0, len(codes), step):
        given = torch.from_numpy(codes[start : start + step].astype(np.float64))
        u = torch.from_numpy(uniforms[start : start + step] if len(uniforms) > 1 else uniforms)
        classes = torch.from_numpy(label[start : start + step])
        by_order = [
            walk_particles(net, given, classes, u.expand(len(given), -1, -1, -1), r) for r in range(net.n_orders)
        ]
        parts.append(_over_orders(by_order))
    return Particles(*(torch.cat([getattr(p, name) for p in parts]) for name in ("x", "log_weight", "log_evidence")))


def _over_orders(by_order: list[Particles]) -> Particles:
    """Particles of several orders together, each order weighted by how well it explains what is given."""
    evidence = torch.stack([p.log_evidence for p in by_order], 1)
    weight = torch.cat([p.log_weight + e[:, None] for p, e in zip(by_order, evidence.T, strict=True)], 1)
    x = torch.cat([p.x for p in by_order], 1)
    return Particles(x, weight.log_softmax(1), evidence.logsumexp(1) - math.log(len(by_order)))


def log_evidence(net: FractalNet, codes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Estimated log-probability (n,) of what is given, nats; a row does not depend on the others."""
    uniforms = np.random.default_rng(0).random((1, _FOR_EVIDENCE, codes.shape[1], 2))
    labels = np.repeat(label[:, None], _FOR_EVIDENCE, 1)
    return draw_particles(net, codes, labels, uniforms).log_evidence.numpy()


class Conditioned:
    """The verbs of a FractalSampler that fill in."""

    def sample_conditional(
        self,
        X_partial: Any,
        n_samples: int = 1,
        n_particles: int | None = None,
        *,
        y: Any = None,
        random_state: Any = None,
        return_info: bool = False,
    ) -> Any:
        """Draw what is missing, given the rest.

        Parameters
        ----------
        X_partial : array-like of shape (n_rows, ...)
            NaN (in a frame any missing value) where something is to be drawn.
        n_samples : int, default=1
            Completions of each row.
        n_particles : int, optional
            Particles of each row, at least ``n_samples``; more are closer to the exact conditional. By default as many
            as samples where the draws are exact (what is given comes first in the tree), else at least 128.
        y : scalar or array-like of shape (n_rows,), optional
            Classes; without them particles draw their own.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        return_info : bool, default=False
            Also return how much the draws can be trusted.

        Returns
        -------
        X : array of shape (n_rows, n_samples, ...)
            Completed rows in the dtype of fit; for a frame a list of ``n_rows`` frames of ``n_samples`` rows.
        info : dict
            With ``return_info``: ``ess`` (n_rows,), the effective number of the particles at the end; ``exact``
            (n_rows,), whether all weights are equal by construction; ``log_evidence`` (n_rows,), the log-density of
            what is given, nats.

        Raises
        ------
        InputError
            If a row has nothing missing, or nothing given.

        Warns
        -----
        UserWarning
            If the particles of a row count for less than ten.
        """
        check_is_fitted(self)
        samples = as_samples(self, X_partial, self.container_, reset=False)
        missing = np.isnan(samples).reshape(len(samples), -1)
        if missing.all(1).any() or not missing.any(1).all():
            row = int(np.flatnonzero(missing.all(1) | ~missing.any(1))[0])
            what = f"row {row} with {'nothing given' if missing[row].all() else 'nothing missing'}"
            hint = "Use sample for what is not conditioned at all, and leave complete rows out."
            raise InputError("rows in which something is given and something is missing", what, hint)
        if n_particles is not None and n_particles < n_samples:
            got = f"n_particles={n_particles} for n_samples={n_samples}"
            raise ParameterError("at least as many particles as samples", got, "Raise n_particles.")
        found, left_out, uniforms = self._particles(samples, n_particles, n_samples, y, random_state)
        ess, exact = found.ess.numpy(), self._exact(samples)
        if n_particles is None and (few := (ess < min(10, 0.5 * n_samples)) & ~exact).any():
            warnings.warn(
                f"in {int(few.sum())} of {len(ess)} rows less than ten particles count (least {ess.min():.1f}): what "
                "is given stands late in the tree. Raise n_particles, or fit with ordering= so that it comes first.",
                UserWarning,
                stacklevel=2,
            )
        chosen = _systematic(found.log_weight, torch.from_numpy(uniforms[:, :1, 0, 1]), n_samples)
        codes = torch.gather(found.x, 1, chosen[..., None].expand(-1, -1, found.x.shape[2])).numpy()
        filled = [
            self._decoded(c, s, u[:, :, 2]) for c, s, u in zip(codes, samples, uniforms[:, :n_samples], strict=True)
        ]
        X = [as_given(f, self.container_) for f in filled]
        X = X if "names" in self.container_ else np.stack(X)
        if not return_info:
            return X
        return X, {"ess": ess, "exact": exact, "log_evidence": found.log_evidence.numpy() + left_out}

    def impute(
        self, X: Any, strategy: str = "mean", *, n_particles: int = 128, y: Any = None, random_state: Any = None
    ) -> Any:
        """Fill in missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            NaN where missing.
        strategy : {"mean", "mode", "sample"}, default="mean"
            Mean of the numbers and ordinals given what is observed (categories: the most probable one); the most
            probable value of everything discrete; or one draw.
        n_particles : int, default=128
            Draws that the mean is taken over.
        y : scalar or array-like of shape (n_samples,), optional
            Classes.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        array or DataFrame of shape (n_samples, ...)
            Observed values as they came; filled ones of an integer dtype are rounded.
        """
        check_is_fitted(self)
        if strategy not in ("mean", "mode", "sample"):
            raise ParameterError("strategy 'mean', 'mode' or 'sample'", repr(strategy), "Change strategy.")
        samples = as_samples(self, X, self.container_, reset=False).copy()
        rows = np.flatnonzero(np.isnan(samples).reshape(len(samples), -1).any(1))
        if len(rows):
            y = y if y is None or not np.ndim(y) else np.asarray(y)[rows]
            found, _, uniforms = self._particles(samples[rows], n_particles, 1, y, random_state)
            samples[rows] = self._summary(found, samples[rows], strategy, uniforms)
        return as_given(samples, self.container_)

    def _summary(self, found: Particles, samples: np.ndarray, strategy: str, uniforms: np.ndarray) -> np.ndarray:
        weight = found.log_weight.exp().numpy()
        if strategy == "sample":
            chosen = _systematic(found.log_weight, torch.from_numpy(uniforms[:, :1, 0, 1]), 1)[:, 0]
            codes = found.x[torch.arange(len(chosen)), chosen].numpy()
            return self._decoded(codes, samples, uniforms[:, 0, :, 2])
        drawn = np.stack([self._columns.decode(x, u[..., 2]) for x, u in zip(found.x.numpy(), uniforms, strict=True)])
        filled = np.einsum("np,npd->nd", weight, drawn)
        modal = ("categorical",) if strategy == "mean" else ("categorical", "ordinal")
        for slot, kind in enumerate(self._columns.kinds):
            if kind in modal:
                table = self._columns.tables[self._columns.table_of[slot]]
                mass = (weight[..., None] * (drawn[:, :, slot, None] == table)).sum(1)
                filled[:, slot] = table[mass.argmax(1)]
        return self._beside_given(filled, samples)

    def _particles(
        self, samples: np.ndarray, n_particles: int | None, n_samples: int, y: Any, random_state: Any
    ) -> tuple[Particles, np.ndarray, np.ndarray]:
        self._refuse_gaps_if_released()
        codes, left_out = self._columns.encode(self._layout.flatten(samples))
        if n_particles is None:
            n_particles = n_samples if self._exact(samples).all() else max(_FEWEST, 4 * n_samples)
        rng = np.random.default_rng(draw_seed(random_state))
        D = codes.shape[1]
        uniforms = rng.random((len(codes), n_particles, 3 * D + 1))
        labels = self._particle_labels(y, uniforms[..., -1])
        # Particles of several orders are so many times more; each needs its place within a bin.
        uniforms = uniforms[..., :-1].reshape(len(codes), n_particles, D, 3)
        net = self._double()
        found = draw_particles(net, codes, labels, np.ascontiguousarray(uniforms[..., :2]))
        return found, left_out.sum(1), np.tile(uniforms, (1, net.n_orders, 1, 1))

    def _refuse_gaps_if_released(self) -> None:
        if self.weights is not None:
            hint = "Fit one without weights= for incomplete images."
            raise ParameterError("a sampler that was trained here", "a released network", hint)

    def _particle_labels(self, y: Any, uniforms: np.ndarray) -> np.ndarray:
        if y is None:
            return self._drawn_labels(None, uniforms.ravel()).reshape(uniforms.shape)
        return np.repeat(self._labels(y, len(uniforms))[:, None], uniforms.shape[1], 1)

    def _exact(self, samples: np.ndarray) -> np.ndarray:
        """Rows in which all that is given comes before all that is missing (and no class or order is unknown)."""
        missing = np.isnan(self._layout.flatten(samples))
        prefix = (np.diff(missing.astype(int), axis=1) >= 0).all(1)
        return prefix & (self.module_.n_orders == 1 and not self._knows_classes)

    def _decoded(self, codes: np.ndarray, samples: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        return self._beside_given(self._columns.decode(codes, uniforms), samples)

    def _beside_given(self, rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """What is given stays as it came, to the last digit."""
        filled = self._layout.restore(rows)
        return np.where(np.isnan(samples), filled, samples)

    def _double(self) -> FractalNet:
        """The network in float64 on the CPU: draws then hardly depend on how many rows are drawn together."""
        return copy.deepcopy(self.module_).cpu().double()
