"""
How many labels are wrong: early losses against late ones
=========================================================

A network learns right labels first, and given enough epochs it learns the wrong ones by heart. By
how much the loss of a row falls in between tells the two apart, and how many there are of each.
This draws what Figure 5 of Yang et al. 2021 shows, on scikit-learn's digits.
"""

# %%
# Plain training until everything is memorised, with three labels in ten drawn at random, and the
# losses of all rows in every epoch.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisyfit import DynamicsLSTMDetector
from noisyfit.label_quality import estimate_noise_rate, loss_gap_noise_rate
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
noise = transition_matrix("symmetric", n_classes=10, rate=0.3)
y_given, is_wrong = corrupt_labels(y, noise, random_state=0)
network = {"max_epochs": 80, "optimizer__weight_decay": 0, "random_state": 0}
estimator = DynamicsLSTMDetector(record=("loss", "correct"), **network)
dynamics = estimator.record_run(X, y_given).dynamics
last = dynamics.loss[:, -1]
print(
    f"{is_wrong.mean():.1%} of the labels are wrong, and {np.mean(last < 0.1):.0%} are memorised."
)

# %%
# The estimate of the paper (Eq. 8) takes the loss of one early and of the last epoch, and splits
# their differences by a mixture of two normals. `estimate_noise_rate`, which `DLTClassifier` uses,
# looks for the early stage itself, works on square roots, which are nearly normal, and says how far
# apart the two groups are.
early = dynamics.loss[:, dynamics.n_epochs // 10]
to_the_letter = loss_gap_noise_rate(early, last, posterior="mixture")
found = estimate_noise_rate(dynamics, random_state=0)
print(f"Eq. 8 to the letter finds {to_the_letter:.1%}, estimate_noise_rate {found.rate:.1%},")
print("  from {:.1%} to {:.1%}".format(*found.interval), f"(separation {found.separation:.1f})")

# %%
# Left, the mean loss of right and of wrong labels over the epochs; half of the rows lie within the
# band. Right, the gap between the early epoch and the last one.
figure, (over_time, gaps) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
epochs = np.arange(1, dynamics.n_epochs + 1)
for name, rows, color in (("right", ~is_wrong, "C0"), ("wrong", is_wrong, "C3")):
    loss = dynamics.loss[rows]
    over_time.plot(epochs, loss.mean(axis=0), color=color, label=f"{name} labels")
    over_time.fill_between(epochs, *np.quantile(loss, [0.25, 0.75], axis=0), color=color, alpha=0.2)
    gaps.hist(early[rows] - last[rows], bins=30, color=color, alpha=0.6, label=f"{name} labels")
over_time.set(xlabel="epoch", ylabel="loss")
gaps.set(xlabel="early loss less late loss", ylabel="rows")
gaps.legend(frameon=False)
plt.show()
