"""
How many rows to verify, and which
==================================

`MetaRelabelClassifier` needs rows whose label somebody has verified. This example asks what they
buy on scikit-learn's digits when four of five labels are wrong: how accuracy grows with their
number, beside a network that is trained on nothing but them, and whether it pays to verify rows
that look certain or suspicious instead of random ones.
"""

# %%
# Whoever verifies a row learns its true label: the given one is corrected, if need be. Rows are
# picked by their *true* class here, so that each class has as many; in practice one goes on until
# every class has some.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DLTClassifier, MetaRelabelClassifier
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=0)
matrix = transition_matrix("symmetric", 10, 0.8)


def verify(order, y, y_given, n_per_class):
    """Mark the first rows of each class in an order, and correct their labels."""
    trusted = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        trusted[order[y[order] == c][:n_per_class]] = True
    return trusted, np.where(trusted, y, y_given)


def accuracy(trusted, y_verified, seed):
    est = MetaRelabelClassifier(max_epochs=15, random_state=seed)
    return est.fit(X, y_verified, trusted=trusted).score(X_test, y_test)


# %%
# **How many.** Random rows of each class, from one to thirty.
SEEDS, NUMBERS = range(2), [1, 3, 10, 30]
both, alone = [], []
for seed in SEEDS:
    y_given = corrupt_labels(y, matrix, random_state=seed).labels
    order = np.random.default_rng(100 + seed).permutation(len(y))
    for number in NUMBERS:
        trusted, y_verified = verify(order, y, y_given, number)
        both.append(accuracy(trusted, y_verified, seed))
        plain = DLTClassifier(  # a warm-up that never ends is plain training
            noise_rate=0.0, warmup_epochs=60, ramp_epochs=0, max_epochs=60, random_state=seed
        )
        alone.append(plain.fit(X[trusted], y[trusted]).score(X_test, y_test))
both, alone = (np.reshape(values, (len(SEEDS), -1)) for values in (both, alone))
print("trusted rows a class       " + "".join(f"{n:8d}" for n in NUMBERS))
print("all rows, with their help  " + "".join(f"{v:8.3f}" for v in both.mean(axis=0)))
print("trusted rows alone         " + "".join(f"{v:8.3f}" for v in alone.mean(axis=0)))

# %%
# **Which.** Five a class, in the order of the scores of a first fit that had no trusted rows.
choices = {"random": [], "most certain": [], "most suspicious": []}
for seed in SEEDS:
    y_given = corrupt_labels(y, matrix, random_state=seed).labels
    with warnings.catch_warnings():  # it says that it has no trusted rows
        warnings.simplefilter("ignore", UserWarning)
        first = MetaRelabelClassifier(max_epochs=15, random_state=seed).fit(X, y_given)
    certain = np.argsort(first.noise_scores_, kind="stable")
    orders = [np.random.default_rng(100 + seed).permutation(len(y)), certain, certain[::-1]]
    for values, order in zip(choices.values(), orders, strict=True):
        values.append(accuracy(*verify(order, y, y_given, 5), seed))
for name, values in choices.items():
    print(f"five a class, {name:16s} {np.mean(values):.3f}")

# %%
# Dots are single runs, lines and bars their means. One trusted row a class is where the other rows
# help most; from ten on, with 500 rows of which 400 are wrongly labelled and a short training, the
# trusted rows are as good alone. Two seeds do not tell which rows to verify. Over eight of them
# (``SEEDS = range(8)``) the means are 88 % for random rows, 86 % for the most certain and 85 % for
# the most suspicious ones, which lie at the edges of their class.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for values, color, label in [
    (both, "tab:blue", "all rows, with their help"),
    (alone, "tab:gray", "trusted rows alone"),
]:
    left.plot(NUMBERS, values.mean(axis=0), color=color, label=label)
    left.plot(NUMBERS, values.T, "o", color=color, alpha=0.4, markersize=4)
left.set(xscale="log", xticks=NUMBERS, xlabel="trusted rows a class", ylabel="test accuracy")
left.set_xticklabels(NUMBERS)
left.legend(frameon=False)
right.bar(list(choices), [np.mean(v) for v in choices.values()], color="tab:blue", alpha=0.5)
for at, values in enumerate(choices.values()):
    right.plot(np.full(len(values), at), values, "o", color="tab:blue", markersize=4)
right.set(xlabel="which five a class were verified")
plt.show()
