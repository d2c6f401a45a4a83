"""MomentEmbedder as a user meets it: lengths, gaps, channels, layers, odd input (acceptance row C)."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skts
from skts.errors import InputError, InputTypeError, ParameterError, SktsError
from skts.moment.preparation import fill_gaps, resample, windows_from_the_end
from skts.moment.statistics import quantile_statistics, statistic_names
from tests.moment.common import TINY, embedder, odd_inputs, waves

D = TINY["d_model"]
EVERYTHING = {"layer": "all", "scale_features": True, "diff_features": True}


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"long": "chunk", "short": "upsample", "pooling": "max"}])
@pytest.mark.parametrize("what", odd_inputs())
def test_odd_input_gives_finite_features(what, settings):
    X = odd_inputs()[what]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for channels in ("mean", "concat"):
            model = embedder(**settings, channels=channels)
            found = model.fit(X).transform(X)
            assert found.dtype == np.float32
            assert found.shape == (len(X), len(model.get_feature_names_out()))
            assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("X", "kind", "word"),
    [
        (np.array([[np.nan] * 9, [1.0] * 9]), InputError, r"series \[0\] with nothing but NaN"),
        ([np.ones(3), np.full(5, np.nan)], InputError, r"series \[1\] with nothing but NaN"),
        (np.full((2, 1, 9), np.inf), InputError, "infinity"),
        (np.array([[1.0, np.inf]]), InputError, "infinity"),
        (np.full((2, 1, 9), 1e39), InputError, "float32"),
        (np.full((2, 9), -1e39), InputError, "float32"),
        (np.ones((0, 2, 9)), InputError, "empty"),
        (np.ones((2, 2, 9, 1)), InputError, "dim 4"),
        (np.full((2, 2, 9), "a"), InputTypeError, "real numbers"),
        ([np.ones((2, 4)), np.ones((3, 4))], InputError, "series 1"),
        ([np.ones(4), np.ones(0)], InputError, "series 1"),
    ],
)
def test_unusable_input_is_refused(X, kind, word):
    new = embedder()
    with pytest.raises(kind, match=word) as caught:
        new.fit(X)
    assert isinstance(caught.value, SktsError)
    assert not hasattr(new, "module_")


def test_questions_that_do_not_fit():
    table, panel = embedder().fit(waves(3, 20)), embedder().fit(waves(3, 20, C=2))
    with pytest.raises(InputError, match="20 features"):
        table.transform(waves(3, 21))
    with pytest.raises(InputError, match="2 channels"):
        panel.transform(waves(3, 20, C=3))
    with pytest.raises(InputError, match="2 channels"):
        panel.transform(waves(3, 20))
    with pytest.raises(InputError, match="Reshape"):
        panel.transform(np.ones(5))
    with pytest.raises(InputError, match="infinity"):
        table.transform(np.full((2, 20), np.inf))
    # A panel is of any length; a table is a panel of one channel.
    assert table.transform(waves(3, 21)[:, None]).shape == (3, D)
    flat = embedder().fit(waves(3, 20, C=1))
    np.testing.assert_array_equal(flat.transform(waves(3, 33)), flat.transform(waves(3, 33)[:, None]))


def test_nothing_is_trained():
    model = embedder().fit(waves())
    assert (model.history_, model.n_iter_, model.stopped_by_) == ([], 0, "frozen")
    before = {k: v.clone() for k, v in model.module_.state_dict().items()}
    model.fit(waves(seed=1))
    assert all(torch.equal(before[k], v) for k, v in model.module_.state_dict().items())
    other = embedder(random_state=1).fit(waves())
    assert not torch.equal(
        before["encoder.block.0.layer.0.SelfAttention.q.weight"],
        other.module_.encoder.block[0].layer[0].SelfAttention.q.weight,
    )
    other.set_params(warm_start=True, random_state=0).fit(waves())
    assert not torch.equal(
        before["patch_embedding.value_embedding.weight"], other.module_.patch_embedding.value_embedding.weight
    )


@pytest.mark.parametrize("layer", [2, -3, [0, 2], [], "last", 0.5, [[0]]])
def test_layers_that_are_not_there(layer):
    with pytest.raises(ParameterError, match="layer"):
        embedder(layer=layer).fit(waves())


def test_seq_len_of_whole_patches():
    with pytest.raises(ParameterError, match="multiple of 8"):
        embedder(seq_len=500).fit(waves())
    with pytest.raises(ParameterError):
        embedder(seq_len=40_008).fit(waves())


def test_level_and_scale_are_seen_by_statistics_alone():
    x = waves(3, 64)
    model = embedder(layer=0).fit(x)
    np.testing.assert_allclose(model.transform(100 * x + 7), model.transform(x), atol=1e-3)
    model.set_params(scale_features=True)
    assert np.abs(model.transform(100 * x + 7) - model.transform(x)).max() > 7


def test_parts_of_the_features():
    x = waves(5, 60, C=2)
    first, last = (embedder(layer=i).fit(x).transform(x) for i in (0, -1))
    both = embedder(layer=[0, 1]).fit(x)
    np.testing.assert_allclose(both.transform(x), np.hstack([first, last]), atol=1e-6)
    assert list(both.get_feature_names_out()[[0, D]]) == ["layer0_mean_0", "layer1_mean_0"]
    concat = embedder(channels="concat").fit(x).transform(x)
    separate = embedder(channels="separate").fit(x).transform(x)
    alone = [embedder().fit(x[:, [c]]).transform(x[:, [c]]) for c in range(2)]
    np.testing.assert_allclose(concat, np.hstack(alone), atol=1e-6)
    np.testing.assert_allclose(separate, np.stack(alone, 1), atol=1e-6)
    np.testing.assert_allclose(last, np.mean(alone, 0), atol=1e-6)
    side = embedder(scale_features=True, diff_features=True).fit(x[:, :1])
    found = side.transform(x[:, :1])
    steps = np.diff(x[:, :1], prepend=x[:, :1, :1])
    np.testing.assert_allclose(found[:, D : 2 * D], embedder().fit(steps).transform(steps), atol=1e-6)
    np.testing.assert_allclose(found[:, 2 * D :], quantile_statistics(x[:, :1])[:, 0], atol=1e-6)
    assert list(side.get_feature_names_out()[[D, 2 * D]]) == ["diff_layer1_mean_0", "value_0-1_q0"]


def test_poolings_against_the_patches():
    x = waves(4, 100)
    x[1, 30:60] = np.nan  # three whole patches and parts of two others
    patches = embedder(pooling="patches").fit(x).transform(x).reshape(4, 64, D)
    seen = np.abs(patches).sum(2) > 0
    assert seen.sum(1).tolist() == [13, 10, 13, 13]
    assert not seen[:, :51].any()
    for pooling, pool in {
        "mean": lambda h: h.mean(0),
        "max": lambda h: h.max(0),
        "mean+std": lambda h: np.concatenate([h.mean(0), h.std(0)]),
    }.items():
        expected = [pool(h[s]) for h, s in zip(patches, seen, strict=True)]
        np.testing.assert_allclose(embedder(pooling=pooling).fit(x).transform(x), expected, atol=1e-5)


def test_gaps_stay_in_their_channel():
    x = waves(3, 96, C=2)
    holes = x.copy()
    holes[:, 1, 40:70] = np.nan
    model = embedder(channels="concat").fit(x)
    whole, broken = model.transform(x), model.transform(holes)
    np.testing.assert_allclose(broken[:, :D], whole[:, :D], atol=1e-6)
    assert np.abs(broken[:, D:] - whole[:, D:]).max() > 1e-2


def test_a_channel_without_values_has_no_weight():
    x = waves(3, 50, C=2)
    x[0, 1] = np.nan
    model = embedder().fit(x)
    np.testing.assert_allclose(model.transform(x)[0], model.transform(x[:, :1].repeat(2, 1))[0], atol=1e-6)


def test_a_cut_that_leaves_nothing():
    x = waves(3, 600, C=2)
    x[1, :, 50:] = np.nan
    found = embedder(long="last").fit(x).transform(x)
    assert np.isfinite(found).all()
    assert not found[1].any()


def test_small_gaps_matter_little():
    """A missing value is interpolated: the embedding is nearer to the whole series' than that of mean imputation."""
    x = waves(8, 200)
    holes = x.copy()
    holes[:, ::9] = np.nan
    model = embedder().fit(x)
    whole = model.transform(x)
    filled = np.where(np.isnan(holes), np.nanmean(holes, 1, keepdims=True), holes)
    assert np.abs(model.transform(holes) - whole).mean() < 0.7 * np.abs(model.transform(filled) - whole).mean()


def test_nothing_is_lost_at_the_start():
    """The released recipe loses an incomplete first patch; here its values count."""
    x = waves(4, 20)
    other = x.copy()
    other[:, 1] += 3
    mended, strict = embedder().fit(x), embedder(strict_parity=True).fit(x)
    assert np.abs(mended.transform(x) - mended.transform(other)).max() > 0.1
    z = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    cut = z.copy()
    cut[:, :4] = np.random.default_rng(0).permuted(z[:, :4], axis=1)  # the same statistics
    np.testing.assert_allclose(strict.transform(z), strict.transform(cut), atol=1e-4)
    with pytest.raises(InputError, match="strict_parity"):
        strict.transform(waves(2, 7)[:, None])


def test_short_series_on_either_side_differ():
    x = waves(4, 64)
    late, early, stretched = (embedder(short=s).fit(x).transform(x) for s in ("pad", "raw", "upsample"))
    assert min(np.abs(a - b).max() for a, b in [(late, early), (late, stretched), (early, stretched)]) > 0.1
    np.testing.assert_allclose(embedder(short="pad", seq_len=64).fit(x).transform(x), early, atol=1e-6)
    whole = waves(2, 512)
    alike = [embedder(short=s).fit(whole).transform(whole) for s in ("pad", "raw", "upsample")]
    np.testing.assert_array_equal(alike[0], alike[1])
    np.testing.assert_array_equal(alike[0], alike[2])


def test_long_series():
    x = waves(3, 1100)
    pool = {how: embedder(long=how).fit(x).transform(x) for how in ("interpolate", "chunk", "last")}
    short = embedder().fit(x[:, -512:])
    np.testing.assert_allclose(pool["last"], short.transform(x[:, -512:]), atol=1e-6)
    windows = [x[:, -512:], x[:, -1024:-512], x[:, :508]]  # the last ends on the grid of patches
    parts = [short.transform(w[:, None]) for w in windows]
    expected = sum(w * p for w, p in zip((512, 512, 76), parts, strict=True)) / 1100
    np.testing.assert_allclose(pool["chunk"], expected, atol=1e-5)
    np.testing.assert_allclose(pool["interpolate"], short.transform(resample(x, 512)), atol=1e-5)


@pytest.mark.parametrize("length", [1, 8, 511, 512, 513, 1024, 1100, 1543])
def test_windows_cover_each_step_once(length):
    windows = windows_from_the_end(length, 512)
    ends = [0] + [w.new for w in windows]
    assert ends[-1] == length
    assert ends == sorted(set(ends))
    for before, w in zip(ends, windows, strict=False):
        assert w.start <= before < w.new <= w.stop <= length
        assert w.stop - w.start <= 512
        assert (w.stop - length) % 8 == 0


def test_filling_and_resampling_are_linear_interpolation():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 30))
    holes = np.where(rng.random(x.shape) < 0.4, np.nan, x)
    place = np.arange(30)
    for row, filled in zip(holes, fill_gaps(holes), strict=True):
        seen = ~np.isnan(row)
        np.testing.assert_allclose(filled, np.interp(place, place[seen], row[seen]))
    for length in (7, 30, 100):
        expected = torch.nn.functional.interpolate(torch.from_numpy(x)[:, None], length, mode="linear")[:, 0]
        np.testing.assert_allclose(resample(x, length), expected, atol=1e-12)
    assert np.isnan(resample(holes, 30)).sum() == np.isnan(holes).sum()


def test_statistics_against_numpy():
    x = waves(3, 61, C=2)
    x[1, 0] = 7.0
    z = (x - x.mean(-1, keepdims=True)) / np.maximum(x.std(-1, keepdims=True), 1e-9)
    views = {
        "value": x,
        "step": np.diff(z),
        "spectrum": np.log1p(np.abs(np.fft.rfft(z)) / np.sqrt(61)),
    }
    found, names = quantile_statistics(x), list(statistic_names())
    assert len(names) == len(set(names)) == found.shape[-1]
    for column, name in enumerate(names):
        view, span, q = name.split("_")
        start, stop = (float(share) * views[view].shape[-1] for share in span.split("-"))
        part = views[view][..., int(start) : int(np.ceil(stop))]
        np.testing.assert_allclose(found[..., column], np.quantile(part, float(q[1:]) / 100, axis=-1), atol=2e-2)


def test_statistics_of_any_length():
    width = len(list(statistic_names()))
    for length in (1, 2, 7, 40, 1000):
        assert quantile_statistics(waves(2, length, C=1)).shape == (2, 1, width)
    holes = waves(2, 40, C=1)
    holes[1] = np.nan
    found = quantile_statistics(holes)
    assert np.isfinite(found).all()
    assert not found[1].any()


def test_precision_of_the_input():
    """A level of a million beside a signal of 1 is lost in float32, and kept in float64."""
    x = waves(3, 100)
    model = embedder().fit(x)
    np.testing.assert_allclose(model.transform(x + 1e6), model.transform(x), atol=1e-3)


def test_bfloat16_is_near():
    x = waves(20, 120)
    model = embedder().fit(x)
    full = model.transform(x)
    half = model.set_params(net_kwargs={"precision": "bfloat16"}).transform(x)
    assert half.dtype == np.float32
    assert 0 < np.linalg.norm(half - full) / np.linalg.norm(full) < 0.02


def test_lists_tables_and_frames_agree():
    x = waves(4, 30)
    expected = embedder().fit(x).transform(x)
    frame = pd.DataFrame(x, columns=[f"t{i}" for i in range(30)])
    model = embedder().fit(frame)
    np.testing.assert_array_equal(model.transform(frame), expected)
    assert model.n_features_in_ == 30
    for same in (x[:, None], list(x), [row[None] for row in x], [pd.Series(row) for row in x]):
        other = embedder().fit(same)
        np.testing.assert_allclose(other.transform(same), expected, atol=1e-6)
        assert other.n_features_in_ == other.n_channels_ == 1
    named = embedder().set_output(transform="pandas").fit(frame).transform(frame)
    assert list(named.columns[:2]) == ["layer1_mean_0", "layer1_mean_1"]
    assert named.index.equals(frame.index)


def test_pipeline_and_grid_search():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=60)
    X = np.sin(np.arange(64) * np.where(y, 0.3, 0.8)[:, None] + rng.uniform(0, 6, (60, 1)))
    pipe = make_pipeline(embedder(), StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipe, {"momentembedder__layer": [0, -1, "all"]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.95


def test_save_load_clone(tmp_path):
    series = [waves(1, t, C=2)[0] for t in (9, 40, 600)]
    model = embedder(**EVERYTHING, channels="concat").fit(series)
    skts.save(model, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    np.testing.assert_array_equal(loaded.transform(series), model.transform(series))
    np.testing.assert_array_equal(loaded.get_feature_names_out(), model.get_feature_names_out())
    np.testing.assert_array_equal(clone(model).fit(series).transform(series), model.transform(series))
