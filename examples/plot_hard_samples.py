"""
Hard samples are not wrong labels
=================================

A row that is labelled rightly may look odd all the same, and then its loss is larger than that of
others. Does a detector that goes by losses throw it out, as if its label were wrong? This repeats
the experiment of Yang et al. 2021, Section 3.3 and Figure 7, on scikit-learn's digits: wrong
labels, as many hard rows as there are clean ones, and the losses of all three groups while
`DLTClassifier` trains.
"""

# %%
# Images of 8 x 8 pixels, and labels of which four in ten are replaced by a wrong one.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.modules import ConvNet
from noisyfit.noise import corrupt_labels, hard_samples, transition_matrix

digits = load_digits()
images = (digits.images[:, None] * (255 / 16)).astype(np.uint8)
X, X_test, y, y_test = train_test_split(
    images, digits.target, stratify=digits.target, random_state=0
)
noise = transition_matrix("symmetric", n_classes=10, rate=0.4)
y_given, is_wrong = corrupt_labels(y, noise, random_state=1)
X_clean, y_clean = X[~is_wrong], y[~is_wrong]

# %%
# A hard copy of every clean row, of two kinds. "incomplete" crops, turns and erases; so few pixels
# leave little to take away, hence half of the default strength. "adversarial" moves each pixel by a
# tenth of its range towards the wrong side of a network that was trained on true labels.
attacked = MILDSelector(ConvNet, module__width=8, rounds=1, max_epochs=15, random_state=0)
attacked.fit(X, y)
hard = {
    "incomplete": hard_samples(X_clean, y_clean, "incomplete", strength=0.25, random_state=0),
    "adversarial": hard_samples(X_clean, y_clean, "adversarial", model=attacked, epsilon=0.1),
}

print("How hard? Accuracy of the network that was trained on true labels")
for kind, X_of_kind in {"originals": X_clean, **hard}.items():
    print(f"  {kind:12s} {attacked.score(X_of_kind, y_clean):.3f}")

figure, axes = plt.subplots(3, 10, figsize=(9, 3.2))
for row, (kind, X_of_kind) in zip(axes, {"original": X_clean, **hard}.items(), strict=True):
    row[0].set_title(kind, loc="left", fontsize=10)
    for ax, image in zip(row, X_of_kind, strict=False):
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255)
        ax.set_axis_off()
figure.tight_layout()

# %%
# One fit for each kind, on the clean, the noisy and the hard rows together. ``dynamics_`` has the
# loss of every row in every epoch, taken before the update.
fitted = {}
for kind, X_hard in hard.items():
    X_train, y_train = np.concatenate([X, X_hard]), np.concatenate([y_given, y_clean])
    estimator = DLTClassifier(ConvNet, module__width=8, max_epochs=30, random_state=0)
    fitted[kind] = estimator.fit(X_train, y_train)

is_original = np.arange(len(X) + len(X_clean)) < len(X)
is_noisy = np.concatenate([is_wrong, np.zeros(len(X_clean), dtype=bool)])
groups = {"noisy": is_noisy, "hard": ~is_original, "clean": is_original & ~is_noisy}

# %%
# How many of each group are kept? The hard rows should go with the clean ones.
for kind, estimator in fitted.items():
    print(f"\n{kind}: {is_noisy.mean():.1%} wrong labels, {estimator.noise_rate_:.1%} estimated")
    print("  group   rows   kept   mean loss in the last epoch")
    for name, rows in groups.items():
        kept, loss = estimator.clean_mask_[rows].mean(), estimator.dynamics_.loss[rows, -1].mean()
        print(f"  {name:6s} {rows.sum():5d}  {kept:5.1%}   {loss:.2f}")
    print(f"  accuracy on test rows: {estimator.score(X_test, y_test):.3f}")

# %%
# Figure 7: the mean loss of each group over the epochs; half of its rows lie within the band. The
# first fifth of the epochs is warm-up, in which nothing is split yet.
colors = {"noisy": "tab:red", "hard": "tab:orange", "clean": "tab:blue"}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, (kind, estimator) in zip(axes, fitted.items(), strict=True):
    for name, rows in groups.items():
        loss = estimator.dynamics_.loss[rows]
        epochs = np.arange(1, loss.shape[1] + 1)
        low, high = np.quantile(loss, [0.25, 0.75], axis=0)
        ax.fill_between(epochs, low, high, color=colors[name], alpha=0.2, linewidth=0)
        ax.plot(epochs, loss.mean(axis=0), color=colors[name], label=name)
    ax.set(title=f"hard rows: {kind}", xlabel="epoch", ylim=(0, None))
axes[0].set_ylabel("cross-entropy of the given label (nats)")
axes[0].legend(loc="center right")
plt.show()
