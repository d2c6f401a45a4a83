import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix
from scipy.stats import kendalltau
from sklearn.base import BaseEstimator
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skts.datasets import make_multilabel
from skts.errors import InputError, InputTypeError
from skts.metrics import example_f1_score, joint_calibration_error, joint_log_loss, kendall_tau_score


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rankings(rng, n, k):
    return rng.permuted(np.tile(np.arange(1, k + 1), (n, 1)), axis=1)


def label_sets(rng, n=200, k=5):
    return rng.integers(0, 2, size=(n, k)) * rng.integers(0, 2, size=(n, 1))


# Kendall's tau


@pytest.mark.parametrize("k", [2, 3, 11])
def test_tau_is_scipys_on_each_row(k, rng):
    first, second = rankings(rng, 30, k), rankings(rng, 30, k)
    expected = np.mean([kendalltau(a, b).statistic for a, b in zip(first, second, strict=True)])
    assert kendall_tau_score(first, second) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.float32])
def test_tau_of_the_same_and_of_the_turned_ranking(dtype, rng):
    ranks = rankings(rng, 20, 6).astype(dtype)
    assert kendall_tau_score(ranks, ranks) == 1.0
    assert kendall_tau_score(ranks, 7 - ranks) == -1.0
    assert kendall_tau_score(ranks, 100 * ranks.astype(float)) == 1.0  # only the order counts


def test_tau_is_symmetric_and_the_names_of_the_labels_do_not_matter(rng):
    first, second = rankings(rng, 20, 6), rankings(rng, 20, 6)
    names = rng.permutation(6)
    assert kendall_tau_score(first, second) == kendall_tau_score(second, first)
    assert kendall_tau_score(first[:, names], second[:, names]) == pytest.approx(kendall_tau_score(first, second))


def test_tied_pairs_count_as_neither():
    assert kendall_tau_score([[1, 2, 3]], [[1, 1, 2]]) == pytest.approx(2 / 3)
    assert kendall_tau_score([[1, 2, 3]], [[1, 1, 1]]) == 0.0


# F1 of label sets


@pytest.mark.parametrize("empty", [0.0, 1.0])
def test_f1_is_scikit_learns(empty, rng):
    y_true, y_pred = label_sets(rng), label_sets(rng)
    neither = ~(y_true | y_pred).any(axis=1)
    assert 0 < neither.sum() < len(y_true)
    expected = f1_score(y_true[~neither], y_pred[~neither], average="samples", zero_division=0.0)
    assert example_f1_score(y_true[~neither], y_pred[~neither], empty=empty) == pytest.approx(expected)
    expected = f1_score(y_true, y_pred, average="samples", zero_division=empty)
    assert example_f1_score(y_true, y_pred, empty=empty) == pytest.approx(expected)


def test_convention_for_empty_rows_is_what_they_count():
    nothing = np.zeros((4, 3))
    for empty in (0.0, 0.25, 1.0):
        assert example_f1_score(nothing, nothing, empty=empty) == empty
    assert example_f1_score(nothing, np.ones((4, 3))) == example_f1_score(np.ones((4, 3)), nothing) == 0.0


@pytest.mark.parametrize("kind", [csr_matrix, csr_array, coo_array, list, lambda y: y.astype(bool)])
def test_f1_of_any_container(kind, rng):
    y_true, y_pred = label_sets(rng), label_sets(rng).astype(np.int8)
    expected = example_f1_score(y_true, y_pred)
    given_true, given_pred = kind(y_true), kind(y_pred)
    assert example_f1_score(given_true, given_pred) == expected
    assert example_f1_score(given_true, y_pred) == expected
    assert example_f1_score(y_true, given_pred) == expected


def test_stored_zeros_are_zeros_and_the_input_stays():
    stored = csr_array((np.array([1, 0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 3))
    assert example_f1_score(stored, [[1, 0, 0]]) == 1.0
    assert stored.nnz == 2


def test_entries_stored_twice_are_summed():
    def stored_twice(first, second):
        return csr_array((np.array([first, second]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))

    assert example_f1_score(stored_twice(1, 0), [[0, 1, 0]]) == 1.0
    with pytest.raises(InputError, match="2"):
        example_f1_score(stored_twice(1, 1), [[0, 1, 0]])


# Joint log loss


class KnownJoint(BaseEstimator):
    """Gives the log-probability of the model that the data come from, scaled so that a search has a choice."""

    def __init__(self, parameters=None, scale=1.0):
        self.parameters = parameters
        self.scale = scale

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def score_samples(self, X, y):
        W, b, U = (self.parameters[name] for name in ("W", "b", "U"))
        states = np.array(list(np.ndindex(*(2,) * len(b))))
        theta, pairs = self.scale * (X.astype(float) @ W.T + b), self.scale * U
        energy = theta @ states.T + np.einsum("si,ij,sj->s", states, pairs, states) / 2
        own = (theta * y).sum(axis=1) + np.einsum("ni,ij,nj->n", y, pairs, y) / 2
        return own - np.logaddexp.reduce(energy, axis=1)


class Fixed(BaseEstimator):
    def __init__(self, log_prob):
        self.log_prob = log_prob

    def score_samples(self, X, y):
        return np.asarray(self.log_prob)


@pytest.fixture
def known():
    return make_multilabel(300, 3, 4, random_state=0, return_parameters=True)


def test_log_loss_of_the_true_joint_is_known(known):
    X, Y, parameters = known
    assert joint_log_loss(KnownJoint(parameters), X, Y) == pytest.approx(-parameters["log_prob"].mean())


def test_log_loss_in_a_search_and_of_a_search_and_of_a_pipeline(known):
    X, Y, parameters = known

    def scoring(e, X, y):
        return -joint_log_loss(e, X, y)

    scores = cross_val_score(KnownJoint(parameters), X, Y, scoring=scoring, cv=3)
    assert scores.mean() == pytest.approx(parameters["log_prob"].mean())
    search = GridSearchCV(KnownJoint(parameters), {"scale": [0.2, 1.0, 5.0]}, scoring=scoring, cv=3).fit(X, Y)
    assert search.best_params_ == {"scale": 1.0}
    assert joint_log_loss(search, X, Y) == pytest.approx(-parameters["log_prob"].mean())

    pipe = make_pipeline(StandardScaler(), KnownJoint(parameters)).fit(X, Y)
    alone = KnownJoint(parameters).fit(X, Y)
    assert joint_log_loss(pipe, X, Y) == joint_log_loss(alone, pipe[0].transform(X), Y)
    assert joint_log_loss(make_pipeline(alone), X, Y) == joint_log_loss(alone, X, Y)


def test_log_loss_of_an_impossible_row_is_infinite():
    estimator = Fixed([-1.0, -np.inf])
    assert joint_log_loss(estimator, np.zeros((2, 1)), np.zeros(2)) == np.inf
    assert joint_log_loss(estimator, np.zeros((2, 1)), np.zeros(2), sample_weight=[1, 0]) == 1.0


def test_log_loss_needs_an_estimator_of_joint_probabilities():
    with pytest.raises(InputTypeError, match="StandardScaler"):
        joint_log_loss(StandardScaler(), np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(InputError, match=r"shape \(2, 2\) for 2 rows"):
        joint_log_loss(Fixed(np.zeros((2, 2))), np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(InputError, match="1 NaN"):
        joint_log_loss(Fixed([0.0, np.nan]), np.zeros((2, 1)), np.zeros(2))


# Calibration


@pytest.mark.parametrize("n_bins", [1, 10, 50])
def test_calibration_error_of_equal_bins_is_the_textbooks(n_bins, rng):
    confidence, correct = rng.uniform(size=200), rng.integers(0, 2, size=200)
    bins = np.split(np.argsort(confidence), n_bins)
    expected = np.mean([abs(correct[b].mean() - confidence[b].mean()) for b in bins])
    assert joint_calibration_error(correct, confidence, n_bins=n_bins) == pytest.approx(expected)


def test_calibration_error_tells_the_calibrated_from_the_overconfident(rng):
    confidence = rng.uniform(size=20_000) ** 3
    correct = rng.uniform(size=20_000) < confidence
    assert joint_calibration_error(correct, confidence) < 0.01
    assert joint_calibration_error(correct, np.sqrt(confidence)) > 0.1
    assert joint_calibration_error(np.ones(5), np.zeros(5)) == 1.0


def test_calibration_error_does_not_depend_on_the_order_of_the_rows(rng):
    confidence = rng.integers(0, 5, size=300) / 5  # many ties
    correct = rng.integers(0, 2, size=300)
    rows = rng.permutation(300)
    expected = joint_calibration_error(correct, confidence, n_bins=7)
    assert joint_calibration_error(correct[rows], confidence[rows], n_bins=7) == pytest.approx(expected)


def test_calibration_error_with_more_bins_than_rows():
    assert joint_calibration_error([1, 0], [0.75, 0.5], n_bins=50) == pytest.approx((0.25 + 0.5) / 2)


def test_rounding_over_one_is_forgiven_and_a_wrong_normaliser_is_not():
    assert joint_calibration_error([1], [1 + 1e-7]) == 0.0
    with pytest.raises(InputError, match="normaliser"):
        joint_calibration_error([1], [1.2])


# All of them


SCORES = {
    "tau": (kendall_tau_score, lambda rng, n: (rankings(rng, n, 4), rankings(rng, n, 4))),
    "f1": (example_f1_score, lambda rng, n: (label_sets(rng, n), label_sets(rng, n))),
    "calibration": (joint_calibration_error, lambda rng, n: (rng.integers(0, 2, size=n), rng.uniform(size=n))),
    "log loss": (
        lambda y, log_prob, **kwargs: joint_log_loss(Fixed(log_prob), y, y, **kwargs),
        lambda rng, n: (np.zeros(n), -rng.uniform(size=n)),
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_weights_are_repetitions(name, rng):
    score, draw = SCORES[name]
    first, second = draw(rng, 40)
    weight = rng.integers(0, 4, size=40)
    repeated = score(np.repeat(first, weight, axis=0), np.repeat(second, weight, axis=0))
    assert score(first, second, sample_weight=weight) == pytest.approx(repeated)
    assert score(first, second, sample_weight=3 * weight) == pytest.approx(repeated)
    assert score(first, second, sample_weight=np.ones(40)) == score(first, second)


@pytest.mark.parametrize("name", SCORES)
def test_weights_are_checked(name, rng):
    score, draw = SCORES[name]
    arrays = draw(rng, 3)
    for weight in ([1, 1], [1, 1, -1], [0, 0, 0], [1, 1, np.nan], "abc"):
        with pytest.raises(InputError, match="sample_weight"):
            score(*arrays, sample_weight=weight)


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_floats_and_leave_their_input_alone(name, rng):
    score, draw = SCORES[name]
    arrays = draw(rng, 10)
    for array in arrays:
        array.flags.writeable = False
    assert type(score(*arrays)) is float


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kendall_tau_score([[1, 2]], [[1, 2, 3]]), "same shape"),
        (lambda: kendall_tau_score([[1, 2]], [[1, 2], [1, 2]]), "same shape"),
        (lambda: kendall_tau_score([[1]], [[1]]), "at least two labels"),
        (lambda: kendall_tau_score([1, 2], [1, 2]), "y_true to have the shape"),
        (lambda: kendall_tau_score([[1, 2]], [[1, np.nan]]), "y_pred to be finite"),
        (lambda: kendall_tau_score([["a", "b"]], [[1, 2]]), "y_true to be an array of numbers"),
        (lambda: kendall_tau_score(np.zeros((0, 2)), np.zeros((0, 2))), "at least one row"),
        (lambda: example_f1_score([[1, 0]], [[1, 0, 0]]), "same shape"),
        (lambda: example_f1_score([[1, 2]], [[1, 0]]), "y_true to hold 0 and 1"),
        (lambda: example_f1_score([[1, 0]], csr_array([[0.5, 0.0]])), "y_pred to hold 0 and 1"),
        (lambda: example_f1_score([1, 0], [1, 0]), "y_true to have the shape"),
        (lambda: example_f1_score(csr_array((0, 2)), csr_array((0, 2))), "at least one row"),
        (lambda: example_f1_score([[1]], [[1]], empty=2), "empty to be"),
        (lambda: example_f1_score([[1]], [[1]], empty=None), "empty to be"),
        (lambda: joint_calibration_error([1, 0], [0.5]), "same shape"),
        (lambda: joint_calibration_error([0.5], [0.5]), "correct to hold 0 and 1"),
        (lambda: joint_calibration_error([1], [-0.5]), "between 0 and 1"),
        (lambda: joint_calibration_error([[1]], [[0.5]]), "shape"),
        (lambda: joint_calibration_error([], []), "not empty"),
        (lambda: joint_calibration_error([1], [0.5], n_bins=0), "n_bins"),
        (lambda: joint_calibration_error([1], [0.5], n_bins=2.5), "n_bins"),
    ],
)
def test_errors_have_three_parts(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.hint


def test_scores_fit_into_make_scorer(known):
    X, Y, _ = known

    class Nothing(BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.zeros((len(X), 4), dtype=int)

    scores = cross_val_score(Nothing(), X, Y, scoring=make_scorer(example_f1_score, empty=0.0), cv=3)
    assert scores.tolist() == [0.0, 0.0, 0.0]
