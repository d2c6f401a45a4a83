"""All closed forms of a data set: fitted on the training part and judged on validation.

The periodic form comes in several sizes; each variate takes the smallest whose validation error is within one percent
of the lowest, because validation ranks forms no finer than that. Thereafter it is solved anew on both parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skts.fmamba.linear import KINDS, WindowMoments, closed_form, penalties, ridge
from skts.fmamba.windows import DatedWindows

__all__ = ["PERIODIC", "ClosedForms", "fit_closed_forms", "without_validation"]

PERIODIC = "periodic"
_TOLERANCE = 0.01
_GROUP = 32  # variates at a time: bounds the memory of the Gram matrices


@dataclass
class ClosedForms:
    """Maps by name.

    Attributes
    ----------
    maps : dict of str to Tensor (1 or n_variates, L or F, H)
        Fitted on the training part.
    final : dict of str to Tensor
        The same to forecast with: the periodic one, with the penalties that validation chose, solved over both parts.
    """

    maps: dict[str, Tensor]
    final: dict[str, Tensor]


def fit_closed_forms(train: DatedWindows, valid: DatedWindows, n_harmonics: int, n_modulations: int) -> ClosedForms:
    """The forms of :data:`~skts.fmamba.linear.KINDS`, and the periodic one where there are harmonics."""
    lags: list[tuple[WindowMoments, WindowMoments]] = []
    periodic: list[tuple[Tensor, Tensor]] = []
    n_variates = train.windows.rows.shape[1]
    for first in range(0, n_variates, _GROUP):
        some = slice(first, first + _GROUP)
        seen, unseen = (WindowMoments.of(part.variates(some), n_harmonics, n_modulations) for part in (train, valid))
        if n_harmonics:
            sizes = list(_sizes(seen.n_lags, n_harmonics, n_modulations))
            periodic.append(_smallest_good(seen, unseen, sizes))
        own = torch.arange(seen.n_lags)
        lags.append((seen.some(own), unseen.some(own)))
    forms = ClosedForms({}, {})
    _add_plain(forms, *(_joined([pair[part] for pair in lags]) for part in (0, 1)))
    if n_harmonics:
        forms.maps[PERIODIC] = torch.cat([found for found, _ in periodic])
        forms.final[PERIODIC] = torch.cat([found for _, found in periodic])
    return forms


def without_validation(train: DatedWindows) -> Tensor:
    """The shared linear map (1, L, H), with a fixed penalty."""
    return closed_form("linear", WindowMoments.of(train), None)


def _add_plain(forms: ClosedForms, seen: WindowMoments, unseen: WindowMoments) -> None:
    """The forms without harmonics, from the moments of all variates.

    They stay as they were judged: what the guard falls back on is the plain baseline itself.
    """
    for kind in KINDS:
        forms.maps[kind] = forms.final[kind] = closed_form(kind, seen, unseen)


def _joined(parts: list[WindowMoments]) -> WindowMoments:
    ff, fy, yy = (torch.cat([getattr(part, name) for part in parts]) for name in ("ff", "fy", "yy"))
    return WindowMoments(ff, fy, yy, parts[0].n_lags, parts[0].n_windows)


def _sizes(n_lags: int, n_harmonics: int, n_modulations: int) -> Iterator[Tensor]:
    """Feature numbers of the periodic forms, smallest first; see :func:`~skts.fmamba.periodic.periodic_features`.

    Each size comes twice: with harmonics of a fixed size, and without them but with the level moving by the spread,
    which serves series whose daily course shrinks and grows with the season.
    """
    lags, wave = torch.arange(n_lags), 2 * n_harmonics
    fixed, relative = n_lags + torch.arange(wave), n_lags + wave + torch.arange(wave)
    spread = torch.tensor([n_lags + 2 * wave])
    for modulations in range(n_modulations + 1):
        weights = n_lags + 2 * wave + 1 + torch.arange(2 * modulations * n_lags)
        yield torch.cat([lags, fixed, relative, weights])
        yield torch.cat([lags, relative, spread, weights])


def _smallest_good(seen: WindowMoments, unseen: WindowMoments, sizes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Maps of the training part and of both parts, each variate with its own size."""
    tried = [penalties(seen.some(size), unseen.some(size)) for size in sizes]
    errors = torch.stack([error for _, error in tried])  # (sizes, N)
    taken = (errors <= (1 + _TOLERANCE) * errors.min(0).values).int().argmax(0)
    maps, final, both = torch.zeros_like(seen.fy), torch.zeros_like(seen.fy), seen + unseen
    for number, (size, (alpha, _)) in enumerate(zip(sizes, tried, strict=True)):
        mine = (taken == number).nonzero().squeeze(1)
        if len(mine):
            for target, moments in ((maps, seen), (final, both)):
                target[mine[:, None], size] = ridge(_variates(moments.some(size), mine), alpha[mine])
    return maps, final


def _variates(moments: WindowMoments, which: Tensor) -> WindowMoments:
    ff, fy, yy = moments.ff[which], moments.fy[which], moments.yy[which]
    return WindowMoments(ff, fy, yy, moments.n_lags, moments.n_windows)
