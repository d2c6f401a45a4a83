r"""Forecast where there is no Python: the whole forecast, guard and all, as a graph of plain operations.

The graph takes raw windows, all of them complete, and, where the forecaster knows a cycle, the angle of the first step
of each forecast,

.. math::

    a = 2 \pi\, (t / P \bmod 1)

with t and P the time and the period in seconds since 1970-01-01, or in rows for an index of numbers: ``cycle_``. The
scan over variates is written out step by step, so that the graph grows with their number, which is fixed.
"""

import json
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skts.errors import InputError
from skts.fmamba.evidence import NETWORK
from skts.fmamba.periodic import periodic_features

__all__ = ["Forecast", "export_onnx", "export_program"]


class Forecast(nn.Module):
    """What :meth:`~skts.FMambaForecaster.predict_windows` computes for complete windows, as one module.

    Parameters
    ----------
    estimator : FMambaForecaster
        Fitted.
    """

    center: Tensor
    scale: Tensor
    share: Tensor
    coef: Tensor

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        estimator.check_is_fitted()
        if estimator.effects_:
            hint = "Fit without X, or subtract and add exogenous_effect(X) around the exported graph."
            raise InputError("a forecaster fitted without exogenous data", "one fitted with X", hint)
        self.network = estimator.module_
        self.sizes, self.n_lags = estimator._sizes, estimator.context_length_
        for name, value in (("center", estimator.center_), ("scale", estimator.scale_)):
            self.register_buffer(name, torch.from_numpy(np.array(value, dtype=np.float64)))
        share = np.array(estimator.guard_weights_[NETWORK], dtype=np.float32)
        self.register_buffer("share", torch.from_numpy(share))
        self.register_buffer("coef", torch.from_numpy(estimator.guard_coef_.astype(np.float32)))
        self.has_network, self.has_map = bool(share.any()), bool((share != 1).any())

    def forward(self, contexts: Tensor, angle: Tensor | None = None) -> Tensor:  # (B, L, N), (B,) -> (B, H, N)
        """Forecasts in the units of the windows, float64: levels may be large against what changes."""
        x = ((contexts - self.center) / self.scale).float()
        if angle is None:
            angle = x.new_full((x.shape[0],), torch.nan)
        parts = []
        if self.has_network:
            parts.append(self.share * self.network(x, angle))
        if self.has_map:
            mean = x.mean(1, keepdim=True)
            sizes = self.sizes if self.coef.shape[1] > self.n_lags else (0, 0)
            f = periodic_features((x - mean).permute(2, 0, 1), angle, *sizes)
            parts.append((f @ self.coef).permute(1, 2, 0) + (1 - self.share) * mean)
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return total.double() * self.scale + self.center


def export_program(estimator: Any) -> torch.export.ExportedProgram:
    """The forecast as a program of :mod:`torch.export`, for any number of windows.

    Parameters
    ----------
    estimator : FMambaForecaster
        Fitted.

    Returns
    -------
    torch.export.ExportedProgram
        ``program.module()(contexts)`` or, where the forecaster has a ``cycle_``, ``(contexts, angle)``: float64 windows
        (n, context_length, n_variates) and float32 angles (n,) to float64 forecasts (n, horizon, n_variates).

    Examples
    --------
    >>> import torch
    >>> from skts import FMambaForecaster
    >>> from skts.datasets import load_us_change
    >>> from skts.fmamba.export import export_program
    >>> y = load_us_change()
    >>> forecaster = FMambaForecaster(context_length=24, d_model=16, n_layers=1, max_epochs=2, period=None)
    >>> program = export_program(forecaster.fit(y, fh=[1, 2]))
    >>> program.module()(torch.from_numpy(y.to_numpy()[None, -24:])).shape
    torch.Size([1, 2, 5])
    """
    module = Forecast(estimator).cpu().eval()
    given = [torch.zeros(2, estimator.context_length_, estimator.n_variates_, dtype=torch.float64)]
    if estimator.cycle_ is not None:
        given.append(torch.zeros(2))
    any_number = tuple({0: torch.export.Dim("batch")} for _ in given)
    return torch.export.export(module, tuple(given), dynamic_shapes=any_number)


def export_onnx(estimator: Any, path: str | os.PathLike[str]) -> int:
    """Write the forecast as an ONNX file, which onnxruntime runs without torch.

    Parameters
    ----------
    estimator : FMambaForecaster
        Fitted.
    path : str or path-like
        File to write.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.

    Notes
    -----
    Inputs are ``contexts`` and, with a cycle, ``angle``; the output is ``forecast``: see :func:`export_program`. The
    file's metadata ``skts`` hold the columns, lengths and the cycle as JSON.
    """
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ImportError("export_onnx needs onnx and onnxscript: pip install 'skts[onnx]'.") from error
    names = ["contexts"] if estimator.cycle_ is None else ["contexts", "angle"]
    program = torch.onnx.export(
        export_program(estimator), dynamo=True, input_names=names, output_names=["forecast"], verbose=False
    )
    about = {
        "columns": [str(name) for name in estimator.context_.columns],
        "context_length": estimator.context_length_,
        "horizon": estimator.horizon_,
        "cycle": estimator.cycle_ and dict(zip(("length", "step", "dated"), estimator.cycle_, strict=True)),
    }
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where each came from in Python: most of the file otherwise
    program.model.metadata_props["skts"] = json.dumps(about)
    program.save(path)
    return os.path.getsize(path)
