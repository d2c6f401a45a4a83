"""
Which answers can be given without a person?
============================================

Handwritten digits whose lower half is torn off, and five statements about each number. A wrong answer costs more than a
look at the form: the model answers where it is sure enough of all five together, the rest goes to a person.
"""

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skts import JointEBMClassifier
from skts.inspection import JointCalibrationDisplay

pixels, digit = load_digits(return_X_y=True)
X = pixels[:, :32]  # the upper four of eight lines
names = ["even", "prime", "square", "above four", "has a loop"]
groups = [[0, 2, 4, 6, 8], [2, 3, 5, 7], [0, 1, 4, 9], [5, 6, 7, 8, 9], [0, 6, 8, 9]]
Y = np.stack([np.isin(digit, group) for group in groups], 1).astype(int)
X_train, X_rest, Y_train, Y_rest = train_test_split(X, Y, train_size=600, random_state=0)
X_valid, X_test, Y_valid, Y_test = train_test_split(X_rest, Y_rest, train_size=600, random_state=0)
model = JointEBMClassifier(random_state=0).fit(X_train, Y_train)

# %%
# Can the stated probability be taken at its word, and do errors gather where it is low? On rows that did not train.
JointCalibrationDisplay.from_estimator(model, X_valid, Y_valid)

# %%
# The lowest threshold at which at most 2 % of the answers that are given on validation rows are wrong.
answer = model.predict(X_valid)
confidence = np.exp(model.score_samples(X_valid, answer))
order = np.argsort(-confidence)
wrong = (answer != Y_valid).any(1)[order].cumsum() / np.arange(1, len(order) + 1)
threshold = confidence[order][np.flatnonzero(wrong <= 0.02)[-1]]

# %%
# What it does on rows that had no part in anything.
answer, accepted = model.predict_with_rejection(X_test, threshold)
right = (answer == Y_test).all(1)
print(f"threshold {threshold:.2f} answers {accepted.mean():.0%}; all: {1 - right.mean():.1%} wrong")
for name, rows in {"answered": accepted, "rejected": ~accepted}.items():
    print(f"{name}: {1 - right[rows].mean():.1%} wrong")

# %%
# What a person gets to see: the least sure rows.
least = np.argsort(model.score_samples(X_test, answer))[:8]
_, axes = plt.subplots(2, 4, figsize=(7, 4), layout="constrained")
for ax, row in zip(axes.flat, least, strict=True):
    ax.imshow(X_test[row].reshape(4, 8), cmap="gray_r")
    stated = [name for name, holds in zip(names, answer[row], strict=True) if holds]
    ax.set_title("\n".join(stated) or "none", fontsize="small")
    ax.set_axis_off()
