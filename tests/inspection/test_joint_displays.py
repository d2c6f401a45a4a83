"""Displays of joint models: what they draw is what the model says, and every picture can be read."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError

from skts import JointEBMClassifier
from skts.datasets import make_label_ranking, make_multilabel
from skts.errors import InputError
from skts.inspection import (
    CouplingDisplay,
    JointCalibrationDisplay,
    JointProbabilityDisplay,
    LabelEffectDisplay,
    NormaliserDisplay,
)
from skts.inspection.style import ACCENT, MUTED, TRUTH
from skts.inspection.wording import as_text, name_outputs, shorten
from skts.metrics import joint_calibration_error

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore:The normaliser is not to be trusted")
NAMES = ["calm", "sad", "loud", "fast"]
FEATURES = [f"feature {i}" for i in range(10)]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def small(**parameters):
    return JointEBMClassifier(max_epochs=1, module_kwargs={"n_trees": 8}, random_state=0, **parameters)


@pytest.fixture(scope="module")
def label_sets():
    X, y = make_multilabel(n_samples=80, n_labels=4, random_state=0)
    X, y = pd.DataFrame(X, columns=FEATURES), pd.DataFrame(y, columns=NAMES)
    return small().fit(X, y), X, y


@pytest.fixture(scope="module")
def rankings():
    X, y = make_label_ranking("iris")
    return small(output="ranking").fit(X, y), X, y


@pytest.fixture(scope="module")
def classes():
    X, y = make_label_ranking("iris")
    y = np.array(["a", "b", "c"])[y.argmin(1)]
    return small().fit(X, y), X, y


def texts(labels):
    return [label.get_text() for label in labels]


def widths(ax):
    return np.array([bar.get_width() for bar in ax.patches])


def colors(ax):
    return [to_hex(bar.get_facecolor()) for bar in ax.patches]


# ---- one row ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["label_sets", "rankings", "classes"])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_bars_sum_to_one_with_the_remainder(case, k, request):
    model, X, y = request.getfixturevalue(case)
    for row in (0, 41, -1):
        display = JointProbabilityDisplay.from_estimator(model, X, row, y_true=y, k=k)
        bars = widths(display.axes_[0])
        assert bars.sum() == pytest.approx(1, abs=1e-5)
        assert bars[-1] == display.remainder_
        assert colors(display.axes_[0])[-1] == MUTED
        assert texts(display.axes_[0].get_yticklabels())[-1] == "all others"
        shown = min(k, len(bars) - 1)
        np.testing.assert_allclose(bars[:shown], np.exp(model.top_k(X, k)[1][row][:shown]), rtol=1e-5)


@pytest.mark.parametrize("case", ["label_sets", "rankings", "classes"])
def test_the_observed_output_is_drawn_once_however_improbable(case, request):
    model, X, y = request.getfixturevalue(case)
    log_prob = model.score_samples(X, y)
    for row in (int(log_prob.argmin()), int(log_prob.argmax())):
        display = JointProbabilityDisplay.from_estimator(model, X, row, y_true=y, k=1)
        marked = np.flatnonzero(np.array(colors(display.axes_[0])) == TRUTH)
        assert len(marked) == 1
        assert widths(display.axes_[0])[marked[0]] == pytest.approx(np.exp(log_prob[row]), rel=1e-4)
        assert "observed, seen in training" in texts(display.axes_[0].get_yticklabels())[marked[0]]


def test_an_output_is_never_seen_or_seen_so_often(label_sets):
    model, X, y = label_sets
    every = np.stack(np.meshgrid(*[[0, 1]] * 4), -1).reshape(-1, 4)
    for labels in every:
        display = JointProbabilityDisplay.from_estimator(model, X, 3, y_true=labels)
        times = int((y.to_numpy() == labels).all(1).sum())
        assert display.n_seen == times
        said = "\n".join(texts(display.axes_[0].get_yticklabels()))
        assert ("never seen" in said) == (times == 0)
        assert (f"({times} row" in said) == (times > 0)


def test_without_an_observed_output_nothing_is_marked(label_sets):
    model, X, _ = label_sets
    display = JointProbabilityDisplay.from_estimator(model, X)
    assert TRUTH not in colors(display.axes_[0]) + colors(display.axes_[1])
    assert not any("seen" in text for text in texts(display.axes_[0].get_yticklabels()))


def test_parts_of_a_label_set_are_its_marginals(label_sets):
    model, X, y = label_sets
    right = JointProbabilityDisplay.from_estimator(model, X, 7, y_true=y).axes_[1]
    np.testing.assert_allclose(widths(right), model.predict_proba(X)[7], rtol=1e-5)
    assert texts(right.get_yticklabels()) == NAMES
    assert [color == TRUTH for color in colors(right)] == (y.iloc[7] == 1).tolist()
    assert set(colors(right)) <= {TRUTH, ACCENT}


def test_parts_of_a_ranking_are_a_map_of_item_by_position(rankings):
    model, X, y = rankings
    display = JointProbabilityDisplay.from_estimator(model, X, 7, y_true=y)
    np.testing.assert_allclose(display.axes_[1].images[0].get_array(), model.predict_rank_proba(X)[7], atol=1e-5)
    assert texts(display.axes_[1].get_xticklabels()) == ["1", "2", "3"]
    best = " > ".join(str(item) for item in model.top_k(X, 1)[0][7, 0].argsort())
    assert texts(display.axes_[0].get_yticklabels())[0].replace("\N{NO-BREAK SPACE}", " ").startswith(best)
    assert len(display.axes_[1].lines) == 3  # frames


def test_of_many_labels_the_most_probable_are_drawn():
    marginals = np.linspace(0, 1, 50)
    outputs = np.random.default_rng(0).integers(0, 2, (3, 50))
    display = JointProbabilityDisplay(outputs, np.full(3, 0.1), marginals, range(50), "multilabel").plot()
    assert texts(display.axes_[1].get_yticklabels()) == [str(i) for i in range(49, 29, -1)]
    assert "20 largest of 50" in display.axes_[1].get_title(loc="left")


def test_probabilities_that_sum_to_more_than_one_are_told():
    outputs = np.array([[1, 0], [0, 1]])
    display = JointProbabilityDisplay(outputs, np.array([0.9, 0.4]), np.array([0.5, 0.5]), "ab", "multilabel").plot()
    assert display.remainder_ == 0
    assert "normaliser" in display.axes_[0].get_xlabel()


def test_inputs_of_any_kind_give_the_same_picture(label_sets):
    model, X, y = label_sets
    first = JointProbabilityDisplay.from_estimator(model, X, 5, y_true=y)
    plain = small().fit(X.to_numpy(), y)
    for rows, observed in ((X.to_numpy(), y.to_numpy()[5]), (csr_matrix(X), csr_matrix(y)), (X.to_numpy().tolist(), y)):
        other = JointProbabilityDisplay.from_estimator(plain, rows, 5, y_true=observed)
        np.testing.assert_allclose(other.probabilities, first.probabilities, rtol=1e-4)
        assert other.n_seen == first.n_seen


def test_errors_of_one_row(label_sets):
    model, X, _ = label_sets
    with pytest.raises(NotFittedError):
        JointProbabilityDisplay.from_estimator(small(), X)
    with pytest.raises(InputError, match="row from 0 to 79"):
        JointProbabilityDisplay.from_estimator(model, X, 80)
    with pytest.raises(InputError, match="0 or 1"):
        JointProbabilityDisplay.from_estimator(model, X, y_true=[2, 0, 0, 0])
    with pytest.raises(InputError, match="pair of axes"):
        JointProbabilityDisplay.from_estimator(model, X, ax=plt.subplots()[1])
    axes = plt.subplots(1, 2)[1]
    assert JointProbabilityDisplay.from_estimator(model, X, ax=axes).axes_[0] is axes[0]


class Coins:
    """A sampler that says nothing of its probabilities."""

    def sample(self, X, n, rng):
        return rng.integers(0, 2, (X.shape[0], n, 4))


def test_a_reference_without_probabilities_has_none_to_draw(label_sets):
    _, X, y = label_sets
    model = small(proposal=Coins()).fit(X, y)
    with pytest.raises(InputError, match="probabilities of whole outputs"):
        JointProbabilityDisplay.from_estimator(model, X)


# ---- words ------------------------------------------------------------------------------------------------------


def test_outputs_are_written_by_their_names():
    sets = np.array([[0, 0, 0, 0], [1, 0, 1, 0]])
    assert name_outputs(sets, NAMES, "multilabel") == ["{}", "{calm, loud}"]
    assert name_outputs(np.array(["a", "b"]), ["a", "b"], "multiclass") == ["a", "b"]
    ranking = name_outputs(np.array([[2, 1, 3]]), ["a", "b", "c"], "ranking")[0]
    assert ranking.replace("\N{NO-BREAK SPACE}", " ") == "b > a > c"


def test_large_sets_are_shortened_but_show_where_they_differ():
    sets = np.ones((2, 12), dtype=int)
    sets[1, 11] = 0
    first, second = name_outputs(sets, [f"label{i}" for i in range(12)], "multilabel")
    assert first.startswith("{label11, ")
    assert "+8}" in first
    assert "label11" not in second
    assert all(len(line) <= 36 for line in f"{first}\n{second}".splitlines())


def test_names_and_probabilities_are_short():
    assert shorten("short") == "short"
    assert len(shorten("x" * 100, 22)) == 22
    assert [as_text(p) for p in (0.0, 1e-9, 0.1234, 1.0)] == ["0.0 %", "1e-09", "12.3 %", "100.0 %"]


# ---- calibration ------------------------------------------------------------------------------------------------


class PerfectForecaster:
    """Right in exactly as many rows as it says."""

    confidence = np.repeat([0.25, 0.5, 1.0], 8)

    def predict(self, X, decode=None):
        return np.zeros((len(X), 2), dtype=int)

    def score_samples(self, X, y):
        return np.log(self.confidence)


def test_a_perfect_forecaster_has_no_calibration_error():
    X, y = np.zeros((24, 1)), np.zeros((24, 2), dtype=int)
    y[:6, 0], y[8:12, 1] = 1, 1  # 2 of 8 right, 4 of 8, 8 of 8
    display = JointCalibrationDisplay.from_estimator(PerfectForecaster(), X, y, n_bins=3)
    assert display.error_ == 0
    np.testing.assert_allclose(display.prob_true_, display.prob_pred_)
    np.testing.assert_allclose(display.coverage_, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(display.risk_, [0, 4 / 16, 10 / 24])
    assert "joint calibration error 0.000" in display.axes_[0].get_title(loc="left")


@pytest.mark.parametrize("case", ["label_sets", "rankings", "classes"])
def test_calibration_is_that_of_the_metric(case, request):
    model, X, y = request.getfixturevalue(case)
    display = JointCalibrationDisplay.from_estimator(model, X, y, decode="marginal", n_bins=5)
    answer, y = model.predict(X, "marginal"), np.asarray(y)
    correct = answer == y if y.ndim == 1 else (answer == y).all(1)
    confidence = np.exp(model.score_samples(X, answer))
    assert display.error_ == joint_calibration_error(correct, confidence.clip(max=1), n_bins=5)
    assert display.risk_[-1] == pytest.approx(1 - correct.mean())
    assert display.coverage_[-1] == 1


def test_bins_make_up_the_error_and_intervals_hold_their_point():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=200)
    display = JointCalibrationDisplay(rng.uniform(size=200) < confidence**2, confidence, n_bins=4)
    assert np.abs(display.prob_true_ - display.prob_pred_).mean() == pytest.approx(display.error_)
    lower, upper = display.interval_
    assert (lower <= display.prob_true_).all()
    assert (display.prob_true_ <= upper).all()
    half = JointCalibrationDisplay([1] * 5 + [0] * 5, [0.5] * 10, n_bins=1).interval_[:, 0]
    np.testing.assert_allclose(half, [0.2366, 0.7634], atol=1e-4)  # Wilson's interval for 5 of 10


def test_probabilities_above_one_are_told():
    display = JointCalibrationDisplay([1, 0, 1], [1.5, 0.2, 0.7], n_bins=2).plot()
    assert "1 probabilities above 1" in display.axes_[0].get_title(loc="left")


def test_errors_of_calibration(label_sets):
    model, X, y = label_sets
    with pytest.raises(InputError, match="y of shape"):
        JointCalibrationDisplay.from_estimator(model, X, y.iloc[:5])
    with pytest.raises(InputError, match="pair of axes"):
        JointCalibrationDisplay([1], [1.0]).plot(ax=plt.subplots()[1])
    with pytest.raises(InputError, match="n_bins"):
        JointCalibrationDisplay([1], [1.0], n_bins=0)


# ---- normaliser -------------------------------------------------------------------------------------------------


def test_tau_is_drawn_against_the_exact_log_partition(label_sets):
    _, X, y = label_sets
    model = small(tau="constant").fit(X, y)
    display = NormaliserDisplay.from_estimator(model, X)
    drawn = display.ax_.collections[0].get_offsets()
    np.testing.assert_allclose(drawn[:, 0], model.log_partition(X, "exact"))
    np.testing.assert_allclose(drawn[:, 1], model.log_partition(X, "tau"))
    gap = model.log_partition(X, "tau") - model.log_partition(X, "exact")
    assert display.error_ == pytest.approx(np.abs(gap).mean())
    assert display.bias_ == pytest.approx(gap.mean())
    assert f"{display.error_:.3g}" in display.ax_.get_title(loc="left")
    assert bool(texts(display.ax_.texts)) == (not model.normalizer_["ok"])


def test_where_nothing_is_exact_the_axis_says_so():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), rng.integers(0, 2, (60, 20))
    display = NormaliserDisplay.from_estimator(small().fit(X, y), X)
    assert display.method == "importance"
    assert "importance sampling" in display.ax_.get_xlabel()


def test_a_normaliser_that_failed_its_check_is_warned_of():
    values = np.array([1.0, 2.0])
    assert not NormaliserDisplay(values, values).plot().ax_.texts
    display = NormaliserDisplay(values, values, trusted=False).plot()
    assert "not to be trusted" in display.ax_.texts[0].get_text()


def test_an_exact_tau_leaves_nothing_to_compare(label_sets):
    with pytest.raises(InputError, match="nothing to compare"):
        NormaliserDisplay.from_estimator(*label_sets[:2])


# ---- couplings --------------------------------------------------------------------------------------------------


def test_couplings_are_drawn_around_zero(label_sets):
    model = label_sets[0]
    display = CouplingDisplay.from_estimator(model)
    image = display.ax_.images[0]
    shown = model.coupling_matrix()[np.ix_(display.order_, display.order_)]
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(image.get_array()[off], shown[off])
    assert image.get_array().mask.diagonal().all()
    low, high = image.get_clim()
    assert low == -high == pytest.approx(-np.abs(shown).max())
    assert texts(display.ax_.get_yticklabels()) == [NAMES[i] for i in display.order_]


def test_blocks_stand_together():
    blocks = np.arange(12) % 3
    matrix = np.where(blocks[:, None] == blocks, 2.0, -1.0)
    order = CouplingDisplay(matrix, range(12)).order_
    assert (np.diff(blocks[order]) != 0).sum() == 2
    assert sorted(order) == list(range(12))


def test_of_many_labels_those_with_strong_couplings_are_drawn():
    matrix = np.zeros((100, 100))
    matrix[70, 3] = matrix[3, 70] = -4.0
    display = CouplingDisplay(matrix, range(100)).plot()
    assert {3, 70} <= set(display.order_)
    assert len(display.order_) == 40
    assert "40 of 100" in display.ax_.get_title(loc="left")


def test_without_couplings_there_is_nothing_to_draw(rankings):
    with pytest.raises(InputError, match="couplings of pairs"):
        CouplingDisplay.from_estimator(rankings[0])


# ---- why --------------------------------------------------------------------------------------------------------


def test_effects_of_one_row_are_for_or_against(label_sets):
    model, X, _ = label_sets
    display = LabelEffectDisplay.from_estimator(model, X, ["calm", "loud"], row=5, n_features=6)
    expected = model.explain(X, ["calm", "loud"])[5]
    order = np.argsort(-np.abs(expected))[:6]
    np.testing.assert_allclose(widths(display.ax_), expected[order], atol=1e-5)
    assert texts(display.ax_.get_yticklabels()) == [FEATURES[i] for i in order]
    assert [color == ACCENT for color in colors(display.ax_)] == (expected[order] >= 0).tolist()
    assert "calm and loud" in display.ax_.get_title(loc="left")
    assert "row 5" in display.ax_.get_title(loc="left")


def test_effects_over_rows_are_means_of_absolute_values(label_sets):
    _, X, y = label_sets
    model = small().fit(X.to_numpy(), y)
    display = LabelEffectDisplay.from_estimator(model, X.to_numpy()[:20], "sad")
    expected = np.abs(model.explain(X.to_numpy()[:20], "sad")).mean(0)
    np.testing.assert_allclose(widths(display.ax_), np.sort(expected)[::-1], rtol=1e-5)
    assert set(texts(display.ax_.get_yticklabels())) == {f"x{i}" for i in range(10)}
    assert set(colors(display.ax_)) == {ACCENT}


def test_errors_of_effects(label_sets, rankings):
    model, X, _ = label_sets
    with pytest.raises(InputError, match="label among"):
        LabelEffectDisplay.from_estimator(model, X, "green")
    with pytest.raises(InputError, match="row from 0"):
        LabelEffectDisplay.from_estimator(model, X, "sad", row=-81)
    with pytest.raises(InputError, match="n_features"):
        LabelEffectDisplay.from_estimator(model, X, "sad", row=0, n_features=0)
    with pytest.raises(InputError, match="label sets"):
        LabelEffectDisplay.from_estimator(rankings[0], rankings[1], 0)
