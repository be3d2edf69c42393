"""
Another model in the end: boosting on what is kept
==================================================

On tables gradient boosting often predicts better than a network, and wrong labels cost it as much.
So let the networks find the wrong labels, and train boosting on the rows that are kept.
"""

# %%
# A table of three classes in which three tenths of the training labels are drawn anew from the
# other classes.
import matplotlib.pyplot as plt
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split

from noisyfit import DynamicsLSTMDetector
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = make_classification(
    4_000,
    n_features=20,
    n_informative=8,
    n_redundant=4,
    n_classes=3,
    class_sep=1.2,
    flip_y=0,
    random_state=0,
)
X_train, X_test, y_true, y_test = train_test_split(X, y, test_size=2_000, random_state=0)
noise = transition_matrix("symmetric", n_classes=3, rate=0.3)
y_given, is_wrong = corrupt_labels(y_true, noise, random_state=0)

# %%
# `fit_resample` fits, and returns the rows whose label was kept, in the types in which they came.
# In a pipeline of imbalanced-learn the detector is such a step by itself,
# ``make_pipeline(DynamicsLSTMDetector(), HistGradientBoostingClassifier())``: each fold of a
# cross-validation then finds the wrong labels of its own training rows.
detector = DynamicsLSTMDetector(random_state=0)
X_kept, y_kept = detector.fit_resample(X_train, y_given)
left_out = ~detector.clean_mask_
print(f"{is_wrong.mean():.1%} wrong, {detector.noise_rate_:.1%} estimated; ", end="")
print(f"{left_out.sum()} rows left out, of which {is_wrong[left_out].mean():.1%} are wrong")
print(f"Among the kept rows {is_wrong[~left_out].mean():.1%} are wrong.")


# %%
# Boosting that learns from all labels repeats their errors. The last bar is what nobody has: the
# same with every wrong label put right.
def accuracy(rows, labels) -> float:
    """Train boosting, and test it on rows with right labels."""
    return HistGradientBoostingClassifier(random_state=0).fit(rows, labels).score(X_test, y_test)


found = {
    "boosting,\nall given labels": accuracy(X_train, y_given),
    "network\nof the detector": detector.score(X_test, y_test),
    "boosting,\nkept rows": accuracy(X_kept, y_kept),
    "boosting,\ntrue labels": accuracy(X_train, y_true),
}
for name, value in found.items():
    print(f"{name.replace(chr(10), ' '):<28} {value:.3f}")

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
bars = ax.bar(found.keys(), found.values(), color=["C1", "C0", "C0", "C7"])
ax.bar_label(bars, fmt="%.3f")
ax.set(ylabel="accuracy on right labels", ylim=(0.7, 1))
plt.show()
