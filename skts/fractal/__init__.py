"""Exact densities and samples for tables, series and images from one recursive module."""

from skts.fractal.estimator import FractalSampler

__all__ = ["FractalSampler"]
