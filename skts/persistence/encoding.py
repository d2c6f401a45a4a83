"""Values to JSON and tensors, and back. A fixed table of types: anything else is refused by name."""

import math
import os
import re
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch import Tensor

from skts.errors import PersistenceError
from skts.persistence.registry import class_of, name_of

__all__ = ["Decoder", "Encoder"]

_KIND = "$"  # key of a JSON object that stands for something other than a dict


class Encoder:
    """Turns values into JSON, arrays into entries of ``tensors``."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def encode(self, value: Any, where: str) -> Any:
        """The JSON form of ``value``; ``where`` names it in errors.

        Raises
        ------
        PersistenceError
            If the value, or something inside of it, has no form.
        """
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, float) and not isinstance(value, np.generic):
            return value if math.isfinite(value) else {_KIND: "float", "value": repr(value)}
        if isinstance(value, list | tuple):
            items = [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {_KIND: "tuple", "items": items}
        if isinstance(value, dict):
            pairs = [[self.encode(k, f"a key of {where}"), self.encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {_KIND: "dict", "items": pairs}
        if isinstance(value, np.generic):
            return {_KIND: "scalar", "array": self.encode(np.asarray(value), where)}
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, Tensor):
            return {_KIND: "tensor", "key": self._store(value.detach())}
        if hasattr(value, "get_params") and not isinstance(value, type):
            return self._template(value, where)
        return self._pandas(value, where)

    def _template(self, estimator: Any, where: str) -> Any:
        """An unfitted estimator that is another one's parameter: its class and its own parameters."""
        if any(name.endswith("_") for name in vars(estimator)):
            raise _no_form(estimator, f"{where}, which is fitted,")
        try:
            name = name_of(estimator)
        except PersistenceError as error:
            raise _no_form(estimator, where) from error
        params = estimator.get_params(deep=False)
        return {
            _KIND: "estimator",
            "class": name,
            "params": {k: self.encode(v, f"parameter {k!r} of {where}") for k, v in params.items()},
        }

    def _store(self, tensor: Tensor) -> str:
        key = f"t{len(self.tensors)}"
        self.tensors[key] = tensor.cpu().contiguous().clone()
        return key

    def _array(self, array: np.ndarray, where: str) -> Any:
        if array.dtype.kind in "US" or (array.dtype == object and all(isinstance(v, str) for v in array.flat)):
            if array.dtype.kind == "S":
                raise _no_form(array, where)
            dtype = "object" if array.dtype == object else array.dtype.str
            return {
                _KIND: "words",
                "dtype": dtype,
                "shape": list(array.shape),
                "items": array.ravel().tolist(),
            }
        if array.dtype.kind in "mM":
            return {
                _KIND: "times",
                "dtype": array.dtype.str,
                "ticks": self._array(array.view(np.int64), where),
            }
        if array.dtype.kind not in "biuf":
            raise _no_form(array, where)
        native = np.array(array, dtype=array.dtype.newbyteorder("="))
        return {_KIND: "array", "key": self._store(torch.from_numpy(native))}

    def _pandas(self, value: Any, where: str) -> Any:
        import pandas as pd

        if isinstance(value, pd.DataFrame):
            columns = [self._array(value.iloc[:, i].to_numpy(), f"{where}, column {i}") for i in range(value.shape[1])]
            frame = {"index": self.encode(value.index, where), "columns": self.encode(value.columns, where)}
            return {_KIND: "frame", **frame, "values": columns}
        if not isinstance(value, pd.Index):
            raise _no_form(value, where)
        if isinstance(value, pd.MultiIndex):
            levels = [self.encode(level, where) for level in value.levels]
            codes = [self._array(np.asarray(code, dtype=np.int64), where) for code in value.codes]
            return {
                _KIND: "multiindex",
                "levels": levels,
                "codes": codes,
                "names": self._names(value.names, where),
            }
        name = self._names([value.name], where)[0]
        if isinstance(value, pd.RangeIndex):
            return {_KIND: "range", "span": [value.start, value.stop, value.step], "name": name}
        if isinstance(value, pd.PeriodIndex):
            return {
                _KIND: "periods",
                "ordinals": self._array(value.asi8, where),
                "freq": value.freqstr,
                "name": name,
            }
        if isinstance(value, pd.DatetimeIndex):
            zone = None if value.tz is None else str(value.tz)
            stamps = value.tz_convert("UTC").tz_localize(None) if zone else value
            ticks = self._array(stamps.to_numpy(), where)
            return {_KIND: "datetimes", "values": ticks, "zone": zone, "freq": value.freqstr, "name": name}
        values = value.to_numpy()
        if values.dtype == object and not all(isinstance(v, str) for v in values):
            return {_KIND: "index", "items": self.encode(values.tolist(), where), "name": name}
        return {_KIND: "index", "values": self._array(values, where), "dtype": str(value.dtype), "name": name}

    def _names(self, names: Any, where: str) -> list[Any]:
        return [self.encode(name, f"a name in {where}") for name in names]


class Decoder:
    """Turns the JSON form back into values, from a fixed table of kinds.

    Parameters
    ----------
    tensors : dict of str to Tensor
        What the forms refer to.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def decode(self, form: Any) -> Any:
        """The value of a JSON form.

        Raises
        ------
        PersistenceError
            If its kind is not in the table.
        """
        if isinstance(form, list):
            return [self.decode(item) for item in form]
        if not isinstance(form, dict):
            return form
        method = _DECODERS.get(form.get(_KIND, ""))
        if method is None:
            raise PersistenceError(
                f"values of the kinds {sorted(_DECODERS)}",
                f"kind {form.get(_KIND)!r}",
                "The file is damaged, or a newer skts wrote it.",
            )
        return method(self, form)

    def _index(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        name = self.decode(form["name"])
        if "items" in form:
            return pd.Index(self.decode(form["items"]), dtype=object, name=name)
        return pd.Index(self.decode(form["values"]), dtype=form["dtype"], name=name)

    def _range(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.RangeIndex(*form["span"], name=self.decode(form["name"]))

    def _periods(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        ordinals = self.decode(form["ordinals"])
        return pd.PeriodIndex.from_ordinals(ordinals, freq=form["freq"], name=self.decode(form["name"]))

    def _datetimes(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        index = pd.DatetimeIndex(self.decode(form["values"]), name=self.decode(form["name"]))
        if form["zone"] is not None:
            fixed = re.fullmatch(r"UTC([+-]\d\d:\d\d)?", form["zone"])
            index = index.tz_localize("UTC").tz_convert(form["zone"] if fixed else ZoneInfo(form["zone"]))
        index.freq = form["freq"]
        return index

    def _multiindex(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.MultiIndex(
            levels=self.decode(form["levels"]),
            codes=self.decode(form["codes"]),
            names=self.decode(form["names"]),
        )

    def _frame(self, form: dict[str, Any]) -> Any:
        import pandas as pd

        columns = dict(enumerate(self.decode(form["values"])))
        frame = pd.DataFrame(columns, index=self.decode(form["index"]))
        frame.columns = self.decode(form["columns"])
        return frame

    def _words(self, form: dict[str, Any]) -> Any:
        words = np.array([str(word) for word in form["items"]], dtype=object).reshape(form["shape"])
        # The width of the words comes from the words: a file cannot ask for more memory than it has.
        return words if form["dtype"] == "object" else words.astype(str)


_DECODERS: dict[str, Any] = {
    "float": lambda d, form: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[form["value"]],
    "tuple": lambda d, form: tuple(d.decode(form["items"])),
    "dict": lambda d, form: {d.decode(k): d.decode(v) for k, v in form["items"]},
    "scalar": lambda d, form: d.decode(form["array"])[()],
    "array": lambda d, form: d.tensors[form["key"]].numpy(),
    "tensor": lambda d, form: d.tensors[form["key"]],
    "times": lambda d, form: d.decode(form["ticks"]).view(form["dtype"]),
    "words": Decoder._words,
    "index": Decoder._index,
    "range": Decoder._range,
    "periods": Decoder._periods,
    "datetimes": Decoder._datetimes,
    "multiindex": Decoder._multiindex,
    "frame": Decoder._frame,
    "estimator": lambda d, form: class_of(form["class"])(**{k: d.decode(v) for k, v in form["params"].items()}),
}


def _no_form(value: Any, where: str) -> PersistenceError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return PersistenceError(
        "numbers, words, arrays, tensors, pandas objects and containers of these",
        f"{where} of type {kind}",
        "An object of your own cannot be written safely: set that parameter to None before save and again after load.",
    )
