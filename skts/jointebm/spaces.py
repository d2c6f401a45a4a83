r"""Output spaces: what y may be, as codes (..., k) of whole numbers, and how potentials meet them.

An energy is :math:`-g(x, y) = -\langle \theta(x), \varphi(y) \rangle - c(y)`: potentials from an encoder, features of
the output from its space, and a coupling c (:mod:`skts.jointebm.couplings`) that sees the output alone.
"""

import itertools
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from skts.errors import InputError

__all__ = ["Classes", "LabelSets", "OutputSpace", "Permutations", "Space", "Subsets", "UserSpace", "make_space"]


@runtime_checkable
class OutputSpace(Protocol):
    """What an output space of your own has to say; numpy in, numpy out.

    Pass an instance as ``output=``. With ``states()`` everything is exact by enumeration; without it, training and
    queries draw from ``sample``.
    """

    n_features: int

    def check(self, y: Any) -> np.ndarray:
        """Outputs as whole numbers (n, k); ValueError for one that is not in the space."""
        ...

    def features(self, y: np.ndarray) -> np.ndarray:
        r""":math:`\varphi`: outputs (..., k) to features (..., n_features)."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, k) from the reference distribution."""
        ...

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        """Log-probability of outputs (..., k) under the reference distribution."""
        ...

    def states(self) -> np.ndarray | None:
        """All outputs (n_states, k), or None where they are too many to list."""
        ...


class Space:
    """Base of the built-in spaces.

    Parameters
    ----------
    k : int
        Entries of a code.
    """

    kind = ""
    binary_features = True  # features are 0 or 1, and experts predict their probabilities

    def __init__(self, k: int) -> None:
        self.k = k
        self.n_features = k

    @property
    def log_size(self) -> float:
        """Logarithm of the number of outputs."""
        raise NotImplementedError

    def features(self, Y: Tensor) -> Tensor:  # (..., k) -> (..., D)
        """Features of codes."""
        return Y.to(torch.get_default_dtype())

    def parts(self, Y: Tensor) -> Tensor:  # (..., k) -> (..., M) or (..., k, k)
        """Indicators whose expectations are the marginals: of labels, of classes, of items at positions."""
        return self.features(Y)

    def dot(self, theta: Tensor, Y: Tensor) -> Tensor:  # (B, D), (B, S, k) -> (B, S)
        """<theta, phi(y)>."""
        return torch.einsum("bd,bsd->bs", theta, Y.to(theta.dtype))

    def states(self) -> Tensor:  # (n_states, k)
        """Every code once."""
        raise NotImplementedError

    def uniform(self, noise: Tensor) -> Tensor:  # (..., k) -> (..., k)
        """Draws that are uniform over the space, from numbers that are uniform in [0, 1)."""
        raise NotImplementedError

    def reference(self, Y: np.ndarray, mass: np.ndarray) -> np.ndarray:  # (n, k), (n, k) -> (D,)
        """Potentials of the reference distribution q; zero is uniform. ``mass`` weighs the entries of the codes."""
        return np.zeros(self.n_features)

    def log_normaliser(self, theta: Tensor) -> Tensor:  # (D,) -> ()
        """Log-partition of the potentials of :meth:`reference`."""
        return torch.tensor(self.log_size, dtype=theta.dtype, device=theta.device)


class Classes(Space):
    """One of n classes; a code is the number of the class.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    kind = "multiclass"

    def __init__(self, n_classes: int) -> None:
        super().__init__(1)
        self.n_features = n_classes

    @property
    def log_size(self) -> float:  # noqa: D102
        return math.log(self.n_features)

    def features(self, Y: Tensor) -> Tensor:  # noqa: D102
        one_hot = torch.nn.functional.one_hot(Y.long()[..., 0], self.n_features)
        return one_hot.to(torch.get_default_dtype())

    def dot(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        return theta.gather(1, Y[..., 0].long())

    def states(self) -> Tensor:  # noqa: D102
        return torch.arange(self.n_features)[:, None]

    def uniform(self, noise: Tensor) -> Tensor:  # noqa: D102
        return (noise * self.n_features).long()

    def reference(self, Y: np.ndarray, mass: np.ndarray) -> np.ndarray:  # noqa: D102
        counts = np.bincount(Y[:, 0], mass[:, 0], minlength=self.n_features) + 0.5
        return np.log(counts / counts.sum())

    def log_normaliser(self, theta: Tensor) -> Tensor:  # noqa: D102
        return theta.logsumexp(-1)


class LabelSets(Space):
    """Any subset of k labels; a code is 0 or 1 for each."""

    kind = "multilabel"

    @property
    def log_size(self) -> float:  # noqa: D102
        return self.k * math.log(2.0)

    def states(self) -> Tensor:  # noqa: D102
        return (torch.arange(2**self.k)[:, None] >> torch.arange(self.k)) & 1

    def uniform(self, noise: Tensor) -> Tensor:  # noqa: D102
        return (noise < 0.5).long()

    def reference(self, Y: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """Log-odds of each label, smoothed so that a constant label has finite ones."""
        present, absent = (Y * mass).sum(0), ((1 - Y) * mass).sum(0)
        return np.log((present + 0.5) / (absent + 0.5))

    def log_normaliser(self, theta: Tensor) -> Tensor:  # noqa: D102
        return torch.nn.functional.softplus(theta).sum(-1)


class Subsets(LabelSets):
    """Subsets of exactly m of k labels.

    Parameters
    ----------
    k : int
        Number of labels.
    size : int
        m.
    """

    kind = "subset"

    def __init__(self, k: int, size: int) -> None:
        super().__init__(k)
        self.size = size

    @property
    def log_size(self) -> float:  # noqa: D102
        return math.log(math.comb(self.k, self.size))

    def states(self) -> Tensor:  # noqa: D102
        chosen = np.array(list(itertools.combinations(range(self.k), self.size)), dtype=np.int64)
        states = np.zeros((len(chosen), self.k), dtype=np.int64)
        np.put_along_axis(states, chosen.reshape(len(chosen), self.size), 1, axis=1)
        return torch.tensor(states)

    def uniform(self, noise: Tensor) -> Tensor:  # noqa: D102
        return (noise.argsort(-1).argsort(-1) < self.size).long()

    def reference(self, Y: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """Uniform: the size already says how many labels there are."""
        return np.zeros(self.k)

    def log_normaliser(self, theta: Tensor) -> Tensor:  # noqa: D102
        return Space.log_normaliser(self, theta)


class Permutations(Space):
    r"""Rankings of k items; a code is the position of each item, 0 = first.

    Parameters
    ----------
    k : int
        Number of items.
    birkhoff : bool, default=False
        False scores an item's position linearly, :math:`\theta_i (k - 1 - 2 y_i) / (k - 1)` (the permutahedron); True
        has a potential for every pair of item and position (the Birkhoff polytope).
    """

    kind = "ranking"

    def __init__(self, k: int, birkhoff: bool = False) -> None:
        super().__init__(k)
        self.birkhoff = self.binary_features = birkhoff
        self.n_features = k * k if birkhoff else k

    @property
    def log_size(self) -> float:  # noqa: D102
        return math.lgamma(self.k + 1)

    def positions(self, theta: Tensor) -> Tensor:  # (B, D) -> (B, k, k), item x position
        """Potential of each item at each position."""
        if self.birkhoff:
            return theta.unflatten(-1, (self.k, self.k))
        position = torch.arange(self.k, device=theta.device)
        return theta[..., None] * self._score(position).to(theta.dtype)

    def _score(self, position: Tensor) -> Tensor:
        return (self.k - 1 - 2.0 * position) / max(self.k - 1, 1)

    def features(self, Y: Tensor) -> Tensor:  # noqa: D102
        if self.birkhoff:
            return torch.nn.functional.one_hot(Y.long(), self.k).flatten(-2).to(torch.get_default_dtype())
        return self._score(Y).to(torch.get_default_dtype())

    def parts(self, Y: Tensor) -> Tensor:  # noqa: D102
        return torch.nn.functional.one_hot(Y.long(), self.k).to(torch.get_default_dtype())

    def dot(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        if not self.birkhoff:
            return torch.einsum("bk,bsk->bs", theta, self._score(Y).to(theta.dtype))
        table = self.positions(theta)[:, None].expand(-1, Y.shape[1], -1, -1)
        return table.gather(-1, Y.long()[..., None])[..., 0].sum(-1)

    def states(self) -> Tensor:  # noqa: D102
        states = torch.zeros(1, 1, dtype=torch.long)
        for i in range(1, self.k):  # put item i at each place between those before it
            shifted = [torch.cat([states + (states >= p), torch.full((len(states), 1), p)], 1) for p in range(i + 1)]
            states = torch.cat(shifted)
        return states

    def uniform(self, noise: Tensor) -> Tensor:  # noqa: D102
        return noise.argsort(-1)


class UserSpace(Space):
    """Adapts a user's :class:`OutputSpace` to tensors.

    Parameters
    ----------
    own : OutputSpace
        The user's object.
    k : int
        Entries of a code.
    """

    kind = "own"
    binary_features = False

    def __init__(self, own: OutputSpace, k: int) -> None:
        super().__init__(k)
        self.own = own
        self.n_features = int(own.n_features)

    @property
    def log_size(self) -> float:  # noqa: D102
        states = self.own.states()
        return math.inf if states is None else math.log(len(states))

    def features(self, Y: Tensor) -> Tensor:  # noqa: D102
        found = np.asarray(self.own.features(Y.cpu().numpy()), dtype=np.float64)
        if found.shape != (*Y.shape[:-1], self.n_features):
            raise InputError(
                f"features of shape {(*tuple(Y.shape[:-1]), self.n_features)}", f"{found.shape}", "Correct features(y)."
            )
        return torch.from_numpy(found).to(torch.get_default_dtype()).to(Y.device)

    def dot(self, theta: Tensor, Y: Tensor) -> Tensor:  # noqa: D102
        return torch.einsum("bd,bsd->bs", theta, self.features(Y).to(theta.dtype))

    def states(self) -> Tensor:  # noqa: D102
        return torch.as_tensor(np.asarray(self.own.states()), dtype=torch.long)

    def uniform(self, noise: Tensor) -> Tensor:
        """Draws from the user's reference, seeded by the noise: the same noise gives the same draws."""
        seed = int(noise.double().sum().item() * 2**20) % 2**32
        n = noise[..., 0].numel()
        found = np.asarray(self.own.sample(n, np.random.default_rng(seed)))
        return torch.as_tensor(found.reshape(noise.shape), dtype=torch.long).to(noise.device)

    def log_reference(self, Y: Tensor) -> Tensor:  # (..., k) -> (...)
        """Log-probability under the user's reference."""
        found = np.asarray(self.own.log_prob(Y.cpu().numpy()), dtype=np.float64)
        return torch.from_numpy(found).to(torch.get_default_dtype()).to(Y.device)


def make_space(kind: str, k: int, size: int = 0, birkhoff: bool = False) -> Space:
    """A built-in space by its name and plain numbers (what a saved file holds)."""
    if kind == "ranking":
        return Permutations(k, birkhoff)
    if kind == "subset":
        return Subsets(k, size)
    return Classes(k) if kind == "multiclass" else LabelSets(k)
