r"""What a validation part can tell: errors of the candidates, and which differences are more than luck.

The errors of windows that overlap are nearly the same error, so n validation windows of horizon H hold about n / H
independent pieces of evidence. A candidate beats another one if it is better in a paired, one-sided t-test at 2.5 %
over the means of n / H blocks: with three blocks that takes a clear and steady gain, with one it is never known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from skts.engine.batches import iterate
from skts.fmamba.periodic import periodic_features
from skts.fmamba.windows import DatedWindows

__all__ = ["NETWORK", "REFERENCES", "Evidence", "judge", "more_than_luck"]

NETWORK = "network"
REFERENCES = ("linear", "last value")  # what has to be beaten: the better one of them
_LEVEL = 0.025
_WINDOWS = 128  # at a time


@dataclass
class Evidence:
    """Errors on validation windows.

    Attributes
    ----------
    names : list of K str
        The candidates.
    products : Tensor of shape (n_variates, K, K)
        Mean products of the candidates' errors; squared errors on the diagonal.
    by_window : array of shape (n_windows, K)
        Mean squared error of each window, in order of time.
    horizon : int
        H.
    """

    names: list[str]
    products: Tensor
    by_window: np.ndarray
    horizon: int

    def errors(self) -> dict[str, np.ndarray]:
        """Mean squared error (n_variates,) of each candidate."""
        squares = self.products.diagonal(dim1=1, dim2=2)
        return {name: squares[:, k].numpy().copy() for k, name in enumerate(self.names)}

    def trusted(self) -> list[str]:
        """The better reference, and the candidates that beat it by more than luck."""
        reference = min(REFERENCES, key=lambda name: self.by_window[:, self.names.index(name)].mean())
        return [name for name in self.names if name == reference or self._beats(name, reference)]

    def best_map(self) -> str:
        """Of the trusted candidates the one with the lowest error; the shared linear map instead of the last value."""
        means = dict(zip(self.names, self.by_window.mean(0), strict=True))
        best = min(self.trusted(), key=means.__getitem__)
        return "linear" if best == "last value" else best

    def _beats(self, name: str, reference: str) -> bool:
        gain = self.by_window[:, self.names.index(reference)] - self.by_window[:, self.names.index(name)]
        return more_than_luck(gain, self.horizon)


def more_than_luck(gain: np.ndarray, horizon: int) -> bool:
    """Whether the mean gain over windows (n_windows,), in order of time, is surely above zero."""
    n_blocks = len(gain) // horizon
    if n_blocks < 2:
        return False
    blocks = np.array([part.mean() for part in np.array_split(gain, n_blocks)])
    bound = stats.t.ppf(1 - _LEVEL, n_blocks - 1) * blocks.std(ddof=1) / np.sqrt(n_blocks)
    return bool(blocks.mean() > bound)


@torch.no_grad()
def judge(
    maps: dict[str, Tensor],
    valid: DatedWindows,
    sizes: tuple[int, int],
    device: torch.device,
    network: Callable[..., Tensor] | None = None,
) -> Evidence:
    """The errors of closed forms, and of the network in front of them, on validation windows.

    ``sizes`` are the numbers of harmonics and modulations of the periodic map. The errors of missing values, where the
    windows tell them, do not count.
    """
    n_lags, products, by_window, answered = valid.windows.context, torch.zeros(()), [], torch.zeros(())
    coefs = [coef.to(device, torch.float32) for coef in maps.values()]
    for (x, y, angle, *masks), _, _ in iterate(valid, _WINDOWS):
        x, y, angle, *masks = (part.to(device) for part in (x, y, angle, *masks))
        mean = x.mean(1, keepdim=True)
        f = periodic_features((x - mean).permute(2, 0, 1), angle, *sizes)
        target = (y - mean).permute(2, 0, 1)  # (N, B, H)
        errors = [] if network is None else [(network(x, angle, *masks[:1]) - y).permute(2, 0, 1)]
        errors += [(f[..., :n_lags] if coef.shape[1] == n_lags else f) @ coef - target for coef in coefs]
        e = torch.stack(errors, dim=1)  # (N, K, B, H)
        if masks:
            e = e * masks[1].permute(2, 0, 1)[:, None]
            answered = answered + masks[1].sum((0, 1)).double().cpu()
        by_window.append(e.square().mean((0, 3)).T.double().cpu())
        e = e.flatten(2)
        products = products + (e @ e.transpose(1, 2)).double().cpu() / valid.windows.horizon
    names = [*([] if network is None else [NETWORK]), *maps]
    products = products / len(valid)
    if answered.ndim:
        products = products * (len(valid) * valid.windows.horizon / answered.clamp_min(1))[:, None, None]
    return Evidence(names, products, torch.cat(by_window).numpy(), valid.windows.horizon)
