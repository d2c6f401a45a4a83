"""The exported forecast is the forecast, and runs without torch."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch

from skts import FMambaForecaster
from skts.fmamba.export import export_onnx, export_program

ONNX = all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
needs_onnx = pytest.mark.skipif(not ONNX, reason="onnx, onnxruntime and onnxscript are not installed (skts[onnx])")
quietly = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's own


def waves(n=240):
    t, rng = np.arange(n)[:, None], np.random.default_rng(0)
    values = 1e6 + np.sin(t / 4 + np.arange(3)) + 0.3 * rng.standard_normal((n, 3))
    return pd.DataFrame(values, index=pd.date_range("2024-01-01", periods=n, freq="h"), columns=list("abc"))


def fitted(**kwargs):
    settings = {"context_length": 12, "d_model": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0, **kwargs}
    return FMambaForecaster(**settings, module_kwargs={"n_heads": 2, "d_state": 2}).fit(waves(), fh=[1, 2, 3])


def some_windows(model, n=5):
    """Windows, what a graph is given for them, and the forecast."""
    y = waves()
    windows = np.stack([y.to_numpy()[s : s + 12] for s in range(n)])
    times = y.index[11 : 11 + n]
    angles = [] if model.cycle_ is None else [model._angles_at(times, 1)]
    return [windows, *angles], model.predict_windows(windows, cutoffs=times)


@quietly
@pytest.mark.parametrize("kwargs", [{"guard": None}, {}, {"guard": None, "period": None, "attention": "favor+"}])
def test_the_program_is_the_forecast_for_any_number_of_windows(kwargs):
    model = fitted(**kwargs)
    run = export_program(model).module()
    for n in (1, 5):
        given, expected = some_windows(model, n)
        found = run(*map(torch.from_numpy, given)).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@quietly
def test_a_blend_is_exported_as_a_blend():
    model = fitted()
    half = {name: np.full(3, 0.5 if name in ("network", "linear") else 0.0) for name in model.guard_weights_}
    model.guard_weights_ = half
    given, expected = some_windows(model)
    found = export_program(model).module()(*map(torch.from_numpy, given)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@needs_onnx
@quietly
def test_onnxruntime_forecasts_the_same_without_torch(tmp_path):
    model = fitted(guard=None)
    size = export_onnx(model, tmp_path / "model.onnx")
    assert size == (tmp_path / "model.onnx").stat().st_size < 400_000
    given, expected = some_windows(model)
    np.savez(tmp_path / "given.npz", contexts=given[0], angle=given[1])
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import json, numpy as np, onnxruntime\n"
        "session = onnxruntime.InferenceSession('model.onnx')\n"
        "np.save('found.npy', session.run(None, dict(np.load('given.npz')))[0])\n"
        "assert 'torch' not in sys.modules\n"
        "print(session.get_modelmeta().custom_metadata_map['skts'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    about = json.loads(done.stdout)
    assert about["columns"] == list("abc")
    assert about["cycle"]["length"] == 86400
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=0, atol=1e-4)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'skts\[onnx\]'"):
        export_onnx(None, tmp_path / "model.onnx")
