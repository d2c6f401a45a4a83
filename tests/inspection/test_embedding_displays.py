"""The map, the report and what they are made of: windows, labels, preprocessing, projections, measures."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.signal import detrend
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.manifold import trustworthiness
from sklearn.metrics import davies_bouldin_score, silhouette_score
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skts.datasets import make_annotated_series, make_factor_panel
from skts.errors import InputError
from skts.inspection import EmbeddingDisplay, InterpretabilityDisplay, interpretability_report
from skts.inspection.preprocessing import named_changes
from skts.inspection.projections import align, available_projections, project, standardised
from skts.inspection.windows import cut, labels_of
from skts.metrics import block_folds, neighborhood_hit, probe_score
from skts.moment import MomentEmbedder

mpl.use("Agg")
TINY = {"d_model": 64, "d_ff": 128, "n_layers": 3, "n_heads": 4, "d_kv": 16}
EMBEDDING = [
    "neighbourhood hit",
    "distance consistency",
    "silhouette",
    "Davies-Bouldin",
    "cluster agreement",
    "probe accuracy",
    "path smoothness",
]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def regimes():
    return make_annotated_series("regimes", 2400, random_state=0)


@pytest.fixture(scope="module")
def model(regimes):
    embedder = MomentEmbedder(weights="random", module_kwargs=TINY, random_state=0, device="cpu")
    return embedder.fit(regimes[0][None, None])


def identity():
    return FunctionTransformer().fit(np.zeros((1, 2)))


def value(report, measure, space="embedding", **where):
    found = report[(report["measure"] == measure) & (report["space"] == space)]
    for name, wanted in where.items():
        found = found[found[name] == wanted]
    assert len(found) == 1
    return found["value"].item()


# ---- windows, labels, preprocessing, projections ---------------------------------------------------------------------


def test_windows_cover_the_steps_they_say():
    series = np.random.default_rng(0).normal(size=(2, 100))
    windows = cut(series, 10, 7)
    assert len(windows) == 13
    for values, start, stop in zip(windows.values, windows.starts, windows.stops, strict=True):
        np.testing.assert_array_equal(values, series[:, start:stop])
    np.testing.assert_array_equal(np.diff(cut(series, 10).starts), 5)
    assert len(cut(series, 10, 1, max_windows=20)) == 19
    with pytest.raises(InputError, match="at least 8"):
        cut(series, 90)
    with pytest.raises(InputError, match="for 100 steps"):
        cut(series, 101)


@pytest.mark.parametrize("lengths", [[5] * 8, [3, 4, 5, 6, 7, 8, 9, 10]])
def test_series_of_a_panel_stand_one_after_another(lengths):
    parts = [np.arange(n) + 100.0 * i for i, n in enumerate(lengths)]
    windows = cut(np.stack(parts) if len(set(lengths)) == 1 else parts)
    for part, start, stop in zip(parts, windows.starts, windows.stops, strict=True):
        np.testing.assert_array_equal(windows.record[0, start:stop], part)
    with pytest.raises(InputError, match="Pass window as well"):
        cut(np.zeros(20))


def test_a_window_has_the_most_frequent_label_or_the_mean_of_the_factor():
    windows = cut(np.zeros(32), 4)
    y = np.array(list("aaab") + list("bbba") * 7)
    assert labels_of(windows, y)[[0, 2]].tolist() == ["a", "b"]
    factor = np.arange(32) + 0.5
    np.testing.assert_allclose(labels_of(windows, factor), windows.starts + 2)
    with pytest.raises(InputError, match="one value for each step"):
        labels_of(windows, y[1:])
    with pytest.raises(InputError, match="label_by as"):
        labels_of(windows, y, "first")


def test_an_event_shorter_than_a_window_is_seen():
    windows, y = cut(np.zeros(64), 8, 8), np.zeros(64, int)
    y[18], y[40:43], y[43] = 1, 2, 1
    assert labels_of(windows, y).tolist() == [0] * 8
    assert labels_of(windows, y, "event").tolist() == [0, 0, 1, 0, 0, 2, 0, 0]


def test_changes_are_those_of_scipy_and_sklearn():
    x = np.random.default_rng(0).normal(size=(5, 2, 30)).cumsum(-1)
    changes = named_changes(["raw", "normalise", "detrend", "difference", "channel 1"])
    np.testing.assert_array_equal(changes["raw"](x), x)
    np.testing.assert_allclose(changes["detrend"](x), detrend(x), atol=1e-9)
    np.testing.assert_allclose(changes["normalise"](x)[3].T, StandardScaler().fit_transform(x[3].T))
    np.testing.assert_allclose(changes["difference"](x)[..., 1:], np.diff(x))
    kept = changes["channel 1"](x)
    np.testing.assert_array_equal(kept[:, 1], x[:, 1])
    assert np.isnan(kept[:, 0]).all()
    with pytest.raises(InputError, match="channel from 0 to 1"):
        named_changes("channel 2")["channel 2"](x)
    with pytest.raises(InputError, match="preprocessing out of"):
        named_changes("smooth")


def test_a_line_is_gone_also_where_values_are_missing():
    x = np.tile(np.arange(20.0), (1, 1, 1))
    x[..., 3:7] = np.nan
    np.testing.assert_allclose(np.nan_to_num(named_changes("detrend")["detrend"](x)), 0, atol=1e-9)


def test_projections_are_pca_and_seeded_and_can_be_aligned():
    Z = np.random.default_rng(0).normal(size=(80, 6))
    np.testing.assert_allclose(np.abs(project(Z)), np.abs(PCA(2).fit_transform(Z)), atol=1e-9)
    np.testing.assert_array_equal(project(Z, "tsne", 3), project(Z, "tsne", 3))
    assert not np.allclose(project(Z, "tsne", 3), project(Z, "tsne", 4))
    flat = project(Z)
    turned = flat @ np.array([[0.0, 1.0], [1.0, 0.0]]) * [1, -1] + 5
    np.testing.assert_allclose(align(turned, flat), flat - flat.mean(0), atol=1e-9)
    assert project(Z[:, :1]).shape == (80, 2)
    if "umap" not in available_projections():
        with pytest.raises(InputError, match="Install umap-learn"):
            project(Z, "umap")


def test_constant_features_are_zero():
    Z = np.column_stack([np.full(9, 1e6), np.arange(9.0)])
    np.testing.assert_allclose(standardised(Z)[:, 0], 0)
    assert standardised(Z)[:, 1].std() == pytest.approx(1)


# ---- the report ------------------------------------------------------------------------------------------------------


def test_values_are_those_of_the_measures(regimes, model):
    series, y = regimes
    report = interpretability_report(model, series, y, window=96)
    assert set(EMBEDDING) == set(report.query("space == 'embedding'")["measure"])
    starts = np.arange(0, 2400 - 96 + 1, 48)
    raw = model.transform_windows(series, 96, 48).astype(float)
    Z, labels = standardised(raw), labels_of(cut(series, 96), y)
    series_of = {"starts": starts, "window": 96}
    assert value(report, "silhouette") == pytest.approx(silhouette_score(Z, labels))
    assert value(report, "Davies-Bouldin", "map") == pytest.approx(davies_bouldin_score(project(Z), labels))
    assert value(report, "neighbourhood hit") == pytest.approx(neighborhood_hit(Z, labels, 10, **series_of))
    assert value(report, "probe accuracy") == pytest.approx(probe_score(Z, labels, cv=block_folds(starts, 96)))
    assert value(report, "trustworthiness", "map") == pytest.approx(trustworthiness(Z, project(Z), n_neighbors=10))


def test_intervals_hold_the_value_and_narrow_with_the_series(model):
    def widths(n):
        series, y = make_annotated_series("regimes", n, random_state=0)
        report = interpretability_report(model, series, y, window=48)
        assert ((report["low"] <= report["value"]) & (report["value"] <= report["high"])).all()
        return report[report["measure"].isin(["neighbourhood hit", "distance consistency"])].eval("high - low").mean()

    assert widths(4800) < 0.8 * widths(1200)


def test_a_space_that_is_the_label_is_perfect_and_one_that_is_noise_is_at_chance():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    clear = np.eye(3)[y] * 50 + rng.normal(size=(150, 3))
    report = interpretability_report({"clear": identity(), "noise": identity()}, clear, y)
    for measure in ("neighbourhood hit", "distance consistency", "probe accuracy", "cluster agreement"):
        assert value(report, measure, model="clear") == 1
    noise = interpretability_report(identity(), rng.normal(size=(150, 3)), y)
    assert value(noise, "neighbourhood hit") == pytest.approx(1 / 3, abs=0.06)
    assert value(noise, "probe accuracy") < 0.5
    assert abs(value(noise, "silhouette")) < 0.05


def test_a_factor_is_probed_and_labels_are_not_invented():
    X, c = make_factor_panel("frequency", n_series=60, n_timepoints=128, random_state=0)
    embedder = MomentEmbedder(weights="random", module_kwargs=TINY, random_state=0, device="cpu").fit(X)
    report = interpretability_report(embedder, X, c)
    assert set(report["measure"]) == {"probe R2", "trustworthiness", "continuity", "local continuity"}
    assert value(report, "probe R2") > 0.9
    shuffled = interpretability_report(embedder, X, np.random.default_rng(0).permutation(c))
    assert value(shuffled, "probe R2") < 0.1


def test_the_window_moves_the_hit_by_more_than_a_fifth(model):
    """The seed study looked at windows of 12 steps."""
    series, y = make_annotated_series("regimes", random_state=0)
    report = interpretability_report(model, series, y, window=[12, 128], stride=12)
    long, short = (value(report, "neighbourhood hit", window=size) for size in (128, 12))
    assert long - short > 0.2


def test_all_settings_are_crossed_and_before_stands_beside_after(regimes, model):
    series, y = regimes
    other = MomentEmbedder(weights="random", module_kwargs=TINY, random_state=1, device="cpu").fit(series[None, None])
    asked = {"window": [48, 96], "preprocessing": ["raw", "difference"]}
    report = interpretability_report({"before": other, "after": model}, series, y, **asked)
    counted = report.groupby(["model", "preprocessing", "window"]).size()
    assert counted.tolist() == [16] * 8
    alone = interpretability_report(model, series, y, window=96)
    assert value(alone, "silhouette") == value(report, "silhouette", model="after", window=96, preprocessing="raw")


def test_choosing_a_channel_is_the_model_of_that_channel_alone():
    series, y = make_annotated_series("anomalies", random_state=0)
    settings = {"weights": "random", "module_kwargs": TINY, "random_state": 0, "device": "cpu"}
    all_of_them = MomentEmbedder(**settings).fit(series[None])
    one = MomentEmbedder(**settings).fit(series[None, 1:2])
    found = interpretability_report(all_of_them, series, y, window=32, preprocessing="channel 1")
    alone = interpretability_report(one, series[1], y, window=32)
    np.testing.assert_allclose(found["value"], alone["value"], atol=1e-4)


def test_maps_of_several_seeds_are_compared(regimes, model):
    series, y = regimes
    report = interpretability_report(model, series, y, window=96, projection="tsne", n_seeds=2)
    assert 0.05 < value(report, "seed stability", "map") < 1
    assert "seed stability" not in set(interpretability_report(model, series, y, window=96)["measure"])


def test_what_cannot_be_measured_is_refused(regimes, model):
    series, y = regimes
    with pytest.raises(NotFittedError):
        interpretability_report(MomentEmbedder(), series, y, window=96)
    with pytest.raises(InputError, match="at least one model"):
        interpretability_report({}, series, y, window=96)
    with pytest.raises(InputError, match="a projection out of"):
        interpretability_report(model, series, y, window=96, projection="mds")
    with pytest.raises(InputError, match=r"\(2400,\)"):
        interpretability_report(model, series, y[:-1], window=96)


# ---- displays ------------------------------------------------------------------------------------------------------


def test_report_is_drawn_with_its_values_and_read_from_its_table(regimes, model):
    series, y = regimes
    display = InterpretabilityDisplay.from_estimator({"a": model, "b": model}, series, y, window=96)
    higher, lower = display.axes_
    assert (higher.get_xlabel(), lower.get_xlabel()) == ("higher is better", "lower is better")
    drawn = {line.get_label(): line.get_xdata() for line in higher.lines if not line.get_label().startswith("_")}
    expected = display.report.query("model == 'a' and better == 'higher'")["value"]
    np.testing.assert_allclose(drawn["a"], expected)
    assert display.table_.columns.tolist() == ["a", "b"]
    assert display.table_.loc[("embedding", "silhouette"), "a"] == value(display.report, "silhouette", model="a")


def test_a_sweep_is_drawn_over_the_window(regimes, model):
    series, y = regimes
    display = InterpretabilityDisplay.from_estimator(model, series, y, window=[24, 48, 96])
    assert len(display.axes_) == display.report["measure"].nunique()
    hit = next(ax for ax in display.axes_ if ax.get_title(loc="left").startswith("neighbourhood hit"))
    assert hit.lines[0].get_xdata().tolist() == [24, 48, 96]
    assert [tick.get_text() for tick in hit.get_xticklabels()] == ["24", "48", "96"]


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_map_has_a_dot_for_each_window_in_the_colour_of_its_label(regimes, model, projection):
    series, y = regimes
    display = EmbeddingDisplay.from_estimator(model, series, y, window=96, projection=projection)
    assert display.points.shape == (len(cut(series, 96)), 2)
    assert sum(len(dots.get_offsets()) for dots in display.ax_.collections) == len(display.points)
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["0", "1", "2", "3"]
    np.testing.assert_allclose(display.ax_.lines[0].get_xydata(), display.points)  # the path


def test_map_of_a_factor_and_of_time_has_a_scale(regimes, model):
    X, c = make_factor_panel("trend", n_series=30, n_timepoints=96, random_state=0)
    display = EmbeddingDisplay.from_estimator(model, X[:, None], c)
    np.testing.assert_allclose(display.ax_.collections[0].get_array(), c)
    assert not display.ax_.lines
    display = EmbeddingDisplay.from_estimator(model, regimes[0], window=96)
    np.testing.assert_array_equal(display.ax_.collections[0].get_array(), np.arange(len(display.points)))
    with pytest.raises(InputError, match="points of shape"):
        EmbeddingDisplay(np.zeros((4, 3)))
