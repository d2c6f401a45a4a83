"""The three contracts for candidates of the user's own."""

import numpy as np
import pytest

from skts import JointEBMClassifier
from skts.datasets import make_multilabel
from skts.errors import InputError

QUICK = {"random_state": 0, "max_epochs": 15, "encoder": "linear"}


@pytest.fixture(scope="module")
def data():
    return make_multilabel(300, 5, 4, random_state=1)


class Proposal:
    """Labels with probability 0.4, whatever x is; it knows its density."""

    def sample(self, X, n, rng):
        return (rng.random((len(X), n, 4)) < 0.4).astype(int)

    def log_prob(self, X, Y):
        present = Y.sum(-1)
        return present * np.log(0.4) + (4 - present) * np.log(0.6)


class NeverThird(Proposal):
    """Never draws label 3: what it leaves out comes from the defensive part."""

    def sample(self, X, n, rng):
        return super().sample(X, n, rng) * np.array([1, 1, 1, 0])

    def log_prob(self, X, Y):
        present = Y[..., :3].sum(-1)
        return np.where(Y[..., 3] > 0, -np.inf, present * np.log(0.4) + (3 - present) * np.log(0.6))


def test_what_a_proposal_never_draws_is_not_missing_from_the_normaliser(data):
    X, y = data
    model = JointEBMClassifier(proposal=NeverThird(), **QUICK).fit(X[:200], y[:200])
    exact = JointEBMClassifier(**QUICK).fit(X[:200], y[:200])
    gap = exact.score_samples(X[200:], y[200:]).mean() - model.score_samples(X[200:], y[200:]).mean()
    assert abs(gap) < 0.1
    assert model.normalization_error_ < 0.15


class Reference:
    """The same draws, but nobody knows their density."""

    def sample(self, X, n, rng):
        return Proposal().sample(X, n, rng)


class AtMostTwo:
    """A rule: never more than two labels, and label 3 needs x0 > 0 or stands alone."""

    def candidates(self, X):
        sets = np.array([[(m >> i) & 1 for i in range(4)] for m in range(16)])
        sets = sets[sets.sum(1) <= 2]
        return [sets if x[0] > 0 else sets[(sets[:, 3] == 0) | (sets.sum(1) == 1)] for x in X]


def test_a_proposal_changes_the_training_and_not_the_model(data):
    X, y = data
    own = JointEBMClassifier(proposal=Proposal(), **QUICK).fit(X[:200], y[:200])
    exact = JointEBMClassifier(**QUICK).fit(X[:200], y[:200])
    gap = exact.score_samples(X[200:], y[200:]).mean() - own.score_samples(X[200:], y[200:]).mean()
    assert abs(gap) < 0.06
    assert own.proposal_ == "own"
    assert own.tau_ == "structured"


def test_a_reference_without_density_gives_relative_answers_alone(data):
    X, y = data
    model = JointEBMClassifier(proposal=Reference(), **QUICK).fit(X, y)
    with pytest.raises(InputError, match="relative=True"):
        model.score_samples(X, y)
    ratio = np.exp(model.score_samples(X, y, relative=True))
    assert np.isfinite(ratio).all()
    states = np.array([[(m >> i) & 1 for i in range(4)] for m in range(16)])
    q = np.exp(Proposal().log_prob(X, states))
    total = sum(
        q[s] * np.exp(model.score_samples(X[:20], np.repeat(states[s][None], 20, 0), relative=True)) for s in range(16)
    )
    np.testing.assert_allclose(total, 1, atol=0.2)  # E_q of p / q, by 512 draws
    assert model.predict(X).shape == y.shape
    assert (model.predict(X) == y).mean() > 0.6


def test_rules_confine_the_probability(data):
    X, y = data
    allowed = [any((row == c).all() for c in cs) for row, cs in zip(y, AtMostTwo().candidates(X), strict=True)]
    X, y = X[allowed], y[allowed]
    model = JointEBMClassifier(proposal=AtMostTwo(), **QUICK).fit(X, y)
    states = np.array([[(m >> i) & 1 for i in range(4)] for m in range(16)])
    log_p = np.stack([model.score_samples(X[:30], np.repeat(s[None], 30, 0)) for s in states], 1)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-6)
    assert (log_p[:, states.sum(1) > 2] == -np.inf).all()
    assert (model.predict(X).sum(1) <= 2).all()
    assert (model.sample(X, 20).sum(2) <= 2).all()
    assert (model.predict_proba(X).sum(1) <= 2 + 1e-4).all()
    sets, log_prob = model.top_k(X[:5], 4)
    assert np.isfinite(log_prob).all()
    assert (np.diff(log_prob, axis=1) <= 0).all()
    assert all(len(np.unique(row, axis=0)) == 4 for row in sets)


class Everything:
    def candidates(self, X):
        return [np.array([[(m >> i) & 1 for i in range(4)] for m in range(16)])] * len(X)


def test_a_list_of_everything_is_the_model_itself(data):
    X, y = data
    listed = JointEBMClassifier(proposal=Everything(), **QUICK).fit(X[:200], y[:200])
    exact = JointEBMClassifier(**QUICK).fit(X[:200], y[:200])
    assert listed.coupling_ == "pairwise"
    gap = listed.score_samples(X[200:], y[200:]).mean() - exact.score_samples(X[200:], y[200:]).mean()
    assert abs(gap) < 0.05
    event = {"event": lambda s: s.sum(1) >= 2}
    np.testing.assert_allclose(
        listed.event_probability(X[:9], **event), exact.event_probability(X[:9], **event), atol=0.1
    )
    assert len(np.unique(listed.top_k(X[:1], 16)[0][0], axis=0)) == 16


@pytest.mark.parametrize("decode", ["map", "f1", "hamming", "marginal"])
def test_decoders_stay_within_the_rules(data, decode):
    X, y = data
    allowed = y.sum(1) <= 2
    rules = AtMostTwo()
    rules.candidates = lambda X: [AtMostTwo().candidates(np.ones((1, 5)))[0]] * len(X)
    model = JointEBMClassifier(proposal=rules, **QUICK).fit(X[allowed], y[allowed])
    assert (model.predict(X, decode=decode).sum(1) <= 2).all()


def test_a_reference_answers_each_row_by_itself(data):
    X, y = data
    model = JointEBMClassifier(proposal=Reference(), **QUICK).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X[5:30]), model.predict_proba(X)[5:30], atol=1e-6)
    assert model.normalizer_["method"] == "importance"
    for call in (lambda: model.predict(X, decode="f1"), lambda: model.log_partition(X, method="exact")):
        with pytest.raises(ValueError, match=r"among|nothing is exact"):
            call()
    with pytest.raises(InputError, match="relative"):
        model.predict_with_rejection(X, 0.5)


@pytest.mark.parametrize(
    ("proposal", "settings"),
    [
        (Everything(), {"tau": "structured"}),
        (Reference(), {"tau": "structured"}),
        (Everything(), {"loss": "sparsemax"}),
    ],
)
def test_what_has_no_meaning_for_ones_own_candidates_is_refused(data, proposal, settings):
    with pytest.raises(ValueError, match="Expected"):
        JointEBMClassifier(proposal=proposal, **QUICK, **settings).fit(*data)


def test_rules_that_lack_the_observed_output_are_named(data):
    X, y = data
    lacking = sum(y.sum(1) > 2)
    with pytest.raises(InputError, match="rows whose list lacks it") as error:
        JointEBMClassifier(proposal=AtMostTwo(), **QUICK).fit(X, y)
    assert int(error.value.got.split()[0]) >= lacking


class Broken(Proposal):
    def sample(self, X, n, rng):
        return super().sample(X, n + 1, rng)


class NoMass(Proposal):
    def log_prob(self, X, Y):
        return np.where(Y.sum(-1) > 1, -np.inf, 0.0)


class Empty:
    def candidates(self, X):
        return [[] for _ in X]


class Alien(Proposal):
    def sample(self, X, n, rng):
        return super().sample(X, n, rng) + 5


@pytest.mark.parametrize(
    ("proposal", "message"),
    [(Broken(), "shape"), (NoMass(), "finite log-probabilities"), (Empty(), "list of candidates"), (Alien(), "0 or 1")],
)
def test_samplers_that_break_their_contract_are_refused(data, proposal, message):
    X, y = data
    with pytest.raises(InputError, match=message):
        JointEBMClassifier(proposal=proposal, **QUICK).fit(X, y)
