"""explore: embed, project, measure, and write the page."""

import html
import json
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skts.errors import InputError
from skts.inspection.explorer.figures import figures
from skts.inspection.explorer.payload import colouring, scene, table_rows
from skts.inspection.explorer.selection import FORMAT
from skts.inspection.interpretability import report_on
from skts.inspection.projections import (
    PROJECTIONS,
    align,
    available_projections,
    check_projection,
    project,
    standardised,
)
from skts.inspection.windows import Windows, cut, embed, labels_of
from skts.metrics.probes import is_factor

__all__ = ["explore"]

_MOST_CLUSTERS = 8


def explore(
    models: Any,
    path: str | os.PathLike[str],
    X: Any,
    y: Any = None,
    *,
    window: int | None = None,
    stride: int | None = None,
    factors: Mapping[str, Any] | None = None,
    projections: Any = None,
    channel_names: list[str] | None = None,
    title: str | None = None,
    label_by: str = "majority",
    max_windows: int = 2000,
    random_state: int = 0,
) -> Path:
    """Write one page on which the map of an embedding and the series are linked, to be opened in any browser.

    Draw a loop around dots, and their windows light up on the series; drag across the series, and its windows light up
    on the map. The page is one file and needs no network, so it can be sent to somebody.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        A fitted transformer, or two, for instance {"before": ..., "after": ...}, whose maps stand side by side.
    path : str or path
        Where to write the page.
    X : array-like
        With ``window``, one long series (T,) or (C, T); otherwise a panel (n, T) or (n, C, T), or a list of series.
    y : array-like, optional
        Labels or a factor: for a series one value per step, for a panel one per series.
    window : int, optional
        Steps of a window.
    stride : int, optional
        Steps from a window to the next; half a window by default.
    factors : dict of str to array-like, optional
        More to colour by, of the shape of y.
    projections : str or list of str, optional
        "pca", "tsne", "umap"; by default all whose libraries are installed.
    channel_names : list of str, optional
        Names of the channels.
    title : str, optional
        Heading of the page.
    label_by : {"majority", "event"}, default="majority"
        Which label of its steps a window has: the most frequent one; or, for rare events shorter than a window, one
        that differs from the usual label, if there is any.
    max_windows : int, default=2000
        More windows are thinned out evenly; more series are an error.
    random_state : int, default=0
        Seed of t-SNE, UMAP and k-means.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the shapes do not fit, there are fewer than 8 windows, or more than two models.
    ImportError
        If bokeh is not installed.

    See Also
    --------
    read_selection : What was selected on the page, back in Python.
    EmbeddingDisplay : A map for those without bokeh.

    Notes
    -----
    Features are standardised before they are projected. The second model's map is turned and mirrored to lie as the
    first one's does. Groups are those of k-means on ten principal components of the last model's features, with the
    number of groups, from 2 to 8, that has the best silhouette. The numbers on the page have 16 bits; a record of
    more than 400,000 values is thinned to the smallest and largest value of each stretch.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skts import MomentEmbedder
    >>> from skts.datasets import make_annotated_series
    >>> from skts.inspection import explore
    >>> series, y = make_annotated_series("regimes", 1200, random_state=0)
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> model = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0).fit(series[None, None])
    >>> path = Path(tempfile.mkdtemp()) / "map.html"
    >>> explore(model, path, series, y, window=96) == path  # doctest: +SKIP
    True
    """
    _require_bokeh()
    named = _one_or_two(models)
    methods = _methods(projections)
    windows = cut(X, window, stride, max_windows)
    labels = None if y is None else labels_of(windows, y, label_by)
    embeddings = {name: embed(model, windows) for name, model in named.items()}
    maps = _maps(embeddings, methods, random_state)
    report = report_on(embeddings, {name: found[methods[0]] for name, found in maps.items()}, windows, labels)
    title = title or f"{' and '.join({type(model).__name__: None for model in named.values()})}: what it sees"
    data = {
        "format": FORMAT,
        "title": title,
        "projections": {name: PROJECTIONS[name] for name in methods},
        "colours": [
            *_known(windows, labels, factors or {}, label_by),
            *_found(windows, list(embeddings.values())[-1], random_state),
        ],
        "table": table_rows(report),
        **scene(windows, maps, channel_names),
    }
    path = Path(path)
    path.write_text(_page(data), encoding="utf-8")
    return path


def _require_bokeh() -> None:
    try:
        import bokeh  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "The explorer needs bokeh: pip install 'skts[explore]'. EmbeddingDisplay does not."
        ) from error


def _one_or_two(models: Any) -> dict[str, Any]:
    named = models if isinstance(models, Mapping) else {type(models).__name__: models}
    if not 1 <= len(named) <= 2:
        raise InputError("one model, or a dict of two", f"{len(named)}", "Write a page for each pair.")
    for model in named.values():
        check_is_fitted(model)
    return {str(name): model for name, model in named.items()}


def _methods(projections: Any) -> list[str]:
    if projections is None:
        return available_projections()
    methods = [projections] if isinstance(projections, str) else list(projections)
    for method in methods:
        check_projection(method)
    if not methods:
        raise InputError("at least one projection", "none", 'Pass "pca".')
    return methods


def _maps(embeddings: dict[str, np.ndarray], methods: list[str], random_state: int) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, Z in embeddings.items():
        found[name] = {method: project(standardised(Z), method, random_state) for method in methods}
    first = next(iter(found.values()))
    return {name: {m: align(z, first[m]) for m, z in of_model.items()} for name, of_model in found.items()}


def _known(
    windows: Windows, labels: np.ndarray | None, factors: Mapping[str, Any], label_by: str
) -> Iterator[dict[str, Any]]:
    """What the dots can be coloured by: what the user knows comes first."""
    if labels is not None:
        yield colouring("factor" if is_factor(labels) else "label", "label", labels)
    for name, values in factors.items():
        found = labels_of(windows, values, label_by, f"factors[{name!r}]")
        yield colouring(str(name), "factor", found)


def _found(windows: Windows, Z: np.ndarray, random_state: int) -> Iterator[dict[str, Any]]:
    if windows.window is None:
        yield colouring("order", "time", np.arange(len(windows)))
    else:
        yield colouring("time", "time", windows.starts)
    yield colouring("group (k-means)", "cluster", _groups(standardised(Z), random_state))


def _groups(Z: np.ndarray, random_state: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    Z = PCA(min(10, *Z.shape), svd_solver="full").fit_transform(Z)
    most = min(_MOST_CLUSTERS, len(Z) - 1)
    found = [KMeans(k, n_init=4, random_state=random_state).fit_predict(Z) for k in range(2, most + 1)]
    return max(found, key=lambda code: silhouette_score(Z, code) if len(np.unique(code)) > 1 else -1.0) + 1


def _page(data: dict[str, Any]) -> str:
    from bokeh.embed import components
    from bokeh.resources import Resources

    script, places = components(figures(list(data["maps"])))
    folder = files("skts.inspection.explorer")
    parts = {name: folder.joinpath(f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    maps = "".join(
        f'<section class="card map"><h2>{html.escape(name)}</h2><div class="plot">{places[f"map{i}"]}</div></section>'
        for i, name in enumerate(data["maps"])
    )
    return Template(parts["html"]).substitute(
        title=html.escape(data["title"]),
        css=parts["css"],
        js=parts["js"],
        # A closing tag inside a string would end the script.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        bokeh=Resources(mode="inline", components=["bokeh"]).render(),
        figures=script,
        maps=maps,
        shape=places["shape"],
        record=places["record"],
    )
