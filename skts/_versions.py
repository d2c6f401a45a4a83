"""Versions, devices and extras, for bug reports."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

__all__ = ["show_versions"]

_CORE = ("skts", "numpy", "pandas", "scikit-learn", "skorch", "torch", "sktime", "safetensors")
_EXTRAS = {"plot": "matplotlib", "data": "pooch", "hub": "huggingface_hub", "explore": "bokeh", "fast": "numba"}


def show_versions() -> None:
    """Print the versions of Python and the packages, the devices and the extras at hand.

    Examples
    --------
    >>> import skts
    >>> skts.show_versions()  # doctest: +ELLIPSIS
    python ...
    """
    print(f"python        {platform.python_version()} on {platform.platform()}")
    for package in _CORE:
        print(f"{package:<14}{_version(package)}")
    print(f"{'devices':<14}{', '.join(_devices())}")
    for extra, package in _EXTRAS.items():
        print(f"{'[' + extra + ']':<14}{package} {_version(package)}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> list[str]:
    if find_spec("torch") is None:
        return []
    from skts.engine.device import available_devices

    return available_devices()
