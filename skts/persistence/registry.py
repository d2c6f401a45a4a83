"""Names of classes that a file may ask for. A name that is not here is not loaded, whatever the file says."""

from importlib import import_module
from typing import Any, TypeVar

from skts.errors import PersistenceError

__all__ = ["class_of", "name_of", "register"]

_OWN = {
    "FMambaForecaster": "skts.fmamba",
    "FlowMapForecaster": "skts.interop",
    "FlowMapSimulator": "skts.flowmap",
    "FractalSampler": "skts.fractal",
    "JointEBMClassifier": "skts.jointebm",
    "LinearForecaster": "skts.fmamba",
    "MomentEmbedder": "skts.moment",
    "MomentPanelTransformer": "skts.interop",
}
_REGISTERED: dict[str, type] = {}

T = TypeVar("T", bound=type)


def register(estimator_class: T) -> T:
    """Allow ``save`` and ``load`` for an estimator class of your own (a decorator).

    Parameters
    ----------
    estimator_class : type
        Its name must not be taken.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    PersistenceError
        If another class has that name.
    """
    name = estimator_class.__name__
    if name in _OWN or _REGISTERED.get(name, estimator_class) is not estimator_class:
        raise PersistenceError("a class name that is not taken", repr(name), "Rename the class.")
    _REGISTERED[name] = estimator_class
    return estimator_class


def class_of(name: Any) -> type:
    """The class behind a name."""
    if isinstance(name, str) and name in _REGISTERED:
        return _REGISTERED[name]
    if isinstance(name, str) and name in _OWN:
        return getattr(import_module(_OWN[name]), name)  # type: ignore[no-any-return]
    raise PersistenceError(
        f"a file of one of the classes {sorted([*_OWN, *_REGISTERED])}",
        f"one of class {name!r}",
        "Import the module that defines the class and decorates it with skts.persistence.register, or update skts.",
    )


def name_of(estimator: Any) -> str:
    """The name of an estimator's class, if it may be saved."""
    cls = type(estimator)
    if class_of(cls.__name__) is not cls:
        raise PersistenceError(
            "an estimator of a registered class", f"another class named {cls.__name__!r}", "Rename the class."
        )
    return cls.__name__
