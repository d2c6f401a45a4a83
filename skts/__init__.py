"""Five recent deep models as ordinary scikit-learn and sktime estimators."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

# Name -> module that holds it. Nothing is imported before it is asked for: neither torch nor sktime.
_LAZY = {
    "FMambaForecaster": "skts.fmamba",
    "FlowMapSimulator": "skts.flowmap",
    "FractalSampler": "skts.fractal",
    "JointEBMClassifier": "skts.jointebm",
    "MomentEmbedder": "skts.moment",
    "load": "skts.persistence",
    "save": "skts.persistence",
    "show_versions": "skts._versions",
}

__all__ = [
    "FMambaForecaster",
    "FlowMapSimulator",
    "FractalSampler",
    "JointEBMClassifier",
    "MomentEmbedder",
    "__version__",
    "load",
    "save",
    "show_versions",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'skts' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
