"""What an sktime object needs to be a step in scikit-learn's pipelines and searches, and to look like one."""

from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils import Tags, TargetTags, estimator_html_repr

__all__ = ["SklearnSide"]

# What others hang on the object from outside (scikit-learn's search, the user's callbacks), and a warm start's weights.
_KEPT_BY_RESET = ("_parent_callback_ctx", "_skl_callbacks", "_start_from")


class SklearnSide:
    """Comes before sktime's base class in a class of ours."""

    def reset(self) -> Self:
        """Reset to the state after construction, keeping what meta-estimators have attached.

        Returns
        -------
        self
            The object, unfitted.
        """
        kept = {name: self.__dict__[name] for name in _KEPT_BY_RESET if name in self.__dict__}
        super().reset()
        self.__dict__.update(kept)
        return self

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn's searches and pipelines ask of a step."""
        return Tags(estimator_type=None, target_tags=TargetTags(required=False), requires_fit=True)

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.is_fitted)

    if hasattr(BaseEstimator, "_get_params_html"):  # scikit-learn >= 1.7: the table of parameters, changed ones marked
        _get_params_html = BaseEstimator._get_params_html

    def _repr_html_inner(self) -> str:
        return str(estimator_html_repr(self))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] = self._repr_html_inner()
        return bundle
