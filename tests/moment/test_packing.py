"""Leaving padding out is exact, as long as every patch keeps its position: acceptance row B."""

import numpy as np
import pytest
import torch

from skts.moment.batching import Runner
from skts.moment.module import MomentNet, relative_bucket, sinusoids
from skts.moment.packing import Pack, pack_dense, pack_spans
from skts.moment.preparation import Recipe
from tests.moment.common import dense, embedder, tiny_net, waves

NET = tiny_net()


def padded_and_packed(keys, seed=0):
    """Tokens of the same sequences, with and without what nobody may attend to."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(*keys.shape, 8, generator=generator)
    whole, (packed, rows, columns) = pack_dense(patches, keys, keys), pack_spans(patches, keys, keys)
    with torch.no_grad():
        return NET(whole)[-1].view(*keys.shape, -1)[rows, columns], NET(packed)[-1], keys[rows, columns], packed


def masks(kind):
    keys = torch.ones(5, 64, dtype=torch.bool)
    for row, n in enumerate([0, 1, 40, 61, 63]):
        if kind in ("left", "both", "gaps"):
            keys[row, :n] = False
        if kind in ("right", "both"):
            keys[row, 64 - n // 3 :] = False
        if kind == "gaps":
            keys[row, 62] = False
    return keys


@pytest.mark.parametrize("kind", ["left", "right", "both", "gaps", "none"])
def test_skipping_is_exact(kind):
    padded, packed, valid, pack = padded_and_packed(masks(kind))
    torch.testing.assert_close(packed[valid], padded[valid], rtol=0, atol=1e-5)
    if kind != "none":
        assert len(pack.patches) < 5 * 64


def test_restarted_positions_differ():
    """The negative test: a patch that does not keep its position has another embedding."""
    keys = torch.zeros(3, 64, dtype=torch.bool)
    keys[:, 52:] = True
    padded, packed, _, pack = padded_and_packed(keys)
    torch.testing.assert_close(packed, padded, rtol=0, atol=1e-5)
    moved = Pack(pack.patches, pack.shown, pack.positions - 52, pack.groups)
    with torch.no_grad():
        assert (NET(moved)[-1] - padded).abs().max() > 0.1


def test_a_sequence_without_a_key_has_no_token():
    keys = torch.ones(3, 4, dtype=torch.bool)
    keys[1] = False
    pack, rows, _ = pack_spans(torch.zeros(3, 4, 8), keys, keys)
    assert rows.tolist() == [0] * 4 + [2] * 4
    assert [(g.n_rows, g.length, g.keys) for g in pack.groups] == [(2, 4, None)]


@pytest.mark.parametrize("length", [8, 24, 96, 150, 511, 512])
def test_transform_is_the_padded_network(length):
    """Lengths of whole patches or not: padding to 512 by hand and masking gives what transform gives."""
    x = waves(3, length)
    model = embedder().fit(x)
    filled = np.concatenate([np.repeat(x[:, :1], -length % 8, 1), x], 1)
    n = filled.shape[1]
    wide = torch.from_numpy(np.concatenate([np.zeros((3, 512 - n)), filled], 1))[:, None]
    mean, std = x.mean(1)[:, None], x.std(1)[:, None] + 1e-5
    wide[:, 0, 512 - n :] = torch.from_numpy((filled - mean) / std)
    keys = (torch.arange(64) >= 64 - n // 8).expand(3, 64)
    with torch.no_grad():
        tokens = model.module_(pack_dense(wide.float().unfold(-1, 8, 8)[:, 0], keys, keys))[-1].view(3, 64, -1)
    expected = (tokens * keys[..., None]).sum(1) / keys.sum(1, keepdim=True)
    np.testing.assert_allclose(model.transform(x), expected, rtol=0, atol=1e-5)


def test_batches_and_order_do_not_matter():
    lengths = [5, 512, 30, 100, 30, 700, 9, 100, 64]
    series = [waves(1, t, C=2, seed=i)[0] for i, t in enumerate(lengths)]
    model = embedder(long="chunk").fit(series)
    alone = np.concatenate([model.transform([x]) for x in series])
    for batch_size in (1, 3, 500):
        np.testing.assert_allclose(model.set_params(batch_size=batch_size).transform(series), alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.transform(series[::-1]), alone[::-1], rtol=0, atol=1e-5)


def test_batches_hold_the_budget():
    panel_like = embedder().fit(waves(2, 8))
    runner = panel_like._runner(panel_like.module_)
    budget = Runner(runner.net, Recipe(512, "pad", "interpolate", False), 128, runner.device, runner.dtype)

    class Panel:
        parts = (np.zeros((100, 1, 8)), np.zeros((30, 1, 40)), np.zeros((3, 4, 512)))
        n_channels = 1

    batches = list(budget._batches(Panel))
    costs = [sum((s.stop - s.start) * (1, 5, 64)[part] for part, s in pieces) for pieces in batches]
    assert max(costs) <= 128
    for part, n in enumerate((100, 30, 3)):
        covered = [i for pieces in batches for p, s in pieces if p == part for i in range(s.start, s.stop)]
        assert covered == list(range(n))


@torch.no_grad()
def test_early_exit_reads_what_the_whole_network_passes():
    pack, *_ = dense(torch.from_numpy(waves(2, 64, C=1)).float())
    net = MomentNet(16, 24, 4, 2, 8).eval()
    every = net(pack, (0, 1, 2, 3))
    ran = []
    for i, block in enumerate(net.encoder.block):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    (second,) = net(pack, (1,))
    torch.testing.assert_close(second, every[1])
    assert ran == [0, 1]


def test_relative_buckets_by_their_definition():
    """Near distances have a bucket each, far ones share logarithmic ones; 64 patches use 28 of the 32."""
    distance = torch.arange(-200, 201)
    found = relative_bucket(distance, 32)
    for d, bucket in zip(distance.tolist(), found.tolist(), strict=True):
        size = abs(d)
        far = 8 + int(np.log(max(size, 1) / 8) / np.log(16) * 8 + 1e-9)
        assert bucket == (size if size < 8 else min(far, 15)) + (16 if d > 0 else 0)
    used = set(relative_bucket(torch.arange(-63, 64), 32).tolist())
    assert used == set(range(14)) | set(range(17, 30))


def test_positions_by_their_definition():
    table = sinusoids(70, 6)
    for position in (0, 1, 69):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(table[position, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-5)
