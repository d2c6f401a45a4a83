"""What users bring and get back: tables, frames, windows and images, as arrays of float64 with NaN where missing."""

from typing import Any

import numpy as np

from skts.errors import InputError, InputTypeError
from skts.validation import check_table

__all__ = ["Container", "as_samples", "learn_container"]

Container = dict[str, Any]  # plain values, so that it can be stored


def learn_container(X: Any, layout: str) -> Container:
    """What has to be known of X to read more of its kind and to give the like back.

    Returns
    -------
    dict
        layout, shape of a sample, dtype; for a frame also names and dtypes of the columns, and the categories of those
        that do not hold numbers.
    """
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        dtypes = [X.iloc[:, j].dtype for j in range(X.shape[1])]
        words = {
            j: _categories(X.iloc[:, j]) for j, dtype in enumerate(dtypes) if getattr(dtype, "kind", "O") not in "fiub"
        }
        container = {"names": list(X.columns), "dtypes": [str(d) for d in dtypes], "categories": words}
        return {"layout": _kind_for(2, layout), "shape": (X.shape[1],), "dtype": "float64", **container}
    X = X if hasattr(X, "dtype") and hasattr(X, "ndim") else np.asarray(X)
    ndim = max(X.ndim, 2)
    dtype = str(X.dtype) if X.dtype.kind in "fiub" else "float64"
    return {"layout": _kind_for(ndim, layout), "shape": tuple(X.shape[1:]), "dtype": dtype}


def _categories(column: Any) -> list[Any]:
    if hasattr(column, "cat"):
        return column.cat.categories.tolist()
    return sorted(set(column.dropna().tolist()), key=str)


def _kind_for(ndim: int, layout: str) -> str:
    if layout == "auto":
        if ndim > 3:
            what = f"an array of {ndim} dimensions"
            raise InputError("(n, d) or (n, T, C) for layout='auto'", what, "Set layout='image' for images.")
        layout = "table" if ndim == 2 else "series"
    legal = {"table": (2,), "series": (3,), "image": (3, 4)}[layout]
    if ndim not in legal:
        shapes = {"table": "(n, d)", "series": "(n, T, C)", "image": "(n, H, W) or (n, H, W, C)"}
        what = f"an array of {ndim} dimensions"
        raise InputError(f"{shapes[layout]} for layout={layout!r}", what, "Reshape X, or change layout.")
    return layout


def as_samples(estimator: Any, X: Any, container: Container, *, reset: bool) -> np.ndarray:
    """X as (n, *shape) in float64, NaN where missing.

    Raises
    ------
    InputError, InputTypeError
        If X is empty, infinite, not numeric, of another shape than in fit, or holds unknown categories.
    """
    if container["layout"] == "table":
        if container.get("categories"):
            X = _numbered(X, container)
        options: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        return check_table(estimator, X, reset=reset, **options)
    shape = container["shape"]
    X = np.asarray(X)
    if X.dtype.kind not in "fiub":
        raise InputTypeError("numbers", f"an array of dtype {X.dtype}", "Encode words and dates as numbers.")
    expected = f"an array of shape (n, {', '.join(map(str, shape))})"
    if X.shape[1:] != tuple(shape) or not X.size:
        hint = "Pass at least one sample." if not len(X) else "Resize or crop the samples to the shape of fit."
        raise InputError(expected, f"shape {X.shape}", hint)
    X = X.astype(np.float64)
    if np.isinf(X).any():
        raise InputError(
            "finite values, NaN where missing", f"{int(np.isinf(X).sum())} infinite values", "Replace them."
        )
    if reset:
        estimator.n_features_in_ = int(np.prod(shape))
    return X


def _numbered(X: Any, container: Container) -> Any:
    """A frame with its words replaced by their places among the categories."""
    import pandas as pd

    if not hasattr(X, "iloc") or list(X.columns) != container["names"]:
        got = f"columns {list(X.columns)}" if hasattr(X, "columns") else f"a {type(X).__name__}"
        raise InputError(f"a frame with the columns {container['names']}", got, "Pass the columns of fit, in order.")
    numbered = {}
    for j, name in enumerate(container["names"]):
        column = X.iloc[:, j]
        if j in container["categories"]:
            known = container["categories"][j]
            place = {value: float(i) for i, value in enumerate(known)}
            codes = column.map(place).astype(np.float64)
            unknown = column.notna() & codes.isna()
            if unknown.any():
                got = f"{sorted({str(v) for v in column[unknown]})[:5]} in column {name!r}"
                hint = "Map them to known ones, or pass a missing value."
                raise InputError(f"categories seen in fit: {known[:10]}", got, hint)
            column = codes
        numbered[name] = column
    return pd.DataFrame(numbered, index=X.index)


def as_given(samples: np.ndarray, container: Container) -> Any:
    """Samples (n, *shape) in float64 as what fit was given: the same rank, dtype, column names and categories."""
    if "names" not in container:
        dtype = np.dtype(container["dtype"])
        if dtype.kind in "iub":
            if np.isnan(samples).any():
                return samples
            samples = np.round(samples)
        return samples.astype(dtype)
    import pandas as pd

    columns = {}
    for j, (name, dtype) in enumerate(zip(container["names"], container["dtypes"], strict=True)):
        values = samples[:, j]
        if j in container["categories"]:
            known = container["categories"][j]
            words = [None if np.isnan(v) else known[int(v)] for v in values]
            columns[name] = (
                pd.Categorical(words, categories=known) if dtype == "category" else pd.Series(words, dtype=dtype)
            )
        else:
            whole = np.dtype(dtype).kind in "iub" and not np.isnan(values).any()
            columns[name] = np.round(values).astype(dtype) if whole else values
    return pd.DataFrame(columns)
