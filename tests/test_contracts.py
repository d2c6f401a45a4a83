"""The contracts of skts.testing, for every public estimator and for the four small examples."""

import pytest

from skts.flowmap import FlowMapSimulator
from skts.fmamba import FMambaForecaster, LinearForecaster
from skts.fractal import FractalSampler
from skts.jointebm import JointEBMClassifier
from skts.moment import MomentEmbedder
from skts.persistence import register
from skts.testing import CONTRACTS
from skts.testing.case import Case
from tests.small import SMALL

TEMPLATES = [register(cls)(max_epochs=3) for cls in SMALL] + [
    FMambaForecaster(**{**params, "guard": guard, "max_epochs": 3, "lr": 0.005})
    for params, guard in zip(FMambaForecaster.get_test_params(), ("validation", None), strict=True)
]
TEMPLATES += [
    FlowMapSimulator(
        max_epochs=3, step_sizes=[1, 2], n_forward=2, selection="none", module_kwargs={"hidden": (8,), "n_batches": 4}
    ),
    FractalSampler(max_epochs=3, dims=8, depths=1, mixture=2),
    FractalSampler(
        max_epochs=3, dims=8, depths=1, mixture=None, generator="made", leaf="bins", validation_fraction=0.0
    ),
    JointEBMClassifier(max_epochs=3, module_kwargs={"n_trees": 4}),
    JointEBMClassifier(max_epochs=3, encoder="mlp", proposal="meanfield", module_kwargs={"hidden": 8}),
    MomentEmbedder(weights="random", module_kwargs={"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}),
]


# Where the objective is convex and exact, fit starts at its optimum: the epochs after it find nothing to lower.
AT_THE_OPTIMUM = {"check_training_lowers_the_loss", "check_warm_start"}

# A frozen encoder is not trained: there is no loss, no epoch, and nothing to interrupt. tests/moment holds what is left
# of these: an empty history, and weights that stay.
FROZEN = {
    "check_history",
    "check_training_lowers_the_loss",
    "check_fewer_samples_than_a_batch",
    "check_warm_start",
    "check_interrupt",
    "check_max_time",
}


def name_of(estimator):
    setting = next(
        (getattr(estimator, name) for name in ("guard", "encoder", "generator") if hasattr(estimator, name)), ""
    )
    return f"{type(estimator).__name__}-{setting}"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", TEMPLATES, ids=name_of)
def test_contract(estimator, contract, request):
    if name_of(estimator) == "JointEBMClassifier-stack" and contract.__name__ in AT_THE_OPTIMUM:
        request.applymarker(pytest.mark.xfail(reason="fit starts at the optimum of a convex objective"))
    if isinstance(estimator, MomentEmbedder) and contract.__name__ in FROZEN:
        request.applymarker(pytest.mark.xfail(reason="nothing is trained"))
    contract(estimator)


def test_a_missing_value_is_bad_input_unless_the_tags_allow_it():
    refusing, allowing = Case(SMALL[0]()), Case(MomentEmbedder(weights="random"))
    for of in (Case.bad_inputs, lambda case: case.bad_questions(case.template)):
        assert of(refusing).keys() - of(allowing).keys() == {"NaN"}
    assert "NaN" not in Case(FMambaForecaster()).bad_inputs()
    assert "NaN" in Case(LinearForecaster()).bad_inputs()
