"""Data to try the estimators on: generated, bundled with sktime, or fetched once and kept.

============================  ===============================================================
``make_*``                    synthetic series, computed on the spot
``load_*``                    small real sets that come with sktime; no network
``fetch_*``                   the forecasting benchmarks; read from the folder in the environment
                              variable ``SKTS_DATA``, else from the user's cache, else downloaded
============================  ===============================================================

All functions return pandas objects with named columns and a time index. Importing this package imports
neither pandas nor torch, sktime or pooch: each function imports what it needs.
"""

from skts.datasets.bundled import load_longley, load_motions, load_us_change
from skts.datasets.remote import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.datasets.synthetic import make_traffic

__all__ = [
    "fetch_ett",
    "fetch_exchange",
    "fetch_illness",
    "fetch_weather",
    "load_longley",
    "load_motions",
    "load_us_change",
    "make_traffic",
]
