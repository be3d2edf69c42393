"""
Wrong labels among classes that look alike
==========================================

Who labels by hand mistakes a 3 for an 8, not for a 1. Such labels are harder to find than labels
that are wrong at random: the network, too, takes the two classes for much the same. Jia et al.
2023, Figure 7, compare detectors on labels that are flipped within groups of classes only. This
does so on scikit-learn's digits, with `DynamicsLSTMDetector` and two scores that need no detector.
"""

# %%
# Four groups of digits that are easily confused. Two labels in five are replaced: by any of the
# other nine digits, or by one of the same group.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisyfit import DynamicsLSTMDetector
from noisyfit.metrics import average_precision, precision_at_recall
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
groups = [(0, 6), (1, 2, 7), (3, 5, 8), (4, 9)]
group_of = np.empty(10, dtype=int)
for number, group in enumerate(groups):
    group_of[list(group)] = number

noises = {
    "any class": transition_matrix("symmetric", 10, 0.4),
    "same group": transition_matrix("superclass", 10, 0.4, superclasses=group_of),
}

# %%
# One fit gives three scores: the detector's in ``noise_scores_``, and two that are computed from
# ``dynamics_``, the records of the same run. The area under the margin (AUM) is the mean distance,
# in logits, between the given label and its strongest rival. The other one is the mean probability
# of the given label. Either is low for suspicious labels, hence the minus.
SEEDS = range(5)
metrics = {"average precision": average_precision, "precision at 95 % recall": precision_at_recall}
results = {(noise, metric): [] for noise in noises for metric in metrics}
for noise, matrix in noises.items():
    for seed in SEEDS:
        y_given, is_wrong = corrupt_labels(y, matrix, random_state=seed)
        est = DynamicsLSTMDetector(max_epochs=30, random_state=seed).fit(X, y_given)
        scores = {
            "detector": est.noise_scores_,
            "AUM": -est.dynamics_.aum(),
            "mean probability": -est.dynamics_.confidence(),
        }
        for name, metric in metrics.items():
            results[noise, name].append([metric(is_wrong, score) for score in scores.values()])

print("wrong label from   measure                    " + "".join(f"{s:>18s}" for s in scores))
for (noise, metric), values in results.items():
    means = "".join(f"{mean:18.3f}" for mean in np.mean(values, axis=0))
    print(f"{noise:18s} {metric:26s} {means}")

# %%
# Each dot is one draw of wrong labels, the bars are means. Where wrong labels come from any class,
# all three scores find nearly all of them. Where they come from the same group, all get worse, and
# the mean probability by far the most. A probability of 0.4 may be that of the class that the
# network prefers, or that of the second one beside it. The margin tells which. The detector reads
# the margin too, put through the logistic function, and stays about level with AUM: other than in
# the paper, it is not ahead here.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
at = np.arange(len(scores))
for ax, metric in zip(axes, metrics, strict=True):
    for noise, color, shift in [("any class", "tab:blue", -0.12), ("same group", "tab:red", 0.12)]:
        values = np.array(results[noise, metric])
        dots = ax.plot(values.T, at + shift, "o", color=color, alpha=0.4, markersize=5)
        dots[0].set_label(f"wrong label from {noise}")
        ax.plot(values.mean(axis=0), at + shift, "|", color=color, markersize=16)
    ax.set(xlabel=metric, yticks=at, yticklabels=list(scores), ylim=(len(scores) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
)
plt.show()
