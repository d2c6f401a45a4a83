import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import issparse
from scipy.stats import chi2, norm, rankdata
from sklearn.datasets import load_digits, load_iris
from sklearn.naive_bayes import GaussianNB

from skts.datasets import fetch_label_ranking, fetch_multilabel, make_label_ranking, make_multilabel, structured
from skts.datasets.registry import MULTILABEL, RANKINGS
from skts.errors import DataNotFoundError, InputError


def fetch_or_skip(fetch, name):
    try:
        return fetch(name)
    except DataNotFoundError as error:
        pytest.skip(f"SKTS_DATA does not hold the file: {error.expected}")


def enumerated(X, parameters):
    """All label sets and their probabilities in each row, by the formula, state by state."""
    W, b, U = parameters["W"], parameters["b"], parameters["U"]
    states = np.array(list(itertools.product([0, 1], repeat=len(b))))
    weights = np.array([[np.exp((W @ x + b) @ y + y @ U @ y / 2) for y in states] for x in X.astype(float)])
    return states, weights / weights.sum(axis=1, keepdims=True)


# The Ising model


@pytest.mark.parametrize(("n_samples", "n_features", "n_labels"), [(1, 1, 1), (7, 3, 2), (20, 4, 6)])
def test_log_prob_is_that_of_the_formula(n_samples, n_features, n_labels):
    X, Y, parameters = make_multilabel(n_samples, n_features, n_labels, random_state=0, return_parameters=True)
    assert (X.shape, X.dtype) == ((n_samples, n_features), np.float32)
    assert (Y.shape, Y.dtype) == ((n_samples, n_labels), np.int64)
    assert np.isin(Y, (0, 1)).all()
    states, probabilities = enumerated(X, parameters)
    drawn = (Y[:, None] == states).all(axis=2).argmax(axis=1)
    expected = np.log(probabilities[np.arange(n_samples), drawn])
    np.testing.assert_allclose(parameters["log_prob"], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("coupling", [0.0, 1.0, 3.0])
def test_label_sets_come_as_often_as_they_should(coupling):
    X, Y, parameters = make_multilabel(4000, 3, 4, coupling, random_state=1, return_parameters=True)
    states, probabilities = enumerated(X, parameters)
    drawn = (Y[:, None] == states).all(axis=2)
    assert drawn.sum() == 4000
    # Rows differ in their probabilities, so this is at most chi-square distributed with 15 degrees of freedom.
    expected = probabilities.sum(axis=0)
    assert np.sum((drawn.sum(axis=0) - expected) ** 2 / expected) < chi2.ppf(0.999, df=15)
    # Nor may the sets be right only on average over the rows: the entropy of each row is kept too.
    surprise = parameters["log_prob"] - (probabilities * np.log(probabilities)).sum(axis=1)
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(4000)


def test_coupling_makes_a_symmetric_matrix_of_random_signs_and_moves_the_joint():
    *_, free = make_multilabel(n_labels=8, coupling=0.0, random_state=0, return_parameters=True)
    *_, tied = make_multilabel(n_labels=8, coupling=2.5, random_state=0, return_parameters=True)
    assert not free["U"].any()
    np.testing.assert_array_equal(tied["U"], tied["U"].T)
    np.testing.assert_array_equal(np.abs(tied["U"]), 2.5 * (1 - np.eye(8)))
    assert {-2.5, 2.5} <= set(tied["U"].ravel())
    assert tied["log_prob"].mean() > free["log_prob"].mean() + 0.5


def test_without_coupling_the_labels_are_independent():
    X, Y, parameters = make_multilabel(coupling=0.0, random_state=0, return_parameters=True)
    margin = (2 * Y - 1) * (X.astype(float) @ parameters["W"].T + parameters["b"])
    np.testing.assert_allclose(parameters["log_prob"], -np.logaddexp(0, -margin).sum(axis=1), rtol=1e-10)


def test_strong_coupling_stays_finite_and_no_label_is_constant():
    _, Y, parameters = make_multilabel(1000, 5, 12, coupling=1000.0, random_state=0, return_parameters=True)
    assert np.isfinite(parameters["log_prob"]).all()
    assert (parameters["log_prob"] <= 0).all()
    _, Y = make_multilabel(1000, 5, 12, coupling=1.0, random_state=0)
    assert ((Y.mean(axis=0) > 0.02) & (Y.mean(axis=0) < 0.98)).all()


def test_blocks_of_rows_do_not_change_the_draw(monkeypatch):
    whole = make_multilabel(50, 3, 4, random_state=0, return_parameters=True)
    monkeypatch.setattr(structured, "_BLOCK_STATES", 7 * 2**4)
    parts = make_multilabel(50, 3, 4, random_state=0, return_parameters=True)
    np.testing.assert_array_equal(whole[1], parts[1])
    np.testing.assert_array_equal(whole[2]["log_prob"], parts[2]["log_prob"])


def test_seed_decides():
    first, again, other = (make_multilabel(random_state=seed) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)
    np.testing.assert_array_equal(make_multilabel(random_state=np.random.RandomState(0))[1], first[1])
    np.testing.assert_array_equal(make_multilabel(random_state=0, return_parameters=True)[1], first[1])


def test_global_generator_is_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_multilabel(random_state=0)
    make_label_ranking()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_features": 2.0}, "n_features"),
        ({"n_labels": True}, "n_labels"),
        ({"n_labels": 0}, "n_labels"),
        ({"n_labels": 13}, "n_labels to be at most 12"),
        ({"coupling": float("nan")}, "coupling"),
        ({"coupling": "strong"}, "coupling"),
    ],
)
def test_arguments_are_checked(arguments, name):
    with pytest.raises(InputError, match=f"Expected {name}"):
        make_multilabel(**arguments)


# Rankings from classes


@pytest.mark.parametrize(("name", "shape"), [("iris", (150, 3)), ("wine", (178, 3)), ("breast_cancer", (569, 2))])
def test_rankings_are_permutations(name, shape):
    X, R = make_label_ranking(name)
    assert (X.dtype, R.dtype) == (np.float32, np.int64)
    assert len(X) == len(R)
    assert R.shape == shape
    np.testing.assert_array_equal(np.sort(R, axis=1), np.tile(np.arange(1, shape[1] + 1), (shape[0], 1)))
    np.testing.assert_array_equal(make_label_ranking(name)[1], R)


def test_rankings_of_many_classes_have_no_ties_through_underflow():
    digits, y = load_digits(return_X_y=True)
    X, R = make_label_ranking("digits")
    np.testing.assert_array_equal(X, digits)
    bayes = GaussianNB().fit(digits, y)
    assert (bayes.predict_proba(digits) == 0).sum(axis=1).max() > 1  # the posteriors themselves would tie
    np.testing.assert_array_equal(R, rankdata(-bayes.predict_joint_log_proba(digits), "ordinal", axis=1))
    np.testing.assert_array_equal(R.argmin(axis=1), bayes.predict(digits))


def test_rankings_follow_the_densities_of_the_classes():
    X, y = load_iris(return_X_y=True)
    parts = [X[y == c] for c in range(3)]  # as many rows of each: the prior does not decide
    density = np.stack([norm(part.mean(0), part.std(0)).logpdf(X).sum(axis=1) for part in parts], axis=1)
    np.testing.assert_array_equal(make_label_ranking("iris")[1], rankdata(-density, axis=1))


# Files


@pytest.fixture
def toy(monkeypatch):
    """Contents of the files of a multilabel set and of a ranking set of four rows, known to the registry."""
    monkeypatch.setitem(MULTILABEL, "emotions", replace(MULTILABEL["emotions"], shape=(4, 2), n_targets=3, n_train=3))
    monkeypatch.setitem(RANKINGS, "iris", replace(RANKINGS["iris"], shape=(4, 2)))
    X = np.arange(8, dtype=np.float64).reshape(4, 2)
    labels = {
        "X": X,
        "Y": np.eye(4, 3),
        "feature_names": np.array(["a", "b"]),
        "label_names": np.array(["x", "y", "z"]),
    }
    ranks = {"X": X, "R": np.array([[1, 2, 3], [3, 2, 1], [2, 1, 3], [1, 3, 2]], dtype=np.int8)}
    return {"emotions": labels | {"n_train": 3}, "iris": ranks}


FETCH = {"emotions": fetch_multilabel, "iris": fetch_label_ranking}


def put(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def test_fetched_label_sets(toy, user_folder, origin):
    put(user_folder / "multilabel/emotions.npz", toy["emotions"])
    bunch = fetch_multilabel("emotions")
    np.testing.assert_array_equal(bunch.data, toy["emotions"]["X"])
    np.testing.assert_array_equal(bunch.target, np.eye(4, 3))
    assert (bunch.data.dtype, bunch.target.dtype) == (np.float32, np.int8)
    assert (bunch.feature_names, bunch.target_names, bunch.n_train) == (["a", "b"], ["x", "y", "z"], 3)
    assert all(type(name) is str for name in bunch.feature_names + bunch.target_names)
    assert "emotions" in bunch.DESCR
    assert "3 rows" in bunch.DESCR
    assert origin.asked == []


def test_fetched_rankings(toy, user_folder):
    put(user_folder / "ranking/iris.npz", toy["iris"])
    bunch = fetch_label_ranking("iris")
    np.testing.assert_array_equal(bunch.target, toy["iris"]["R"])
    assert (bunch.data.dtype, bunch.target.dtype) == (np.float32, np.int64)
    assert "iris" in bunch.DESCR


def test_wide_set_of_zeros_is_sparse(toy, user_folder, monkeypatch):
    monkeypatch.setitem(MULTILABEL, "emotions", replace(MULTILABEL["emotions"], sparse=True))
    put(user_folder / "emotions.npz", toy["emotions"])
    data = fetch_multilabel("emotions").data
    assert issparse(data)
    assert (data.format, data.dtype) == ("csr", np.float32)
    np.testing.assert_array_equal(data.toarray(), toy["emotions"]["X"])


@pytest.mark.parametrize("place", ["multilabel/emotions.npz", "emotions.npz"])
@pytest.mark.parametrize("folder", ["user_folder", "cache"])
def test_file_is_found_in_the_users_folder_and_in_the_cache(place, folder, toy, request):
    if folder == "cache":
        request.getfixturevalue("no_user_folder")
    put(request.getfixturevalue(folder) / place, toy["emotions"])
    assert fetch_multilabel("emotions").data.shape == (4, 2)


def test_users_folder_goes_before_the_cache(toy, user_folder, cache):
    put(user_folder / "emotions.npz", toy["emotions"])
    put(cache / "multilabel/emotions.npz", {"X": np.zeros(1)})
    assert fetch_multilabel("emotions").data.shape == (4, 2)


@pytest.mark.parametrize("name", FETCH)
def test_missing_file_says_where_to_put_it(name, user_folder, cache, origin):
    origin.content = b"never asked for"
    folder = "multilabel" if name == "emotions" else "ranking"
    with pytest.raises(DataNotFoundError) as caught:
        FETCH[name](name)
    error = caught.value
    assert f"{name}.npz" in error.expected
    for place in (user_folder, user_folder / folder, cache, cache / folder):
        assert str(place / f"{name}.npz") in error.got
    assert "SKTS_DATA" in error.hint
    assert f"{folder!r}" in error.hint
    assert origin.asked == []


def test_missing_file_without_any_folder(no_user_folder, monkeypatch):
    monkeypatch.setattr("skts.datasets.cache._cache_folder", lambda: None)
    with pytest.raises(DataNotFoundError, match="SKTS_DATA is not set"):
        fetch_multilabel("scene")


@pytest.mark.parametrize(
    ("name", "array", "value", "reason"),
    [
        ("emotions", "X", np.zeros((4, 3)), r"X \(4, 2\)"),
        ("emotions", "Y", np.zeros((5, 3)), r"Y \(4, 3\)"),
        ("emotions", "Y", np.full((4, 3), 2), "0 and 1"),
        ("emotions", "Y", np.full((4, 3), np.nan), "0 and 1"),
        ("emotions", "Y", np.full((4, 3), "yes"), "Y to hold numbers"),
        ("emotions", "X", np.full((4, 2), np.inf), "finite"),
        ("emotions", "X", np.full((4, 2), None), "cannot be read"),  # Python objects
        ("emotions", "n_train", 2, "n_train to be 3"),
        ("emotions", "label_names", np.array(["x"]), r"label_names \(3,\)"),
        ("emotions", "feature_names", None, "cannot be read"),
        ("iris", "X", None, "cannot be read"),
        ("iris", "R", np.tile([0, 1, 2], (4, 1)), "ranks 1 to 3"),
        ("iris", "R", np.tile([1, 1, 3], (4, 1)), "ranks 1 to 3"),
    ],
)
def test_file_of_another_content_is_refused(name, array, value, reason, toy, user_folder):
    arrays = {key: kept for key, kept in toy[name].items() if key != array}
    put(user_folder / f"{name}.npz", arrays if value is None else arrays | {array: value})
    with pytest.raises(InputError, match=reason) as caught:
        FETCH[name](name)
    assert f"{name}.npz" in caught.value.expected
    assert "https://" in caught.value.hint


@pytest.mark.parametrize("damage", [lambda data: b"no zip", lambda data: data[:-40], lambda data: b""])
def test_damaged_file_is_refused(damage, toy, user_folder):
    path = user_folder / "emotions.npz"
    put(path, toy["emotions"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="cannot be read"):
        fetch_multilabel("emotions")


def test_file_that_unpacks_to_too_much_is_refused(toy, user_folder, monkeypatch):
    monkeypatch.setattr(structured, "MAX_BYTES", 1000)
    np.savez_compressed(user_folder / "emotions.npz", **toy["emotions"], more=np.zeros(2000))
    with pytest.raises(InputError, match="more than 1,000"):
        fetch_multilabel("emotions")


@pytest.mark.parametrize("call", [fetch_multilabel, fetch_label_ranking, make_label_ranking])
@pytest.mark.parametrize("name", ["Iris", None, ["iris"], "../iris"])
def test_wrong_name_lists_the_names(call, name):
    with pytest.raises(InputError) as caught:
        call(name)
    assert "wine" in caught.value.expected or "scene" in caught.value.expected
    assert repr(name) in caught.value.got


def test_registry_entries_are_whole():
    for table, folder in ((MULTILABEL, "multilabel"), (RANKINGS, "ranking")):
        for name, dataset in table.items():
            assert (dataset.name, dataset.file, dataset.folder) == (name, f"{name}.npz", folder)
            assert dataset.url.startswith("https://")
            assert dataset.origin
            assert dataset.n_train is None or 0 < dataset.n_train < dataset.shape[0]


@pytest.mark.parametrize("name", MULTILABEL)
def test_real_label_sets(name):
    bunch = fetch_or_skip(fetch_multilabel, name)
    dataset = MULTILABEL[name]
    assert bunch.data.shape == dataset.shape
    assert bunch.target.shape == (dataset.shape[0], dataset.n_targets)
    assert issparse(bunch.data) == (name == "bibtex")
    assert bunch.target.any(axis=0).all()  # each label occurs, also in the training part
    assert bunch.target[: bunch.n_train].any(axis=0).all()
    assert len(set(bunch.target_names)) == dataset.n_targets


@pytest.mark.parametrize("name", RANKINGS)
def test_real_rankings(name):
    bunch = fetch_or_skip(fetch_label_ranking, name)
    assert bunch.data.shape == RANKINGS[name].shape
    assert np.isfinite(bunch.data).all()


def test_first_rank_is_the_best():
    # The set came from classes, in which rows of a label lie together: the best label then follows the class.
    bunch = fetch_or_skip(fetch_label_ranking, "iris")
    assert np.bincount(bunch.target.argmin(axis=1)).tolist() == pytest.approx([50, 50, 50], abs=3)
    assert GaussianNB().fit(bunch.data, bunch.target.argmin(axis=1)).score(bunch.data, bunch.target.argmin(1)) > 0.95
