"""
What does a joint probability tell that marginals do not?
=========================================================

Age, sex, body mass index and blood pressure of 442 people with diabetes: which of six blood values are above their
median? The values depend on each other: total cholesterol contains LDL and HDL, and the ratio is computed from them.
"""

# %%
# Six labels, 64 possible sets; a logarithm of the triglycerides stands for "fats".
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, cross_val_score, train_test_split

from skts import JointEBMClassifier
from skts.inspection import ComparisonDisplay, CouplingDisplay, JointProbabilityDisplay
from skts.metrics import joint_log_loss

people = load_diabetes(as_frame=True, scaled=False).data
X, blood = people[["age", "sex", "bmi", "bp"]], people.filter(regex="^s[1-6]$")
blood.columns = ["total", "LDL", "HDL", "ratio", "fats", "sugar"]
Y = (blood > blood.median()).astype(int)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
model = JointEBMClassifier(random_state=0).fit(X_train, Y_train)

# %%
# One person who was not trained on. The labels with more than one half each make a set that is improbable as a whole
# (exp(-4.75) is 0.9 %); the most probable set is another one.
person = X_test.iloc[[1]]
for decode in ("hamming", "map"):
    answer = model.predict(person, decode=decode)
    print(model.score_samples(person, answer).round(2), *Y.columns[answer[0] == 1])

# %%
JointProbabilityDisplay.from_estimator(model, X_test, row=1, y_true=Y_test)

# %%
# Which labels speak to each other, beyond what age, sex, mass and pressure say?
CouplingDisplay.from_estimator(model)

# %%
# One blood value is measured: what does it say of the others?
evidence = {"not measured": {}, "LDL high": {"LDL": 1}, "LDL not high": {"LDL": 0}}
others = {name: model.conditional(person, known)[0] for name, known in evidence.items()}
print(pd.DataFrame(others, index=Y.columns).T.round(2))

# %%
# What a whole set of a person held out costs, in nats. Without the coupling, the model is the product of its marginals.
folds = KFold(5, shuffle=True, random_state=0)
for coupling in ("pairwise", "unary"):
    candidate = JointEBMClassifier(coupling=coupling, random_state=0)
    loss = cross_val_score(candidate, X, Y, cv=folds, scoring=joint_log_loss)
    print(coupling, loss.mean().round(2))

# %%
# How many sets are right as a whole, beside scikit-learn's estimators? Few: age, sex, mass and pressure do not say
# more, and the lead over the chain is small beside the spread of the folds.
ComparisonDisplay.from_candidates(model, (X, Y), cv=folds)
