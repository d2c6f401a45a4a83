"""What is to be beaten: columns that do not depend on each other, and the closed-form mixture."""

from typing import Any

from sklearn.base import clone

__all__ = ["baselines_for"]


def baselines_for(sampler: Any) -> dict[str, Any]:
    """The sampler without its network: with independent columns, and with the mixture alone."""
    alone = clone(sampler).set_params(generator=None, dims="auto", depths="auto")
    mixture = "auto" if sampler.mixture is None else sampler.mixture
    return {
        "IndependentColumns": clone(alone).set_params(mixture=None),
        "Mixture": alone.set_params(mixture=mixture),
    }
