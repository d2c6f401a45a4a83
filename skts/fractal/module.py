"""The fractal network: one generator for each level of a tree, called on what the level above it has said.

    c_0 = root(y);   c_{i+1, 1..k} = g_i(c_i, e_i(x_block_1), .., e_i(x_block_k));   p(x_s | x_<s) = leaf(c_n)

With all values given the levels run one after another, each on all of its nodes at once: a density costs one pass.
"""

import math

import torch
from torch import Tensor, nn

from skts.fractal.features import PlacewiseLinear, SlotFeatures
from skts.fractal.generators import Generator
from skts.fractal.leaves import Leaf
from skts.fractal.mixture import Anchors, Mixture

__all__ = ["FractalNet"]


class FractalNet(nn.Module):
    """Exact densities over slots at the leaves of a tree.

    Parameters
    ----------
    arities : sequence of int
        Children of a node, level by level.
    places : list of int
        Leaf at which each of the D slots stands.
    leaf_period : int
        Leaves after which their meaning repeats.
    repeats : int
        Slots after which their meaning repeats.
    n_values : list of int
        Codes of each slot, 0 for a number.
    n_classes : int
        C; 0 without classes.
    mixture : Mixture
        The density to start from.
    generators : list of callable
        ``generator(n_children, d_condition, d_model, depth, dropout)`` of each level; none of them leaves the mixture
        alone.
    dims, depths : list of int
        Width and layers of each level.
    dropout : float
        Part of the activations that training drops.
    n_orders : int
        R; a density is the mean over so many orders of the children.
    blended : bool
        Whether the network learns codes by itself, see :class:`~skts.fractal.leaves.Leaf`.
    """

    made_by_each_fit = ("mixture.", "leaf.log_marginal", "leaf.trust")

    def __init__(
        self,
        arities: list[int],
        places: list[int],
        leaf_period: int,
        repeats: int,
        n_values: list[int],
        n_classes: int,
        mixture: Mixture,
        generators: list[type[Generator]],
        dims: list[int],
        depths: list[int],
        dropout: float,
        n_orders: int,
        blended: bool,
    ) -> None:
        super().__init__()
        self.arities, self.n_leaves, self.n_slots = list(arities), math.prod(arities), len(places)
        self.n_orders = n_orders
        self.slot_at = {place: slot for slot, place in enumerate(places)}
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.features = SlotFeatures(n_values)
        self.mixture = mixture
        self.root = nn.Embedding(
            n_classes + 1, dims[0 if generators else -1]
        )  # the last row is the condition without a class
        nn.init.normal_(self.root.weight, std=0.02)
        self.embed, self.levels = nn.ModuleList(), nn.ModuleList()
        size = self.n_leaves
        for k, generator, d_above, d, depth in zip(arities, generators, [dims[0], *dims], dims, depths, strict=False):
            size //= k
            self.embed.append(PlacewiseLinear(max(1, leaf_period // size), size * (self.features.width + 1), d))
            self.levels.append(generator(k, d_above, d, depth, dropout))
        self.leaf = Leaf(dims[-1], n_values, mixture.n_components, repeats, blended)

    @property
    def no_class(self) -> int:
        """Label that stands for no class."""
        return self.root.num_embeddings - 1

    @property
    def sees_through_gaps(self) -> bool:
        """Whether what is said of a slot is right whatever is missing before it: numbers of a mixture alone."""
        return not self.levels and max(self.mixture.parents, default=-1) < 0 and self.mixture.exact_among_gaps

    def conditions(self, x: Tensor, label: Tensor, order: int = 0) -> Tensor:
        """What the levels say of each slot (B, D, d), given the slots before it."""
        B, N = len(x), self.n_leaves
        if not self.levels:
            return self.root(label)[:, None].expand(-1, self.n_slots, -1)
        features = x.new_zeros(B, N, self.features.width + 1)
        features[:, self.places] = self.features(x)
        c = self.root(label)
        for k, embed, generator in zip(self.arities, self.embed, self.levels, strict=True):
            nodes = len(c)
            e = embed(features.view(B, nodes // B * k, -1)).reshape(nodes, k, -1)
            c = generator(c, e, order).reshape(nodes * k, -1)
        return c.view(B, N, -1)[:, self.places]

    def forward(
        self, x: Tensor, label: Tensor, given: Tensor | None = None, anchors: Anchors | None = None, order: int = 0
    ) -> Tensor:
        """Log-probabilities and log-densities (B, D) of the slots of x, each given those before it, nats.

        Parameters
        ----------
        x : Tensor of shape (B, D)
            Codes and numbers in the tree's order, NaN where missing.
        label : Tensor of shape (B,)
            Class, or :attr:`no_class`.
        given : Tensor of shape (B, D), optional
            What the model sees of x, where that is less than x.
        anchors : Anchors, optional
            What a mixture says that was fitted without these rows; training takes it instead of :attr:`mixture`.
        order : int
            Which of the R orders.
        """
        given = x if given is None else given
        if anchors is None and not self.leaf.alone:
            with torch.no_grad():
                anchors = self.mixture(given, label)
        return self.leaf(self.conditions(given, label, order), x, anchors)

    def log_prob(self, x: Tensor, label: Tensor) -> Tensor:
        """Log-density (B,) of the rows, nats: with several orders the mean of the densities in each."""
        by_order = [self(x, label, order=r).double().sum(1) for r in range(self.n_orders)]
        return torch.stack(by_order).logsumexp(0) - math.log(self.n_orders)

    def by_slot(self, x: Tensor, label: Tensor) -> Tensor:
        """Log-densities (B, D) of the slots; with several orders their mean, weighted by how well each explains x."""
        by_order = torch.stack([self(x, label, order=r).double() for r in range(self.n_orders)])
        weight = by_order.sum(2).softmax(0)
        return (weight[..., None] * by_order).sum(0)
