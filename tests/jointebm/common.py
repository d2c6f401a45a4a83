"""Small joint distributions that can be enumerated: what every faster route is held against."""

import itertools

import torch

from skts.jointebm.couplings import Cardinality, LowRank, Pairwise, Uncoupled
from skts.jointebm.inference import Counting, Enumeration, Independent, PermutationRecursion
from skts.jointebm.spaces import Classes, LabelSets, Permutations, Subsets

torch.manual_seed(0)


def coupled(coupling, scale=1.0):
    """A coupling with parameters that matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in coupling.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator) / 4)
    return coupling.double()


def potentials(B, D, scale=1.5):
    return scale * torch.randn(B, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def brute_scores(inference, theta):
    """Scores of all states by a loop over Python's own enumeration, and the states."""
    space = inference.space
    if isinstance(space, Permutations):
        states = list(itertools.permutations(range(space.k)))
    elif isinstance(space, Classes):
        states = [(c,) for c in range(space.n_features)]
    else:
        states = list(itertools.product((0, 1), repeat=space.k))
        if isinstance(space, Subsets):
            states = [s for s in states if sum(s) == space.size]
    Y = torch.tensor(states)
    features = space.features(Y).double()
    return theta @ features.T + inference.coupling(Y.double()), Y


EXACT = {
    "independent": lambda: Independent(LabelSets(6), Uncoupled()),
    "cardinality": lambda: Counting(LabelSets(6), coupled(Cardinality(6))),
    "subset": lambda: Counting(Subsets(7, 3), Uncoupled()),
    "pairwise": lambda: _enumeration(LabelSets(6), coupled(Pairwise(6))),
    "lowrank": lambda: _enumeration(LabelSets(6), coupled(LowRank(6, 2))),
    "classes": lambda: _enumeration(Classes(5), Uncoupled()),
    "permutahedron": lambda: PermutationRecursion(Permutations(5), Uncoupled()),
    "birkhoff": lambda: PermutationRecursion(Permutations(5, birkhoff=True), Uncoupled()),
    "few items": lambda: _enumeration(Permutations(4, birkhoff=True), Uncoupled()),
}


def _enumeration(space, coupling, alpha=1.0, gamma=1.0):
    n = len(space.states())
    return Enumeration(space, coupling, torch.full((n,), -torch.log(torch.tensor(float(n)))), alpha, gamma)


enumeration = _enumeration
