"""The contracts that every estimator of skts keeps; each is a function of an estimator that raises AssertionError.

The estimator is a template with small settings (a few epochs, a small network): it is cloned, never changed.
"""

import inspect
import tempfile
import threading
import warnings
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skts.base import SHARED_CONSTRAINTS
from skts.engine import Callback
from skts.errors import DeviceError, SktsError
from skts.persistence import load, save
from skts.testing.case import Case

__all__ = ["CONTRACTS"]


def check_shared_parameters(estimator: Any) -> None:
    """The shared parameters come last, with the same names, order and defaults of those that have one."""
    parameters = inspect.signature(type(estimator).__init__).parameters
    shared = list(SHARED_CONSTRAINTS)
    assert list(parameters)[-len(shared) :] == shared, f"expected the last parameters to be {shared}"
    fixed = {"max_time": None, "device": "auto", "random_state": None, "verbose": 0, "warm_start": False}
    for name, default in {**fixed, "callbacks": None, "net_kwargs": None}.items():
        assert parameters[name].default == default, f"{name} has another default"


def check_fitted_attributes(estimator: Any) -> None:
    """Fit sets the shared attributes, and the module rests in evaluation mode."""
    case = Case(estimator)
    fitted = case.fitted()
    for name in ("module_", "history_", "n_iter_", "device_", "stopped_by_", "cost_"):
        assert hasattr(fitted, name), f"fit did not set {name}"
    assert fitted.cost_.keys() == {"fit_seconds", "cpu_seconds", "peak_memory_mb", "n_parameters"}
    assert not fitted.module_.training
    case.ask(fitted)
    assert not fitted.module_.training


def check_history(estimator: Any) -> None:
    """One row for each epoch, named and numbered."""
    fitted = Case(estimator).fitted()
    assert len(fitted.history_) == fitted.n_iter_ >= 1
    assert all({"stage", "epoch", "train_loss", "lr", "seconds"} <= row.keys() for row in fitted.history_)


def check_training_lowers_the_loss(estimator: Any) -> None:
    """The last epochs have a lower training loss than the first."""
    fitted = Case(estimator).fitted(max_epochs=12, patience=None)
    losses = [row["train_loss"] for row in fitted.history_]
    assert min(losses[-3:]) < losses[0], f"training losses {losses}"


def check_global_generators_untouched(estimator: Any) -> None:
    """Neither fit nor predict moves torch's or numpy's global generator."""
    case = Case(estimator)
    numbers, torch_state = _numpy_state(), torch.random.get_rng_state()
    case.ask(case.fitted())
    assert torch.equal(torch_state, torch.random.get_rng_state()), "torch's generator moved"
    assert _numpy_state() == numbers, "numpy's generator moved"


def check_fit_twice_equals_once(estimator: Any) -> None:
    """Refitting the same object forgets the first fit."""
    case = Case(estimator)
    once = case.fitted()
    expected = case.ask(once)
    np.testing.assert_array_equal(case.ask(case.fit(once, case.data())), expected)


def check_threads_equal_serial(estimator: Any) -> None:
    """Fits and predictions in threads give what they give one after another."""
    case = Case(estimator)
    serial = [case.ask(case.fitted(random_state=seed)) for seed in range(3)]
    parallel: list[Any] = [None] * 3

    def work(seed: int) -> None:
        parallel[seed] = case.ask(case.fitted(random_state=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(serial, parallel, strict=True):
        np.testing.assert_array_equal(one, other)


def check_fewer_samples_than_a_batch(estimator: Any) -> None:
    """A training set smaller than a batch trains."""
    case = Case(estimator)
    before = case.fitted(batch_size=10_000, max_epochs=1)
    after = case.fitted(batch_size=10_000, max_epochs=10, patience=None)
    assert after.history_[-1]["train_loss"] != before.history_[0]["train_loss"]


def check_last_batch_of_one(estimator: Any) -> None:
    """A last batch of a single sample trains."""
    case = Case(estimator)
    assert np.isfinite(case.ask(case.fitted(batch_size=len(case.data()) - 1, validation_fraction=0.0))).all()


def check_batch_size_of_prediction(estimator: Any) -> None:
    """Predictions do not depend on how many rows are asked at a time."""
    case = Case(estimator)
    fitted = case.fitted(batch_size=7)
    expected = case.ask(fitted)
    fitted.batch_size = 1000
    np.testing.assert_allclose(case.ask(fitted), expected, rtol=1e-4, atol=1e-5)


def check_read_only_input(estimator: Any) -> None:
    """Input that must not be written to is accepted, without a warning, and left alone."""
    case = Case(estimator)
    values = np.asarray(case.data(dtype=np.float32))
    values.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(case.ask(case.fit(case.new(), values), values)).all()


def check_float32_and_float64_agree(estimator: Any) -> None:
    """The precision of the input does not matter beyond its digits."""
    case = Case(estimator)
    single, double = case.data(dtype=np.float32), case.data(dtype=np.float32).astype(np.float64)
    one, other = (case.ask(case.fit(case.new(), data), data) for data in (single, double))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def check_warm_start(estimator: Any) -> None:
    """With warm_start a second fit begins where the first one ended."""
    case = Case(estimator)
    fitted = case.fitted(warm_start=True, max_epochs=5, patience=None, net_kwargs={"schedule": "constant"})
    first = fitted.history_[0]["train_loss"]
    assert case.fit(fitted, case.data()).history_[0]["train_loss"] < first


def check_transport(estimator: Any) -> None:
    """A copy sent to another process predicts the same and carries the weights, not the optimiser."""
    case = Case(estimator)
    fitted = case.fitted()
    body = bytes(ForkingPickler.dumps(fitted))
    np.testing.assert_array_equal(case.ask(ForkingPickler.loads(body)), case.ask(fitted))
    weights = sum(p.numel() * p.element_size() for p in fitted.module_.state_dict().values())
    assert len(body) < 2 * weights + 100_000, f"{len(body)} bytes for {weights} bytes of weights"


def check_save_and_load(estimator: Any) -> None:
    """skts.save and skts.load give an estimator that predicts the same to the bit."""
    case = Case(estimator)
    fitted, state = case.fitted(), torch.random.get_rng_state()
    with tempfile.TemporaryDirectory() as folder:
        for path in (Path(folder) / "model.skts", Path(folder)):
            save(fitted, path)
            loaded = load(path)
            np.testing.assert_array_equal(case.ask(loaded), case.ask(fitted))
            assert loaded.history_ == fitted.history_
    assert torch.equal(state, torch.random.get_rng_state()), "loading moved torch's generator"


class _CtrlC(Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


def check_interrupt(estimator: Any) -> None:
    """Ctrl-C goes on to the caller, and leaves an estimator that predicts."""
    case = Case(estimator)
    interrupted = case.new(callbacks=[_CtrlC()], max_epochs=5)
    try:
        case.fit(interrupted, case.data())
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("KeyboardInterrupt did not reach the caller")
    assert interrupted.stopped_by_ == "interrupt"
    assert interrupted.n_iter_ == len(interrupted.history_) == 1
    assert np.isfinite(case.ask(interrupted)).all()


def check_max_time(estimator: Any) -> None:
    """A fit that runs out of time warns, says so, and is usable."""
    case = Case(estimator)
    late = case.new(max_time=1e-6, max_epochs=50)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case.fit(late, case.data())
    assert any("max_time" in str(w.message) for w in caught), "no warning"
    assert late.stopped_by_ == "max_time"
    assert 1 <= late.n_iter_ < 50
    assert np.isfinite(case.ask(late)).all()


def check_absent_device(estimator: Any) -> None:
    """A device that is not there is an error, never a silent fallback."""
    case = Case(estimator)
    _refuses(lambda: case.fitted(device="cuda:99"), "an absent device", DeviceError)


def check_bad_input_at_fit(estimator: Any) -> None:
    """Bad input is refused in three parts before any training, and a fitted estimator stays fitted."""
    case = Case(estimator)
    fitted = case.fitted()
    expected = case.ask(fitted)
    for what, data in case.bad_inputs().items():
        new = case.new()
        _refuses(lambda new=new, data=data: case.fit(new, data), what)
        assert not hasattr(new, "module_"), f"{what}: left a half-fitted estimator"
        _refuses(lambda data=data: case.fit(fitted, data), what)
        np.testing.assert_array_equal(case.ask(fitted), expected, err_msg=f"{what}: the fitted estimator changed")


def check_bad_input_at_predict(estimator: Any) -> None:
    """Questions that cannot be answered are refused in three parts, and the next good one is answered."""
    case = Case(estimator)
    fitted = case.fitted()
    expected = case.ask(fitted)
    for what, data in case.bad_questions(fitted).items():
        _refuses(lambda data=data: case.ask(fitted, data), what)
    np.testing.assert_array_equal(case.ask(fitted), expected)


def _refuses(call: Callable[[], Any], what: str, kind: type[Exception] = SktsError) -> None:
    """The call raises an error in three parts."""
    try:
        call()
    except kind as error:
        caught = error
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of {kind.__name__}: {error}") from error
    else:
        raise AssertionError(f"{what}: no error")
    parts = [getattr(caught, part, "") for part in ("expected", "got", "hint")]
    assert all(parts), f"{what}: {caught} has not three parts"
    assert str(caught).startswith("Expected "), f"{what}: {caught}"


def _numpy_state() -> bytes:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  (the global state is what is watched)
    return repr((name, keys.tobytes(), rest)).encode()


CONTRACTS: tuple[Callable[[Any], None], ...] = tuple(
    function for name, function in list(globals().items()) if name.startswith("check_")
)
