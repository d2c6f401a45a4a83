"""
Can one density of images draw, complete and classify?
======================================================

1797 handwritten digits of 8 x 8 pixels with 17 grey levels, which come with scikit-learn. A model that knows how
probable any image is, given its class, can draw new ones, complete half an image, and by Bayes' rule say the class. It
learns none of these tasks.
"""

# %%
# Sixteen blocks of 2 x 2 pixels: a causal network over the blocks, a masked one within a block. Both are small here.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from skts import FractalSampler
from skts.inspection import GenerationDisplay, SampleGridDisplay

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8).astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
network = {"generator": ["ar", "made"], "dims": [96, 48], "depths": [2, 1], "mixture": None}
model = FractalSampler("image", **network, lr=4e-3, max_epochs=30, random_state=0).fit(X_train, y_train)
print(model.splits_, f"{model.cost_['n_parameters']:,} parameters")

# %%
# Draws of each class, a column each; beside them real digits.
classes = np.tile(np.arange(10), 6)
drawn = model.sample(60, y=classes, random_state=0)
real = np.stack([X_train[y_train == c][:6] for c in range(10)], axis=1).reshape(-1, 8, 8)
SampleGridDisplay(drawn, real, columns=10).plot()

# %%
# Does it copy? A draw whose nearest training image is closer than that of a held-out image would be a copy.
nearest = NearestNeighbors(n_neighbors=1).fit(X_train.reshape(-1, 64))
for name, images in {"drawn": drawn, "held out": X_test}.items():
    distance = nearest.kneighbors(images.reshape(-1, 64).astype(float))[0]
    print(f"{name:9} distance to the nearest training image: {np.median(distance):.1f}")

# %%
# How well it knows held-out digits, in bits for each pixel (log2 of 17 values is 4.09), beside its own baselines.
print(f"{'FractalSampler':19} {model.bits_per_dim(X_test):.2f}")
for name, simple in model.baselines().items():
    print(f"{name:19} {simple.fit(X_train, y_train).bits_per_dim(X_test):.2f}")

# %%
# The lower half is hidden. All that is given stands before all that is missing, so the particles only have to find
# the class: completions are draws from the model's own conditional.
hidden = X_test[[0, 3, 5, 10, 11, 19]].astype(float)
hidden[:, 4:] = np.nan
found, info = model.sample_conditional(hidden, 5, random_state=0, return_info=True)
mean = model.impute(hidden, random_state=0)
rows = np.concatenate([hidden[:, None], found, mean[:, None], X_test[[0, 3, 5, 10, 11, 19]][:, None]], axis=1)
display = SampleGridDisplay(rows.reshape(-1, 8, 8), columns=8).plot()
display.axes_[0].set_title("given, five completions, their mean, truth", loc="left", fontsize="medium")
print("effective particles:", info["ess"].round().astype(int))
plt.show()

# %%
# The mean of many completions is a guess of what is hidden. For that alone, neighbours do better: they need no density.
# Mean absolute error of the lower half, in grey levels:
few = X_test[:100].astype(float)
upper, lower = X_train[:, :4].reshape(-1, 32), X_train[:, 4:].reshape(-1, 32).astype(float)
alike = NearestNeighbors(n_neighbors=5).fit(upper).kneighbors(few[:, :4].reshape(-1, 32), return_distance=False)
hidden = few.copy()
hidden[:, 4:] = np.nan
guesses = {
    "FractalSampler": model.impute(hidden, random_state=0)[:, 4:].reshape(-1, 32).astype(float),
    "five neighbours": lower[alike].mean(1),
    "mean image": np.broadcast_to(lower.mean(0), (100, 32)),
}
for name, guess in guesses.items():
    print(f"{name:16} {np.abs(guess - few[:, 4:].reshape(-1, 32)).mean():.2f}")

# %%
# The class by Bayes' rule. A classifier learns nothing else, and a neighbour is hard to beat on these digits; among
# models of what the images of a class look like, the density is far ahead.
candidates = {
    "FractalSampler": model,
    "GaussianNB": GaussianNB(),
    "LogisticRegression": LogisticRegression(max_iter=200),
    "nearest neighbour": KNeighborsClassifier(1),
}
for name, candidate in candidates.items():
    if candidate is not model:
        candidate.fit(X_train.reshape(-1, 64) / 16, y_train)
    images = X_test if candidate is model else X_test.reshape(-1, 64) / 16
    print(f"{name:19} {(candidate.predict(images) == y_test).mean():.3f}")

# %%
# How a digit comes to be: blocks stand one after another, and less and less is open.
GenerationDisplay.from_estimator(model, X_test[8], y=y_test[8], random_state=0)
