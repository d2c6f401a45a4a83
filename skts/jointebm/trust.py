r"""Is the log-partition to be trusted? Held-out rows say so.

Where an exact route exists tau is held against it. Elsewhere it is held against importance sampling with many draws,
and those against themselves: by their effective number, and by how surprising the observed outputs are to the proposal.
About :math:`e^{KL(p \| r)}` draws are needed (S. Chatterjee, P. Diaconis, "The Sample Size Required in Importance
Sampling", 2018); for rows whose outputs look like draws from p, the mean of :math:`\log p - \log r` at them estimates
that divergence. A proposal that misses modes gives light, even weights, which look trustworthy, but it is surprised by
the data.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from skts.jointebm.latent import Latent
from skts.jointebm.module import JointEBM
from skts.jointebm.own import Listed
from skts.jointebm.sampled import Sampled

__all__ = ["MOST_ROWS", "Trust", "calibrate", "check_normaliser"]

_DRAWS = 1600
_LEAST_ESS = 0.02  # of the draws
MOST_ROWS = 256
_LARGEST_ERROR = 0.1  # nats, or this part of the loss of a row where that is larger
_RELATIVE_ERROR = 0.02
_SPREAD = 5.0  # the mean absolute error may be so much larger than the bias


@dataclass(frozen=True)
class Trust:
    """What is known of the normaliser on held-out rows.

    Parameters
    ----------
    method : str
        "exact" or "importance": what tau was held against.
    error : float
        Mean of abs(tau - reference), nats.
    bias : float
        Mean of tau - reference, nats.
    ess : float
        Mean effective number of the reference's draws; infinite for an exact one.
    n_draws : int
        Draws of the reference; 0 for an exact one.
    divergence : float
        Estimated KL(p, proposal), nats; 0 for an exact reference.
    ok : bool
        Whether log-probabilities may be used.
    """

    method: str
    error: float
    bias: float
    ess: float
    n_draws: int
    divergence: float
    ok: bool

    def as_dict(self) -> dict[str, float | str | bool]:
        """Plain values, for a fitted attribute."""
        return asdict(self)

    def warning(self) -> str:
        """Why log-probabilities should not be used, and what to do."""
        found = f"tau - log Z = {self.bias:+.2f} nats in the mean"
        if self.method == "importance":
            found += f", {self.ess:.0f} effective of {self.n_draws} draws, divergence {self.divergence:.1f} nats"
        return (
            f"The normaliser is not to be trusted on held-out rows ({found}): log-probabilities may be far off. Use "
            "proposal='auto', more n_samples or n_starts, a lower rank, or a coupling with an exact route."
        )


@torch.no_grad()
def calibrate(module: JointEBM, theta: Tensor) -> None:
    """Shift tau so that probabilities of these rows sum to one in the mean: its constant is stationary there."""
    if module.tau.kind == "exact":
        return
    gap = module.inference.log_partition(theta) - module.log_partition(theta)
    module.tau.offset += gap.logsumexp(0) - math.log(len(gap)) if module.alpha == 1.0 else gap.mean()


@torch.no_grad()
def check_normaliser(module: JointEBM, theta: Tensor, Y: Tensor) -> Trust:
    """Hold tau against something better, on rows that did not train it.

    Parameters
    ----------
    module : JointEBM
        Fitted.
    theta : Tensor of shape (n, D)
        Potentials of the rows.
    Y : Tensor of shape (n, k)
        Their outputs.
    """
    inference = module.inference
    tau = module.log_partition(theta)
    if inference.exact:
        gap = tau - inference.log_partition(theta)
        error, bias = gap.abs().mean().item(), gap.mean().item()
        ok = abs(bias) <= _LARGEST_ERROR and error <= _SPREAD * _LARGEST_ERROR
        return Trust("exact", error, bias, math.inf, 0, 0.0, ok)
    if isinstance(inference, Listed):
        return _check_draws(module, inference, theta, Y, tau)
    assert isinstance(inference, Latent | Sampled)
    noise = torch.rand(1, _DRAWS, inference.n_noise, generator=torch.Generator().manual_seed(1)).to(theta.device)
    weights = torch.cat([inference.log_weights(part, noise)[0] for part in theta.split(32)])
    reference = weights.logsumexp(1) - math.log(_DRAWS)
    ess = (2 * weights.logsumexp(1) - (2 * weights).logsumexp(1)).exp().mean().item()
    gap = tau - reference
    observed = inference.score(theta, Y[:, None])[:, 0] - reference  # log p
    divergence = (observed - inference.log_density(theta, Y)).mean().item()
    tolerance = max(_LARGEST_ERROR, _RELATIVE_ERROR * abs(observed.mean().item()))
    covered = ess >= _LEAST_ESS * _DRAWS and divergence < math.log(_DRAWS)
    ok = bool(covered and abs(gap.mean().item()) <= tolerance and gap.abs().mean().item() <= _SPREAD * tolerance)
    return Trust("importance", gap.abs().mean().item(), gap.mean().item(), ess, _DRAWS, divergence, ok)


def _check_draws(module: JointEBM, inference: Listed, theta: Tensor, Y: Tensor, tau: Tensor) -> Trust:
    """A reference without density: the draws of each row are all that there is."""
    _, log_p = inference.listed(theta)
    ess = (-(2 * log_p).logsumexp(1)).exp().mean().item()
    gap = tau - inference.log_partition(theta)
    divergence = inference.log_prob(theta, Y[:, None]).mean().item()
    n_draws = log_p.shape[1]
    ok = ess >= _LEAST_ESS * n_draws and divergence < math.log(n_draws)
    return Trust("importance", gap.abs().mean().item(), gap.mean().item(), ess, n_draws, divergence, ok)
