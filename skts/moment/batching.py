"""All series through the network: short ones in large numbers, long ones in small, no padding, no gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skts.moment.module import MomentNet
from skts.moment.packing import Pack, pack_spans
from skts.moment.panel import Panel
from skts.moment.preparation import Prepared, Recipe, windows_from_the_end
from skts.moment.readout import Readout

__all__ = ["Runner"]

Piece = tuple[int, slice]  # a part of the panel, and some of its series


@dataclass(frozen=True)
class Runner:
    """The network with the way in which series are fed to it.

    Parameters
    ----------
    net : MomentNet
        In evaluation mode.
    recipe : Recipe
        From series to patches.
    n_tokens : int
        Patches of one batch.
    device : torch.device
        Where the network lives.
    dtype : torch.dtype
        torch.float32, or torch.bfloat16 for matrix products in half the bits.
    """

    net: MomentNet
    recipe: Recipe
    n_tokens: int
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def embed(self, panel: Panel, readout: Readout) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, C, W) of every channel, 0 where one has no observed value, and which have one (n, C)."""
        n_sequences = panel.n_series * panel.n_channels
        sums, weights = torch.zeros(n_sequences, readout.width), torch.zeros(n_sequences)
        for pieces in self._batches(panel):
            prepared, packs, index = [], [], []
            for part, some in pieces:
                places = panel.rows[part][some, None] * panel.n_channels + np.arange(panel.n_channels)
                for window in self.recipe.for_embedding(panel.parts[part][some]):
                    pack, rows, _ = pack_spans(window.patches, window.shown, window.keys, window.first)
                    prepared.append(window)
                    packs.append(pack)
                    index.append(torch.from_numpy(places.ravel())[_of_sequences(rows, pack)])
            joined = Pack.joined(packs)
            if not joined.groups:
                continue
            features = self._pooled(joined, readout).cpu()
            weight = torch.cat([torch.full((len(i),), w.weight) for i, w in zip(index, prepared, strict=True)])
            where = torch.cat(index)
            sums.index_add_(0, where, features * weight[:, None])
            weights.index_add_(0, where, weight)
        seen = weights > 0
        mean = torch.where(seen[:, None], sums / weights[:, None], 0)
        shape = (panel.n_series, panel.n_channels)
        return mean.view(*shape, -1).numpy(), seen.view(shape).numpy()

    @torch.no_grad()
    def reconstruct(self, panel: Panel, hidden: Sequence[np.ndarray]) -> Panel:
        """The series as the network fills them in, in windows of full length at the most."""
        parts = [np.empty(part.shape) for part in panel.parts]
        for pieces in self._batches(panel):
            for part, some in pieces:
                x, cover = panel.parts[part][some], hidden[part][some]
                done = 0
                for window in windows_from_the_end(x.shape[2], self.recipe.seq_len):
                    span = slice(window.start, window.stop)
                    found = self._filled(self.recipe.for_reconstruction(x[:, :, span], cover[:, :, span]))
                    values = found.view(*x.shape[:2], -1)[:, :, -(window.stop - window.start) :].numpy()
                    parts[part][some, :, done : window.new] = values[
                        :, :, done - window.start : window.new - window.start
                    ]
                    done = window.new
        return Panel(tuple(parts), panel.rows, panel.kind, panel.flat)

    def _pooled(self, pack: Pack, readout: Readout) -> Tensor:
        pack = pack.to(self.device)
        with self._precision():
            tokens = self.net(pack, readout.layers)
        return readout.pool(tokens, pack.groups, pack.positions)

    def _filled(self, prepared: Prepared) -> Tensor:
        """Values (S, N * 8) in the units of the series, in float64."""
        pack, rows, columns = pack_spans(prepared.patches, prepared.shown, prepared.keys, prepared.first)
        with self._precision():
            patches = self.net.reconstruct(pack.to(self.device)).cpu().double()
        wide = torch.zeros(prepared.patches.shape, dtype=torch.float64)
        wide[rows, columns] = patches
        return wide.flatten(1) * prepared.scale + prepared.mean

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _batches(self, panel: Panel) -> Iterator[list[Piece]]:
        """Series of all lengths, shortest first, as many as have ``n_tokens`` patches together."""
        pieces: list[Piece] = []
        room = self.n_tokens
        for number, part in enumerate(panel.parts):
            cost = self.recipe.n_tokens(part.shape[2]) * panel.n_channels
            start = 0
            while start < len(part):
                if pieces and room < cost:
                    yield pieces
                    pieces, room = [], self.n_tokens
                stop = min(len(part), start + max(1, room // cost))
                pieces.append((number, slice(start, stop)))
                room -= (stop - start) * cost
                start = stop
        if pieces:
            yield pieces


def _of_sequences(rows: Tensor, pack: Pack) -> Tensor:
    """The row of each sequence, from the rows of all tokens."""
    lengths = torch.tensor([g.length for g in pack.groups for _ in range(g.n_rows)], dtype=torch.long)
    return rows[lengths.cumsum(0) - lengths]
