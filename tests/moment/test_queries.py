"""Windows of long series, reconstruction, imputation, anomalies."""

import numpy as np
import pytest
import torch

from skts.errors import InputError, ParameterError
from tests.moment.common import CASES, dense, embedder, tiny_net, waves


def test_windows():
    series = waves(1, 90, C=2)[0]
    model = embedder(channels="concat").fit(series[None])
    for window, stride in [(16, 1), (24, 7), (90, 5)]:
        starts = range(0, 90 - window + 1, stride)
        expected = model.transform(np.stack([series[:, s : s + window] for s in starts]))
        np.testing.assert_allclose(model.transform_windows(series, window, stride), expected, atol=1e-6)
    flat = embedder().fit(waves(2, 30))
    assert flat.transform_windows(series[0], 30).shape == (61, 32)


def test_windows_that_do_not_fit():
    model = embedder().fit(waves(2, 30))
    for series, window, stride in [
        (np.ones(5), 6, 1),
        (np.ones(5), 0, 1),
        (np.ones(5), 2, 0),
        (np.ones((1, 1, 5)), 2, 1),
    ]:
        with pytest.raises(InputError):
            model.transform_windows(series, window, stride)
    with pytest.raises(InputError, match="1 channels"):
        model.transform_windows(np.ones((2, 9)), 3)
    with pytest.raises(InputError, match="nothing but NaN"):
        model.transform_windows(np.full(9, np.nan), 3)


def test_reconstruction_is_momentfm_s(released):
    """With whole patches visible or hidden the answers are those of the golden file."""
    data = CASES["reconstruction-full"]
    x, hidden = data["x"].numpy(), data["visible"].numpy() == 0
    model = embedder(weights=released).fit(x)
    np.testing.assert_allclose(
        model.reconstruct(x, hidden), data["out"], rtol=1e-5, atol=1e-5 * data["out"].abs().max()
    )


@pytest.mark.parametrize("length", [3, 8, 21, 200])
def test_reconstruction_of_short_series_is_the_padded_network(released, length):
    x = waves(3, length)
    n = length + -length % 8
    wide = np.concatenate([np.zeros((3, 512 - n)), np.repeat(x[:, :1], n - length, 1), x], 1)
    mask = (torch.arange(512) >= 512 - n).float().expand(3, 512)
    pack, *_ = dense(torch.from_numpy(wide)[:, None], mask, torch.ones(3, 512))
    mean, std = x.mean(1), x.std(1) + 1e-5
    z = torch.from_numpy((wide - mean[:, None]) / std[:, None]).float() * mask
    pack = type(pack)(z.unfold(-1, 8, 8).flatten(0, 1), pack.shown, pack.positions, pack.groups)
    with torch.no_grad():
        expected = tiny_net().reconstruct(pack).view(3, 512).numpy() * std[:, None] + mean[:, None]
    found = embedder(weights=released).fit(x).reconstruct(x)
    np.testing.assert_allclose(found, expected[:, 512 - length :], rtol=1e-4, atol=1e-4)


def test_hidden_values_do_not_leak():
    x = waves(3, 700, C=2)
    hidden = np.zeros((3, 700), dtype=bool)
    hidden[:, 100:120] = hidden[:, 300] = True
    other = np.where(hidden[:, None], 1e6, x)
    model = embedder().fit(x)
    np.testing.assert_array_equal(model.reconstruct(x, hidden), model.reconstruct(other, hidden))
    missing = np.where(hidden[:, None], np.nan, x)
    np.testing.assert_array_equal(model.reconstruct(missing), model.reconstruct(x, hidden))


@pytest.mark.parametrize(
    "hidden", [np.zeros((3, 699), bool), np.zeros((3, 700)), np.zeros(700, bool), np.zeros((3, 5, 700), bool)]
)
def test_masks_of_another_shape(hidden):
    x = waves(3, 700, C=2)
    with pytest.raises(InputError, match="hidden"):
        embedder().fit(x).reconstruct(x, hidden)


def test_a_channel_that_shows_nothing():
    x = waves(3, 20, C=2)
    x[1, 1] = np.nan
    model = embedder().fit(x)
    for verb in (model.reconstruct, model.impute):
        with pytest.raises(InputError, match="channel 1 of series 1"):
            verb(x)


def test_impute_keeps_what_was_observed():
    for x in (waves(4, 90), waves(4, 700, C=2), waves(2, 5)):
        holes = x.astype(np.float32)
        holes[0, ..., 2] = np.nan
        holes[1, ..., -3:-1] = np.nan
        filled = embedder().fit(x).impute(holes)
        seen = ~np.isnan(holes)
        assert filled.shape == x.shape
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[seen], holes[seen])
    series = [waves(1, t)[0] for t in (30, 600)]
    series[0][4] = np.nan
    filled = embedder().fit(series).impute(series)
    assert [f.shape for f in filled] == [(30,), (600,)]
    assert all(np.isfinite(f).all() for f in filled)


def test_scores_by_their_definition():
    x = waves(3, 700, C=2)
    model = embedder().fit(x)
    found = model.anomaly_score(x, n_folds=None)
    expected = np.square(x - model.reconstruct(x)) / x.var(2, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    patch = (np.arange(700) + -700 % 8) // 8
    guess = np.zeros_like(x)
    for fold in range(3):
        hidden = np.broadcast_to(patch % 3 == fold, (3, 700))
        guess = np.where(hidden[:, None], model.reconstruct(x, hidden), guess)
    expected = np.square(x - guess) / x.var(2, keepdims=True)
    np.testing.assert_allclose(model.anomaly_score(x, n_folds=3), expected, rtol=1e-3, atol=1e-4)


def test_scores_of_odd_series():
    x = waves(3, 40, C=2)
    x[0, 0], x[1, 1, 5:30] = np.nan, np.nan
    x[2, 0] = 4.0
    model = embedder().fit(x)
    found = model.anomaly_score(x)
    assert np.isfinite(found).all()
    assert (found[0, 0] == 0).all()
    assert np.isfinite(model.anomaly_score(waves(2, 3, C=2))).all()
    with pytest.raises(ParameterError, match="n_folds"):
        model.anomaly_score(x, n_folds=1)


def test_a_spike_stands_out():
    x = waves(5, 200)
    x[:, 77] += 12
    scores = embedder().fit(x).anomaly_score(x)
    assert (scores.argmax(1) == 77).all()
