"""Decoding of fractal image networks: kept keys, tables and one token a step beside the plain way, at equal pixels.

Random weights of two small FractalAR (sides, widths and blocks are in the table; four heads everywhere), argmax
decoding, so that both ways give the same pixels. The plain way is that of the released code, built here of the same
modules: at each step all patches of a block are embedded and the newest taken, attention is written out and runs over
a full-length cache with a mask, caches are made anew for each block, and the pixel head runs over its four tokens for
each of the three channels. Seconds are CPU seconds on one thread for a whole batch of n images in float32, the smallest
of the repetitions; images per second are of the fast way. "drawn" is the fast way with inverse-distribution draws from
given uniform numbers in place of argmax.

Pixels that differ are counted in float64, over eight images, and in float32: among a hundred thousand choices of one of
256 values a few are ties within rounding, and what follows from one of them makes another image.

Run by `python benchmarks/bench_fractal_decoding.py [--quick]` (n = 256 is left out, one repetition); the table goes to
docs/bench_fractal_decoding.md unless --quick.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from skts.fractal.paper import PaperConfig, PaperFractal
from skts.fractal.paper.ar import CausalBlock, rotations
from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.net import Level
from skts.fractal.paper.pixels import join, normalise

TABLE = Path(__file__).parent.parent / "docs" / "bench_fractal_decoding.md"
CONFIGS = (
    PaperConfig("ar", (16, 4, 1), (128, 64, 32), (4, 2, 1), (4, 4, 4), n_classes=10),
    PaperConfig("ar", (32, 4, 1), (256, 128, 64), (6, 3, 2), (4, 4, 4), n_classes=10),
)


def plain_images(net: PaperFractal, labels: Tensor, cfg: float) -> Tensor:
    """Images (n, 3, S, S) by argmax, the plain way."""
    conds = net.root(labels, len(labels))[0]
    if cfg != 1.0:
        conds = torch.cat([conds, net.root(None, len(labels))[0]])
    return plain_block(net, conds, cfg, linear=True).to(torch.uint8)


def plain_block(fractal: Level | PixelHead, cond: Tensor, cfg: float, linear: bool) -> Tensor:
    """Blocks (B, 3, S, S) of one level."""
    if isinstance(fractal, PixelHead):
        return plain_pixel(fractal, cond, cfg)[:, :, None, None]
    g, rows = fractal.generator, len(cond)
    d, heads = g.norm.weight.shape[0], g.n_heads
    caches = [cond.new_zeros(2, rows, heads, g.k, d // heads) for _ in g.blocks]
    turn, mask = rotations(g.k, d // heads, cond), torch.ones(g.k, g.k, dtype=torch.bool).tril()
    patches = cond.new_zeros(rows if cfg == 1.0 else rows // 2, g.k, 3, fractal.side, fractal.side)
    for t in range(g.k):
        now = patches if cfg == 1.0 else torch.cat([patches, patches])
        x = normalise(now.flatten(0, 1), cond.dtype).reshape(rows, g.k, -1)
        tokens = torch.cat([g.cond_emb(cond)[:, None], g.patch_emb(x)], 1) + g.pos_embed_learned
        h = g.patch_emb_ln(tokens)[:, t : t + 1]
        for block, cache in zip(g.blocks, caches, strict=True):
            h = plain_layer(block, h, cache, t, turn[t], mask[t : t + 1])
        omega = 1 + (cfg - 1) * (t + 1) / g.k if linear else cfg
        patches[:, t] = plain_block(fractal.next_fractal, g.norm(h)[:, 0], omega, linear=False)
    return join(patches)


def plain_layer(block: CausalBlock, h: Tensor, cache: Tensor, t: int, turn: Tensor, mask: Tensor) -> Tensor:
    """One token (B, 1, D) through a block, over the whole cache."""
    q, k, v = block.attention.wqkv(block.attention_norm(h)).unflatten(-1, (3, cache.shape[2], -1)).unbind(2)
    q, k = (torch.view_as_real(torch.view_as_complex(p.unflatten(-1, (-1, 2))) * turn).flatten(-2) for p in (q, k))
    cache[0, :, :, t], cache[1, :, :, t] = k[:, 0], v[:, 0]
    read = plain_attention(q.transpose(1, 2), cache[0], cache[1], mask)
    h = h + block.attention.wo(read.transpose(1, 2).flatten(2))
    return h + block.feed_forward(block.ffn_norm(h))


def plain_pixel(head: PixelHead, cond: Tensor, cfg: float) -> Tensor:
    """Values (B, 3), the whole head once for each channel."""
    rows = len(cond) if cfg == 1.0 else len(cond) // 2
    values = torch.zeros(rows, 3, dtype=torch.long)
    codes = (head.r_codebook, head.g_codebook, head.b_codebook)
    for channel, (weight, bias) in enumerate(head.outputs()):
        now = values if cfg == 1.0 else torch.cat([values, values])
        tokens = [head.cond_proj(cond), *(code(now[:, c]) for c, code in enumerate(codes))]
        h = head.ln(torch.stack(tokens, 1))
        for block in head.blocks:
            q, k, v = block.attn.qkv(block.norm1(h)).unflatten(-1, (3, block.attn.n_heads, -1)).unbind(2)
            mask = torch.ones(4, 4, dtype=torch.bool).tril()
            read = plain_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
            h = h + block.attn.proj(read.transpose(1, 2).flatten(2))
            h = h + block.mlp(block.norm2(h))
        logits = F.linear(head.norm(h)[:, channel], weight, bias)
        if cfg != 1.0:
            logits = plain_guided(logits, cfg)
        values[:, channel] = logits.softmax(-1).argmax(-1)
    return values.to(cond.dtype)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention (B, A, L, D / A) written out."""
    weight = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    weight = weight.masked_fill(~mask, -torch.inf)
    return (weight - weight.amax(-1, keepdim=True)).softmax(-1) @ v


def plain_guided(logits: Tensor, cfg: float, threshold: float = 1e-4) -> Tensor:
    """Guidance with the filter of improbable values."""
    given, null = logits.chunk(2)
    floor = given - given.amax(-1, keepdim=True) + null.amax(-1, keepdim=True)
    null = torch.where(given.softmax(-1) < threshold, torch.maximum(null, floor), null)
    return null + cfg * (given - null)


def seconds(run: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Smallest CPU seconds, and what came out."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        found = run()
        best = min(best, time.process_time() - start)
    return best, found


@torch.inference_mode()
def rows(quick: bool) -> Iterator[str]:
    """Lines of the table."""
    for config in CONFIGS:
        torch.manual_seed(0)
        net = PaperFractal(config).eval()
        for p in net.parameters():
            p.mul_(3 if p.ndim > 1 else 1)  # the start values are too alike for argmax to vary
        for n in (8,) if quick else (8, 256):
            repeats = 1 if quick or n > 8 else 3
            labels = torch.arange(n) % config.n_classes
            u = torch.rand(n, net.n_draws, 3)
            for cfg in (1.0, 3.0):
                plain, theirs = seconds(lambda: plain_images(net, labels, cfg), repeats)  # noqa: B023
                fast, ours = seconds(lambda: net.sample(labels, None, cfg=cfg, decode="argmax"), repeats)  # noqa: B023
                drawn, _ = seconds(lambda: net.sample(labels, u, cfg=cfg), repeats)  # noqa: B023
                exact = disagreement(net, cfg) if n == 8 else "-"
                differ = int((ours != theirs).any(1).sum())
                yield (
                    f"| {config.sides}, {config.dims}, {config.blocks} | {n} | {cfg:g} | {plain:.2f} | {fast:.2f} | "
                    f"{plain / fast:.1f}x | {drawn:.2f} | {n / fast:.1f} | {exact} | {differ} of {ours[:, 0].numel()} |"
                )


def disagreement(net: PaperFractal, cfg: float) -> str:
    """Pixels of eight images that differ in float64."""
    labels, double = torch.arange(8), copy.deepcopy(net).double()
    ours = double.sample(labels, None, cfg=cfg, decode="argmax")
    return f"{int((ours != plain_images(double, labels, cfg)).any(1).sum())} of {ours[:, 0].numel()}"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    columns = ("sides, widths, blocks", "n", "cfg", "plain s", "fast s", "ratio", "drawn s", "images/s")
    lines = [f"| {' | '.join(columns)} | differ, float64 | differ, float32 |", "|---" * 10 + "|"]
    print("\n".join(lines), flush=True)
    for line in rows(quick):
        print(line, flush=True)
        lines.append(line)
    if not quick:
        TABLE.write_text(f"# Decoding of fractal image networks\n\n{__doc__}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
