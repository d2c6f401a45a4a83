r"""Read the time of day off a window that comes without times.

Linear discriminant analysis over the slots of the cycle (the 24 hours of hourly rows, say): the windows that end in
slot s, each variate less its mean and over its spread, all in one vector f, are taken for normal around a mean
:math:`m_s` with one covariance :math:`\Sigma`, so that

.. math::

    p(s \mid f) \propto \exp\big(\beta\,(f^\top \Sigma^{-1} m_s - \tfrac12 m_s^\top \Sigma^{-1} m_s)\big).

The means are a Fourier series in s, :math:`\Sigma` has a ridge. Neighbouring windows are nearly one and the same, and
later seasons differ: the model is too sure of itself, and held-out windows tell how far :math:`\beta` is to be below 1.
What the forecasts are given is not the likeliest time but the expected harmonics, which is all that a map linear in
them needs: where the window does not tell, they fade to zero, their value for an unknown time.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from skts.engine.batches import iterate
from skts.fmamba.periodic import harmonics
from skts.fmamba.windows import DatedWindows

__all__ = ["WindowClock"]

_MOST_SLOTS = 288  # of a cycle of more steps, neighbours share one
_FOURIER = 24  # harmonics of the means
_RIDGE = 0.1  # relative to the mean variance
# Beta: never 1, because windows overlap. What is held out is the season next to the others and easier than later ones;
# across seasons (blocks of four months of ETT, of two and a half of Weather) 0.25 is best for all.
_CERTAINTIES = (0.25, 0.125, 0.0625, 0.0)
_HELD_OUT = 0.25
_WIDEST = 2048  # numbers of a window that are looked at
_MOST, _CHUNK = 8192, 1024  # windows


@dataclass
class WindowClock:
    """A linear classifier.

    Attributes
    ----------
    weights : array of shape (n_inputs, n_slots)
        From the window's shape to the logits.
    bias : array of shape (n_slots,)
        Added to them.
    table : array of shape (n_slots, 2 n_harmonics)
        Harmonics of the slots; see :func:`~skts.fmamba.periodic.harmonics`.
    """

    weights: np.ndarray
    bias: np.ndarray
    table: np.ndarray

    @classmethod
    def fit(cls, windows: DatedWindows, period: float, n_harmonics: int) -> Self:
        """Learn from windows with known angles, in a cycle of ``period`` steps."""
        n_slots = min(round(period), _MOST_SLOTS)
        first = windows.take(torch.tensor([0]))[2].double()
        slots = first + 2 * torch.pi * torch.arange(n_slots, dtype=torch.float64) / n_slots
        seen, unseen = windows.split(_HELD_OUT, torch.Generator())
        sums, certainty = _sums(seen, n_slots), _CERTAINTIES[0]
        if unseen is not None:
            certainty = _certainty(*_discriminant(sums, slots), unseen, slots)
            sums = [a + b for a, b in zip(sums, _sums(unseen, n_slots), strict=True)]
        weights, bias = (certainty * part for part in _discriminant(sums, slots))
        return cls(weights.numpy(), bias.numpy(), harmonics(slots, n_harmonics).numpy())

    @classmethod
    def of(cls, stored: dict[str, np.ndarray]) -> Self:
        """The clock that :meth:`stored` took apart."""
        return cls(*(stored[f"clock_{name}"] for name in ("weights", "bias", "table")))

    def stored(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""
        return {f"clock_{name}": array for name, array in vars(self).items()}

    def harmonics(self, contexts: np.ndarray) -> np.ndarray:
        """Expected harmonics (n, 2 n_harmonics) at the first steps after the windows (n, L, N)."""
        read = np.empty((len(contexts), self.table.shape[1]), np.float32)
        for first in range(0, len(contexts), _CHUNK):
            some = slice(first, first + _CHUNK)
            logits = _shapes(torch.from_numpy(contexts[some])) @ torch.from_numpy(self.weights)
            read[some] = (logits + torch.from_numpy(self.bias)).softmax(1).numpy() @ self.table
        return read

    def completed(self, contexts: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Harmonics of the angles (n,), and the expected ones where they are NaN."""
        known = harmonics(torch.from_numpy(angles), self.table.shape[1] // 2).numpy()
        unknown = np.isnan(angles)
        known[unknown] = self.harmonics(contexts[unknown])
        return known


def _shapes(x: Tensor) -> Tensor:
    """Windows (B, L, N), each variate less its mean and over its spread, in one row: (B, n_inputs).

    Of many variates an even selection is enough, they live by the same clock.
    """
    every = -(-x.shape[2] // max(1, _WIDEST // x.shape[1]))
    x = x[:, -_WIDEST:, ::every].double()
    x = x - x.mean(1, keepdim=True)
    return (x / (x.square().mean(1, keepdim=True).sqrt() + 1e-6)).flatten(1)


def _fourier(angle: Tensor, n_slots: int) -> Tensor:
    """A constant and the harmonics that the means are made of, (B, 1 + 2K)."""
    wave = harmonics(angle.double(), min(_FOURIER, (n_slots - 1) // 2))
    return torch.cat([torch.ones_like(wave[:, :1]), wave], dim=1)


def _sums(windows: DatedWindows, n_slots: int) -> list[Tensor]:
    """Products of shapes f and waves h summed over windows, f'f, h'f and h'h; the last one counts the windows too."""
    sums: list[Tensor] = []
    # Drawn at random: an even step could share a divisor with the period and miss most of the slots.
    for (x, _, angle), _, _ in iterate(windows.sampled(_MOST, seed=0), _CHUNK):
        f, h = _shapes(x.cpu()), _fourier(angle.cpu(), n_slots)
        terms = [f.T @ f, h.T @ f, h.T @ h]
        sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
    return sums


def _discriminant(sums: list[Tensor], slots: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (n_inputs, n_slots) and bias (n_slots,) of the logits."""
    ff, hf, hh = sums
    series = torch.linalg.pinv(hh, hermitian=True) @ hf
    covariance = (ff - hf.T @ series) / hh[0, 0]
    level = _RIDGE * covariance.diagonal().mean().clamp_min(1e-6)
    means = _fourier(slots, len(slots)) @ series
    weights = torch.linalg.solve(covariance + level * torch.eye(len(ff), dtype=ff.dtype), means.T)
    return weights, -0.5 * (means.T * weights).sum(0)


def _certainty(weights: Tensor, bias: Tensor, unseen: DatedWindows, slots: Tensor) -> float:
    """The exponent under which windows that were not learned from are likeliest."""
    some = unseen.sampled(_CHUNK, seed=0)
    x, _, angle = some.take(torch.arange(len(some)))
    logits = _shapes(x.cpu()) @ weights + bias
    turns = (angle.cpu().double() - slots[0]) / (2 * torch.pi)
    slot = (turns * len(slots)).round().long() % len(slots)
    losses = [float(torch.nn.functional.cross_entropy(beta * logits, slot)) for beta in _CERTAINTIES]
    return _CERTAINTIES[int(np.argmin(losses))]
