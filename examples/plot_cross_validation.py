"""
Which score to trust when the labels are wrong
==============================================

Cross-validation tests on labels of which some are wrong, so that its accuracy is not that on right
labels. It is too low; and worse, it may prefer a model that repeats the errors. This looks at three
ways of scoring five models: on the given labels, on the given labels that a fit has kept, and on a
few verified rows.
"""

# %%
# Digits, of which three in ten are called by the next digit's name, and 100 rows that somebody has
# verified.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.noise import corrupt_labels, transition_matrix

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(
    X, y_true, train_size=1_000, stratify=y_true, random_state=0
)
y, _ = corrupt_labels(y_true, transition_matrix("pair", 10, 0.3), random_state=0)
verified = np.random.default_rng(0).permutation(len(y))[:100]
print(f"{np.mean(y != y_true):.1%} of the labels are wrong")

# %%
# The models: plain training (one round of MILD) of three lengths, and three methods.
common = {"random_state": 0}
models = {
    "plain, 5 epochs": MILDSelector(rounds=1, max_epochs=5, **common),
    "plain, 20 epochs": MILDSelector(rounds=1, max_epochs=20, **common),
    "plain, 60 epochs": MILDSelector(
        rounds=1, max_epochs=60, optimizer__weight_decay=0.0, **common
    ),
    "MILD": MILDSelector(**common),
    "DLT": DLTClassifier(max_epochs=20, **common),
}

# %%
# The predictions of each row by a model that has not seen it are scored in three ways. What is
# *kept* is what a first fit on all rows has kept: it is as good a judge as that fit. The last
# column is what nobody has: 797 test rows whose labels are right.
kept = DLTClassifier(max_epochs=20, random_state=1).fit(X, y).clean_mask_
folds = StratifiedKFold(5, shuffle=True, random_state=0)
scores = np.empty((len(models), 4))
for i, model in enumerate(models.values()):
    predicted = cross_val_predict(model, X, y, cv=folds)
    scores[i] = [
        np.mean(predicted == y),
        np.mean((predicted == y)[kept]),
        np.mean((predicted == y_true)[verified]),
        model.fit(X, y).score(X_test, y_test),
    ]
ways = ["given labels", "kept labels", "100 verified rows", "right labels"]
print(" " * 18 + "".join(f"{way:>19s}" for way in ways))
for name, row in zip(models, scores, strict=True):
    print(f"{name:18s}" + "".join(f"{value:19.3f}" for value in row))

# %%
# On the given labels all scores are far below the truth: a perfect model gets what share of the
# labels is right. The worst and the best model are told all the same, since in each class the right
# labels are still the more frequent ones. Where the scores lie close together, as those of MILD and
# of a short plain training, they say nothing. A hundred verified rows say about how good a model
# is; with a standard error of three hundredths they do not tell the middle ones apart, either.
# `noisyfit.model_selection.TrustedFold` makes folds that test on nothing but verified rows. (In the
# folds each model has a fifth fewer rows than in the last column.)
figure, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for way, values, mark in zip(ways, scores.T, "osD*", strict=True):
    ax.plot(values, list(models), mark, markersize=9, alpha=0.8, label=way)
ax.set(xlabel="accuracy", ylim=(len(models) - 0.5, -0.5))
ax.grid(alpha=0.3)
figure.legend(loc="outside upper center", ncols=4, frameon=False)
plt.show()
