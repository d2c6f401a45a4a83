"""Embeddings of time series by MOMENT, fast, for series of any length and with gaps."""

from skts.moment.estimator import MomentEmbedder

__all__ = ["MomentEmbedder"]
