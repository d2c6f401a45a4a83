"""MomentPanelTransformer: MomentEmbedder for sktime's panels of series."""

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sktime.transformations.base import BaseTransformer

from skts.base import keeping_last_state
from skts.engine import TrainingInterrupted
from skts.errors import InputError, InputTypeError, ParameterError
from skts.interop.nested import as_bytes, from_bytes
from skts.interop.panel import instances
from skts.interop.sklearn_side import SklearnSide
from skts.moment import MomentEmbedder
from skts.validation import check_params

__all__ = ["MomentPanelTransformer"]

# sktime's private state that transform needs.
_BOOKS = ("_is_fitted", "_is_vectorized")


class MomentPanelTransformer(SklearnSide, BaseTransformer):
    """Turn every series of an sktime panel into a row of features, by :class:`~skts.MomentEmbedder`.

    Use it where the series are in one of sktime's containers: in a pipeline before a classifier, a regressor or a
    clusterer, with series of unequal lengths and missing values. For arrays and lists, MomentEmbedder itself is enough.

    Parameters
    ----------
    embedder : MomentEmbedder or None, default=None
        Makes the features; cloned in ``fit``, never changed. None is ``MomentEmbedder()``. Its ``channels`` cannot be
        "separate": a table has one row for each series.
    random_state : int, RandomState or None, default=None
        Seed of an embedder that has none of its own.

    Attributes
    ----------
    embedder_ : MomentEmbedder
        The fitted embedder.
    channels_ : list
        Columns of the series in fit.

    Notes
    -----
    Series of a hierarchy are embedded as those of a panel; the table keeps their index. One series alone is a panel of
    one. ``fit`` takes ``y``, classes or numbers, which an embedder with ``finetune`` is trained for.

    References
    ----------
    M. Goswami, K. Szafer, A. Choudhry, Y. Cai, S. Li, A. Dubrawski: MOMENT: A Family of Open Time-series Foundation
    Models, ICML 2024, https://arxiv.org/abs/2402.03885.

    Examples
    --------
    >>> from sktime.datasets import load_japanese_vowels
    >>> from skts import MomentEmbedder
    >>> from skts.interop import MomentPanelTransformer
    >>> X, y = load_japanese_vowels(split="train", return_type="pd-multiindex")
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> embedder = MomentEmbedder(weights="random", module_kwargs=tiny)
    >>> MomentPanelTransformer(embedder, random_state=0).fit_transform(X, y).shape
    (270, 16)
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": "skts developers",
        "maintainers": "skts developers",
        "python_dependencies": ["torch", "skorch"],
        "scitype:transform-input": "Series",
        "scitype:transform-output": "Primitives",
        "scitype:transform-labels": "Primitives",
        "scitype:instancewise": False,
        "X_inner_mtype": ["pd-multiindex", "pd_multiindex_hier"],
        "y_inner_mtype": ["numpy1D", "numpy2D", "pd_DataFrame_Table"],
        "requires_y": False,
        "fit_is_empty": False,
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:unequal_length:removes": True,
        "capability:missing_values": True,
        "capability:missing_values:removes": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "embedder": [MomentEmbedder, None],
        "random_state": ["random_state"],
    }

    def __init__(self, embedder: MomentEmbedder | None = None, random_state: Any = None) -> None:
        self.embedder = embedder
        self.random_state = random_state
        super().__init__()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the weights of the embedder, and train them where its ``finetune`` says so.

        Parameters
        ----------
        X : any sktime panel, hierarchical or series container
            Series of equal or unequal lengths; NaN where a value is missing.
        y : array-like of shape (n_series,) or (n_series, k), optional
            Classes or numbers; not used unless the embedder has ``finetune``.

        Returns
        -------
        MomentPanelTransformer
            The transformer itself.

        Raises
        ------
        InputError, InputTypeError, ParameterError
            If the series, y or the embedder cannot be used.
        """
        with keeping_last_state(self):
            try:
                return super().fit(X, y)
            except TrainingInterrupted:
                self._is_fitted = True
                raise

    def transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Features of every series.

        Parameters
        ----------
        X : any sktime panel, hierarchical or series container
            Series with the columns of fit; NaN where a value is missing.
        y : ignored
            Only ``fit`` uses it.

        Returns
        -------
        pandas.DataFrame of shape (n_series, n_features_out)
            One row for each series, float32, under the index of the panel.

        Raises
        ------
        InputError, InputTypeError
            If the series cannot be used, or have other columns.
        """
        return super().transform(X, y)

    def _fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        check_params(self)
        self.channels_ = X.columns.tolist()
        self.embedder_ = MomentEmbedder() if self.embedder is None else clone(self.embedder)
        if self.embedder_.channels == "separate":
            raise ParameterError(
                'an embedder with one row for each series, channels="mean" or "concat"',
                'channels="separate"',
                "Change the embedder's channels.",
            )
        if self.embedder_.random_state is None:
            self.embedder_.set_params(random_state=self.random_state)
        self.embedder_.fit(_arrays(X), y)
        return self

    def _transform(self, X: pd.DataFrame, y: Any = None) -> pd.DataFrame:
        features = self.embedder_.transform(_arrays(self._in_order(X)))
        rows = X.index.droplevel(-1).drop_duplicates()
        return pd.DataFrame(features, index=rows, columns=self.embedder_.get_feature_names_out())

    def _in_order(self, X: pd.DataFrame) -> pd.DataFrame:
        """The columns as in fit. The name of a single one does not matter."""
        if X.shape[1] == len(self.channels_) == 1:
            return X
        if set(X.columns) != set(self.channels_):
            raise InputError(f"the columns of fit, {self.channels_}", f"{X.columns.tolist()}", "Rename or add columns.")
        return X[self.channels_]

    def _check_X_y(self, X: Any = None, y: Any = None, return_metadata: bool = False) -> Any:
        try:
            return super()._check_X_y(X=X, y=y, return_metadata=return_metadata)
        except (TypeError, ValueError) as error:
            got = f"data of type {type(X).__name__}, of which sktime says: {str(error).rstrip('.')}"
            hint = "Pass an array (n, C, T), or see sktime.datatypes.MTYPE_REGISTER."
            kind = InputTypeError if isinstance(error, TypeError) else InputError
            raise kind("a container of series that sktime knows", got, hint) from error

    # ---- persistence --------------------------------------------------------------------------------------------

    _persisted: ClassVar[tuple[str, ...]] = _BOOKS

    def _get_state(self) -> dict[str, Any]:
        state = {k: v for k, v in vars(self).items() if k.endswith("_") or k in _BOOKS}
        return {**state, "embedder_": as_bytes(state["embedder_"])} if "embedder_" in state else state

    def _set_state(self, state: dict[str, Any]) -> None:
        if "embedder_" in state:
            state = {**state, "embedder_": from_bytes(state["embedder_"], MomentEmbedder)}
        self.__dict__.update(state)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small settings for sktime's suite."""
        tiny = {"d_model": 8, "d_ff": 8, "n_layers": 2, "n_heads": 2, "d_kv": 4}
        frozen = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0)
        trained = MomentEmbedder(
            weights="random", module_kwargs=tiny, layer="all", finetune="lora", channels="concat", max_epochs=1
        )
        return [{"embedder": frozen}, {"embedder": trained, "random_state": 0}]


def _arrays(X: pd.DataFrame) -> list[np.ndarray]:
    """Series (C, T_i) of a panel."""
    words = [name for name, dtype in X.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if words:
        raise InputTypeError("numeric series", f"no numbers in the columns {words}", "Encode or drop these columns.")
    return [frame.to_numpy(dtype=np.float64).T for frame in instances(X).values()]
