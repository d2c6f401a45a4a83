"""The verb: best weights, early stopping, time, Ctrl-C, callbacks, schedule, weights of samples."""

import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skts.engine import ArrayBatches, TrainingInterrupted, TrainSettings, forward, seeded, train
from skts.errors import DivergenceError, ParameterError


def regression(n=64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)).astype(np.float32)
    return ArrayBatches.of(X, X[:, 0] - 2 * X[:, 1])


def loss(module, X, y):
    return (module(X).squeeze(-1) - y).square()


def linear(seed=0):
    with seeded(seed):
        return nn.Linear(3, 1)


def settings(**kwargs):
    return TrainSettings(**{"max_epochs": 5, "batch_size": 16, "lr": 0.05, **kwargs})


def test_training_finds_the_linear_map():
    module = linear()
    result = train(module, regression(), loss, settings(max_epochs=60))
    assert torch.allclose(module.weight, torch.tensor([[1.0, -2.0, 0.0]]), atol=0.02)
    assert [row["epoch"] for row in result.history] == list(range(1, 61))
    assert result.stopped_by == "max_epochs"
    assert not module.training


def test_one_epoch_equals_the_loop_written_in_torch():
    """The engine against plain torch: the same order, the same steps, the same weights."""
    module, twin, data = linear(), linear(), regression()
    plain = settings(max_epochs=2, optimizer="sgd", schedule="constant", clip_norm=None, seed=3)
    train(module, data, loss, plain)
    optimizer, order = torch.optim.SGD(twin.parameters(), lr=0.05), torch.Generator().manual_seed(3)
    X, y = data.tensors
    for _ in range(2):
        for index in torch.randperm(len(X), generator=order).split(16):
            optimizer.zero_grad()
            loss(twin, X[index], y[index]).mean().backward()
            optimizer.step()
    assert torch.equal(module.weight, twin.weight)


@pytest.mark.parametrize("validated", [False, True])
def test_averaged_weights_are_what_is_validated_and_kept(validated):
    module, twin, data = linear(), linear(), regression()
    averaged = settings(max_epochs=3, optimizer="sgd", schedule="averaged", clip_norm=None, seed=3)
    result = train(module, data, loss, averaged, valid=data if validated else None)
    optimizer, order = torch.optim.SGD(twin.parameters(), lr=0.05), torch.Generator().manual_seed(3)
    (X, y), mean, t, losses = data.tensors, [p.detach().clone() for p in twin.parameters()], 0, []
    for _ in range(3):
        for index in torch.randperm(len(X), generator=order).split(16):
            optimizer.zero_grad()
            loss(twin, X[index], y[index]).mean().backward()
            optimizer.step()
            t += 1
            mean = [m + 10 / (t + 9) * (p.detach() - m) for m, p in zip(mean, twin.parameters(), strict=True)]
        losses.append((X @ mean[0].T + mean[1] - y[:, None]).square().mean().item())
    assert torch.allclose(module.weight, mean[0], atol=1e-6)
    assert not torch.allclose(module.weight, twin.weight, atol=1e-3)
    if validated:
        assert [row["valid_loss"] for row in result.history] == pytest.approx(losses, rel=1e-4)


def test_loss_in_the_history_is_the_mean_over_samples():
    module, data = linear(), regression(50)
    X, y = data.tensors
    expected = loss(module, X, y).mean().item()
    result = train(module, data, loss, settings(max_epochs=1, lr=1e-12, batch_size=16))
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


class Spoiler(Callback):
    """Ruins the weights from the third epoch on, before they are validated."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) >= 3:
            with torch.no_grad():
                net.module_.weight.fill_(100.0)


def test_best_weights_survive_a_worse_end():
    module, valid = linear(), regression(seed=1)
    result = train(module, regression(), loss, settings(max_epochs=9, callbacks=[Spoiler()], patience=2), valid=valid)
    assert result.stopped_by == "patience"
    assert len(result.history) == 4
    best = min(row["valid_loss"] for row in result.history)
    assert loss(module, *valid.tensors).mean().item() == pytest.approx(best, rel=1e-5)
    assert [row["best"] for row in result.history] == [True, True, False, False]


def test_kept_start_never_ends_worse():
    module, valid = linear(), regression(seed=1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -2.0, 0.0]]))
        module.bias.zero_()
    train(module, regression(), loss, settings(lr=5.0, keep_start=True), valid=valid)
    assert loss(module, *valid.tensors).mean().item() < 1e-10


def test_sample_weights_weigh():
    rng = np.random.default_rng(0)
    X = np.ones((40, 3), np.float32)
    y = np.repeat(np.float32([0, 1]), 20)
    order = rng.permutation(40)
    module = linear()
    weights = np.repeat([1.0, 3.0], 20)[order]
    data = ArrayBatches.of(X[order], y[order], sample_weight=weights)
    train(module, data, loss, settings(max_epochs=150, batch_size=40))
    assert module(torch.ones(1, 3)).item() == pytest.approx(0.75, abs=0.01)


def test_deadline_in_the_middle_of_an_epoch():
    class Slow(Callback):
        def on_batch_end(self, net, **kwargs):
            time.sleep(0.05)

    run = settings(deadline=time.monotonic() + 0.1, max_epochs=100, batch_size=2, callbacks=[Slow()])
    result = train(linear(), regression(), loss, run)
    assert result.stopped_by == "max_time"
    assert len(result.history) <= 2


class CtrlC(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_ctrl_c_restores_the_best_weights_and_goes_on():
    module, valid = linear(), regression(seed=1)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(module, regression(), loss, settings(callbacks=[CtrlC()]), valid=valid)
    assert isinstance(caught.value, TrainingInterrupted)
    assert len(caught.value.result.history) == 2
    assert loss(module, *valid.tensors).mean().item() == pytest.approx(
        caught.value.result.history[-1]["valid_loss"], rel=1e-5
    )


def test_skorchs_early_stopping_is_no_ctrl_c():
    stopper = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0, threshold_mode="abs")
    result = train(linear(), regression(), loss, settings(max_epochs=50, callbacks=[stopper]))
    assert result.stopped_by == "callback"
    assert len(result.history) < 50


def test_users_callbacks_are_cloned_and_see_batches_and_gradients():
    class Counter(Callback):
        def initialize(self):
            self.batches_, self.gradients_ = 0, 0

        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            self.batches_ += training

        def on_grad_computed(self, net, named_parameters=(), **kwargs):
            self.gradients_ += len(list(named_parameters))

    counter = Counter()
    result = train(linear(), regression(), loss, settings(max_epochs=2, callbacks=[("count", counter)]))
    clone = dict(result.net.callbacks_)["count"]
    assert (clone.batches_, clone.gradients_) == (8, 16)
    assert not hasattr(counter, "batches_")


def test_a_callback_that_is_none_is_an_error():
    with pytest.raises(ParameterError, match="skorch"):
        train(linear(), regression(), loss, settings(callbacks=[print]))


def test_divergence_without_good_weights_is_an_error():
    with pytest.raises(DivergenceError, match="Lower lr"):
        train(linear(), regression(), lambda m, X, y: m(X) * float("nan"), settings())


def test_divergence_after_good_weights_warns_and_keeps_them():
    class Poison(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                with torch.no_grad():
                    net.module_.weight.fill_(float("nan"))

    module = linear()
    with pytest.warns(ConvergenceWarning, match="finite"):
        result = train(module, regression(), loss, settings(callbacks=[Poison()]), valid=regression(seed=1))
    assert result.stopped_by == "divergence"
    assert module.weight.isfinite().all()


def test_cosine_schedule_warms_up_and_ends_at_zero():
    result = train(linear(), regression(160), loss, settings(max_epochs=20, lr=1.0, batch_size=16))
    rates = [row["lr"] for row in result.history]
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.01


def test_bfloat16_trains():
    module = linear()
    train(module, regression(), loss, settings(max_epochs=40, precision="bfloat16"))
    assert module.weight.dtype == torch.float32
    assert torch.allclose(module.weight, torch.tensor([[1.0, -2.0, 0.0]]), atol=0.1)


def test_rare_settings_are_checked():
    with pytest.raises(ParameterError, match="weight_decay"):
        TrainSettings().with_rare({"weight_decai": 1})
    with pytest.raises(ParameterError, match="adamw"):
        TrainSettings().with_rare({"optimizer": "lion"})
    assert TrainSettings().with_rare({"weight_decay": 0.1}).weight_decay == 0.1


def test_verbose_prints_a_line_an_epoch_and_silence_is_the_default(capsys):
    train(linear(), regression(), loss, settings(max_epochs=2))
    assert capsys.readouterr().out == ""
    train(linear(), regression(), loss, settings(max_epochs=2, verbose=1))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_forward_equals_the_module_and_draws_nothing():
    module, X = linear().eval(), torch.randn(10, 3)
    state = torch.random.get_rng_state()
    assert torch.allclose(forward(module, X, batch_size=3, device=torch.device("cpu")), module(X))
    assert torch.equal(state, torch.random.get_rng_state())


def test_training_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(linear(), regression(), loss, settings(), valid=regression())
