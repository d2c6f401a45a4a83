"""MomentPanelTransformer as a user meets it: containers, index, columns, pipelines, training, files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sktime.datatypes import convert_to

import skts
from skts import MomentEmbedder
from skts.errors import InputError, InputTypeError, ParameterError, PersistenceError
from skts.interop import MomentPanelTransformer

TINY = {"d_model": 8, "d_ff": 8, "n_layers": 2, "n_heads": 2, "d_kv": 4}


def embedder(**changes):
    return MomentEmbedder(**{"weights": "random", "module_kwargs": TINY, "random_state": 0, **changes})


def series(lengths=(40, 25, 33, 61), C=2):
    rng = np.random.default_rng(0)
    return [np.sin(np.arange(n) * 0.3 * (1 + i % 2)) + 0.1 * rng.standard_normal((C, n)) for i, n in enumerate(lengths)]


def panel(arrays, keys=None):
    frames = [pd.DataFrame(x.T, columns=[f"c{i}" for i in range(len(x))]) for x in arrays]
    keys = [f"machine {i}" for i in range(len(arrays))] if keys is None else keys
    return pd.concat(frames, keys=keys, names=["machine", "time"])


@pytest.fixture(scope="module")
def fitted():
    return MomentPanelTransformer(embedder(channels="concat")).fit(panel(series()))


# ---- containers -----------------------------------------------------------------------------------------------------


def test_features_are_those_of_the_embedder(fitted):
    found = fitted.transform(panel(series()))
    alone = embedder(channels="concat").fit(series())
    np.testing.assert_array_equal(found, alone.transform(series()))
    assert found.columns.tolist() == alone.get_feature_names_out().tolist()
    assert found.index.tolist() == [f"machine {i}" for i in range(4)]
    assert found.index.name == "machine"


@pytest.mark.parametrize("mtype", ["numpy3D", "nested_univ", "df-list", "pd-multiindex"])
def test_every_container_of_a_panel_gives_the_same_numbers(mtype):
    equal = np.stack(series((30, 30, 30)))
    X = convert_to(equal, mtype)
    found = MomentPanelTransformer(embedder()).fit_transform(X)
    np.testing.assert_array_equal(found, embedder().fit(equal).transform(equal))


def test_a_series_is_a_panel_of_one():
    x = series((50,), C=1)[0]
    found = MomentPanelTransformer(embedder()).fit_transform(pd.Series(x[0]))
    np.testing.assert_array_equal(found, embedder().fit(x).transform(x))


def test_series_of_a_hierarchy_are_embedded_together():
    X = pd.concat({"north": panel(series()), "south": panel(series((20, 30)))}, names=["plant"])
    transformer = MomentPanelTransformer(embedder()).fit(X)
    found = transformer.transform(X)
    assert found.index.names == ["plant", "machine"]
    assert found.shape == (6, 8)
    np.testing.assert_allclose(found.loc["south"], transformer.transform(panel(series((20, 30)))), atol=1e-6)


def test_gaps_are_missing_values(fitted):
    arrays = series()
    arrays[1][0, 3:9] = np.nan
    found = fitted.transform(panel(arrays))
    assert np.isfinite(found).all(axis=None)
    np.testing.assert_array_equal(found, fitted.embedder_.transform(arrays))


def test_rows_keep_the_order_of_the_panel(fitted):
    keys = [3, 1, 2, 0]
    found = fitted.transform(panel(series(), keys))
    assert found.index.tolist() == keys
    np.testing.assert_array_equal(found, fitted.transform(panel(series())))


def test_columns_are_found_by_name(fitted):
    X = panel(series())
    pd.testing.assert_frame_equal(fitted.transform(X[["c1", "c0"]]), fitted.transform(X))


# ---- pipelines and training -----------------------------------------------------------------------------------------


def two_kinds(n=16, T=40):
    x = np.stack(series([T] * n))
    return x, np.where(np.arange(n) % 2, "fast", "slow")


def test_before_a_classifier_of_sklearn_by_sktimes_product():
    X, y = two_kinds()
    model = MomentPanelTransformer(embedder()) * LogisticRegression()
    assert (model.fit(X, y).predict(X) == y).all()


def test_in_a_pipeline_and_a_search_of_sklearn():
    X, y = two_kinds()
    model = make_pipeline(MomentPanelTransformer(embedder()), LogisticRegression())
    search = GridSearchCV(model, {"momentpaneltransformer__embedder__layer": [0, "all"]}, cv=2).fit(X, y)
    assert search.best_score_ == 1
    assert search.best_estimator_[0].embedder_.layer in (0, "all")


def test_y_is_what_an_embedder_is_trained_for():
    X, y = two_kinds()
    template = embedder(finetune="full", max_epochs=1)
    transformer = MomentPanelTransformer(template)
    assert transformer.fit(X, y).embedder_.tuning_["objective"] == "supervised"
    assert transformer.fit(X, pd.DataFrame({"kind": y})).embedder_.tuning_["objective"] == "supervised"
    assert transformer.fit(X).embedder_.tuning_["objective"] == "masked"
    assert not hasattr(template, "tuning_")


def test_seed_is_for_embedders_without_one():
    X, _ = two_kinds(4)
    seeded = [MomentPanelTransformer(embedder(random_state=None), random_state=s).fit_transform(X) for s in (1, 1, 2)]
    pd.testing.assert_frame_equal(seeded[0], seeded[1])
    assert np.abs(seeded[0] - seeded[2]).max(axis=None) > 0.01
    own = [MomentPanelTransformer(embedder(), random_state=s).fit_transform(X) for s in (1, 2)]
    pd.testing.assert_frame_equal(*own)


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X: "words", InputTypeError, "container of series"),
        (lambda X: X.iloc[:0], InputError, "series of shape"),
        (lambda X: X.astype(str), InputTypeError, "container of series"),
        (lambda X: X.where(X < 0.9, np.inf), InputError, "finite"),
        (lambda X: X[["c0"]], InputError, "the columns of fit"),
        (lambda X: X.rename(columns={"c0": "other"}), InputError, "the columns of fit"),
        (lambda X: np.empty((0, 2, 9)), InputError, "container of series"),
        (lambda X: panel([x if i != 2 else x * np.nan for i, x in enumerate(series())]), InputError, r"series \[2\]"),
    ],
    ids=[
        "a word",
        "empty",
        "words",
        "infinite",
        "fewer columns",
        "other columns",
        "empty array",
        "nothing observed",
    ],
)
def test_bad_input_is_refused(fitted, change, error, match):
    with pytest.raises(error, match=match):
        fitted.transform(change(panel(series())))


def test_an_array_of_words_is_refused():
    with pytest.raises(InputTypeError, match="numeric"):
        MomentPanelTransformer(embedder()).fit(np.full((4, 2, 9), "1.0"))


def test_an_embedder_without_a_row_for_each_series_is_refused():
    with pytest.raises(ParameterError, match="separate"):
        MomentPanelTransformer(embedder(channels="separate")).fit(panel(series()))


def test_a_failed_fit_leaves_the_last_good_state(fitted):
    transformer = MomentPanelTransformer(embedder()).fit(panel(series()))
    before = transformer.transform(panel(series()))
    with pytest.raises(InputTypeError):
        transformer.fit(panel(series()).astype(str))
    pd.testing.assert_frame_equal(transformer.transform(panel(series())), before)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_file_gives_the_same_numbers(fitted, tmp_path):
    skts.save(fitted, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    assert loaded.embedder.get_params() == fitted.embedder.get_params()
    pd.testing.assert_frame_equal(loaded.transform(panel(series())), fitted.transform(panel(series())))


def test_an_unfitted_one_comes_back_unfitted(tmp_path):
    skts.save(MomentPanelTransformer(random_state=3), tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    assert loaded.random_state == 3
    assert not loaded.is_fitted


def test_a_file_that_holds_another_estimator_is_refused(tmp_path):
    transformer = MomentPanelTransformer(embedder()).fit(panel(series()))
    transformer.embedder_ = skts.FMambaForecaster()
    skts.save(transformer, tmp_path / "m.skts")
    with pytest.raises(PersistenceError, match="a MomentEmbedder"):
        skts.load(tmp_path / "m.skts")
