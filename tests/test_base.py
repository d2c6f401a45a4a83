"""TorchEstimatorMixin with scikit-learn around it: searches, callbacks, Ctrl-C, memory maps, errors."""

import os
import signal
import threading

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skts.errors import InputError, ParameterError
from tests.small import SmallClassifier, SmallDensity, SmallRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")


def blobs(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return rng.standard_normal((n, 4)) + 1.5 * y[:, None], np.array(["no", "yes"])[y]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_search_gives_the_serial_scores(backend):
    X, y = blobs()
    search = GridSearchCV(SmallClassifier(random_state=3, max_epochs=5), {"hidden": [4, 8], "lr": [0.01, 0.1]}, cv=3)
    serial = search.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_backend(backend, n_jobs=2):
        parallel = search.set_params(n_jobs=2).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(serial, parallel)


def test_pipeline_of_sklearn():
    X, y = blobs()
    pipe = make_pipeline(StandardScaler(), SmallClassifier(random_state=0)).fit(X, y)
    assert pipe.score(X, y) > 0.8


def test_sklearn_callbacks_see_epochs_and_can_stop():
    X, y = blobs()

    class StopAtThree:
        def __init__(self):
            self.scores = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            if context.task_name == "epoch":
                self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == 3

    stop = StopAtThree()
    fitted = SmallClassifier(random_state=0, max_epochs=50).set_callbacks(stop).fit(X, y)
    assert len(stop.scores) == fitted.n_iter_ == 3
    assert fitted.stopped_by_ == "callback"
    assert stop.scores[-1] == fitted.score(X, y)


def test_sklearns_own_monitor_works_inside_a_search():
    X, y = blobs()
    monitor = callback.ScoringMonitor(scoring="accuracy")
    SmallClassifier(random_state=0, max_epochs=4).set_callbacks(monitor).fit(X, y)
    accuracies = monitor.get_logs().data_as_pandas["accuracy"]
    assert len(accuracies) >= 4
    assert accuracies.between(0, 1).all()


def test_a_real_ctrl_c_leaves_a_usable_estimator():
    X, y = blobs(2000)
    estimator = SmallClassifier(random_state=0, max_epochs=100_000, max_time=60, batch_size=256, lr=0.05)
    SmallClassifier(max_epochs=1).fit(X, y)  # the first fit of a process imports parts of torch, for seconds
    # a shell that starts the tests in the background has SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert estimator.stopped_by_ == "interrupt"
    assert estimator.score(X, y) > 0.8


def test_memory_map_trains(tmp_path):
    X, y = blobs()
    disk = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=X.shape)
    disk[:] = X
    read_only = np.memmap(tmp_path / "X", dtype=np.float32, mode="r", shape=X.shape)
    one = SmallClassifier(random_state=0).fit(read_only, y).predict_proba(X)
    np.testing.assert_allclose(one, SmallClassifier(random_state=0).fit(X.astype(np.float32), y).predict_proba(X))


def test_best_weights_are_those_of_the_history():
    X, _ = blobs()
    fitted = SmallRegressor(random_state=0, validation_fraction=0.3, max_epochs=40, patience=5, lr=0.3).fit(X, X[:, 0])
    best = [row["valid_loss"] for row in fitted.history_ if row["best"]]
    assert best == sorted(best, reverse=True)
    assert min(row["valid_loss"] for row in fitted.history_) == best[-1]


def test_regressor_answers_in_the_precision_of_the_question():
    X, _ = blobs()
    fitted = SmallRegressor(random_state=0).fit(X, X[:, 0])
    assert fitted.predict(X).dtype == np.float64
    assert fitted.predict(X.astype(np.float32)).dtype == np.float32


def test_a_density_integrates_to_one():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 1)) * 3 + 5
    fitted = SmallDensity(random_state=0, max_epochs=30).fit(X)
    grid = np.linspace(-30, 40, 4001)[:, None]
    assert np.trapezoid(np.exp(fitted.score_samples(grid)), grid[:, 0]) == pytest.approx(1.0, abs=1e-3)


def test_failed_fit_leaves_the_fitted_estimator():
    X, y = blobs()
    fitted = SmallClassifier(random_state=0).fit(X, y)
    expected = fitted.predict_proba(X)
    with pytest.raises(InputError):
        fitted.fit(X[:, :2] * np.nan, y)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert fitted.n_features_in_ == 4


def test_warm_start_on_other_shapes_is_an_error():
    X, y = blobs()
    fitted = SmallClassifier(random_state=0, warm_start=True).fit(X, y)
    with pytest.raises(ParameterError, match="warm_start"):
        fitted.fit(X[:, :2], y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([-1.0] * 120, "negative"), ([0.0] * 120, "zero"), ([1.0] * 7, "weight"), ([np.nan] * 120, "NaN")],
)
def test_bad_sample_weights_are_refused(weights, message):
    X, y = blobs()
    with pytest.raises(InputError, match=message):
        SmallClassifier(random_state=0).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    "params",
    [
        {"lr": 0},
        {"max_epochs": 2.5},
        {"patience": 0},
        {"validation_fraction": 1.0},
        {"net_kwargs": {"x": 1}},
        {"device": 3},
    ],
)
def test_bad_parameters_are_refused_in_three_parts(params):
    X, y = blobs()
    with pytest.raises(ParameterError) as caught:
        SmallClassifier(**params).fit(X, y)
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.hint


def test_errors_survive_a_worker():
    import pickle

    error = pickle.loads(pickle.dumps(InputError("a", "b", "c")))
    assert (error.expected, error.got, error.hint) == ("a", "b", "c")
    assert str(error) == "Expected a. Got b. c"
