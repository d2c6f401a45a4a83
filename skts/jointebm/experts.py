"""Two predictors whose held-out predictions of the training rows feed the energy: a forest and a kernel ridge.

Both predict the features of the output, and both say for each training row what they would have said without it
(out-of-bag votes; the leave-one-out formula of ridge regression). The energy therefore learns how far to trust them,
which predictions of rows that they know by heart would not teach.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor, nn

from skts.engine.batches import as_tensor
from skts.jointebm.spaces import Space

__all__ = ["FARTHEST", "Forest", "KernelRidge", "fit_experts", "fit_forest", "fit_kernel_ridge", "scale_rows"]

FARTHEST = 10.0  # standard deviations at which a scaled feature is clipped
_WIDTHS = (0.25, 1.0, 4.0)  # of the kernel, in medians of the squared distance
_RIDGES = tuple(10.0 ** (i / 2) for i in range(-6, 5))
_LEVELS = 4  # that a forest descends between two looks at which walks have ended
_CHUNK = 2048  # rows that are dense at a time
_MOST_VALUES = 2_000_000  # numbers in all leaves of a forest: bounds what a saved model weighs


@dataclass(frozen=True)
class Fitted:
    """A predictor's buffers, and its held-out predictions (n, D) of the training rows."""

    buffers: dict[str, Tensor]
    held_out: np.ndarray


class Forest(nn.Module):
    """Extremely randomised trees as tables: walk from the roots to the leaves, average the leaves' values.

    Parameters
    ----------
    n_trees, n_nodes, n_leaves, n_out : int
        Sizes of the tables.
    """

    def __init__(self, n_trees: int, n_nodes: int, n_leaves: int, n_out: int) -> None:
        super().__init__()
        self.register_buffer("roots", torch.zeros(n_trees, dtype=torch.long))
        self.register_buffer("feature", torch.zeros(n_nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.full((n_nodes,), torch.inf))  # infinite at a leaf
        self.register_buffer("child", torch.zeros(n_nodes, dtype=torch.int32))  # the left one; the right one is next
        self.register_buffer("leaf", torch.zeros(n_nodes, dtype=torch.int32))  # row of a leaf in values
        self.register_buffer("values", torch.zeros(n_leaves, n_out))

    def forward(self, X: Tensor) -> Tensor:  # (B, d) -> (B, n_out)
        """The forest's prediction."""
        B, T = len(X), len(self.roots)
        cells, node = X.reshape(-1), self.roots.repeat(B)
        offset = (torch.arange(B, device=X.device) * X.shape[1]).repeat_interleave(T)
        active, here = torch.arange(B * T, device=X.device), node.clone()
        while len(active):
            for _ in range(_LEVELS):  # a leaf is its own child
                right = cells[offset + self.feature[here]] > self.threshold[here]
                here = self.child[here] + right.long()
            node[active] = here
            inner = self.threshold[here] < torch.inf
            active, here, offset = active[inner], here[inner], offset[inner]
        return nn.functional.embedding_bag(self.leaf[node].view(B, T).long(), self.values, mode="mean")


def fit_forest(X: np.ndarray, target: np.ndarray, weight: np.ndarray | None, n_trees: int, seed: int) -> Fitted:
    """Fit the trees and read them into tables.

    Parameters
    ----------
    X : array or CSR matrix of shape (n, d)
        Training rows.
    target : array of shape (n, D)
        Features of the outputs.
    weight : array of shape (n,) or None
        Sample weights.
    n_trees, seed : int
        Number of trees, and their seed.

    Returns
    -------
    Fitted
        With out-of-bag predictions; a row that was in every bag gets the mean.
    """
    n, D = target.shape
    leaf = max(1, round(n * D * n_trees / (2 * _MOST_VALUES)))
    forest = ExtraTreesRegressor(
        n_trees, min_samples_leaf=leaf, max_features="sqrt", bootstrap=True, random_state=seed, n_jobs=1
    ).fit(X, target if D > 1 else target[:, 0], weight)
    held_out, votes = np.zeros((n, D)), np.zeros((n, 1))
    for tree, inside in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        outside = np.ones(n, dtype=bool)
        outside[inside] = False
        if outside.any():
            held_out[outside] += tree.predict(X[outside]).reshape(-1, D)
            votes[outside] += 1
    mean = np.average(target, axis=0, weights=weight)
    held_out = np.where(votes > 0, held_out / np.maximum(votes, 1), mean)
    return Fitted(_tables([tree.tree_ for tree in forest.estimators_], D), held_out)


def _tables(trees: list[Any], D: int) -> dict[str, Tensor]:
    """The nodes of all trees, level by level, so that the two children of a node stand beside each other."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("feature", "threshold", "child", "leaf", "values")}
    roots, n_nodes, n_leaves = [], 0, 0
    for tree in trees:
        order = _level_order(tree)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        is_leaf = tree.children_left[order] < 0
        left = np.where(is_leaf, np.arange(len(order)), place[tree.children_left[order]])
        roots.append(n_nodes)
        columns["feature"].append(np.where(is_leaf, 0, tree.feature[order]))
        columns["threshold"].append(np.where(is_leaf, np.inf, tree.threshold[order]))
        columns["child"].append(left + n_nodes)
        columns["leaf"].append(np.where(is_leaf, n_leaves + np.cumsum(is_leaf) - 1, 0))
        columns["values"].append(tree.value[order][is_leaf].reshape(-1, D))
        n_nodes, n_leaves = n_nodes + len(order), n_leaves + int(is_leaf.sum())
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    # scikit-learn compares float32 rows with float64 thresholds: the next lower float32 decides the same way.
    exact = joined["threshold"]
    single = exact.astype(np.float32)
    joined["threshold"] = np.where(single > exact, np.nextafter(single, np.float32(-np.inf)), single)
    types = {"feature": np.int32, "child": np.int32, "leaf": np.int32}
    tables = {name: torch.from_numpy(v.astype(types.get(name, np.float32))) for name, v in joined.items()}
    return {"roots": torch.tensor(roots), **tables}


def _level_order(tree: Any) -> np.ndarray:
    """Nodes of a tree by level."""
    levels = [np.zeros(1, dtype=np.int64)]
    while len(levels[-1]):
        inner = levels[-1][tree.children_left[levels[-1]] >= 0]
        levels.append(np.stack([tree.children_left[inner], tree.children_right[inner]], 1).ravel())
    return np.concatenate(levels)


class KernelRidge(nn.Module):
    """Ridge regression on a Gaussian kernel around landmarks.

    Parameters
    ----------
    n_landmarks, n_in, n_out : int
        Sizes.
    """

    def __init__(self, n_landmarks: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_in))
        self.register_buffer("coef", torch.zeros(n_landmarks, n_out))
        self.register_buffer("intercept", torch.zeros(n_out))
        self.register_buffer("width", torch.ones(()))  # of the squared distance

    def forward(self, X: Tensor) -> Tensor:  # (B, d), scaled -> (B, n_out)
        """The prediction; far from all landmarks it is the intercept."""
        return torch.exp(-_squared_distances(X, self.landmarks) / self.width) @ self.coef + self.intercept


def _squared_distances(A: Tensor, B: Tensor) -> Tensor:
    squares = A.square().sum(1)[:, None] + B.square().sum(1)
    return torch.addmm(squares, A, B.T, alpha=-2).clamp_min(0)


def fit_kernel_ridge(
    X: Any, center: Tensor, scale: Tensor, target: np.ndarray, weight: np.ndarray | None, n_landmarks: int, seed: int
) -> Fitted:
    """Fit by the Nyström method; width and ridge are those of the lowest leave-one-out error.

    Parameters
    ----------
    X : array or CSR matrix of shape (n, d)
        Training rows.
    center, scale : Tensor of shape (d,)
        How rows are scaled.
    target : array of shape (n, D)
        Features of the outputs.
    weight : array of shape (n,) or None
        Sample weights.
    n_landmarks, seed : int
        Number of landmarks at the most, drawn at random among the rows, and their seed.

    Returns
    -------
    Fitted
        With leave-one-out predictions.
    """
    rows, n = as_tensor(X), X.shape[0]
    w = torch.ones(n, dtype=torch.float64) if weight is None else torch.from_numpy(weight).double()
    Y = torch.from_numpy(target)
    mean = (w[:, None] * Y).sum(0) / w.sum()
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:n_landmarks]
    marks = scale_rows(rows.index_select(0, chosen), center, scale).double()
    starts, between = range(0, n, _CHUNK), _squared_distances(marks, marks)
    distance = torch.cat(
        [_squared_distances(scale_rows(rows[i : i + _CHUNK], center, scale).double(), marks) for i in starts]
    )
    apart = between[between > 1e-9]
    median = apart.median() if len(apart) else torch.ones(()).double()
    fits = [_ridges(distance, between, factor * median, Y - mean, w) for factor in _WIDTHS]
    _, width, coef, residual = min(fits, key=lambda fit: fit[0])
    buffers = {"landmarks": marks, "coef": coef, "intercept": mean, "width": width}
    return Fitted({name: value.float() for name, value in buffers.items()}, (Y - residual).numpy())


def _ridges(
    distance: Tensor, between: Tensor, width: Tensor, Y: Tensor, w: Tensor
) -> tuple[float, Tensor, Tensor, Tensor]:
    """The best ridge for one width: its error, the width, the coefficients, the leave-one-out residuals."""
    Phi, whiten = _nystrom(torch.exp(-distance / width), torch.exp(-between / width))
    value, basis = torch.linalg.eigh(Phi.T @ (w[:, None] * Phi))
    Psi, squares = Phi @ basis, (Phi @ basis).square()
    moments = Psi.T @ (w[:, None] * Y)
    best: tuple[float, Any, Any] = (math.inf, None, None)
    for ridge in _RIDGES:
        shrink = 1 / (value.clamp_min(0) + ridge)
        leverage = (w * (squares @ shrink)).clamp_max(1 - 1e-6)
        residual = (Y - Psi @ (shrink[:, None] * moments)) / (1 - leverage)[:, None]
        error = float((w[:, None] * residual.square()).mean())
        if error < best[0]:
            best = (error, shrink, residual)
    error, shrink, residual = best
    return error, width, whiten @ (basis @ (shrink[:, None] * moments)), residual


def _nystrom(cross: Tensor, between: Tensor) -> tuple[Tensor, Tensor]:
    """Features whose inner products are the kernel's, as far as the landmarks span it."""
    value, basis = torch.linalg.eigh(between)
    kept = value > 1e-8 * value[-1]
    whiten = basis[:, kept] * value[kept].rsqrt()
    return cross @ whiten, whiten


@dataclass(frozen=True)
class Fresh:
    """What a fit makes of its data before it trains.

    Parameters
    ----------
    buffers : dict of str to Tensor
        State of the encoder: scale and experts' tables.
    sizes : dict of str to dict
        Sizes of the experts' tables.
    held_out : ndarray of shape (n, F)
        The experts' held-out predictions of the training rows, as potentials.
    """

    buffers: dict[str, Tensor]
    sizes: dict[str, dict[str, int]]
    held_out: np.ndarray


def fit_experts(
    encoder: str,
    X: Any,
    space: Space,
    Y: np.ndarray,
    known: np.ndarray | None,
    weight: np.ndarray | None,
    rare: dict[str, Any],
    seed: int,
) -> Fresh:
    """Scale x and fit the experts of an encoder ("stack" has both, "linear" and "mlp" none).

    Parameters
    ----------
    encoder : str
        Name of the encoder.
    X : array or CSR matrix of shape (n, d)
        Training rows.
    space : Space
        Output space, whose features the experts predict.
    Y : array of shape (n, k)
        Codes.
    known : array of shape (n, k) or None
        Which labels were observed; the others are filled by what the first expert says without them.
    weight : array of shape (n,) or None
        Sample weights.
    rare : dict
        n_trees and n_landmarks.
    seed : int
        Seed of the experts.
    """
    center, scale = _spread(X)
    mean = torch.from_numpy(np.asarray(X.mean(axis=0), dtype=np.float32).ravel())
    buffers = {"encoder.center": center, "encoder.scale": scale, "encoder.mean": mean}
    target = space.features(torch.from_numpy(Y)).numpy().astype(np.float64)
    if known is not None:
        target = np.where(known, target, _column_means(target, known))
    # A copy of a row would tell the held-out prediction of the row what it must not know.
    X, back, copies = _distinct(X)
    if len(copies) < len(target):
        weight = np.ones(len(target)) if weight is None else weight
        mass = np.bincount(back, weight)
        target = np.stack([np.bincount(back, weight * column) for column in target.T], 1) / mass[:, None]
        known, weight = (None if known is None else known[copies]), mass.astype(np.float32)
    fitted: dict[str, Fitted] = {}
    if encoder in ("stack", "kernel"):
        fitted["kernel"] = fit_kernel_ridge(X, center, scale, target, weight, rare["n_landmarks"], seed)
        if known is not None:  # once more, with better guesses of what is missing
            target = np.where(known, target, fitted["kernel"].held_out.clip(0, 1))
            fitted["kernel"] = fit_kernel_ridge(X, center, scale, target, weight, rare["n_landmarks"], seed)
    if encoder in ("stack", "forest"):
        fitted["forest"] = fit_forest(X, target, weight, rare["n_trees"], seed)
    for name, fit in fitted.items():
        buffers.update({f"encoder.experts.{name}.{key}": value for key, value in fit.buffers.items()})
    held_out = [fit.held_out.astype(np.float32) for fit in fitted.values()]
    joined = np.concatenate(held_out, 1)[back] if held_out else np.zeros((len(Y), 0), dtype=np.float32)
    return Fresh(buffers, {name: _sizes(name, fit.buffers) for name, fit in fitted.items()}, joined)


def _sizes(name: str, buffers: dict[str, Tensor]) -> dict[str, int]:
    """What the module must know to make room for the tables."""
    if name == "kernel":
        n_landmarks, n_in = buffers["landmarks"].shape
        return {"n_landmarks": n_landmarks, "n_in": n_in, "n_out": buffers["coef"].shape[1]}
    n_leaves, n_out = buffers["values"].shape
    return {"n_trees": len(buffers["roots"]), "n_nodes": len(buffers["feature"]), "n_leaves": n_leaves, "n_out": n_out}


def _spread(X: Any) -> tuple[Tensor, Tensor]:
    """Center and scale of the columns; a sparse matrix is not centred, and columns go to at most 1."""
    if issparse(X):
        scale = np.asarray(abs(X).max(axis=0).todense()).ravel()
        center = np.zeros_like(scale)
    else:
        center, scale = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(center), 1e-12), scale, 1.0)
    return torch.from_numpy(center.astype(np.float32)), torch.from_numpy(scale.astype(np.float32))


def scale_rows(X: Tensor, center: Tensor, scale: Tensor) -> Tensor:
    """Rows in units of the training rows' spread, clipped so that none leads far out of what was learned."""
    return ((X.to(center.dtype) - center) / scale).clamp(-FARTHEST, FARTHEST)


def _distinct(X: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """The distinct rows of X, which of them each row is, and where each stands first."""
    if issparse(X):
        keys = [row.indices.tobytes() + row.data.tobytes() for row in X]
    else:
        keys = [row.tobytes() for row in np.ascontiguousarray(X)]
    numbers: dict[bytes, int] = {}
    back = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    first = np.unique(back, return_index=True)[1]
    if len(first) == X.shape[0]:
        return X, np.arange(len(first)), np.arange(len(first))
    return X[first], back, first


def _column_means(target: np.ndarray, known: np.ndarray) -> np.ndarray:
    return (target * known).sum(0) / known.sum(0)
