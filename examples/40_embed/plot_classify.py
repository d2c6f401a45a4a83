"""
Do embeddings classify better than something simple?
====================================================

The hand of an actor, 150 steps of video: is a gun drawn, or does a finger point? 50 recordings to learn from, 150 to be
tested on. The network has random weights, since the released ones have to be downloaded: all that it knows of series is
how it is built.
"""

# %%
# The embedder is a step of a pipeline like any other; the search chooses how it is read, by cross-validation in the
# training part. With ``weights="hub:AutonLab/MOMENT-1-small"`` all of it stays the same.
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sktime.datasets import load_gunpoint

from skts import MomentEmbedder
from skts.inspection import ComparisonDisplay, EmbeddingDisplay, compare
from skts.moment.statistics import quantile_statistics

X_train, y_train = load_gunpoint(split="train", return_type="numpy3D")
X_test, y_test = load_gunpoint(split="test", return_type="numpy3D")
y_train, y_test = (np.where(y == "1", "gun", "finger") for y in (y_train, y_test))
network = {"d_model": 64, "d_ff": 128, "n_layers": 4, "n_heads": 4, "d_kv": 16}
embedder = MomentEmbedder(weights="random", module_kwargs=network, random_state=0)
pipeline = make_pipeline(embedder, StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
choices = {
    "momentembedder__layer": [-1, "all"],
    "momentembedder__pooling": ["mean", "max"],
    "momentembedder__scale_features": [False, True],
}
search = GridSearchCV(pipeline, choices, cv=5).fit(X_train, y_train)
print(search.best_params_, round(search.best_score_, 3))

# %%
# Beside it, what needs no network: the nearest neighbour, and the same classifier on the values themselves, on four
# statistics of eight parts of the series, and on the quantiles that ``scale_features`` adds. All learn from the same
# 50 recordings.
scaled = (StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def statistics(X):
    parts = np.array_split(X, 8, axis=2)
    return np.concatenate([f(part, axis=2) for part in parts for f in (np.mean, np.std, np.min, np.max)], axis=1)


flat = FunctionTransformer(lambda X: X[:, 0])
candidates = {
    "embedding, searched": search,
    "embedding, as it comes": pipeline,
    "quantiles": make_pipeline(flat, FunctionTransformer(quantile_statistics), *scaled),
    "statistics": make_pipeline(FunctionTransformer(statistics), *scaled),
    "values": make_pipeline(flat, *scaled),
    "nearest neighbour": make_pipeline(flat, KNeighborsClassifier(1)),
}
X, y = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
official = [(np.arange(50), np.arange(50, 200))]
table = compare(candidates, (X, y), cv=official)
print(table[["score", "fit_seconds", "predict_ms"]].round(3).to_string())

# %%
# With 150 recordings, differences below 0.03 say little. The search is well ahead of the values and of the nearest
# neighbour, and no better than the quantiles alone: these carry it, not the random network.
ComparisonDisplay(table).plot()

# %%
# What the classifier works on: a map of the test recordings, made without their classes.
EmbeddingDisplay.from_estimator(search.best_estimator_[0], X_test, y_test, projection="tsne")

# %%
# In sktime's containers, recordings of unequal lengths: nine speakers of two vowels, 7 to 29 steps, twelve channels.
from sktime.datasets import load_japanese_vowels

from skts.interop import MomentPanelTransformer

X_train, y_train = load_japanese_vowels(split="train", return_type="pd-multiindex")
X_test, y_test = load_japanese_vowels(split="test", return_type="pd-multiindex")
for name, scale_features in {"network": False, "network and statistics": True}.items():
    reader = embedder.set_params(layer="all", channels="concat", scale_features=scale_features)
    model = MomentPanelTransformer(reader) * make_pipeline(*scaled)
    print(name, round(np.mean(model.fit(X_train, y_train).predict(X_test) == y_test), 3))
