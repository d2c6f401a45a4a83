"""Maps: embeddings in two dimensions."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from skts.errors import InputError

__all__ = ["PROJECTIONS", "align", "available_projections", "check_projection", "project", "standardised"]

PROJECTIONS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def available_projections() -> list[str]:
    """Names of the projections whose libraries are installed: all but "umap" always are."""
    return [name for name in PROJECTIONS if name != "umap" or find_spec("umap") is not None]


def check_projection(method: Any) -> None:
    """A projection that is known and installed."""
    if method not in available_projections():
        hint = "Install umap-learn, or choose another." if method == "umap" else "Choose one of them."
        raise InputError(f"a projection out of {available_projections()}", f"{method!r}", hint)


def standardised(Z: np.ndarray) -> np.ndarray:
    """Features with mean 0 and standard deviation 1; constant ones are 0."""
    deviation = Z.std(0)
    constant = deviation <= 1e-9 * np.abs(Z).max(initial=0.0)
    return (Z - Z.mean(0)) / np.where(constant, np.inf, deviation)


def project(Z: np.ndarray, method: str = "pca", random_state: Any = 0) -> np.ndarray:
    """A map (n, 2) of standardised features (n, d)."""
    check_projection(method)
    if Z.shape[1] == 1:
        return np.column_stack([Z, np.zeros(len(Z))])
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, svd_solver="full").fit_transform(Z)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(Z) - 1) / 3)
        return TSNE(perplexity=perplexity, init="random", random_state=random_state).fit_transform(_fewer(Z))
    import umap

    return umap.UMAP(n_neighbors=min(15, len(Z) - 1), random_state=random_state, n_jobs=1).fit_transform(Z)


def _fewer(Z: np.ndarray, n_components: int = 50) -> np.ndarray:
    """At most 50 principal components: neighbours stay, and t-SNE is several times faster."""
    if min(Z.shape) <= n_components:
        return Z
    from sklearn.decomposition import PCA

    return PCA(n_components, svd_solver="full").fit_transform(Z)


def align(Z: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map Z, turned and mirrored to lie as ``target`` does: what is left is a difference of the maps."""
    from scipy.linalg import orthogonal_procrustes

    centred = Z - Z.mean(0)
    return centred @ orthogonal_procrustes(centred, target - target.mean(0))[0]
