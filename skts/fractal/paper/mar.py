"""The masked generator: patches in any order, each condition with those of its four neighbours."""

import torch
from torch import Tensor, nn

from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.vit import EPS, ViTBlock

__all__ = ["MARGenerator", "neighbours"]


class MARGenerator(nn.Module):
    """One condition vector for each patch and its four neighbours, from the patches that are shown.

    The row of tokens is [mean colour of the block, conditions in reversed order, patches]; a patch that is masked is
    the mask token.

    Parameters
    ----------
    d_cond, d : int
        Width of the conditions of the block and of this level (D).
    k : int
        Patches of a block.
    d_patch : int
        Numbers in a patch.
    n_blocks, n_heads : int
        Transformer blocks and attention heads.
    n_conds : int
        Condition vectors of the block.
    guided : bool
        Whether the mean colour of the block comes first, with a pixel head of its own that models it.
    dropout : float
        In training only.
    """

    def __init__(
        self,
        d_cond: int,
        d: int,
        k: int,
        d_patch: int,
        n_blocks: int,
        n_heads: int,
        n_conds: int,
        guided: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.k, self.guided = k, guided
        self.patch_emb, self.cond_emb = nn.Linear(d_patch, d), nn.Linear(d_cond, d)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed_learned = nn.Parameter(torch.zeros(1, k + n_conds + guided, d))
        self.patch_emb_ln, self.norm = nn.LayerNorm(d, EPS), nn.LayerNorm(d, EPS)
        if guided:
            self.pix_proj = nn.Linear(3, d)
            self.guiding_pixel_loss = PixelHead(d_cond, 128, n_blocks=3, n_heads=4)
        self.blocks = nn.ModuleList(ViTBlock(d, n_heads, dropout, causal=False) for _ in range(n_blocks))

    def context(self, conds: list[Tensor], colour: Tensor | None = None) -> Tensor:
        """Embedded tokens (B, n_conds + guided, D) in front of the patches."""
        rows = [self.cond_emb(c) for c in reversed(conds)]
        if self.guided:
            rows = [self.pix_proj(colour), *rows]
        return self.patch_emb_ln(torch.stack(rows, 1) + self.pos_embed_learned[:, : len(rows)])

    def hidden_patches(self) -> Tensor:
        """Embedded tokens (1, k, D) of masked patches."""
        return self.patch_emb_ln(self.mask_token + self.pos_embed_learned[:, -self.k :])

    def shown_patches(self, patches: Tensor, places: Tensor | None = None) -> Tensor:
        """Embedded tokens (B, W, D) of patches (B, W, 3 p p) at ``places`` (B, W), all k of them by default."""
        table = self.pos_embed_learned[:, -self.k :]
        return self.patch_emb_ln(self.patch_emb(patches) + (table if places is None else table[0][places]))

    def encode(self, context: Tensor, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Outputs (B, k, D) at the patches, or (B, W, D) at ``wanted`` (B, W) alone."""
        h = torch.cat([context, tokens], 1)
        for block in self.blocks[:-1]:
            h = block(h)
        if wanted is None:
            return self.norm(self.blocks[-1](h)[:, -self.k :])
        return self.norm(self.blocks[-1](h, wanted + context.shape[1]))

    def forward(
        self, patches: Tensor, conds: list[Tensor], masked: Tensor, colour: Tensor | None = None
    ) -> list[Tensor]:
        """Conditions [own, top, right, bottom, left], each (B, k, D), of patches (B, k, 3 p p) where masked (B, k)."""
        tokens = torch.where(masked[..., None], self.hidden_patches(), self.shown_patches(patches))
        return neighbours(self.encode(self.context(conds, colour), tokens))

    def step(self, context: Tensor, tokens: Tensor, places: Tensor, alone: bool) -> list[Tensor]:
        """Conditions, each (B, W, D), of the patches at ``places`` (B, W), from embedded tokens (B, k, D).

        The last block asks for the tokens that are read: those places, and their neighbours unless ``alone`` (the
        pixel head reads the first condition and no other).
        """
        if alone:
            return [self.encode(context, tokens, places)]
        B, W = places.shape
        around, inside = _around(self.k, places.device)
        wanted = around[places].flatten(1)  # (B, W * 5)
        found = self.encode(context, tokens, wanted).view(B, W, 5, -1)
        return list((found * inside[places][..., None]).unbind(2))


def neighbours(h: Tensor) -> list[Tensor]:
    """[own, top, right, bottom, left] of outputs (B, k, D) on the grid, zero outside of it."""
    around, inside = _around(h.shape[1], h.device)
    return [h, *(h[:, around[:, j]] * inside[:, j, None] for j in range(1, 5))]


def _around(k: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Place (k, 5) of own, top, right, bottom, left patch, and whether it is on the grid; own place where not."""
    grid = round(k**0.5)
    place = torch.arange(k, device=device)
    steps = torch.tensor([[0, 0], [-1, 0], [0, 1], [1, 0], [0, -1]], device=device)
    there = torch.stack([place // grid, place % grid], 1)[:, None] + steps  # (k, 5, 2)
    inside = ((there >= 0) & (there < grid)).all(-1)
    return torch.where(inside, there[..., 0] * grid + there[..., 1], place[:, None]), inside
