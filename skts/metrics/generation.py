"""Whether drawn time series are like real ones, judged by small recurrent networks; and likelihoods in bits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["bits_per_dim", "discriminative_score", "predictive_score"]

_BATCH = 128
_TRAIN = 0.8  # of the rows; the others judge


def discriminative_score(X_real: Any, X_drawn: Any, *, n_iter: int = 2000, random_state: Any = None) -> float:
    """How well a classifier tells drawn series from real ones: distance of its accuracy from one half.

    Use it beside :func:`predictive_score` to compare generators of time series with published numbers.

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_timepoints, n_channels)
        Real series.
    X_drawn : array-like of shape (n_drawn, n_timepoints, n_channels)
        Drawn ones.
    n_iter : int, default=2000
        Steps of training.
    random_state : int, RandomState or None, default=None
        Seed of the splits, the weights and the batches.

    Returns
    -------
    float
        From 0, where held-out series cannot be told apart, to 0.5, where all of them can.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, there are fewer than five series of a kind, or ``n_iter`` is
        below 1.

    Notes
    -----
    The protocol of TimeGAN: a recurrent network (one GRU layer of width int(n_channels / 2), at least 1) reads a
    series, a linear map of its last state says whether it is real. It trains on 80 % of either kind by Adam, with
    batches of 128 of either, and is judged on the rest. Values are scaled by the least and the greatest of each channel
    in ``X_real``.

    It differs from the original in the framework alone; gates start with a bias of 1 as there. The published numbers
    have two weaknesses that are kept: windows that overlap stand on both sides of the split, and the network is so
    small that a score near 0 says little. Take the mean over several seeds.

    References
    ----------
    J. Yoon, D. Jarrett, M. van der Schaar: Time-series Generative Adversarial Networks, NeurIPS 2019,
    https://papers.nips.cc/paper/8789-time-series-generative-adversarial-networks.

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import discriminative_score
    >>> rng = np.random.default_rng(0)
    >>> real, drawn = rng.normal(size=(100, 8, 2)), rng.normal(size=(100, 8, 2))
    >>> discriminative_score(real, drawn, n_iter=20, random_state=0) < 0.3
    True
    """
    import torch
    from torch.nn import functional as F

    real, drawn = _scaled(X_real, X_drawn, n_iter)

    def train(rng: np.random.Generator) -> float:
        parts = [_halves(series, rng) for series in (real, drawn)]
        net = _Recurrent(real.shape[2])

        def loss() -> torch.Tensor:
            logits = [net(_batch(part, rng))[:, -1] for part, _ in parts]
            targets = (torch.ones_like(logits[0]), torch.zeros_like(logits[1]))
            return sum(F.binary_cross_entropy_with_logits(a, b) for a, b in zip(logits, targets, strict=True))

        _minimise(loss, net.parameters(), n_iter)
        with torch.no_grad():
            is_real, is_not = (net(held)[:, -1] > 0 for _, held in parts)
        right = int(is_real.sum()) + int((~is_not).sum())
        return abs(0.5 - right / (len(is_real) + len(is_not)))

    return _seeded(train, random_state)


def predictive_score(X_real: Any, X_drawn: Any, *, n_iter: int = 5000, random_state: Any = None) -> float:
    """Error, on real series, of a forecaster that has learned on drawn ones ("train on synthetic, test on real").

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_timepoints, n_channels)
        Real series.
    X_drawn : array-like of shape (n_drawn, n_timepoints, n_channels)
        Drawn ones.
    n_iter : int, default=5000
        Steps of training.
    random_state : int, RandomState or None, default=None
        Seed of the weights and the batches.

    Returns
    -------
    float
        Mean absolute error in parts of the range of the last channel, lower is better. Compare it with the score of
        real series in the place of the drawn ones, which is what good samples come to.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, there are fewer than five series of a kind, or ``n_iter`` is
        below 1.

    Notes
    -----
    The protocol of TimeGAN: a recurrent network (one GRU layer of width int(n_channels / 2), at least 1, and a sigmoid)
    reads all channels but the last and says the last one, a step ahead; absolute errors, Adam, batches of 128. Values
    are scaled by the least and the greatest of each channel in ``X_real``. Where there is one channel only, it is
    forecast from its own past; the original has no answer there.

    References
    ----------
    J. Yoon, D. Jarrett, M. van der Schaar: Time-series Generative Adversarial Networks, NeurIPS 2019,
    https://papers.nips.cc/paper/8789-time-series-generative-adversarial-networks.

    Examples
    --------
    >>> import numpy as np
    >>> from skts.metrics import predictive_score
    >>> X = np.random.default_rng(0).normal(size=(50, 8, 2)).cumsum(1)
    >>> 0 < predictive_score(X, X, n_iter=20, random_state=0) < 1
    True
    """
    import torch

    real, drawn = _scaled(X_real, X_drawn, n_iter)
    seen = slice(max(1, real.shape[2] - 1))

    def errors(net: Any, series: torch.Tensor) -> torch.Tensor:
        return (net(series[:, :-1, seen]).sigmoid() - series[:, 1:, -1]).abs().mean()

    def train(rng: np.random.Generator) -> float:
        net = _Recurrent(real.shape[2], n_inputs=seen.stop)
        _minimise(lambda: errors(net, _batch(drawn, rng)), net.parameters(), n_iter)
        with torch.no_grad():
            return float(errors(net, real))

    return _seeded(train, random_state)


def bits_per_dim(log_density: Any, n_dims: int) -> float:
    """Mean negative log-density in bits for each number of a sample, as generative models are compared by.

    Parameters
    ----------
    log_density : array-like of shape (n_samples,)
        Nats of each sample, as ``score_samples`` of scikit-learn's density estimators gives them.
    n_dims : int
        Numbers of a sample.

    Returns
    -------
    float
        For discrete data the length of the best code; lower is better.

    Raises
    ------
    InputError
        If there are no log-densities, or ``n_dims`` is below 1.

    Examples
    --------
    >>> import math
    >>> from skts.metrics import bits_per_dim
    >>> bits_per_dim([-16 * math.log(4)], n_dims=16)  # sixteen pixels of four equally likely values
    2.0
    """
    log_density = np.asarray(log_density, dtype=np.float64)
    if log_density.ndim != 1 or not len(log_density) or n_dims < 1:
        got = f"shape {log_density.shape} and n_dims={n_dims}"
        raise InputError("log-densities of shape (n_samples,) and n_dims of at least 1", got, "Pass what is asked for.")
    return float(-log_density.mean() / (n_dims * math.log(2)))


# ---- the networks and their training --------------------------------------------------------------------------------


def _Recurrent(n_channels: int, n_inputs: int | None = None) -> Any:
    """A GRU whose state (B, T, H) becomes one number at each time (B, T)."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = max(1, n_channels // 2)
            self.gru = nn.GRU(n_inputs or n_channels, width, batch_first=True)
            self.head = nn.Linear(width, 1)
            for name, parameter in self.named_parameters():
                if "weight" in name:
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)
            # A gate that is open at first keeps what was read; with the width of the protocol, little else learns.
            nn.init.ones_(self.gru.bias_ih_l0[: 2 * width])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(x)[0]).squeeze(-1)

    return Recurrent()


def _seeded(train: Callable[[np.random.Generator], float], random_state: Any) -> float:
    from skts.engine import draw_seed, seeded

    seed = draw_seed(random_state)
    with seeded(seed):
        return train(np.random.default_rng(seed))


def _minimise(loss: Callable[[], Any], parameters: Any, n_iter: int) -> None:
    import torch

    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(n_iter):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def _batch(series: Any, rng: np.random.Generator) -> Any:
    return series[rng.permutation(len(series))[:_BATCH]]


def _halves(series: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """What a network learns on, and what it is judged on."""
    order, size = rng.permutation(len(series)), int(_TRAIN * len(series))
    return series[order[:size]], series[order[size:]]


def _scaled(X_real: Any, X_drawn: Any, n_iter: int) -> tuple[Any, Any]:
    """Both in float32, by the range of the real ones."""
    import torch

    real, drawn = (np.asarray(X, dtype=np.float64) for X in (X_real, X_drawn))
    if real.ndim != 3 or real.shape[1:] != drawn.shape[1:] or min(len(real), len(drawn)) < 5 or real.shape[1] < 2:
        got = f"shapes {real.shape} and {drawn.shape}"
        hint = "Pass windows of the same length and channels, at least five of each and two steps long."
        raise InputError("real and drawn series of shape (n, n_timepoints, n_channels)", got, hint)
    for name, X in (("X_real", real), ("X_drawn", drawn)):
        if not np.isfinite(X).all():
            raise InputError(f"finite values in {name}", "NaN or infinite values", "Leave these series out.")
    if n_iter < 1:
        raise InputError("n_iter of at least 1", f"{n_iter}", "Pass n_iter=2000.")
    low, high = real.min((0, 1)), real.max((0, 1))
    width = np.where(high > low, high - low, 1.0)
    return tuple(torch.from_numpy(((X - low) / width).astype(np.float32)) for X in (real, drawn))
