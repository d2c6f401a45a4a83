"""
What do rules bring that forbid combinations?
=============================================

A telephone company sells eight options. At most one data plan; roaming and hotspot need one; the family card is for
private customers, the private network for companies. Such rules are known: must a model learn them from a few sales?
"""

# %%
# An object with ``candidates(X)`` lists for each customer the sets that may be sold: 52 of 256.
import numpy as np
import pandas as pd

from skts import JointEBMClassifier
from skts.inspection import JointProbabilityDisplay
from skts.metrics import joint_log_loss

names = ["small", "medium", "large", "roaming", "hotspot", "music", "family", "network"]
sets = np.arange(2**8)[:, None] >> np.arange(8) & 1
n_plans = sets[:, :3].sum(1)
sellable = (n_plans <= 1) & (sets[:, 3:5].max(1) <= n_plans)
for_company = [sets[sellable & (sets[:, 7 - company] == 0)] for company in (0, 1)]


class Rules:
    def candidates(self, X):
        return [for_company[int(company)] for company in X[:, 0]]


# %%
# Sales are generated: customers have tastes, five numbers tell of them, and the rules hold.
def sell(n, rng):
    X = np.column_stack([rng.random(n) < 0.4, rng.normal(size=(n, 5))])
    tastes = X[:, 1:] @ np.random.default_rng(7).normal(size=(5, 8)) - 0.5
    sold = []
    for allowed, taste in zip(Rules().candidates(X), tastes, strict=True):
        weight = np.exp(allowed @ taste)
        sold.append(rng.choice(allowed, p=weight / weight.sum()))
    return X, pd.DataFrame(sold, columns=names)


X_new, Y_new = sell(1000, np.random.default_rng(1))
free = JointEBMClassifier(encoder="linear", random_state=0)
ruled = JointEBMClassifier(encoder="linear", proposal=Rules(), random_state=0)

# %%
# Nats that an order of a new customer costs; the distribution that made them costs 2.60.
for n in (75, 150, 600):
    X, Y = sell(n, np.random.default_rng(0))
    losses = [joint_log_loss(model.fit(X, Y), X_new, Y_new) for model in (free, ruled)]
    print(f"{n} sales: {losses[0]:.2f} without the rules, {losses[1]:.2f} with them")

# %%
# After 600 sales the couplings know most of the rules, not all. With the rules, what they forbid is impossible.
for model in (free, ruled):
    two_plans = model.event_probability(X_new, lambda y: y[:, :3].sum(1) > 1)
    print(f"two plans: {two_plans.mean():.2%}")
print(ruled.score_samples(X_new[:1], [[1, 1, 0, 0, 0, 0, 0, 0]]))

# %%
# What one customer will buy. ``predict_proba``, on the right, stays a millionth away from 0 and 1.
JointProbabilityDisplay.from_estimator(ruled, X_new, y_true=Y_new)
