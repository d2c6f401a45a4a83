"""A released network of the paper, with the interface that a FractalSampler asks for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skts.fractal.paper.config import PaperConfig
from skts.fractal.paper.net import PaperFractal

__all__ = ["ReleasedNet"]


class ReleasedNet(nn.Module):
    """Images as rows of 3 S^2 codes in the order of a layout.

    Parameters
    ----------
    released : str
        Configuration of the network as JSON.
    order : sequence of int
        Slots of an image (S, S, 3) as the layout visits them.
    """

    n_orders = 1

    def __init__(self, released: str, order: Sequence[int]) -> None:
        super().__init__()
        self.net = PaperFractal(PaperConfig.from_json(released))
        self.side = self.net.config.sides[0]
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("rank", torch.argsort(self.order, dim=0), persistent=False)

    @property
    def no_class(self) -> int:
        """Label that stands for no class."""
        return self.net.config.n_classes

    def by_slot(self, x: Tensor, label: Tensor) -> Tensor:
        """Log-probabilities (B, D) of the codes; of a masked network those of its first order."""
        images = x[:, self.rank].view(-1, self.side, self.side, 3).permute(0, 3, 1, 2).to(torch.uint8)
        nats = torch.empty(len(x), 3, self.side, self.side, dtype=torch.float64, device=x.device)
        for classes, rows in self._kinds(label):
            nats[rows] = self.net.nll(images[rows], classes).view(-1, 3, self.side, self.side).double()
        return -nats.permute(0, 2, 3, 1).flatten(1)[:, self.order]

    def log_prob(self, x: Tensor, label: Tensor) -> Tensor:
        """Log-probability (B,) of the rows, nats."""
        return self.by_slot(x, label).sum(1)

    def draw(self, label: Tensor, uniforms: Tensor, temperature: float, guidance: float) -> tuple[Tensor, Tensor]:
        """Rows (B, D) of codes and the log-probability of each slot, from uniform numbers (B, D, 2)."""
        u = uniforms[..., 0].reshape(len(label), -1, 3)
        u = torch.cat([u, uniforms[..., 1].reshape(len(label), -1, 3)], 1)[:, : self.net.n_draws]
        images = torch.empty(len(label), 3, self.side, self.side, dtype=torch.uint8)
        for classes, rows in self._kinds(label):
            images[rows] = self.net.sample(classes, u[rows], cfg=guidance, temperature=1 / temperature)
        x = images.permute(0, 2, 3, 1).flatten(1)[:, self.order].to(uniforms.dtype)
        return x, self.by_slot(x, label)

    def _kinds(self, label: Tensor) -> list[tuple[Tensor | None, Tensor]]:
        """Rows with classes, and rows without."""
        without = label == self.no_class
        kinds = [(label[~without], torch.nonzero(~without)[:, 0]), (None, torch.nonzero(without)[:, 0])]
        return [(classes, rows) for classes, rows in kinds if len(rows)]
