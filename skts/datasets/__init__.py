"""Data to try the estimators on: generated, bundled with sktime or scikit-learn, or read from files.

============================  ===============================================================
``make_*``                    computed on the spot; no network
``load_*``                    small real sets that come with sktime; no network
``fetch_*``                   the benchmarks; read from the folder in the environment variable
                              ``SKTS_DATA``, else from the user's cache. The forecasting sets, the
                              binary tables and the stock are otherwise downloaded; the others are not
============================  ===============================================================

Series are pandas objects with named columns and a time index. Tables with structured targets (label sets,
rankings), binary tables, windows and images are arrays, in a :class:`~sklearn.utils.Bunch` where they are fetched.
Trajectories of dynamical systems are arrays (n_trajectories, n_times, n_features); two of the systems come with their
solvers, ``*_solver``. Importing this package imports neither pandas nor torch, sktime, scikit-learn, scipy or pooch:
each function imports what it needs.
"""

from skts.datasets.bundled import load_longley, load_motions, load_us_change
from skts.datasets.dynamics import make_fitzhugh_nagumo, make_hits_system, make_kuramoto_sivashinsky
from skts.datasets.generative import fetch_binary_table, fetch_frey_faces, fetch_mnist, fetch_stock_windows
from skts.datasets.mixed import make_mixed_table, make_sensor_windows
from skts.datasets.panels import make_annotated_series, make_factor_panel
from skts.datasets.pendulum import fetch_double_pendulum
from skts.datasets.remote import fetch_ett, fetch_exchange, fetch_illness, fetch_weather
from skts.datasets.solvers import fitzhugh_nagumo_solver, kuramoto_sivashinsky_solver
from skts.datasets.structured import fetch_label_ranking, fetch_multilabel, make_label_ranking, make_multilabel
from skts.datasets.synthetic import make_traffic

__all__ = [
    "fetch_binary_table",
    "fetch_double_pendulum",
    "fetch_ett",
    "fetch_exchange",
    "fetch_frey_faces",
    "fetch_illness",
    "fetch_label_ranking",
    "fetch_mnist",
    "fetch_multilabel",
    "fetch_stock_windows",
    "fetch_weather",
    "fitzhugh_nagumo_solver",
    "kuramoto_sivashinsky_solver",
    "load_longley",
    "load_motions",
    "load_us_change",
    "make_annotated_series",
    "make_factor_panel",
    "make_fitzhugh_nagumo",
    "make_hits_system",
    "make_kuramoto_sivashinsky",
    "make_label_ranking",
    "make_mixed_table",
    "make_multilabel",
    "make_sensor_windows",
    "make_traffic",
]
