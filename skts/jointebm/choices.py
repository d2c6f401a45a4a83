"""What "auto" becomes, and which parameters contradict each other."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval

from skts.errors import ParameterError
from skts.jointebm.inference import MOST_ITEMS, MOST_STATES
from skts.jointebm.own import contract_of
from skts.jointebm.spaces import Permutations, Space, UserSpace, make_space
from skts.jointebm.targets import Target
from skts.validation import check_options

__all__ = ["Choices", "choose", "rare_settings"]

_COUPLINGS = {
    "multilabel": ("pairwise", "lowrank", "unary", "cardinality"),
    "ranking": ("permutahedron", "birkhoff"),
    "multiclass": ("unary",),
    "subset": ("unary",),
    "own": ("unary",),
}
_OWN_TAUS = {"list": ("auto", "exact"), "reference": ("auto", "net", "constant", "per_sample")}
_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_SHARE = Interval(Real, 0, 1, closed="neither")
# Key of module_kwargs: legal values and default.
_RARE: dict[str, tuple[list[Any], Any]] = {
    "C": ([_POSITIVE], 0.1),
    "hidden": ([_COUNT], 256),
    "dropout": ([Interval(Real, 0, 1, closed="left")], 0.2),
    "n_trees": ([_COUNT], 200),
    "n_landmarks": ([_COUNT], 1000),
    "rank": ([_COUNT], 4),
    "coupling_ridge": ([Interval(Real, 0, None, closed="left")], 0.3),
    "n_starts": ([_COUNT], 6),
    "n_draws": ([_COUNT], 512),
    "defensive": ([_SHARE], 0.25),
}


def rare_settings(module_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The rare settings, those of ``module_kwargs`` in the place of the defaults.

    Raises
    ------
    ParameterError
        If a key is unknown or a value is outside of its range.
    """
    given = check_options(module_kwargs, {key: legal for key, (legal, _) in _RARE.items()}, "module_kwargs")
    return {**{key: default for key, (_, default) in _RARE.items()}, **given}


@dataclass(frozen=True)
class Choices:
    """Parameters without "auto".

    Parameters
    ----------
    coupling, tau, proposal : str
        See the estimator; proposals are also "exact", "latent" and "own".
    alpha : float
        Divergence of the loss.
    contract : str or None
        Of a proposal of the user's own: "proposal", "reference" or "list".
    """

    coupling: str
    tau: str
    proposal: str
    alpha: float
    contract: str | None

    def space(self, target: Target) -> Space:
        """The output space."""
        if target.own is not None:
            return UserSpace(target.own, target.k)
        return make_space(target.kind, target.k, target.size, birkhoff=self.coupling == "birkhoff")


def choose(target: Target, coupling: str, loss: str, tau: str, proposal: Any, alpha: float) -> Choices:
    """Resolve "auto" and refuse contradictions.

    Raises
    ------
    ParameterError
        If the coupling is none of the output space's, or nothing exact is there where it was asked for.
    """
    contract = None if isinstance(proposal, str) else contract_of(proposal)
    coupling = _coupling(target, coupling)
    alpha = {"logistic": 1.0, "sparsemax": 2.0}.get(loss, float(alpha))
    space = Choices(coupling, "", "", alpha, contract).space(target)
    if alpha != 1.0 and (space.log_size > math.log(MOST_STATES) + 1e-9 or contract is not None):
        raise ParameterError(
            f"loss='logistic' for more than {MOST_STATES} outputs or candidates of your own",
            f"loss={loss!r} for {target.kind} with {target.k} entries",
            "Sparse losses need all outputs in a table: pass loss='logistic'.",
        )
    if contract in ("list", "reference") and tau not in _OWN_TAUS[contract]:
        raise ParameterError(f"tau among {_OWN_TAUS[contract]} for your candidates", f"{tau!r}", "Pass tau='auto'.")
    exact = contract == "list" or (contract != "reference" and _is_exact(space, coupling, alpha))
    proposal = _proposal(space, coupling, proposal, contract, exact, alpha)
    if tau == "auto":
        rough = contract != "reference" and alpha == 1.0
        tau = "exact" if proposal == "exact" else "structured" if rough else "net"
    if tau == "exact" and not exact:
        raise ParameterError(
            "tau='exact' where an exact log-partition exists",
            f"coupling={coupling!r} on {target.kind} with {target.k} entries and loss={loss!r}",
            "Pass tau='auto'.",
        )
    return Choices(coupling, tau, proposal, alpha, contract)


def _coupling(target: Target, coupling: str) -> str:
    allowed = _COUPLINGS[target.kind]
    if coupling == "auto":
        many = target.kind == "multilabel" and 2**target.k > MOST_STATES
        return "lowrank" if many else "unary" if target.k == 1 and target.kind == "multilabel" else allowed[0]
    if coupling not in allowed:
        raise ParameterError(f"a coupling among {allowed} for {target.kind}", f"{coupling!r}", "Pass coupling='auto'.")
    return coupling


def _is_exact(space: Space, coupling: str, alpha: float) -> bool:
    if space.log_size <= math.log(MOST_STATES) + 1e-9:
        return True
    formula = coupling == "cardinality" or space.kind == "subset" or (space.kind, coupling) == ("multilabel", "unary")
    return alpha == 1.0 and (formula or (isinstance(space, Permutations) and space.k <= MOST_ITEMS))


def _proposal(space: Space, coupling: str, proposal: Any, contract: str | None, exact: bool, alpha: float) -> str:
    if contract is not None:
        return "exact" if contract == "list" else "own"
    if proposal == "auto":
        if exact:
            return "exact"
        latent = coupling == "lowrank" and alpha == 1.0
        return "latent" if latent else "prior" if isinstance(space, UserSpace) else "meanfield"
    if proposal == "enumerate" and space.log_size > math.log(MOST_STATES) + 1e-9:
        raise ParameterError(f"at most {MOST_STATES} outputs to enumerate", f"e^{space.log_size:.0f}", "Pass 'auto'.")
    sampler_free = isinstance(space, UserSpace) or space.kind == "subset"
    if sampler_free and proposal in ("marginal", "meanfield"):
        raise ParameterError(
            f"proposal 'auto', 'enumerate' or 'prior' for {space.kind}", f"{proposal!r}", "Pass proposal='auto'."
        )
    return str(proposal)
