"""
A detector trained on labels that were partly wrong already
===========================================================

`DynamicsLSTMDetector.fit_detector` wants right labels: it flips some of them on purpose, and the
detector learns what a flipped label looks like. What if some labels are wrong beforehand? They look
like flipped ones, but count as right ones while the detector is trained. This repeats the
experiment of Jia et al. 2023, Figure 6, at a small size: a detector learns from scikit-learn's
digits, of which a share is wrong beforehand, and then judges the labels of another data set.
"""

# %%
# The other data set: ten classes that overlap somewhat, and labels of which four in ten are
# replaced by a wrong one. Two networks are trained on it, each with wrong labels of its own, and
# what they recorded is kept: all detectors read the same records.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification

from noisyfit import DynamicsLSTMDetector
from noisyfit.metrics import average_precision
from noisyfit.noise import corrupt_labels, transition_matrix

SEEDS, EPOCHS = range(2), 20
X, y = make_classification(
    n_samples=2000,
    n_features=30,
    n_informative=10,
    n_classes=10,
    n_clusters_per_class=1,
    class_sep=1.5,
    flip_y=0,
    random_state=0,
)
noise = transition_matrix("symmetric", n_classes=10, rate=0.4)
records = []
for seed in SEEDS:
    y_given, is_wrong = corrupt_labels(y, noise, random_state=seed)
    estimator = DynamicsLSTMDetector(max_epochs=EPOCHS, random_state=seed)
    records.append((estimator.record_run(X, y_given).dynamics, is_wrong))

# %%
# The baseline needs no detector: the mean margin of each label over the epochs, known as the area
# under the margin (AUM). The lower it is, the more suspicious is the label.
aum = np.mean([average_precision(is_wrong, -dynamics.aum()) for dynamics, is_wrong in records])

# %%
# The detectors. A share of the digits' labels is made wrong first, and ``fit_detector`` flips four
# in ten on top of that. It should flip many: with few flips and many labels that were wrong
# beforehand, a label that looks wrong is more often one of the latter, and has no reason to be
# called flipped.
shares = [0, 0.1, 0.2, 0.3, 0.4]
X_digits, y_digits = load_digits(return_X_y=True)
ap, p_wrong, p_right = np.empty((3, len(shares), len(SEEDS)))
for i, share in enumerate(shares):
    beforehand = transition_matrix("symmetric", n_classes=10, rate=share)
    for j, seed in enumerate(SEEDS):
        y_before = corrupt_labels(y_digits, beforehand, random_state=100 + seed).labels
        estimator = DynamicsLSTMDetector(max_epochs=EPOCHS, random_state=seed)
        detector = estimator.fit_detector(X_digits, y_before, rate=0.4)
        p = [detector.predict_proba(dynamics.relative_prob) for dynamics, _ in records]
        pairs = [(p_of_run, is_wrong) for p_of_run, (_, is_wrong) in zip(p, records, strict=True)]
        ap[i, j] = np.mean([average_precision(is_wrong, p) for p, is_wrong in pairs])
        p_wrong[i, j] = np.mean([p[is_wrong].mean() for p, is_wrong in pairs])
        p_right[i, j] = np.mean([p[~is_wrong].mean() for p, is_wrong in pairs])

print("wrong        average precision     mean P(wrong) of")
print("beforehand   mean (min - max)      wrong   right labels")
for share, *row in zip(shares, ap, p_wrong, p_right, strict=True):
    found, high, low = row
    spread = f"{found.mean():.3f} ({found.min():.3f} - {found.max():.3f})"
    print(f"{share:10.0%}   {spread}   {high.mean():.2f}    {low.mean():.2f}")
print(f"\nminus mean margin: {aum:.3f}")

# %%
# Left: the ranking hardly suffers. A label that looks wrong stays more suspicious than one that
# does not, however many of its kind have passed for right. The plain mean margin does as well,
# though: on data this simple there is little for a detector to gain.
#
# Right: the probabilities do suffer. The more labels were wrong beforehand, the less sure is the
# detector of the wrong labels that it finds. Use such a detector to put labels in order, and do not
# take its probabilities at their word.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
curves = [(axes[0], ap, "tab:blue", "detector")]
curves += [
    (axes[1], p_wrong, "tab:red", "wrong labels"),
    (axes[1], p_right, "tab:blue", "right labels"),
]
for ax, values, color, label in curves:
    ax.plot(shares, values, "o", color=color, alpha=0.4, markersize=4)
    ax.plot(shares, values.mean(axis=1), color=color, label=label)
    ax.set(xlabel="share of labels wrong beforehand", xticks=shares)
axes[0].axhline(aum, color="tab:gray", linestyle="--", label="minus mean margin (AUM)")
axes[0].axhline(0.4, color="black", linestyle=":", label="chance")
axes[0].set(ylabel="average precision", ylim=(0.35, 1.01), title="ranking of the labels")
axes[1].set(ylabel="mean P(wrong)", ylim=(0, 1), title="what the detector says")
axes[0].legend(loc="center right")
axes[1].legend(loc="upper right")
plt.show()
