"""JointEBMClassifier as a user meets it."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skts
from skts import JointEBMClassifier
from skts.datasets import make_label_ranking, make_multilabel
from skts.errors import InputError, ParameterError

QUICK = {"max_epochs": 2, "random_state": 0, "module_kwargs": {"n_trees": 10, "n_landmarks": 60}}
LINEAR = {"encoder": "linear", "random_state": 0}


@pytest.fixture(scope="module")
def labels():
    X, y, truth = make_multilabel(400, 6, 4, random_state=0, return_parameters=True)
    return X, y, truth


@pytest.fixture(scope="module")
def fitted(labels):
    X, y, _ = labels
    return JointEBMClassifier(**QUICK).fit(X, y)


@pytest.fixture(scope="module")
def ranker():
    X, R = make_label_ranking("iris")
    return JointEBMClassifier(output="ranking", **QUICK).fit(X, R), X, R


def all_sets(k):
    return np.array(list(itertools.product((0, 1), repeat=k)))


def log_probs(model, X, states):
    """Log-probability of every state, (n_samples, n_states)."""
    return np.stack([model.score_samples(X, np.repeat(s[None], len(X), 0)) for s in states], 1)


# ---- likelihood -----------------------------------------------------------------------------------------------------


def test_classes_agree_with_logistic_regression():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = {"max_epochs": 60, "patience": None, "validation_fraction": 0.0, "batch_size": 150, "lr": 1e-3}
    model = JointEBMClassifier(**LINEAR, **settings, module_kwargs={"C": 1.0}).fit(X, y)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-3)


def test_close_to_the_truth_that_made_the_data(labels):
    X, y, truth = labels
    model = JointEBMClassifier(**LINEAR, module_kwargs={"C": 1.0}).fit(X[:300], y[:300])
    alone = JointEBMClassifier(coupling="unary", **LINEAR, module_kwargs={"C": 1.0}).fit(X[:300], y[:300])
    best = -truth["log_prob"][300:].mean()
    found = -model.score_samples(X[300:], y[300:]).mean()
    independent = -alone.score_samples(X[300:], y[300:]).mean()
    assert found < best + 0.25
    assert found < independent - 0.05
    off_diagonal = ~np.eye(4, dtype=bool)
    assert np.corrcoef(model.coupling_matrix()[off_diagonal], truth["U"][off_diagonal])[0, 1] > 0.8


@pytest.mark.parametrize("proposal", ["meanfield", "marginal", "prior", "enumerate"])
def test_sampled_training_finds_the_same_model(labels, proposal):
    X, y, _ = labels
    settings = {**LINEAR, "max_epochs": 20, "module_kwargs": {"C": 1.0}}
    exact = JointEBMClassifier(**settings).fit(X[:300], y[:300])
    drawn = JointEBMClassifier(**settings, proposal=proposal, n_samples=16).fit(X[:300], y[:300])
    assert drawn.tau_ == "structured"
    gap = exact.score_samples(X[300:], y[300:]).mean() - drawn.score_samples(X[300:], y[300:]).mean()
    assert abs(gap) < 0.05
    error = drawn.log_partition(X[300:], method="tau") - drawn.log_partition(X[300:], method="exact")
    assert np.abs(error).mean() < 0.1
    assert drawn.normalizer_["ok"]


@pytest.mark.parametrize("tau", ["structured", "net", "per_sample", "constant", "exact"])
def test_every_tau_trains(labels, tau):
    X, y, _ = labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a constant is no good log-partition, and says so
        model = JointEBMClassifier(proposal="meanfield", tau=tau, **QUICK).fit(X, y)
    assert np.isfinite(model.score_samples(X, y)).all()
    assert (model.normalization_error_ == 0) == (tau == "exact")


def test_log_probability_is_minus_energy_minus_log_partition(fitted, labels):
    X, y, _ = labels
    states = all_sets(4)
    energies = np.stack([fitted.energy(X[:5], np.repeat(s[None], 5, 0)) for s in states], 1)
    brute = np.log(np.exp(-energies).sum(1))
    np.testing.assert_allclose(fitted.log_partition(X[:5]), brute, atol=1e-6)
    np.testing.assert_allclose(
        fitted.score_samples(X[:5], y[:5]), -fitted.energy(X[:5], y[:5]) - fitted.log_partition(X[:5])
    )


def test_probabilities_of_all_sets_sum_to_one(fitted, labels):
    X = labels[0]
    np.testing.assert_allclose(np.exp(log_probs(fitted, X[:20], all_sets(4))).sum(1), 1, atol=1e-6)


# ---- queries --------------------------------------------------------------------------------------------------------


def test_marginals_conditionals_events_and_best_sets_agree_with_enumeration(fitted, labels):
    X, states = labels[0][:6], all_sets(4)
    p = np.exp(log_probs(fitted, X, states))
    np.testing.assert_allclose(fitted.predict_proba(X), p @ states, atol=1e-5)
    agrees = (states[:, 0] == 1) & (states[:, 2] == 0)
    wanted = (p[:, agrees] @ states[agrees]) / p[:, agrees].sum(1, keepdims=True)
    np.testing.assert_allclose(fitted.conditional(X, {0: 1, 2: 0}), wanted, atol=1e-5)
    np.testing.assert_allclose(fitted.conditional(X, [1, -1, 0, -1]), wanted, atol=1e-5)
    many = fitted.event_probability(X, lambda y: y.sum(1) >= 2)
    np.testing.assert_allclose(many, p[:, states.sum(1) >= 2].sum(1), atol=1e-6)
    sets, log_prob = fitted.top_k(X, 3)
    order = np.argsort(-p, 1)[:, :3]
    np.testing.assert_allclose(np.exp(log_prob), np.take_along_axis(p, order, 1), atol=1e-6)
    np.testing.assert_array_equal(sets, states[order])
    np.testing.assert_array_equal(fitted.predict(X), sets[:, 0])


def test_draws_follow_the_probabilities_and_the_seed(fitted, labels):
    X = labels[0][:3]
    draws = fitted.sample(X, 4000, random_state=1)
    np.testing.assert_allclose(draws.mean(1), fitted.predict_proba(X), atol=0.04)
    np.testing.assert_array_equal(draws, fitted.sample(X, 4000, random_state=1))
    assert (draws != fitted.sample(X, 4000, random_state=2)).any()


def test_rejection_accepts_what_is_probable(fitted, labels):
    X = labels[0]
    y, accepted = fitted.predict_with_rejection(X, threshold=0.5)
    np.testing.assert_array_equal(accepted, np.exp(fitted.score_samples(X)) >= 0.5)
    np.testing.assert_array_equal(y, fitted.predict(X))
    assert 0 < accepted.mean() < 1


def test_decision_function_is_monotone_in_the_probabilities(fitted, labels):
    X = labels[0]
    np.testing.assert_allclose(1 / (1 + np.exp(-fitted.decision_function(X))), fitted.predict_proba(X), rtol=1e-4)


@pytest.mark.parametrize("decode", ["map", "f1", "marginal", "hamming", "seen"])
def test_decoders_of_label_sets(fitted, labels, decode):
    found = fitted.predict(labels[0], decode=decode)
    assert found.shape == labels[1].shape
    assert set(np.unique(found)) <= {0, 1}


def test_features_that_matter_are_found(labels):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5)).astype(np.float32)
    y = (X[:, [1, 3]] > 0).astype(int)
    model = JointEBMClassifier(**QUICK).fit(X, y)
    assert np.abs(model.explain(X[:50], 0)).mean(0).argmax() == 1
    assert np.abs(model.explain(X[:50], 1)).mean(0).argmax() == 3
    assert set(np.abs(model.explain(X[:50], [0, 1])).mean(0).argsort()[-2:]) == {1, 3}


# ---- other output spaces --------------------------------------------------------------------------------------------


def test_rankings(ranker):
    model, X, R = ranker
    assert model.score(X, R) > 0.9
    for decode in ("map", "kendall", "hamming", "seen"):
        assert (np.sort(model.predict(X[:9], decode), 1) == [1, 2, 3]).all()
    orders = np.array(list(itertools.permutations((1, 2, 3))))
    p = np.exp(log_probs(model, X[:5], orders))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    by_position = model.predict_rank_proba(X[:5])
    wanted = np.einsum("np,pij->nij", p, (orders[:, :, None] == [1, 2, 3]).astype(float))
    np.testing.assert_allclose(by_position, wanted, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(X[:5]), wanted[:, :, 0], atol=1e-5)
    first = orders[:, 0] == 1
    np.testing.assert_allclose(
        model.conditional(X[:5], {0: 1}),
        np.einsum("np,pij->nij", p[:, first], (orders[first][:, :, None] == [1, 2, 3]))
        / p[:, first].sum(1)[:, None, None],
        atol=1e-5,
    )


def test_rankings_with_too_many_items_for_an_exact_route():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4)).astype(np.float32)
    R = (X @ rng.standard_normal((4, 13))).argsort(1).argsort(1) + 1
    model = JointEBMClassifier(output="ranking", **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, R)
    assert (model.proposal_, model.tau_) == ("meanfield", "structured")
    assert model.score(X, R) > 0.7
    sets, log_prob = model.top_k(X[:2], 5)
    assert (np.sort(sets, 2) == np.arange(1, 14)).all()
    assert (np.diff(log_prob, axis=1) <= 1e-9).all()


def test_subsets_of_one_size(labels):
    X = labels[0]
    scores = X @ np.random.default_rng(0).standard_normal((6, 5))
    y = (scores.argsort(1).argsort(1) >= 3).astype(int)
    model = JointEBMClassifier(output="subset", **QUICK).fit(X, y)
    assert (model.predict(X).sum(1) == 2).all()
    np.testing.assert_allclose(model.predict_proba(X[:9]).sum(1), 2, atol=1e-4)
    states = all_sets(5)[all_sets(5).sum(1) == 2]
    np.testing.assert_allclose(np.exp(log_probs(model, X[:4], states)).sum(1), 1, atol=1e-6)
    with pytest.raises(InputError, match="exactly 2"):
        model.score_samples(X[:1], [[1, 1, 1, 0, 0]])


class Intervals:
    """Runs of ones in four places, a space of one's own: {}, 1, 11, ... at each place."""

    n_features = 2

    def __init__(self):
        rows = [np.zeros(4, dtype=int)]
        rows += [
            np.r_[np.zeros(a, int), np.ones(b - a, int), np.zeros(4 - b, int)]
            for a in range(4)
            for b in range(a + 1, 5)
        ]
        self.rows = np.array(rows)

    def check(self, y):
        y = np.asarray(y)
        if not all(tuple(row) in set(map(tuple, self.rows)) for row in y):
            raise ValueError("a row that is no interval")
        return y

    def features(self, y):
        return np.stack([y.sum(-1), (y * np.arange(4)).sum(-1)], -1)

    def sample(self, n, rng):
        return self.rows[rng.integers(len(self.rows), size=n)]

    def log_prob(self, y):
        return np.full(np.shape(y)[:-1], -np.log(len(self.rows)))

    def states(self):
        return self.rows


class ManyIntervals(Intervals):
    def states(self):
        return None


@pytest.mark.parametrize("space", [Intervals, ManyIntervals])
def test_a_space_of_ones_own(labels, space):
    X = labels[0]
    rows = Intervals().rows
    y = rows[np.digitize(X[:, 0], np.quantile(X[:, 0], np.linspace(0, 1, len(rows) + 1)[1:-1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = JointEBMClassifier(output=space(), encoder="linear", random_state=0, max_epochs=5).fit(X, y)
    p = np.exp(log_probs(model, X[:5], rows))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6 if space is Intervals else 0.3)
    found = model.predict(X[:20])
    assert all(tuple(row) in set(map(tuple, rows)) for row in found)
    with pytest.raises(InputError, match="no interval"):
        model.fit(X, np.tile([1, 0, 1, 0], (len(X), 1)))


# ---- data as users have them ----------------------------------------------------------------------------------------


def test_missing_labels_are_ignored_and_cost_little(labels):
    X, y, _ = labels
    mask = np.random.default_rng(0).random(y.shape) > 0.3
    spoiled = np.where(mask, y, 1 - y)  # what stands where nothing was observed must not matter
    full = JointEBMClassifier(**LINEAR).fit(X[:300], y[:300])
    masked = JointEBMClassifier(**LINEAR).fit(X[:300], spoiled[:300], label_mask=mask[:300])
    other = JointEBMClassifier(**LINEAR).fit(X[:300], y[:300], label_mask=mask[:300])
    np.testing.assert_array_equal(masked.predict_proba(X), other.predict_proba(X))
    lost = full.score_samples(X[300:], y[300:]).mean() - masked.score_samples(X[300:], y[300:]).mean()
    assert lost < 0.15


@pytest.mark.parametrize("settings", [{}, {"proposal": "meanfield"}, {"coupling": "lowrank", "proposal": "meanfield"}])
def test_missing_labels_on_every_road(labels, settings):
    X, y, _ = labels
    mask = np.random.default_rng(0).random(y.shape) > 0.3
    model = JointEBMClassifier(**QUICK, **settings).fit(X, y, label_mask=mask)
    assert np.isfinite(model.score_samples(X, y)).all()


def test_sparse_and_dense_data_agree():
    rng = np.random.default_rng(0)
    X = (rng.random((150, 12)) < 0.3).astype(np.float32)
    y = (X @ rng.standard_normal((12, 3)) > 0).astype(int)
    model = JointEBMClassifier(**QUICK).fit(csr_matrix(X), csr_matrix(y))
    np.testing.assert_allclose(model.predict_proba(csr_matrix(X)), model.predict_proba(X), atol=1e-5)


def test_names_of_labels_are_kept(labels):
    X, y, _ = labels
    frame = pd.DataFrame(y, columns=["calm", "sad", "loud", "fast"])
    model = JointEBMClassifier(**QUICK).fit(pd.DataFrame(X, columns=list("abcdef")), frame)
    assert model.classes_.tolist() == ["calm", "sad", "loud", "fast"]
    np.testing.assert_allclose(
        model.conditional(pd.DataFrame(X, columns=list("abcdef")), {"sad": 1})[:, 1], 1, atol=1e-6
    )


def test_words_as_classes():
    X, y = load_iris(return_X_y=True)
    names = load_iris().target_names[y]
    model = JointEBMClassifier(**QUICK).fit(X, names)
    assert model.score(X, names) > 0.9
    assert set(model.predict(X)) <= set(names)
    assert set(model.sample(X[:2], 3).ravel()) <= set(names)


def test_weights_of_zero_leave_rows_out_of_the_loss(labels):
    X, y, _ = labels
    weight = np.r_[np.ones(300), np.zeros(100)]
    spoiled = np.r_[y[:300], 1 - y[300:]]
    settings = {**LINEAR, "validation_fraction": 0.0}
    one = JointEBMClassifier(**settings).fit(X, spoiled, sample_weight=weight)
    other = JointEBMClassifier(**settings).fit(X[:300], y[:300])
    gap = one.score_samples(X[:300], y[:300]).mean() - other.score_samples(X[:300], y[:300]).mean()
    assert abs(gap) < 0.05


def test_in_searches_and_pipelines(labels):
    X, y, _ = labels
    search = GridSearchCV(JointEBMClassifier(**QUICK), {"coupling": ["unary", "pairwise"]}, cv=2).fit(X, y)
    assert search.best_params_["coupling"] in ("unary", "pairwise")
    pipeline = make_pipeline(StandardScaler(), JointEBMClassifier(**QUICK)).fit(X, y)
    assert pipeline.predict(X).shape == y.shape
    assert cross_val_score(JointEBMClassifier(**QUICK), X, y, cv=2).shape == (2,)


def outputs_of(kind, X):
    scores = X @ np.random.default_rng(0).standard_normal((6, 6))
    ranks = scores.argsort(1).argsort(1)
    return {
        "multilabel": (scores > 0).astype(int),
        "subset": (ranks >= 4).astype(int),
        "ranking": ranks + 1,
        "many items": (X @ np.random.default_rng(0).standard_normal((6, 9))).argsort(1).argsort(1) + 1,
        "multiclass": scores.argmax(1),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *[("multilabel", s) for s in ({}, {"encoder": "mlp"}, {"coupling": "lowrank"}, {"coupling": "cardinality"})],
        ("multilabel", {"proposal": "meanfield", "tau": "net"}),
        *[("ranking", s) for s in ({"output": "ranking"}, {"output": "ranking", "coupling": "birkhoff"})],
        ("many items", {"output": "ranking"}),
        ("subset", {"output": "subset"}),
        ("multiclass", {}),
    ],
)
def test_saved_models_answer_the_same(labels, kind, settings, tmp_path):
    X = labels[0][:120]
    y = outputs_of(kind, X)
    model = JointEBMClassifier(**{**QUICK, **settings}).fit(X, y)
    skts.save(model, tmp_path / "model.skts")
    loaded = skts.load(tmp_path / "model.skts")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.score_samples(X, y), model.score_samples(X, y))
    assert loaded.normalizer_ == model.normalizer_


@pytest.mark.parametrize("encoder", ["stack", "linear"])
def test_rows_that_come_twice_do_no_harm(labels, encoder):
    X, y, _ = labels
    settings = {"encoder": encoder, "random_state": 0, "max_epochs": 5}
    once = JointEBMClassifier(**settings).fit(X[:200], y[:200]).score_samples(X[200:], y[200:]).mean()
    twice = JointEBMClassifier(**settings).fit(np.r_[X[:200], X[:200]], np.r_[y[:200], y[:200]])
    assert twice.score_samples(X[200:], y[200:]).mean() > once - 0.3


def test_rows_in_order_are_no_other_data(labels, monkeypatch):
    from skts.jointebm import pseudo

    monkeypatch.setattr(pseudo, "_MOST_ROWS", 60)
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(6, size=400))
    X = (rng.standard_normal((400, 3)) + y[:, None]).astype(np.float32)
    mixed = rng.permutation(400)
    ordered = JointEBMClassifier(**LINEAR, max_epochs=1).fit(X, y).score_samples(X, y).mean()
    assert ordered > JointEBMClassifier(**LINEAR, max_epochs=1).fit(X[mixed], y[mixed]).score_samples(X, y).mean() - 0.2


def test_best_sets_differ_and_do_not_depend_on_neighbours():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 4)).astype(np.float32)
    A = (rng.random((2, 22)) < 0.5).astype(int)
    y = A[(X[:, 0] > 0).astype(int)]
    for coupling in ("cardinality", "lowrank"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = JointEBMClassifier(coupling=coupling, **LINEAR, max_epochs=2).fit(X, y)
        sets, log_prob = model.top_k(X[:9], 5)
        assert all(len(np.unique(row, axis=0)) == 5 for row in sets)
        np.testing.assert_allclose(model.top_k(X[5:9], 5)[1], log_prob[5:], atol=1e-6)
        event = model.event_probability(X[:9], lambda s: s.sum(1) > 10)
        np.testing.assert_array_equal(model.event_probability(X[5:9], lambda s: s.sum(1) > 10), event[5:])


@pytest.mark.parametrize("decode", ["map", "f1", "marginal", "hamming", "seen"])
def test_decoders_of_subsets_stay_in_the_space(labels, decode):
    X = labels[0][:100]
    model = JointEBMClassifier(output="subset", **QUICK).fit(X, outputs_of("subset", X))
    assert (model.predict(X, decode=decode).sum(1) == 2).all()
    assert np.isfinite(model.score_samples(X)).all()


def test_warm_start_refuses_other_classes():
    X, y = load_iris(return_X_y=True)
    model = JointEBMClassifier(warm_start=True, **QUICK).fit(X, y)
    model.fit(X[::2], y[::2])
    with pytest.raises(InputError, match="warm_start"):
        model.fit(X, y + 5)


@pytest.mark.parametrize("loss", ["sparsemax", "entmax"])
def test_sparse_losses(labels, loss):
    X, y, _ = labels
    model = JointEBMClassifier(loss=loss, gamma=0.3, **QUICK).fit(X, y)
    p = np.exp(log_probs(model, X[:20], all_sets(4)))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    assert (p == 0).any()
    with pytest.raises(InputError, match="label_mask"):
        JointEBMClassifier(loss=loss, **QUICK).fit(X, y, label_mask=np.eye(len(y), 4) == 0)
    with pytest.raises(ParameterError, match="Sparse losses"):
        JointEBMClassifier(loss=loss, **QUICK).fit(*many_labels(60))


# ---- trust and odd inputs -------------------------------------------------------------------------------------------


def many_labels(n=250, k=40, seed=0):
    """Labels that come in two kinds of rows, and so in two modes that x does not tell apart."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    kind = rng.integers(2, size=(n, 1))
    return X, (rng.random((n, k)) < np.where(kind, 0.8, 0.1)).astype(int)


def test_a_proposal_that_misses_modes_raises_the_warning():
    X, y = many_labels()
    with pytest.warns(ConvergenceWarning, match="not to be trusted"):
        bad = JointEBMClassifier(coupling="pairwise", proposal="marginal", **QUICK).fit(X, y)
    assert not bad.normalizer_["ok"]


def test_latent_factors_see_both_modes():
    X, y = many_labels()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        good = JointEBMClassifier(**{**QUICK, "max_epochs": 20}).fit(X, y)
    assert good.coupling_ == "lowrank"
    assert good.proposal_ == "latent"
    assert good.normalizer_["ok"]
    assert good.normalization_error_ < 0.5
    alone = JointEBMClassifier(coupling="unary", **QUICK).fit(X, y)
    assert good.score_samples(X, y).mean() > alone.score_samples(X, y).mean() + 5


@pytest.mark.parametrize(
    "settings",
    [{"lr": 0.05}, {"n_samples": 1, "proposal": "meanfield"}, {"proposal": "prior", "n_samples": 1, "lr": 0.05}],
)
@pytest.mark.parametrize("loss", ["logistic", "sparsemax", "entmax"])
def test_nothing_makes_numbers_that_are_none(labels, settings, loss):
    X, _, _ = labels
    rng = np.random.default_rng(0)
    y = np.zeros((len(X), 5), dtype=int)  # empty rows, a constant label, full rows
    y[:, 0] = 1
    y[:100] = 1
    y[200:300, 1] = rng.integers(2, size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = JointEBMClassifier(**{**QUICK, **settings}, loss=loss).fit(X, y)
    p = model.predict_proba(X)
    assert np.isfinite(p).all()
    assert not np.isnan(model.score_samples(X, y)).any()
    assert all(np.isfinite(row["train_loss"]) for row in model.history_)


def test_two_hundred_labels(labels):
    X = labels[0][:80]
    y = (np.random.default_rng(0).random((80, 200)) < 0.1).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = JointEBMClassifier(**QUICK).fit(X, y)
    assert np.isfinite(model.score_samples(X, y)).all()
    assert np.isfinite(model.predict_proba(X)).all()


def test_rows_far_outside_of_the_training_data(labels):
    X, y, _ = labels
    for encoder in ("stack", "linear", "mlp"):
        model = JointEBMClassifier(**{**QUICK, "encoder": encoder}).fit(X, y)
        far, farther = model.predict_proba(X[:5] * 1e4), model.predict_proba(X[:5] * 1e8)
        np.testing.assert_allclose(far, farther, atol=1e-6)  # clipped, and so the same
        assert np.isfinite(model.score_samples(X[:5] * 1e8, y[:5])).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coupling": "birkhoff"}, "coupling among"),
        ({"tau": "exact", "coupling": "pairwise"}, None),
        ({"proposal": object()}, "proposal"),
        ({"module_kwargs": {"nonsense": 1}}, "nonsense"),
        ({"decode": "best"}, "decode"),
        ({"encoder": "transformer"}, "encoder"),
    ],
)
def test_contradictions_are_refused(labels, change, message):
    X, y, _ = labels
    model = JointEBMClassifier(**{**QUICK, **change})
    if message is None:
        model.fit(X, y)  # exact is there for four labels
        return
    with pytest.raises((ParameterError, InputError), match=message):
        model.fit(X, y)


def test_nothing_exact_where_there_is_no_route():
    X, y = many_labels(60)
    with pytest.raises(ParameterError, match="exact"):
        JointEBMClassifier(coupling="pairwise", tau="exact", **QUICK).fit(X, y)
    with pytest.raises(ParameterError, match="enumerate"):
        JointEBMClassifier(proposal="enumerate", **QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("output", "y", "message"),
    [
        ("multilabel", [[0, 2], [1, 0], [1, 1]], "0 or 1"),
        ("ranking", [[1, 1], [1, 2], [2, 1]], "each once"),
        ("subset", [[1, 0], [1, 1], [0, 1]], "exactly 1"),
        ("multilabel", [1, 0, 1], "shape"),
        ("multiclass", [[0, 1], [1, 0], [1, 1]], "classes"),
        ("auto", [[0, 1], [1, 0]], "as many outputs"),
        ("auto", [[0, np.nan], [1, 0], [1, 1]], "label_mask"),
    ],
)
def test_outputs_outside_of_the_space_are_refused(output, y, message):
    X = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match=message):
        JointEBMClassifier(output=output, **QUICK).fit(X, y)


def test_bad_questions_are_refused(fitted, labels, ranker):
    X = labels[0]
    for call, message in [
        (lambda: fitted.conditional(X, {9: 1}), "label among"),
        (lambda: fitted.conditional(X, [2, -1, -1, -1]), "evidence"),
        (lambda: fitted.conditional(X, [1, -1]), "evidence"),
        (lambda: fitted.event_probability(X, lambda y: y), "True or False"),
        (lambda: fitted.top_k(X, 0), "at least 1"),
        (lambda: fitted.log_partition(X, method="magic"), "method"),
        (lambda: fitted.predict(X, decode="magic"), "decode"),
        (lambda: fitted.predict_rank_proba(X), "rankings"),
        (lambda: fitted.score_samples(X, np.full((len(X), 4), 3)), "0 or 1"),
        (lambda: fitted.score_samples(X, labels[1][:5]), "as many"),
        (lambda: fitted.score_samples(X, labels[1], relative=True), "relative"),
        (lambda: ranker[0].conditional(ranker[1], [1, 1, 0]), "agrees"),
        (lambda: ranker[0].explain(ranker[1], 0), "label sets"),
    ]:
        with pytest.raises((InputError, ParameterError), match=message):
            call()


def test_labels_that_were_never_observed_are_refused(labels):
    X, y, _ = labels
    mask = np.ones_like(y, dtype=bool)
    mask[:, 1] = False
    with pytest.raises(InputError, match="observed at least once"):
        JointEBMClassifier(**QUICK).fit(X, y, label_mask=mask)
