"""The image networks of the paper, at parity with the released checkpoints."""

from skts.fractal.paper.config import FACTORIES, PaperConfig, config_of
from skts.fractal.paper.net import PaperFractal
from skts.fractal.paper.orders import FixedOrders, random_orders
from skts.fractal.paper.weights import convert_paper, load_paper, write_paper

__all__ = [
    "FACTORIES",
    "FixedOrders",
    "PaperConfig",
    "PaperFractal",
    "config_of",
    "convert_paper",
    "load_paper",
    "random_orders",
    "write_paper",
]
