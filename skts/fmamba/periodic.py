r"""A linear map that varies with the time of day: the periodic closed form, and its features.

For a window :math:`x` of L steps with mean :math:`\mu` and standard deviation :math:`\sigma`, whose forecast begins at
angle :math:`a` of the cycle (a day, say), :math:`\hat y = \mu + \Theta^\top f` with :math:`\tilde x = x - \mu` and

.. math::

    f = [\tilde x;\; \cos ka, \sin ka;\; \sigma \cos ka, \sigma \sin ka;\; \sigma;\;
        \tilde x \cos ja, \tilde x \sin ja], \qquad k \le K_0,\; j \le K_1 .

The first harmonics say which course a day takes, those times :math:`\sigma` the same in units of how lively the window
is, and the last terms let the weights of the lags change with the time of day: a linear, periodically time-varying
filter. Where the angle is unknown the harmonics are zero, their mean over the cycle.
"""

import torch
from torch import Tensor, nn

__all__ = ["PeriodicMap", "harmonics", "n_features", "periodic_features"]


def harmonics(angle: Tensor, n: int) -> Tensor:  # (B,) or (B, 2m) -> (B, 2n)
    """Cosine and sine of the first ``n`` multiples of an angle in turn; zero where it is NaN.

    In the place of angles, m >= n harmonics may be given: those expected where the time is uncertain.
    """
    if angle.ndim == 2:
        return angle[:, : 2 * n]
    multiples = angle[:, None] * torch.arange(1, n + 1, dtype=angle.dtype, device=angle.device)
    return torch.stack([multiples.cos(), multiples.sin()], dim=2).flatten(1).nan_to_num(0.0)


def n_features(context: int, n_harmonics: int, n_modulations: int) -> int:
    """Length of f."""
    return context * (1 + 2 * n_modulations) + (4 * n_harmonics + 1 if n_harmonics else 0)


def periodic_features(x: Tensor, angle: Tensor, n_harmonics: int, n_modulations: int) -> Tensor:
    """Windows less their mean (N, B, L) and angles (B,), or harmonics (B, 2m), to features (N, B, F)."""
    if not n_harmonics:
        return x
    wave = harmonics(angle.to(x.dtype), n_harmonics).expand(len(x), -1, -1)
    spread = x.square().mean(-1, keepdim=True).sqrt()
    parts = [x, wave, wave * spread, spread]
    if n_modulations:
        weights = harmonics(angle.to(x.dtype), n_modulations)
        parts += [x * w[:, None] for w in weights.unbind(1)]
    return torch.cat(parts, dim=-1)


class PeriodicMap(nn.Module):
    """The map with given coefficients. They are a buffer: solved in closed form, never trained.

    Parameters
    ----------
    context, horizon, n_variates : int
        L, H and N.
    n_harmonics, n_modulations : int
        K0 and K1; zero harmonics leave the plain linear map.
    """

    coef: Tensor

    def __init__(self, context: int, horizon: int, n_variates: int, n_harmonics: int, n_modulations: int) -> None:
        super().__init__()
        self.n_harmonics, self.n_modulations = n_harmonics, n_modulations
        width = n_features(context, n_harmonics, n_modulations)
        self.register_buffer("coef", torch.zeros(n_variates, width, horizon))

    def set(self, coef: Tensor) -> None:
        """Take coefficients (1 or N, F or L, H); a map of the lags alone leaves the harmonics out."""
        self.coef.zero_()
        self.coef[:, : coef.shape[1]] = coef.to(self.coef)

    def forward(self, X: Tensor, angle: Tensor) -> Tensor:  # (B, L, N), (B,) -> (B, H, N)
        """Forecast in the units of X."""
        mean = X.mean(1, keepdim=True)
        f = periodic_features((X - mean).permute(2, 0, 1), angle, self.n_harmonics, self.n_modulations)
        return (f @ self.coef).permute(1, 2, 0) + mean
