"""Checks of the numbers that generators are asked for."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from skts.errors import InputError

__all__ = ["check_count", "check_number", "check_sizes"]


def check_sizes(n_trajectories: Any, n_times: Any) -> None:
    """Numbers of trajectories and times of at least 1."""
    check_count("n_trajectories", n_trajectories)
    check_count("n_times", n_times)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} to be an int of at least {least}", repr(value), f"Pass {name}={least} or more.")


def check_number(name: str, value: Any, positive: bool = True) -> None:
    """A finite number, above 0 or at least 0."""
    known = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not known or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise InputError(f"{name} to be a finite number {bound}", repr(value), f"Pass a number {bound} as {name}.")
