"""Save and load fitted estimators as JSON and safetensors: nothing in a file is ever executed."""

from skts.persistence.registry import register
from skts.persistence.store import load, save

__all__ = ["load", "register", "save"]
