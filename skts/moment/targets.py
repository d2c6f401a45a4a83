"""From a user's y to what a head learns, and the head that a linear model on frozen features would be."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.utils.multiclass import type_of_target
from torch import Tensor, nn

from skts.errors import InputError

__all__ = ["Head", "Target"]


@dataclass(frozen=True)
class Target:
    """Classes as numbers from 0, or numbers with mean 0 and standard deviation 1.

    Parameters
    ----------
    values : Tensor
        int64 (n,) of classes, or float32 (n, k).
    labels : ndarray of shape (n,), optional
        The classes once more, for a split that keeps their shares.
    """

    values: Tensor
    labels: np.ndarray | None

    @classmethod
    def of(cls, y: Any, n: int) -> Self:
        """Check a user's y.

        Raises
        ------
        InputError
            If it is of another length, has missing values, or is neither of classes nor of numbers.
        """
        y = np.asarray(y)
        y = np.asarray(y.tolist()) if y.dtype == object else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if not y.ndim or len(y) != n:
            raise InputError(f"a target for each of {n} series", f"y of shape {y.shape}", "Correct y.")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise InputError("a finite target for each series", "NaN or infinity in y", "Drop these series.")
        kind = type_of_target(y)
        if kind in ("binary", "multiclass"):
            classes, labels = np.unique(y, return_inverse=True)
            if len(classes) < 2:
                hint = "Pass y=None, or objective='masked', to learn without it."
                raise InputError("at least two classes in y", f"one class, {classes[0]!r}", hint)
            return cls(torch.from_numpy(labels.astype(np.int64)), labels)
        if not kind.startswith("continuous"):
            hint = "Pass one class or one or more numbers for each series, or objective='masked'."
            raise InputError("y with classes or numbers", f"y of kind {kind!r}", hint)
        y = y.astype(np.float64).reshape(n, -1)
        spread = y.std(0)
        return cls(torch.from_numpy((y - y.mean(0)) / np.where(spread > 0, spread, 1)).float(), None)


class Head(nn.Module):
    """Standardisation and a linear layer, which begins as the linear model of frozen features.

    Parameters
    ----------
    features : ndarray of shape (n, W)
        Of the training series.
    target : Tensor
        Theirs, as of :class:`Target`.
    n_outputs : int
        Classes, or numbers.
    """

    def __init__(self, features: np.ndarray, target: Tensor, n_outputs: int) -> None:
        super().__init__()
        scale = features.std(0)
        scale[scale < 1e-6] = 1.0
        self.register_buffer("mean", torch.from_numpy(features.mean(0)))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.dropout = nn.Dropout(0.1 if target.ndim == 1 else 0.0)  # it would bias numbers
        self.linear = nn.Linear(features.shape[1], n_outputs)
        with torch.no_grad():
            weight, bias = _linear_model((features - features.mean(0)) / scale, target.numpy(), n_outputs)
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(bias))

    def forward(self, features: Tensor) -> Tensor:
        """Logits or numbers."""
        return self.linear(self.dropout((features - self.mean) / self.scale))


def _linear_model(z: np.ndarray, y: np.ndarray, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, W) and biases (k,), regularised as wide features need it."""
    if y.ndim == 2:
        model = RidgeCV(np.logspace(-1, 5, 13)).fit(z, y)
        return model.coef_.reshape(n_outputs, -1), np.reshape(model.intercept_, n_outputs)
    weight, bias = np.zeros((n_outputs, z.shape[1])), np.full(n_outputs, -30.0)
    present = np.unique(y)  # a class may be held out as a whole
    bias[present] = 0
    if len(present) > 1:
        model = LogisticRegression(C=0.01, max_iter=200).fit(z, y)
        two = len(present) == 2  # one row for two classes: half of it for each
        weight[present] = np.vstack([-model.coef_, model.coef_]) / 2 if two else model.coef_
        bias[present] = np.hstack([-model.intercept_, model.intercept_]) / 2 if two else model.intercept_
    return weight, bias
