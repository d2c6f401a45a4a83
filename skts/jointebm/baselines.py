"""The simple estimators that a joint model has to beat."""

from typing import Any

from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["baselines_for"]


def baselines_for(output: Any) -> dict[str, Any]:
    """Baselines by name, for an output space.

    Parameters
    ----------
    output : str or OutputSpace
        As in the estimator. "auto" is answered for label sets, which its members can learn; all but the chain and the
        one-for-each-label ones can learn classes as well.

    Returns
    -------
    dict of str to estimator
        Unfitted.
    """
    if output == "ranking":
        return {
            "linear ridge": make_pipeline(StandardScaler(), Ridge()),
            "nearest neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(10)),
            "extra trees": ExtraTreesRegressor(100, random_state=0),
        }
    linear = LogisticRegression(C=0.1, max_iter=1000)
    neighbours = make_pipeline(StandardScaler(), KNeighborsClassifier(10))
    forest = ExtraTreesClassifier(100, random_state=0)
    if output == "multiclass":
        return {
            "logistic regression": make_pipeline(StandardScaler(), linear),
            "nearest neighbours": neighbours,
            "extra trees": forest,
        }
    if output not in ("auto", "multilabel", "subset"):
        return {}
    return {
        "one for each label": make_pipeline(StandardScaler(), MultiOutputClassifier(linear)),
        "chain": make_pipeline(StandardScaler(), ClassifierChain(linear, random_state=0)),
        "nearest neighbours": neighbours,
        "extra trees": forest,
    }
