"""
Two networks that sort the rows for each other
==============================================

A network that chooses the rows it trains on confirms its own mistakes. DivideMix (Li et al. 2020)
trains two: each divides the rows into labelled and unlabelled ones for the other, by a mixture of
two normals on the losses, and both learn from the unlabelled rows by what they guess together.
"""

# %%
# Digits of which four labels in ten are drawn at random.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DivideMixClassifier, MILDSelector
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
noise = transition_matrix("symmetric", n_classes=10, rate=0.4)
y_given, is_wrong = corrupt_labels(y, noise, random_state=0)

# %%
# Plain training beside it is one round of `MILDSelector`. Judges, the networks in cross-validation
# that every estimator has beside its method, are left out here: this is DivideMix by itself.
plain = MILDSelector(rounds=1, max_epochs=30, judge_epochs=0, random_state=0).fit(X, y_given)
two = DivideMixClassifier(max_epochs=30, judge_epochs=0, random_state=0).fit(X, y_given)
for name, est in (("plain training", plain), ("DivideMix", two)):
    ranking = auroc(is_wrong, est.noise_scores_)
    print(f"{name:15s} accuracy {est.score(X_test, y_test):.1%}, AUROC of the scores {ranking:.3f}")

# %%
# The mean losses of right and of wrong labels in both networks together. They come apart during the
# warm-up, before the first division, and stay apart as nobody learns the wrong labels any more.
epochs = np.arange(1, two.dynamics_.n_epochs + 1)
for name, rows, color in (("right", ~is_wrong, "C0"), ("wrong", is_wrong, "C3")):
    loss = two.dynamics_.loss[rows]
    plt.plot(epochs, np.nanmean(loss, axis=0), color=color, label=f"{name} labels")
    quartiles = np.nanquantile(loss, [0.25, 0.75], axis=0)
    plt.fill_between(epochs, *quartiles, color=color, alpha=0.2)
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend(frameon=False)
plt.show()
