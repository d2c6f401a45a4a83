import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skts.errors import InputError
from skts.metrics import (
    block_folds,
    cluster_agreement,
    continuity,
    distance_consistency,
    local_continuity,
    neighborhood_hit,
    neighborhood_overlap,
    path_smoothness,
    probe_predictions,
    probe_score,
)

PAIRS = [continuity, local_continuity, neighborhood_overlap]
LABELLED = [neighborhood_hit, distance_consistency, cluster_agreement]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def space(rng):
    return rng.normal(size=(60, 5))


def neighbours(Z, i, k):
    """The definition: the k others that are nearest to sample i."""
    distance = cdist(Z[i : i + 1], Z)[0]
    distance[i] = np.inf
    return set(np.argsort(distance)[:k].tolist())


# ---- space and map --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 7, 29])
def test_continuity_is_trustworthiness_with_swapped_roles(space, rng, k):
    for Z in (space[:, :2], rng.normal(size=(60, 2))):
        assert continuity(Z, space, k) == pytest.approx(trustworthiness(space, Z, n_neighbors=k))
        assert continuity(space, Z, k) == pytest.approx(trustworthiness(Z, space, n_neighbors=k))


def test_shares_are_those_of_counted_neighbours(space):
    Z, k = space[:, :2], 8
    shared = [len(neighbours(space, i, k) & neighbours(Z, i, k)) / k for i in range(60)]
    np.testing.assert_allclose(neighborhood_overlap(space, Z, k, per_sample=True), shared)
    np.testing.assert_allclose(local_continuity(space, Z, k, per_sample=True), np.array(shared) - k / 59)


def test_a_perfect_map_keeps_all_and_is_not_changed_by_turning_and_scaling(space, rng):
    turned = 3 * space @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 7
    assert continuity(space, turned) == 1
    assert neighborhood_overlap(space, turned) == 1
    assert local_continuity(space, turned) == pytest.approx(1 - 10 / 59)


def test_a_shuffled_map_is_at_chance(rng):
    X = rng.normal(size=(800, 2))
    Z = rng.permutation(X)
    assert continuity(X, Z) == pytest.approx(0.5, abs=0.03)
    assert local_continuity(X, Z) == pytest.approx(0, abs=0.01)
    assert neighborhood_overlap(X, Z) == pytest.approx(10 / 799, abs=0.01)


@pytest.mark.parametrize("measure", PAIRS)
def test_mean_over_samples_is_the_measure(space, measure):
    Z = space[:, :2]
    each = measure(space, Z, per_sample=True)
    assert each.shape == (60,)
    assert isinstance(measure(space, Z), float)
    assert measure(space, Z) == pytest.approx(each.mean())


@pytest.mark.parametrize("measure", PAIRS)
@pytest.mark.parametrize("bad", [0, 30, 2.5, True])
def test_a_neighbourhood_is_less_than_half(space, measure, bad):
    with pytest.raises(InputError, match="below half of the 60 samples"):
        measure(space, space, bad)


@pytest.mark.parametrize("measure", PAIRS)
def test_two_spaces_have_the_same_samples(space, measure):
    with pytest.raises(InputError, match="60 and 59"):
        measure(space, space[1:])
    with pytest.raises(InputError, match="1 others"):
        measure(space, np.where(np.arange(60)[:, None] == 3, [[np.nan, 0]], 0.0))
    with pytest.raises(InputError, match="shape"):
        measure(space, space[:, 0])


# ---- labels ---------------------------------------------------------------------------------------------------------


def test_hit_is_that_of_counted_neighbours(space, rng):
    y = rng.integers(3, size=60)
    hits = [np.mean([y[j] == y[i] for j in neighbours(space, i, 6)]) for i in range(60)]
    np.testing.assert_allclose(neighborhood_hit(space, y, 6, per_sample=True), hits)


def test_windows_that_overlap_are_no_neighbours(rng):
    starts, window = np.arange(0, 400, 5), 20
    Z, y = rng.normal(size=(80, 2)), rng.integers(2, size=80)
    found = neighborhood_hit(Z, y, 6, starts=starts, window=window, per_sample=True)
    for i in range(80):
        distance = np.linalg.norm(Z - Z[i], axis=1)
        distance[np.abs(starts - starts[i]) < window] = np.inf
        assert found[i] == pytest.approx(np.mean(y[np.argsort(distance)[:6]] == y[i]))


def test_copies_of_overlapping_windows_do_not_flatter(rng):
    """Values that say nothing but where in time a window is: near in time has the same label."""
    starts = np.arange(0, 1000, 2)
    Z, y = starts[:, None] / 100.0, (starts // 40) % 2
    assert neighborhood_hit(Z, y, 10) > 0.8
    assert neighborhood_hit(Z, y, 10, starts=starts, window=40) < 0.55


def test_without_other_windows_there_is_no_hit():
    Z, y = np.arange(12.0)[:, None], np.zeros(12)
    assert np.isnan(neighborhood_hit(Z, y, 2, starts=np.zeros(12, int), window=3, per_sample=True)).all()


def test_hit_without_structure_is_the_chance_of_the_same_label(rng):
    y = rng.choice(3, p=[0.5, 0.3, 0.2], size=1500)
    assert neighborhood_hit(rng.normal(size=(1500, 2)), y) == pytest.approx(0.25 + 0.09 + 0.04, abs=0.02)


def test_distance_consistency_is_nearest_centroid(space, rng):
    y = rng.choice(["a", "b", "c"], size=60)
    centres = np.stack([space[y == c].mean(0) for c in "abc"])
    nearest = np.array(list("abc"))[cdist(space, centres).argmin(1)]
    np.testing.assert_array_equal(distance_consistency(space, y, per_sample=True), nearest == y)


def test_clusters_are_those_of_hdbscan(rng):
    Z, y = make_blobs(200, 4, centers=4, cluster_std=1.5, random_state=3)
    expected = adjusted_rand_score(y, HDBSCAN(min_cluster_size=12, copy=True).fit_predict(Z))
    assert cluster_agreement(Z, y, min_cluster_size=12) == pytest.approx(expected)
    assert cluster_agreement(Z, np.array(list("wxyz"))[y], min_cluster_size=12) == pytest.approx(expected)
    assert abs(cluster_agreement(Z, rng.permutation(y))) < 0.05


def test_clear_clusters_are_perfect_in_all_measures():
    Z, y = make_blobs(120, 2, centers=[[0, 0], [50, 0], [0, 50]], random_state=0)
    assert [measure(Z, y) for measure in LABELLED] == [1, 1, 1]


@pytest.mark.parametrize("measure", LABELLED)
def test_each_sample_has_a_label(space, measure):
    with pytest.raises(InputError, match=r"\(60,\)"):
        measure(space, np.zeros(59))
    with pytest.raises(InputError, match="1 others"):
        measure(space, np.where(np.arange(60) == 0, np.nan, 0.0))


# ---- path -----------------------------------------------------------------------------------------------------------


def test_a_straight_walk_has_a_closed_form_and_an_order_that_means_nothing_has_one(rng):
    n = 200
    line = np.arange(float(n))[:, None]
    assert path_smoothness(line) == pytest.approx(3 / (n + 1))  # the mean distance of two of n points is (n + 1) / 3
    np.testing.assert_allclose(path_smoothness(line, per_sample=True), np.full(n - 1, 3 / (n + 1)))
    assert path_smoothness(rng.normal(size=(2000, 3))) == pytest.approx(1, abs=0.03)
    with pytest.raises(InputError, match="all the same"):
        path_smoothness(np.ones((5, 2)))


# ---- probes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "window", "n_folds"), [(1, 12, 5), (10, 20, 2), (6, 96, 5), (50, 50, 4)])
def test_folds_test_each_window_once_and_share_no_step(stride, window, n_folds):
    starts = np.arange(0, 3000, stride)
    folds = block_folds(starts, window, n_folds)
    assert len(folds) == n_folds
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(starts)))
    for train, test in folds:
        assert len(train)
        assert np.abs(starts[train][:, None] - starts[test]).min() >= window


def test_a_series_of_one_block_has_no_folds():
    with pytest.raises(InputError, match="longer series or shorter windows"):
        block_folds(np.arange(10), 100)
    with pytest.raises(InputError, match="at least 2"):
        block_folds(np.arange(1000), 10, n_folds=1)
    with pytest.raises(InputError, match="starts as ints"):
        block_folds(np.arange(10.0), 1)


def test_probe_of_labels_is_logistic_regression_on_standardised_features(rng):
    Z, y = make_blobs(90, 6, centers=3, cluster_std=6, random_state=0)
    Z = Z * rng.uniform(0.01, 100, size=6)
    expected = cross_val_predict(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), Z, y, cv=5)
    np.testing.assert_array_equal(probe_predictions(Z, y), expected)
    assert probe_score(Z, y) == pytest.approx(np.mean(expected == y))


def test_probe_of_a_factor_is_one_for_what_is_linear_and_at_most_zero_for_noise(space, rng):
    assert probe_score(space, space @ rng.normal(size=5) + 3) == pytest.approx(1, abs=1e-3)
    assert probe_score(space, rng.normal(size=60)) < 0.1


def test_overlapping_windows_leak_without_blocks(rng):
    """Random walks tell where in time a window is, and nothing of the label."""
    starts, window = np.arange(600), 30
    Z, y = rng.normal(size=(600, 20)).cumsum(0), (starts // 30) % 2
    shuffled = np.random.default_rng(1).permutation(600).reshape(5, -1)
    naive = [(np.setdiff1d(starts, test), test) for test in shuffled]
    assert probe_score(Z, y, cv=naive) > probe_score(Z, y, cv=block_folds(starts, window)) + 0.1


def test_numbers_without_fractions_are_labels(rng):
    Z = rng.normal(size=(40, 2))
    y = (Z[:, 0] > 0).astype(float)
    assert set(probe_predictions(Z, y)) <= {0.0, 1.0}


def test_a_fold_without_training_samples_is_named(space):
    with pytest.raises(InputError, match="train on"):
        probe_score(space, np.arange(60) % 2, cv=[(np.array([], int), np.arange(60))])
