"""Fine-tuning and pre-training: what moves, what it is judged by, and that it never ends worse (acceptance row E)."""

import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

import skts
from skts.engine import Callback
from skts.errors import InputError, ParameterError
from skts.moment.holdout import held_out, overlap
from skts.moment.objectives import Contrast, Masking, Probe, masked_loss
from skts.moment.panel import as_panel
from skts.moment.sequences import Sequences
from skts.moment.tuning import OBJECTIVES, STRATEGIES
from skts.testing import CONTRACTS
from tests.moment.common import TINY, embedder, odd_inputs, waves

PAIRS = [(s, o) for s in STRATEGIES for o in OBJECTIVES if (s, o) != ("head", "contrastive")]
SMALL = {"module_kwargs": {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}, "random_state": 0}
TEMPLATES = [
    skts.MomentEmbedder("random", finetune=strategy, objective=objective, max_epochs=3, **SMALL)
    for strategy, objective in [("full", "auto"), ("lora", "masked"), ("last_k", "contrastive"), ("head", "auto")]
]


def classes(n=40, T=64, seed=0):
    """Slow and fast sines."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    speed = np.where(y, 0.3, 0.4)[:, None]
    x = np.sin(np.arange(T) * speed + rng.uniform(0, 6, (n, 1)))
    return x + 0.3 * rng.standard_normal(x.shape), np.where(y, "slow", "fast")


def state(model):
    return {k: v.clone() for k, v in model.module_.state_dict().items()}


def moved(before, after):
    assert before.keys() == after.keys()
    return {k for k in before if not torch.equal(before[k], after[k])}


def sequences_of(model, X):
    return Sequences.of(as_panel(model, X, reset=False), model._runner(model.module_).recipe)


@parametrize_with_checks(TEMPLATES)
def test_sklearn_suite(estimator, check):
    check(estimator)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("estimator", TEMPLATES, ids=lambda e: f"{e.finetune}-{e.objective}")
def test_contract(estimator, contract):
    contract(estimator)


@pytest.mark.parametrize(("strategy", "objective"), PAIRS)
def test_only_the_chosen_weights_move(strategy, objective):
    X, y = classes()
    settings = {"finetune": strategy, "objective": objective, "lr": 0.01, "validation_fraction": 0, "max_epochs": 2}
    model = embedder(**settings, module_kwargs={**TINY, "last_k": 1, "lora_rank": 2})
    before, after = state(embedder().fit(X)), state(model.fit(X, y))
    names = moved(before, after)
    head = {"head.linear.weight", "head.linear.bias"} if objective == "masked" else set()
    if strategy == "head":
        assert names == head
    elif strategy == "last_k":
        assert names == {k for k in before if ".block.1." in k or "final_layer_norm" in k} | head
    elif strategy == "lora":
        assert names == {k for k in before if k.endswith(("SelfAttention.q.weight", "SelfAttention.v.weight"))} | head
        assert all(torch.linalg.matrix_rank(after[k] - before[k], rtol=1e-3) == 2 for k in names - head)
    else:
        unused = {"patch_embedding.mask_embedding"} if objective != "masked" else set()
        unused |= {"head.linear.weight", "head.linear.bias"} - head
        assert names == before.keys() - unused
    assert all(p.requires_grad for p in model.module_.parameters())


@pytest.mark.parametrize(("strategy", "objective"), PAIRS)
def test_never_worse_than_the_start(strategy, objective):
    X, y = classes()
    before = state(embedder().fit(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a loss that is not finite
        for lr in (1e-3, 30.0):
            settings = {"finetune": strategy, "objective": objective, "lr": lr, "validation_fraction": 0.25}
            model = embedder(**settings, max_epochs=3).fit(X, y)
            assert model.tuning_["end_loss"] <= model.tuning_["start_loss"] + 1e-6
            if not any(row["best"] for row in model.history_):
                assert not moved(before, state(model))


def test_masked_loss_falls_within_a_minute():
    """Row E: at least 25 % of the held-out loss from a random start."""
    X = [*waves(150, 96), *waves(150, 200, seed=1), *np.cumsum(waves(100, 160, seed=2), 1)]
    started = time.process_time()
    model = embedder(lr=2e-3, max_epochs=10).pretrain(X)
    assert time.process_time() - started < 60
    about = model.tuning_
    assert (about["strategy"], about["objective"], about["n_valid"]) == ("full", "masked", 40)
    assert about["end_loss"] < 0.75 * about["start_loss"]
    best = min(row["valid_loss"] for row in model.history_)
    assert about["end_loss"] == pytest.approx(best, rel=1e-4)


def test_contrast_learns_to_tell_series_apart():
    about = embedder(lr=2e-3, max_epochs=10).pretrain(waves(200, 96), objective="contrastive").tuning_
    assert about["end_loss"] < 0.9 * about["start_loss"]


@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_a_target_makes_better_features(strategy):
    """Held-out loss of the linear model falls, for classes and for numbers."""
    X, y = classes(160)
    rng = np.random.default_rng(0)
    level = rng.uniform(0.2, 0.5, 160)
    tones = np.sin(np.arange(64) * level[:, None] + rng.uniform(0, 6, (160, 1))) + 0.7 * rng.standard_normal((160, 64))
    for data, target in ((X, y), (tones, level), (tones, np.c_[level, -level])):
        settings = {"finetune": strategy, "lr": 2e-3, "validation_fraction": 0.25, "max_epochs": 15}
        about = embedder(**settings).fit(data, target).tuning_
        assert about["objective"] == "supervised"
        assert about["end_loss"] < 0.95 * about["start_loss"]


def test_masked_loss_is_that_of_reconstruct():
    """The network is asked through the user's verb, with the same patches hidden."""
    X = waves(5, 80, C=2)
    model = embedder().fit(X)
    sequences = sequences_of(model, X)
    picked = sequences.pick(torch.arange(5))
    pack, factor = Masking(0.3)(picked, torch.arange(5), torch.Generator().manual_seed(0))
    place, hidden = picked.place[pack.owners], np.zeros((10, 10), bool)
    hidden[place, pack.positions - 54] = ~pack.shown
    assert (hidden.sum(1) == 3).all()
    steps = hidden.repeat(8, 1).reshape(X.shape)
    errors = np.square(X - model.reconstruct(X, steps)) / X.var(2, keepdims=True)
    with torch.no_grad():
        found = float(masked_loss(model.module_, pack, factor))
    assert found == pytest.approx(errors[steps].mean(), rel=1e-3)


def test_masks_leave_something_and_hide_something():
    X = [waves(1, t)[0] for t in (5, 16, 24, 400)]
    holes = waves(1, 80)[0]
    holes[16:70] = np.nan
    X.append(holes)
    model = embedder().fit(X)
    sequences = sequences_of(model, X)
    picked = sequences.pick(torch.arange(5))
    for ratio in (0.01, 0.5, 0.99):
        pack, factor = Masking(ratio)(picked, torch.arange(5), None)
        for sequence in range(5):
            own = pack.owners == sequence
            keys = picked.pack.shown[own]
            shown, counted = pack.shown[own], factor[own].any(1)
            assert not (shown & ~keys).any()
            assert shown.any()
            assert counted.any()
            assert (counted <= keys).all()
            assert not (counted & shown).any() or keys.sum() == 1
        assert not factor[~picked.steps].any()


@pytest.mark.parametrize("settings", [{}, {"channels": "concat", "layer": "all"}, {"long": "chunk", "pooling": "max"}])
def test_training_sees_the_features_of_transform(settings):
    X = [waves(1, t, C=2)[0] for t in (5, 96, 96, 700, 1100)]
    X[1][1, 10:50] = np.nan
    X[2][0] = np.nan
    model = embedder(**settings).fit(X)
    sequences = sequences_of(model, X)
    readout = model._features().readout
    probe = Probe(model.module_, readout, torch.nn.Identity(), 2, model.channels != "mean")
    order = torch.tensor([3, 0, 4, 2, 1, 2])
    picked = sequences.pick(order)
    with torch.no_grad():
        found = probe(picked.pack, picked.place, picked.weight, len(order))
    np.testing.assert_allclose(found, model.transform(X)[order], atol=1e-5)


def test_views_are_crops():
    X = waves(6, 120)
    model = embedder().fit(X)
    sequences = sequences_of(model, X)
    picked = sequences.pick(torch.arange(6))
    one, other = Contrast(late=True, shortest=0.5, noise=0.0)(picked, torch.arange(6), torch.Generator().manual_seed(1))
    assert one.groups == other.groups
    (group,) = one.groups
    assert 8 <= group.length <= 15
    assert one.positions.view(6, -1)[0].tolist() == list(range(64 - group.length, 64))
    for row, crop in enumerate(one.patches.view(6, -1).numpy()):
        spans = np.lib.stride_tricks.sliding_window_view(X[row], len(crop))
        fits = (spans - spans.mean(1, keepdims=True)) / spans.std(1, keepdims=True)
        assert np.abs(fits - crop).max(1).min() < 1e-3


def windows(length, stride, n_steps=900):
    walk = np.cumsum(np.random.default_rng(0).standard_normal(n_steps))
    return np.lib.stride_tricks.sliding_window_view(walk, length)[::stride]


@pytest.mark.parametrize(("length", "stride"), [(32, 1), (32, 8), (33, 8), (32, 31), (32, 32)])
def test_held_out_windows_share_no_step_with_training(length, stride):
    X = windows(length, stride)
    model = embedder()
    panel = as_panel(model, X, reset=True)
    assert overlap(panel) == -(-length // stride) - 1
    train, valid = held_out(panel, 0.2, np.random.default_rng(0))
    assert 0.1 * len(X) < len(valid) < 0.3 * len(X)
    assert len(train) > 0.3 * len(X)
    steps = [{s for i in part for s in range(i * stride, i * stride + length)} for part in (train, valid)]
    assert not steps[0] & steps[1]


def test_windows_with_flat_and_missing_stretches():
    walk = windows(1, 1)[:, 0].copy()
    walk[:300] = 5.0
    flat = np.lib.stride_tricks.sliding_window_view(walk, 32)[::8].copy()
    walk[500:560] = np.nan
    X = np.lib.stride_tricks.sliding_window_view(np.stack([walk, np.zeros(900)]), 96, axis=1)[:, ::8].swapaxes(0, 1)
    for data, shared in ((flat, 3), (X, 11)):
        assert overlap(as_panel(embedder(), data, reset=True)) == shared


def test_training_in_half_the_bits():
    X, y = classes()
    for objective in OBJECTIVES:
        settings = {"finetune": "full", "objective": objective, "net_kwargs": {"precision": "bfloat16"}}
        about = embedder(**settings, max_epochs=2, lr=2e-3).fit(X, y).tuning_
        assert about["end_loss"] <= about["start_loss"] * 1.01


def test_series_that_are_no_windows():
    model = embedder()
    for X in (waves(20, 30), np.ones((20, 30)), [*waves(5, 20), *waves(5, 30)], windows(32, 4)[::-1]):
        panel = as_panel(model, X, reset=True)
        assert overlap(panel) == 0
        train, valid = held_out(panel, 0.2, np.random.default_rng(0))
        assert sorted([*train, *valid]) == list(range(panel.n_series))
        assert len(valid) == round(0.2 * panel.n_series)


def test_groups_and_classes_are_split_as_they_should():
    model = embedder()
    panel = as_panel(model, waves(60, 30), reset=True)
    groups, labels = np.repeat(np.arange(12), 5), np.repeat(["a", "b"], [50, 10])
    train, valid = held_out(panel, 0.2, np.random.default_rng(0), groups=groups)
    assert not set(groups[train]) & set(groups[valid])
    assert len(train) + len(valid) == 60
    assert 5 <= len(valid) <= 15
    _, valid = held_out(panel, 0.2, np.random.default_rng(0), labels)
    assert [np.sum(labels[valid] == c) for c in "ab"] == [10, 2]
    for fraction, groups in ((0.0, None), (0.5, np.zeros(60))):
        train, valid = held_out(panel, fraction, np.random.default_rng(0), groups=groups)
        assert (len(train), len(valid)) == (60, 0)


def test_questions_that_make_no_sense():
    X, y = classes(20)
    for target, word in [
        (y[:-1], "20 series"),
        (np.full(20, 1), "one class"),
        (np.where(np.arange(20) == 3, np.nan, 0.5), "NaN"),
        (np.random.default_rng(0).integers(2, size=(20, 3)), "multilabel"),
    ]:
        with pytest.raises(InputError, match=word):
            embedder(finetune="full").fit(X, target)
    with pytest.raises(InputError, match="groups"):
        embedder(finetune="full").fit(X, y, groups=[1, 2])
    with pytest.raises(ParameterError, match="Pass y"):
        embedder(finetune="full", objective="supervised").fit(X)
    with pytest.raises(ParameterError, match="lora"):
        embedder(finetune="head", objective="contrastive").fit(X)
    with pytest.raises(ParameterError, match="objective"):
        embedder().pretrain(X, objective="supervised")
    with pytest.raises(ParameterError, match="mask_ratio"):
        embedder(finetune="full", module_kwargs={"mask_ratio": 1.0}).fit(X)


def test_without_finetune_y_and_weights_are_left_alone():
    X, y = classes(20)
    model = embedder().fit(X, y)
    assert model.tuning_ is None
    assert not moved(state(model), state(embedder().fit(X)))


def test_weights_go_on(tmp_path):
    """From pretrain to fit, through a folder and through warm_start; a checkpoint takes options of training."""
    X = waves(60, 64)
    model = embedder(lr=1e-3, max_epochs=2).pretrain(X)
    trained = state(model)
    model.export(tmp_path)
    other = embedder(weights=tmp_path).set_params(module_kwargs={"lora_rank": 1}, finetune="lora", max_epochs=1)
    assert other.fit(X).checkpoint_["source"] == str(tmp_path)
    assert moved(trained, state(other)) <= {k for k in trained if k.endswith((".q.weight", ".v.weight")) or "head" in k}
    assert not moved(trained, state(model.set_params(warm_start=True).fit(X)))
    assert moved(trained, state(model.set_params(warm_start=False).fit(X)))


class _CtrlC(Callback):
    def on_batch_end(self, net, training=False, **_):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


def test_interrupted_low_rank_training_leaves_plain_weights(tmp_path):
    X = waves(60, 64)
    model = embedder(finetune="lora", callbacks=[_CtrlC()], max_epochs=5)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert state(model).keys() == state(embedder().fit(X)).keys()
    assert model.tuning_["end_loss"] <= model.tuning_["start_loss"]
    loaded = embedder(weights=model.export(tmp_path)).fit(X)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_a_trained_embedder_is_saved_whole(tmp_path):
    X, y = classes()
    model = embedder(finetune="full", max_epochs=2).fit(X, y)
    skts.save(model, tmp_path / "m.skts")
    loaded = skts.load(tmp_path / "m.skts")
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    assert loaded.tuning_ == model.tuning_


def test_short_series_cost_little():
    """A training batch has no padding: as many tokens as patches that were observed."""
    X = [waves(1, t)[0] for t in (9, 33, 64, 512)]
    model = embedder().fit(X)
    sequences = sequences_of(model, X)
    assert len(sequences.pick(torch.arange(4)).pack.patches) == 2 + 5 + 8 + 64


@pytest.mark.parametrize("objective", ["masked", "contrastive"])
@pytest.mark.parametrize("what", odd_inputs())
def test_odd_input_trains_to_finite_features(what, objective):
    X = odd_inputs()[what]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = embedder(finetune="full", objective=objective, max_epochs=2).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert all(np.isfinite(row["train_loss"]) for row in model.history_)
