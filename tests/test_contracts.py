"""The contracts of skts.testing, for every public estimator and for the four small examples."""

import pytest

from skts.fmamba import FMambaForecaster
from skts.persistence import register
from skts.testing import CONTRACTS
from tests.small import SMALL

TEMPLATES = [register(cls)(max_epochs=3) for cls in SMALL] + [
    FMambaForecaster(**{**params, "guard": guard, "max_epochs": 3, "lr": 0.005})
    for params, guard in zip(FMambaForecaster.get_test_params(), ("validation", None), strict=True)
]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", TEMPLATES, ids=lambda e: f"{type(e).__name__}-{getattr(e, 'guard', '')}")
def test_contract(estimator, contract):
    contract(estimator)
