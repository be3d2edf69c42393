"""
Which method when: all four, and cleanlab, on one problem
=========================================================

The same digits, the same wrong labels, the same network: what does each method find, what does it
predict, and what does it cost? One problem decides nothing; "Choosing a method" in the guide has
the figures of ten data sets.
"""

# %%
# Three labels in ten are wrong, the likelier the more a digit looks like another one. Ten rows of
# each class are verified; only `MetaRelabelClassifier` is told which.
import time

import matplotlib.pyplot as plt
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict, train_test_split

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier, MILDSelector
from noisyfit.metrics import auroc, mask_f1
from noisyfit.noise import instance_dependent_noise

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(
    X, y_true, train_size=1_000, stratify=y_true, random_state=0
)
y, is_wrong = instance_dependent_noise(X, y_true, 0.3, random_state=0)
trusted = np.zeros(len(y), dtype=bool)
for c in range(10):
    trusted[np.flatnonzero(y_true == c)[:10]] = True
y = np.where(trusted, y_true, y)
is_wrong &= ~trusted
print(f"{is_wrong.mean():.1%} of the labels are wrong\n")

# %%
# Plain training is one round of MILD. cleanlab gets probabilities from five further trainings of
# the same network, shorter ones, which suit it better; what it flags is left out, and the rest
# trained on again.
seed = {"random_state": 0}
results = {}


def note(name, start, est, scores=None, flagged=None):
    """Measure how long it took since the start, what was found, and what it predicts."""
    seconds = time.perf_counter() - start
    found = [np.nan, np.nan]
    if scores is not None:
        found = [auroc(is_wrong, scores), mask_f1(is_wrong, flagged)]
    results[name] = [*found, est.score(X_test, y_test), seconds]


plain = MILDSelector(rounds=1, max_epochs=20, **seed)
plain.fit(X, y)  # the first fit of a process waits for the libraries: it is not measured
start = time.perf_counter()
note("plain training", start, plain.fit(X, y))

start = time.perf_counter()
proba = cross_val_predict(
    MILDSelector(rounds=1, max_epochs=10, **seed), X, y, cv=5, method="predict_proba"
)
quality, flagged = get_label_quality_scores(y, proba), find_label_issues(y, proba, n_jobs=1)
note("cleanlab", start, plain.fit(X[~flagged], y[~flagged]), 1 - quality, flagged)

for cls in (MILDSelector, DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier):
    start = time.perf_counter()
    options = {"trusted": trusted} if cls is MetaRelabelClassifier else {}
    est = cls(**seed).fit(X, y, **options)
    note(cls.__name__, start, est, est.noise_scores_, ~est.clean_mask_)

print(f"{'':24s}AUROC   F1 of the rejected   accuracy   time in plain trainings")
once = results["plain training"][-1]
for name, (ranking, f1, accuracy, seconds) in results.items():
    print(f"{name:22s}{ranking:7.3f}{f1:21.3f}{accuracy:11.3f}{seconds / once:26.1f}")

# %%
# What is in the upper left has found most for least. Whether that is worth its time depends on how
# long one training of your network takes.
colours = plt.get_cmap("tab10").colors
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, i, label in [(axes[0], 1, "F1 of the rejected rows"), (axes[1], 2, "test accuracy")]:
    for colour, (name, values) in zip(colours, results.items(), strict=False):
        ax.plot(values[3] / once, values[i], "o", markersize=9, color=colour, label=name)
    ax.set(xlabel="time in plain trainings", ylabel=label, xscale="log", xlim=(0.8, 40))
    ax.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
handles, names = axes[1].get_legend_handles_labels()
figure.legend(handles, names, loc="outside right upper", frameon=False)
plt.show()
