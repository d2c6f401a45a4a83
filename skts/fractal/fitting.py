"""How a FractalSampler comes to its model: describe the samples, fit the mixture, build, train."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, column_or_1d
from torch import Tensor, nn

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches, FitRun
from skts.errors import ParameterError
from skts.fractal.columns import Columns, as_plain
from skts.fractal.em import Shape
from skts.fractal.generators import GENERATORS
from skts.fractal.honesty import HonestMixtures, blend
from skts.fractal.layout import Layout, lay_out
from skts.fractal.mixture import Mixture
from skts.fractal.module import FractalNet
from skts.fractal.ordering import dependent_order, mutual_information
from skts.fractal.paper import load_paper
from skts.fractal.released import ReleasedNet
from skts.fractal.samples import as_samples, learn_container
from skts.fractal.search import MixtureSearch, parents_of
from skts.validation import check_options, check_weights

__all__ = ["FractalFitting"]

_RARE: dict[str, list[Any]] = {
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "label_drop": [Interval(Real, 0, 1, closed="left")],
    "n_bins": [Interval(Integral, 2, None, closed="left")],
    "n_orders": [Interval(Integral, 1, None, closed="left")],
}

_MOST_FULL = 2000  # numbers of a sample: beyond, covariances are diagonal
_LEAST_GAIN = 0.01  # nats for each number, below which columns are not bent
_MOST_JUDGED = 1000  # rows that level_nll_ and the weight of a blend are taken from


class FractalFitting(TorchEstimatorMixin):
    """Describe, build, train; see :class:`~skts.fractal.FractalSampler`."""

    _schedule = "averaged"

    def _describe(self, X: Any, y: Any, sample_weight: Any) -> ArrayBatches:
        if self.weights is not None:
            return self._describe_released(X)
        self.container_ = learn_container(X, self.layout)
        samples = as_samples(self, X, self.container_, reset=True)
        weight = check_weights(sample_weight, samples)
        label = self._learn_classes(y, len(samples), weight)
        if weight is not None and not weight.all():
            kept = weight > 0
            samples, label, weight = samples[kept], label[kept], weight[kept]
        layout = self._learn_layout(samples)
        rows = layout.flatten(samples)
        self.knows_missing_ = bool(self.mask_rate or np.isnan(rows).any())
        self._held_out = _draw_held_out(len(rows), self.validation_fraction)
        columns, codes = self._fit_mixture(rows, label, weight, layout)
        self.columns_ = as_plain(columns)
        self.module_config_ = self._config(layout, columns)
        return ArrayBatches.of(codes, label, self._mixture.fold, sample_weight=weight)

    def _learn_classes(self, y: Any, n: int, weight: Any) -> np.ndarray:
        """Class of each row as a number; classes that y does not have are no classes."""
        for name in ("classes_", "class_prior_"):
            self.__dict__.pop(name, None)
        if y is not None and not self._ignores(y):
            y = column_or_1d(y)
            check_consistent_length(y, range(n))
            self.classes_, label = np.unique(y, return_inverse=True)
            self.class_prior_ = np.bincount(label, weights=weight) / (n if weight is None else weight.sum())
            return label.astype(np.int64)
        return np.zeros(n, dtype=np.int64)

    def _ignores(self, y: Any) -> bool:
        return type_of_target(y) not in ("binary", "multiclass")

    def _learn_layout(self, samples: np.ndarray) -> Layout:
        self.layout_, self.shape_ = self.container_["layout"], samples.shape[1:]
        self.ordering_ = None
        if self.layout_ == "table":
            self.ordering_ = self._order_of(samples)
        self.blocks_ = self._layout.blocks
        return self._layout

    def _order_of(self, samples: np.ndarray) -> np.ndarray:
        d = samples.shape[1]
        if isinstance(self.ordering, str):
            if self.ordering == "auto":
                return dependent_order(mutual_information(samples))
            return np.arange(d) if self.ordering == "given" else torch.randperm(d).numpy()
        order = np.asarray(self.ordering)
        if sorted(order.ravel().tolist()) != list(range(d)):
            raise ParameterError(f"an order of the columns 0 to {d - 1}", f"ordering={order}", "Name each column once.")
        return order

    @property
    def _layout(self) -> Layout:
        return lay_out(self.layout_, self.shape_, self.ordering_, self.splits)

    def _leaves(self, layout: Layout) -> str | list[str]:
        """The kind of each slot in the tree's order, as far as the user or a frame's dtype says it."""
        if not isinstance(self.leaf, str):
            leaves = list(self.leaf)
            if len(leaves) != layout.n_slots:
                raise ParameterError(f"{layout.n_slots} leaves, one for each slot", f"{len(leaves)}", "Correct leaf.")
            return [leaves[slot] for slot in layout.order]
        if self.leaf == "auto" and self.container_.get("categories"):
            words = self.container_["categories"]
            return ["categorical" if slot in words else "auto" for slot in layout.order]
        return self.leaf

    def _fit_mixture(
        self, rows: np.ndarray, label: np.ndarray, weight: Any, layout: Layout
    ) -> tuple[Columns, np.ndarray]:
        """The columns, and the rows in their codes, by the scaling under which held-out rows are likelier."""
        standard = Columns.learn(rows, self._leaves(layout), self._rare("n_bins"), layout.repeats)
        self._shape, seed, ways = self._shape_of(standard, rows), int(torch.randint(2**31 - 1, ())), {}
        for scaling in self._scalings if standard.real.any() else ["standard"]:
            columns = standard if scaling == "standard" else standard.bent(rows[~self._held_out], layout.repeats)
            search = MixtureSearch(*columns.encode(rows), label, weight, self._shape, self._held_out, seed)
            ways[scaling] = columns, search, search.best(self._n_components_wanted)
        least = {"standard": 0.0, "normal": _LEAST_GAIN * standard.real.sum()}
        self.scaling_ = max(ways, key=lambda scaling: ways[scaling][2].score - least[scaling])
        columns, search, best = ways[self.scaling_]
        self.mixture_score_ = best.score
        unheard = self.generator is None or (self._blended and columns.discrete)  # by the network in training
        self._mixture = best if unheard else search.cross_fitted(best)
        return columns, search.x

    @property
    def _scalings(self) -> list[str]:
        if self.scaling != "auto":
            return [self.scaling]
        if self.layout_ != "table":  # bent windows of prices were easier to tell from real ones when drawn
            return ["standard"]
        return [self.scaling_] if self.warm_start and hasattr(self, "module_") else ["standard", "normal"]

    def _shape_of(self, columns: Columns, rows: np.ndarray) -> Shape:
        n_values = columns.n_values
        parents = parents_of(mutual_information(rows), n_values) if self._mixes else [-1] * sum(v > 0 for v in n_values)
        ordinal = np.array([kind == "ordinal" for kind in columns.kinds if kind != "mix"], dtype=bool)
        full = self._mixes and int(columns.real.sum()) <= _MOST_FULL
        return Shape(n_values, self._n_classes, parents, ordinal, full)

    @property
    def _mixes(self) -> bool:
        """Whether the mixture is more than one component in which nothing depends on anything."""
        any_order = "mar" in self._generators
        if any_order and self.mixture not in (None, "auto"):
            what = f"mixture={self.mixture!r} with generator={self.generator!r}"
            raise ParameterError("mixture=None with generator='mar'", what, "The mixture knows one order only.")
        return self.mixture is not None and not any_order

    @property
    def _n_components_wanted(self) -> int | str:
        if not self._mixes:
            return 1
        if self.warm_start and hasattr(self, "module_"):
            return self.module_config_["n_components"]
        return self.mixture

    @property
    def _blended(self) -> bool:
        """Images: the network learns more when it does not start from the mixture, and gains when it is blended."""
        return self.layout_ == "image" and self.generator is not None and self._mixes

    @property
    def _generators(self) -> list[Any]:
        if self.generator is None:
            return []
        return _for_each(self.generator, len(self._layout.arities), [], "generator")

    @property
    def _n_classes(self) -> int:
        return len(self.classes_) if hasattr(self, "classes_") else 0

    def _config(self, layout: Layout, columns: Columns) -> dict[str, Any]:
        is_table = layout.kind == "table"
        return {
            "arities": list(layout.arities),
            "places": list(layout.places),
            "leaf_period": layout.n_leaves if is_table else layout.repeats,
            "repeats": layout.n_slots if is_table else layout.shape[-1] if layout.repeats > 1 else 1,
            "n_values": columns.n_values,
            "n_classes": self._n_classes,
            "n_components": self._mixture.n_components,
            "parents": self._shape.parents,
            "full": self._shape.full,
            "blended": self._blended,
        }

    def _describe_released(self, X: Any) -> ArrayBatches:
        """Take a released network as it is; X is held against its images."""
        self._released = load_paper(self.weights)
        config = self._released.config
        side = config.sides[0]
        shape = (side, side, 3)
        self.container_ = {"layout": "image", "shape": shape, "dtype": "uint8"}
        self.layout_, self.shape_, self.ordering_ = "image", shape, None
        as_samples(self, X, self.container_, reset=True)
        values = np.arange(256.0)
        D = int(np.prod(shape))
        self.columns_ = as_plain(Columns(("ordinal",) * D, (0,) * D, (values,), np.zeros(D), np.ones(D)))
        self.knows_missing_ = False
        self.classes_ = np.arange(config.n_classes)
        self.__dict__.pop("class_prior_", None)
        self.blocks_ = self._layout.blocks
        order = list(self._layout.order)
        self.module_config_ = {"released": config.to_json(), "order": order}
        return ArrayBatches.of(np.zeros((1, 1), dtype=np.float32))

    def _build(self, **config: Any) -> nn.Module:
        return ReleasedNet(**config) if "released" in config else self._build_net(**config)

    def _build_net(self, n_components: int, parents: list[int], full: bool, **config: Any) -> nn.Module:
        n_levels = len(config["arities"])
        dims = _for_each(self.dims, n_levels, [64] if n_levels == 1 else [128, 64, 32], "dims")
        depths = _for_each(self.depths, n_levels, [2] if n_levels == 1 else [3, 2, 1], "depths")
        mixture = Mixture(config["n_values"], n_components, config["n_classes"], parents, full)
        n_orders = self._rare("n_orders") if "mar" in self._generators else 1
        makers = {**GENERATORS, "mar": partial(GENERATORS["mar"], n_orders=n_orders)}
        generators = [_known_generator(g, makers) for g in self._generators]
        net = FractalNet(
            mixture=mixture,
            generators=generators,
            dims=dims,
            depths=depths,
            dropout=self._rare("dropout"),
            n_orders=n_orders,
            **config,
        )
        for own in (level for level in net.levels if type(level) not in GENERATORS.values()):
            _check_causal(own)
        return net

    def _loss(self, module: nn.Module, x: Tensor, label: Tensor, fold: Tensor) -> Tensor:
        """Negative log-likelihood of each row, nats for each slot."""
        given = None
        if not self._n_classes:
            label = torch.full_like(label, module.no_class)
        elif module.training:
            dropped = torch.rand(len(label), device=label.device) < self._rare("label_drop")
            label = label.masked_fill(dropped, module.no_class)
        if module.training and self.mask_rate:
            given = x.masked_fill(torch.rand_like(x) < self.mask_rate, float("nan"))
        honest = module.training and not module.leaf.alone
        anchors = self._honest(x if given is None else given, label, fold) if honest else None
        if module.n_orders == 1:
            return -module(x, label, given, anchors).sum(1) / x.shape[1]
        if module.training:  # one order a step: the mean over orders bounds the density from below
            order = int(torch.randint(module.n_orders, ()))
            return -module(x, label, given, anchors, order).sum(1) / x.shape[1]
        return -module.log_prob(x, label) / x.shape[1]

    def _train(self, run: FitRun, module: nn.Module, batches: ArrayBatches) -> None:
        if self.weights is not None:
            module.net.load_state_dict(self.__dict__.pop("_released").state_dict())
            return
        self._honest = HonestMixtures(module.mixture, self._mixture)
        if module.leaf.blended:
            module.leaf.log_marginal.copy_(torch.from_numpy(self._mixture.log_marginal))
        held = torch.from_numpy(self._held_out)
        train = replace(batches, index=torch.nonzero(~held)[:, 0])
        valid = replace(batches, index=torch.nonzero(held)[:, 0]) if held.any() else None
        self._judged = (valid or train).take(torch.arange(min(_MOST_JUDGED, len(valid or train))))
        if self.generator is not None:
            try:
                run.train(module, train, self._loss, valid=valid, keep_start=True)
            finally:
                if module.leaf.blended and valid is not None:
                    blend(module, self._judged[:2])

    def _finalise(self, run: FitRun, module: nn.Module, *args: Any) -> None:
        super()._finalise(run, module, *args)
        if self.weights is not None:
            return
        fitted, (x, label, _) = self.__dict__.pop("_mixture"), self.__dict__.pop("_judged")
        for name in ("_honest", "_held_out", "_shape"):
            self.__dict__.pop(name)
        self.splits_, self.n_components_ = self.module_config_["arities"], fitted.n_components
        surprise = -self._log_prob_slots(x.numpy(), label.numpy()).mean(0)
        opens = self._layout.opening_levels
        self.level_nll_ = {i: float(surprise[opens == i].mean()) for i in np.unique(opens).tolist()}

    def _rare(self, key: str) -> Any:
        defaults = {"dropout": 0.1, "label_drop": 0.1, "n_bins": 64, "n_orders": 4}
        return check_options(self.module_kwargs, _RARE, "module_kwargs").get(key, defaults[key])

    @property
    def _columns(self) -> Columns:
        return Columns(**self.columns_)


def _for_each(value: Any, n_levels: int, auto: Sequence[Any], name: str) -> list[Any]:
    """One entry for each level."""
    if isinstance(value, str) and value == "auto":
        return [auto[min(i, len(auto) - 1)] for i in range(n_levels)]
    if not isinstance(value, list | tuple):
        return [value] * n_levels
    if len(value) != n_levels:
        what = f"{len(value)}: {list(value)}"
        raise ParameterError(f"{name} with {n_levels} entries, one for each level", what, f"Change {name} or splits.")
    return list(value)


def _known_generator(generator: Any, known: dict[str, Any]) -> Any:
    if isinstance(generator, str) and generator not in known:
        raise ParameterError(f"a generator of {sorted(known)}, or a class", repr(generator), "Change generator.")
    return known[generator] if isinstance(generator, str) else generator


@torch.no_grad()
def _check_causal(generator: nn.Module) -> None:
    """A generator of the user's own that hears what it is to foresee would make every density a fiction."""
    k, training = generator.n_children, generator.training
    c, (e, other) = torch.randn(2, generator.d_condition), torch.randn(2, 2, k, generator.d_model)
    before = generator.eval()(c, e)
    for j in range(k):
        later = torch.arange(k)[:, None] >= j
        if not torch.allclose(generator(c, torch.where(later, other, e))[:, j], before[:, j], atol=1e-5):
            what = f"{type(generator).__name__}, whose answer for child {j} changes with that child or a later one"
            raise ParameterError("a generator that answers from the children before", what, "Mask the others.")
    generator.train(training)


def _draw_held_out(n: int, fraction: float) -> np.ndarray:
    """Rows (n,) that judge the mixture and stop the training."""
    held = np.zeros(n, dtype=bool)
    size = min(max(1, round(n * fraction)), n - 1) if fraction > 0 else 0
    held[torch.randperm(n)[:size].numpy()] = True
    return held
