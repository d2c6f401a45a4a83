"""
What to do with a table of words, counts, real numbers and gaps?
================================================================

Jobs of a workshop: product and shift are words, pieces are counted, minutes, wear and force are real numbers, and a
fifth of all cells is missing. One density of such rows, fitted with the gaps, scores them, fills them in and draws new
ones.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from skts import FractalSampler
from skts.datasets import make_mixed_table
from skts.inspection import SurpriseDisplay

X, complete = make_mixed_table(2000, missing=0.2, random_state=0, return_complete=True)
X_train, X_test, truth = X[:1500], X[1500:], complete[1500:]
print(X_train.head(4).to_string())

# %%
# Columns of words are found by themselves; whole numbers become ordinals, real ones mixtures of normal distributions.
model = FractalSampler(mask_rate=0.2, dims=48, depths=1, lr=4e-3, max_epochs=20, random_state=0).fit(X_train)
print("order of the columns:", [X.columns[i] for i in model.ordering_])
candidates = {"FractalSampler": model} | {name: each.fit(X_train) for name, each in model.baselines().items()}
for name, each in candidates.items():
    print(f"{name:19} {each.score(X_test):6.2f} nats for a row with gaps, {each.score(truth):6.2f} for a complete one")

# %%
# Filling in, beside scikit-learn's imputer, which sees a column of 0 and 1 for each word but the first. Of words: how
# many are right. Of numbers: mean absolute error in standard deviations.
words, numbers = ["product", "shift"], ["batch", "minutes", "wear", "force"]
known = {word: sorted(complete[word].unique()) for word in words}


def encode(X):
    hot = {f"{word} {value}": (X[word] == value).where(X[word].notna()) for word in words for value in known[word][1:]}
    return pd.DataFrame(hot).astype(float).join(X[numbers])


def by_iterative_imputer(X_train, X_test):
    imputer = IterativeImputer(max_iter=30, tol=1e-2, random_state=0).set_output(transform="pandas")
    filled = imputer.fit(encode(X_train)).transform(encode(X_test))
    for word in words:
        others = filled[[f"{word} {value}" for value in known[word][1:]]].to_numpy()
        filled[word] = np.array(known[word])[np.column_stack([1 - others.sum(1), others]).argmax(1)]
    return filled


def most_frequent_or_mean(X_train, X_test):
    return X_test.fillna({**X_train[words].mode().iloc[0], **X_train[numbers].mean()})


filled = {
    "FractalSampler": model.impute(X_test, random_state=0).set_axis(X_test.index),
    "IterativeImputer": by_iterative_imputer(X_train, X_test),
    "most frequent, mean": most_frequent_or_mean(X_train, X_test),
}
rows = {}
for name, found in filled.items():
    gaps = X_test.isna()
    rows[name] = {w: (found[w] == truth[w])[gaps[w]].mean() for w in words}
    rows[name] |= {n: (found[n] - truth[n])[gaps[n]].abs().mean() / truth[n].std() for n in numbers}
print(pd.DataFrame(rows).T.round(2).to_string())

# %%
# Drawn rows beside real ones: each product has its own curve of force over wear.
drawn = model.sample(1500, random_state=0)
print(drawn.head(4).to_string())
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, table) in zip(axes, {"real": complete[:1500], "drawn": drawn}.items(), strict=True):
    for product, part in table.groupby("product"):
        ax.scatter(part["wear"], part["force"], s=6, alpha=0.5, label=product)
    ax.set(title=name, xlabel="wear (mm)")
axes[0].set_ylabel("force (kN)")
axes[0].legend(frameon=False)
plt.show()

# %%
# Which cells are odd? Three typing errors: a force that is ten times too high (row 1), a batch of shafts as large as
# one of bolts (row 8), minutes of a bolt for a shaft (row 9). Where two numbers contradict each other, the one that is
# later in the order of the columns is the surprising one.
odd = truth.head(8).copy()
odd["force"] = odd["force"].to_numpy() * np.where(np.arange(8) == 1, 10, 1)
shafts = truth[truth["product"] == "shaft"].head(2).copy()
shafts["batch"], shafts["minutes"] = [45, shafts["batch"].iloc[1]], [shafts["minutes"].iloc[0], 0.5]
SurpriseDisplay.from_estimator(model, pd.concat([odd, shafts]), reference=complete[:1500])
