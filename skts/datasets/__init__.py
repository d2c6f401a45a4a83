"""Data to try the estimators on: generated, bundled with sktime or scikit-learn, or read from files.

============================  ===============================================================
``make_*``                    computed on the spot; no network
``load_*``                    small real sets that come with sktime; no network
``fetch_*``                   the benchmarks; read from the folder in the environment variable
                              ``SKTS_DATA``, else from the user's cache. The forecasting sets are
                              otherwise downloaded; the sets with label sets and rankings are not
============================  ===============================================================

Series are pandas objects with named columns and a time index. Tables with structured targets (label sets,
rankings) are arrays, in a :class:`~sklearn.utils.Bunch` where they are fetched. Importing this package imports
neither pandas nor torch, sktime, scikit-learn or pooch: each function imports what it needs.
"""

from skts.datasets.bundled import load_longley, load_motions, load_us_change
from skts.datasets.remote import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.datasets.structured import fetch_label_ranking, fetch_multilabel, make_label_ranking, make_multilabel
from skts.datasets.synthetic import make_traffic

__all__ = [
    "fetch_ett",
    "fetch_exchange",
    "fetch_illness",
    "fetch_label_ranking",
    "fetch_multilabel",
    "fetch_weather",
    "load_longley",
    "load_motions",
    "load_us_change",
    "make_label_ranking",
    "make_multilabel",
    "make_traffic",
]
