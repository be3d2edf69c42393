"""
Which epochs does the detector look at?
=======================================

`DynamicsLSTM` judges a label by the probability that a network gave to it in each epoch. Which
epochs count? Jia et al. 2023 ask LIME, and find the first half of training the most important. This
asks by occlusion: hide some epochs from the detector, and see how far its verdict moves.
"""

# %%
# Scikit-learn's digits with three labels in ten replaced by a wrong one, and what was recorded
# while a network trained on them; twice, with wrong labels of their own.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisyfit import DynamicsLSTM, DynamicsLSTMDetector
from noisyfit.metrics import average_precision
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
noise = transition_matrix("symmetric", n_classes=10, rate=0.3)
runs = []
for seed in range(2):
    y_given, is_wrong = corrupt_labels(y, noise, random_state=seed)
    run = DynamicsLSTMDetector(max_epochs=50, random_state=seed).record_run(X, y_given)
    runs.append((run.dynamics.relative_prob, is_wrong))

# %%
# Two kinds of detectors: the one that ships, which has learned from many runs of different lengths,
# and three as in the paper, each of which has learned from one run on one data set, here half of
# the digits with flips of its own.
detectors = {"shipped": [DynamicsLSTM.pretrained()], "of one run": []}
for seed in range(3):
    estimator = DynamicsLSTMDetector(max_epochs=50, random_state=10 + seed)
    detectors["of one run"].append(estimator.fit_detector(X[::2], y[::2], rate=0.3))

# %%
# A window of ten epochs is hidden in two ways. *Interpolated*: the epochs are set to NaN, and the
# detector draws a straight line from the epoch before to the one after. That takes away detail and
# leaves the level. *Replaced*: they are set to the mean over all rows. That takes away the level as
# well, but makes up a sequence that no label had, with a leap at its ends.
WIDTH, N_EPOCHS = 10, 50
starts = np.arange(0, N_EPOCHS - WIDTH + 1, 5)


def hide(sequences, start, stop, way="interpolated"):
    """Return a copy of the sequences without the epochs from start to stop."""
    hidden = sequences.copy()
    hidden[:, start:stop] = np.nan if way == "interpolated" else sequences.mean(axis=0)[start:stop]
    return hidden


def changes(detector, way):
    """Return how the mean P(wrong) of wrong and of right labels moves, for each window."""
    moved = np.zeros((2, len(starts)))
    for sequences, is_wrong in runs:
        p = detector.predict_proba(sequences)
        for i, start in enumerate(starts):
            change = detector.predict_proba(hide(sequences, start, start + WIDTH, way)) - p
            moved[:, i] += change[is_wrong].mean(), change[~is_wrong].mean()
    return moved / len(runs)


print("Change of the mean P(wrong) of wrong labels, by the epochs that were hidden")
print(" " * 24 + "".join(f"{f'{start + 1}-{start + WIDTH}':>8s}" for start in starts))
replaced = {}
for kind, members in detectors.items():
    for way in ("interpolated", "replaced"):
        moved = replaced[kind] = np.array([changes(detector, way) for detector in members])
        for of_wrong, _ in moved:
            print(f"{kind:11s} {way:12s}" + "".join(f"{change:+8.3f}" for change in of_wrong))

# %%
# Does it matter for the ranking? Now the detector that ships is shown the first epochs only, or the
# last ones only; the nearest of them stands for all others.
(shipped,) = detectors["shipped"]
shown = [2, 3, 5, 10, 15, 20, 25, 30, 40, 50]
ranking = {"first": [], "last": []}
for k in shown:
    for part, hidden in {"first": (k, N_EPOCHS), "last": (0, N_EPOCHS - k)}.items():
        p = [(wrong, shipped.predict_proba(hide(seen, *hidden))) for seen, wrong in runs]
        ranking[part].append(np.mean([average_precision(*pair) for pair in p]))

print("\nAverage precision of the detector that ships")
print("epochs shown   " + "".join(f"{k:>6d}" for k in shown))
for part, values in ranking.items():
    print(f"the {part:11s}" + "".join(f"{value:6.3f}" for value in values))

# %%
# Left: wrong labels stand apart from right ones after very few epochs, and come up slowly as the
# network begins to learn them by heart.
#
# Middle: interpolation, in the table, moves next to nothing. The sequences are smooth, so that the
# neighbours of a window tell what was in it. Replacement moves more, but where depends on the
# detector. The one that ships minds the late epochs of wrong labels more than their early ones. The
# three of one run, though trained alike, do not even agree with each other. So this way of asking
# tells about one detector, not about training dynamics.
#
# Right: the ranking. The first half alone ranks almost as well as all epochs, and if anything
# better than the last half. That is as far as the paper's finding holds here. Both halves know
# nearly everything: on data this simple a handful of epochs, from either end, is enough to find
# most wrong labels.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
colors = {"wrong labels": "tab:red", "right labels": "tab:blue"}
epochs, middle = np.arange(1, N_EPOCHS + 1), starts + (WIDTH + 1) / 2
sequences, is_wrong = runs[0]
for i, (name, color) in enumerate(colors.items()):
    rows = is_wrong if i == 0 else ~is_wrong
    low, high = np.quantile(sequences[rows], [0.25, 0.75], axis=0)
    axes[0].fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
    axes[0].plot(epochs, sequences[rows].mean(axis=0), color=color, label=name)
    for kind, dashes in {"shipped": "-", "of one run": ":"}.items():
        lines = axes[1].plot(middle, replaced[kind][:, i].T, dashes, color=color)
        lines[0].set_label(f"{kind}, {name}")
for part, values in ranking.items():
    axes[2].plot(shown, values, "o-", markersize=4, label=f"the {part} epochs only")
axes[0].set(xlabel="epoch", ylim=(0, 1), title="probability against the strongest rival")
axes[1].set(xlabel="middle of the replaced epochs", title="change of the mean P(wrong)")
axes[2].set(xlabel="number of epochs shown", ylim=(0.95, 1), title="average precision (shipped)")
for ax in axes:
    ax.legend(fontsize=8)
plt.show()
