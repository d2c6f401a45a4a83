"""Fractal generative models for images: a generator that calls generators, down to the channels of a pixel.

Source: T. Li, Q. Sun, L. Fan, K. He, "Fractal Generative Models", 2025, https://arxiv.org/abs/2502.17437
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skts.errors import InputError
from skts.fractal.paper.ar import ARGenerator
from skts.fractal.paper.config import PaperConfig
from skts.fractal.paper.head import PixelHead
from skts.fractal.paper.likelihood import nats
from skts.fractal.paper.mar import MARGenerator
from skts.fractal.paper.masked import Masks, block_masks, call_masks, masked_pass, training_masks
from skts.fractal.paper.orders import FixedOrders, Orders
from skts.fractal.paper.sampling import sample

__all__ = ["Level", "PaperFractal"]


class Level(nn.Module):
    """One generator, and the fractal that models each of its patches.

    Parameters
    ----------
    config : PaperConfig
        Sizes of the whole network.
    level : int
        Number of this level (i), 0 for the image.
    """

    def __init__(self, config: PaperConfig, level: int) -> None:
        super().__init__()
        i, d = level, config.dims
        self.level, self.side, self.guided = i, config.sides[i + 1], config.guided(i)
        sizes = (d[max(i - 1, 0)], d[i], config.n_patches[i], 3 * self.side**2, config.blocks[i], config.heads[i])
        if config.kind == "ar":
            self.generator: ARGenerator | MARGenerator = ARGenerator(*sizes)
        else:
            self.generator = MARGenerator(*sizes, config.n_conds, self.guided, config.dropout)
        last = i + 1 == config.n_levels
        self.next_fractal: Level | PixelHead = (
            PixelHead(d[i], d[i + 1], config.blocks[i + 1], config.heads[i + 1]) if last else Level(config, i + 1)
        )


class PaperFractal(Level):
    """FractalAR or FractalMAR of the paper, with the released names of all tensors.

    Parameters
    ----------
    config : PaperConfig
        Sizes; `FACTORIES` has those of the five released networks.

    Examples
    --------
    >>> import torch
    >>> from skts.fractal.paper import PaperConfig, PaperFractal
    >>> net = PaperFractal(PaperConfig("ar", (4, 2, 1), (16, 16, 8), (1, 1, 1), (2, 2, 2), n_classes=2)).eval()
    >>> u = torch.rand(3, net.n_draws, 3, generator=torch.Generator().manual_seed(0))
    >>> x = net.sample(torch.tensor([0, 1, 1]), u)
    >>> x.shape, net.nll(x).shape
    (torch.Size([3, 3, 4, 4]), torch.Size([3, 48]))
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__(config, level=0)
        self.config = config
        self.class_emb = nn.Embedding(config.n_classes, config.dims[0])
        self.fake_latent = nn.Parameter(torch.zeros(1, config.dims[0]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start values of the paper: Xavier for matrices, N(0, 0.02) for tables and tokens, zero for biases."""
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.ndim == 1:
                nn.init.ones_(p)
            elif name.endswith(("class_emb.weight", "codebook.weight")) or not name.endswith(".weight"):
                nn.init.normal_(p, std=0.02)
            else:
                nn.init.xavier_uniform_(p)

    @property
    def n_draws(self) -> int:
        """Triples of uniform numbers that one image takes: one for each pixel, then one for each guiding pixel."""
        c = self.config
        guiding = sum((c.sides[0] // c.sides[i]) ** 2 for i in range(c.n_levels) if c.guided(i))
        return c.sides[0] ** 2 + guiding

    def root(self, labels: Tensor | None, n: int) -> list[Tensor]:
        """Conditions (n, D_0) of the image: its class vector, or the null vector without labels, as often as asked."""
        vector = self.fake_latent.expand(n, -1) if labels is None else self.class_emb(self._checked_labels(labels, n))
        return [vector] * self.config.n_conds

    def nll(self, x: Tensor, labels: Tensor | None = None, orders: Orders | None = None) -> Tensor:
        """Negative log-likelihood of each value, in nats.

        Exact for "ar", and for "mar" with one patch revealed at a time in the given orders. With guiding pixels the
        sum of a row is an upper bound: log p(x) >= log p(m, x) for the mean colours m of the blocks, whose part is
        spread evenly over the values of their block.

        Parameters
        ----------
        x : Tensor of uint8, shape (B, 3, S, S)
            Images.
        labels : Tensor of int64, shape (B,), optional
            Classes; without them the network's unconditional density.
        orders : Orders, optional
            For "mar": `FixedOrders` number 0 by default.

        Returns
        -------
        Tensor, shape (B, 3 * S * S)
            In the order of ``x``.
        """
        self._check_images(x)
        rows = torch.arange(len(x), device=x.device)
        orders = FixedOrders(torch.zeros_like(rows)) if orders is None else orders
        return nats(self, x, self.root(labels, len(x)), rows, orders).flatten(1)

    def log_density(self, x: Tensor, labels: Tensor | None = None, n_orders: int = 1) -> Tensor:
        """Logarithm of p(x) in nats (B,), float64: of "mar" the even mixture over the first ``n_orders`` fixed orders.

        This is a proper density (a lower bound of one with guiding pixels): an image drawn with an order that was
        drawn first follows it.
        """
        each = [
            -self.nll(x, labels, FixedOrders(torch.full((len(x),), r, device=x.device))).double().sum(1)
            for r in range(1 if self.config.kind == "ar" else n_orders)
        ]
        return torch.logsumexp(torch.stack(each), 0) - math.log(len(each))

    def bound(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        n_draws: int = 10,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Estimate (B,) of the mean of -log p(x) over all orders, in nats, by ``n_draws`` random masks; exact for "ar".

        It is unbiased, and by Jensen its mean is an upper bound of -log p(x) under the mixture of all orders (E.
        Hoogeboom et al., "Autoregressive diffusion models", ICLR 2022, https://arxiv.org/abs/2110.02037).
        """
        self._check_images(x)
        roots = self.root(labels, len(x))
        draws = 1 if self.config.kind == "ar" else n_draws
        each = [masked_pass(self, x, roots, block_masks(generator)).totals(len(x)) for _ in range(draws)]
        return torch.stack(each).mean(0)

    def loss(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        official: bool = False,
        masks: Masks | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Loss of a batch, a mean in nats for each value.

        Parameters
        ----------
        x : Tensor of uint8, shape (B, 3, S, S)
            Images.
        labels : Tensor of int64, shape (B,), optional
            Classes; in training a share of them is replaced by the null vector. The released evaluation passes none.
        official : bool, default=False
            As released: mean over the masked pixels, plus the mean over the masked blocks of each guided level
            whatever their number, with the unrounded mean colour shown, and with red weighted in training. This is
            not a bound on bits per dimension. Otherwise the bound, divided by the number of values.
        masks : Masks, optional
            Which patches are masked.
        generator : torch.Generator, optional
            Of the random masks and dropped labels.
        """
        self._check_images(x)
        roots = self.root(labels, len(x))
        if self.training and labels is not None:
            drop = torch.rand(len(x), 1, generator=generator).to(x.device) < self.config.label_drop
            roots = [torch.where(drop, self.fake_latent, c) for c in roots]
        if masks is None:
            rule = block_masks if not official else training_masks if self.training else call_masks
            masks = rule(generator)
        found = masked_pass(self, x, roots, masks, exact_colour=official)
        if not official:
            return found.totals(len(x)).mean() / x[0].numel()
        return found.official(self.config.red_weight if self.training else None)

    @torch.inference_mode()
    def sample(
        self,
        labels: Tensor | None,
        uniforms: Tensor | None,
        *,
        cfg: float = 1.0,
        cfg_schedule: str = "linear",
        temperature: float = 1.0,
        filter_threshold: float = 1e-4,
        num_iter: int | Sequence[int] | None = None,
        decode: str = "draw",
        orders: Orders | None = None,
        return_log_prob: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw images.

        With ``cfg=1``, ``temperature=1`` and ``num_iter=None`` they follow `nll` of the same orders.

        Parameters
        ----------
        labels : Tensor of int64, shape (n,), or None
            Classes; None draws without.
        uniforms : Tensor, shape (n, n_draws, 3), or None
            Numbers in [0, 1). A value is the inverse distribution function at its number, so that an image depends on
            its own row alone. None is for ``decode="argmax"``.
        cfg : float, default=1.0
            Strength of classifier-free guidance (omega): logits of the null vector plus omega times the difference
            that the class makes.
        cfg_schedule : {"linear", "constant"}
            Whether guidance grows over the patches of the image from 1 to ``cfg``; below it is constant.
        temperature : float, default=1.0
            Logits are multiplied by it, as in the released code: above 1 is sharper.
        filter_threshold : float, default=1e-4
            Under guidance, values that the class gives less than this probability are not lifted above their place.
        num_iter : int, sequence of int or None
            For "mar": steps in which the patches of a block are revealed, at each level; None takes them one by one.
        decode : {"draw", "argmax"}
            Draw values, or take the most probable one each time.
        orders : Orders, optional
            For "mar": `FixedOrders` number 0 by default.
        return_log_prob : bool, default=False
            Also return log p (n,) of the values drawn, under the distributions they were drawn from.

        Returns
        -------
        Tensor of uint8, shape (n, 3, S, S)
            And with ``return_log_prob`` a tensor (n,).
        """
        n = self._n_samples(labels, uniforms, decode)
        if cfg != 1.0 and labels is None:
            raise InputError(
                "labels, since guidance contrasts a class with none",
                f"cfg={cfg} and labels=None",
                "Pass labels, or cfg=1.0.",
            )
        if cfg_schedule not in ("linear", "constant"):
            raise InputError("cfg_schedule 'linear' or 'constant'", repr(cfg_schedule), "Pass one of the two.")
        orders = FixedOrders(torch.zeros(n, dtype=torch.long)) if orders is None else orders
        conds = self.root(labels, n)
        if cfg != 1.0:
            conds = [torch.cat([c, null]) for c, null in zip(conds, self.root(None, n), strict=True)]
        options = {"temperature": temperature, "filter_threshold": filter_threshold, "num_iter": num_iter}
        found, log_prob = sample(self, conds, uniforms, orders, cfg, cfg_schedule, **options)
        return (found, log_prob) if return_log_prob else found

    def _n_samples(self, labels: Tensor | None, uniforms: Tensor | None, decode: str) -> int:
        if decode not in ("draw", "argmax"):
            raise InputError("decode 'draw' or 'argmax'", repr(decode), "Pass one of the two.")
        if decode == "argmax":
            return 1 if labels is None else len(labels)
        wanted = f"uniforms of shape (n, {self.n_draws}, 3)"
        if uniforms is None or uniforms.shape[1:] != (self.n_draws, 3):
            got = "None" if uniforms is None else f"shape {tuple(uniforms.shape)}"
            raise InputError(wanted, got, "Draw torch.rand(n, net.n_draws, 3).")
        return len(uniforms)

    def _checked_labels(self, labels: Tensor, n: int) -> Tensor:
        C = self.config.n_classes
        if labels.shape != (n,) or bool(((labels < 0) | (labels >= C)).any()):
            got = f"shape {tuple(labels.shape)} with values {labels.min().item()} to {labels.max().item()}"
            raise InputError(f"labels (n,) = ({n},) from 0 to {C - 1}", got, "Pass the class of each image.")
        return labels

    def _check_images(self, x: Tensor) -> None:
        S = self.config.sides[0]
        if x.dtype != torch.uint8 or x.shape[1:] != (3, S, S):
            got = f"{x.dtype} of shape {tuple(x.shape)}"
            raise InputError(f"images of uint8, shape (n, 3, {S}, {S})", got, "Scale, crop and convert them.")
