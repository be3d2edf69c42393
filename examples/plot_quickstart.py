"""
Find the wrong labels of a data set
===================================

Four in ten labels of scikit-learn's digits are replaced by a wrong one. One fit says which, and
how many, and predicts as if they were not there.
"""

# %%
# Corrupt the labels of the training rows, and remember which, to check the answer later.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import ConsensusClassifier, DLTClassifier
from noisyfit.display import NoiseScoreDisplay, SuspiciousImagesDisplay
from noisyfit.metrics import auroc, mask_f1
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
noise = transition_matrix("symmetric", n_classes=10, rate=0.4)
y_given, is_wrong = corrupt_labels(y_train, noise, random_state=1)

# %%
# One fit. Nothing is told about the noise, and no clean label is seen.
classifier = ConsensusClassifier(random_state=0, verbose=1).fit(X_train, y_given)

low, high = classifier.noise_rate_interval_
print(f"\nWrong labels: {is_wrong.mean():.1%} in truth, {classifier.noise_rate_:.1%} estimated")
print(f"(between {low:.1%} and {high:.1%}, by what is assumed of hard rows)")

# %%
# Which labels are wrong? The scores rank them, the mask decides, corrected labels are suggested.
ranking = classifier.noise_scores_.argsort()[::-1]
print("\nMost suspicious rows\n  row  score  given  suggested  true")
for row in ranking[:5]:
    score, suggested = classifier.noise_scores_[row], classifier.corrected_labels_[row]
    print(f"{row:5d}  {score:.3f}  {y_given[row]:5d}  {suggested:9d}  {y_train[row]:4d}")

print(f"\nAUROC of the scores: {auroc(is_wrong, classifier.noise_scores_):.4f}")
print(f"F1 of the rejected rows: {mask_f1(is_wrong, ~classifier.clean_mask_):.3f}")
before, after = (y_given == y_train).mean(), (classifier.corrected_labels_ == y_train).mean()
print(f"Right training labels: {before:.1%} given, {after:.1%} corrected")

# %%
# How much better does it predict than the same network trained plainly, for as many epochs? Plain
# training is DLT that is told of no noise and never leaves its warm-up.
epochs = classifier.max_epochs
settings = {"noise_rate": 0.0, "warmup_epochs": epochs, "ramp_epochs": 0, "judge_epochs": 0}
settings["random_state"] = 0
plain = DLTClassifier(**settings).fit(X_train, y_given)
oracle = DLTClassifier(**settings).fit(X_train[~is_wrong], y_train[~is_wrong])

print("\nAccuracy on clean test rows")
print(f"  plain training      {plain.score(X_test, y_test):.3f}")
print(f"  ConsensusClassifier {classifier.score(X_test, y_test):.3f}")
print(f"  clean rows only     {oracle.score(X_test, y_test):.3f}")

# %%
# The scores fall into two heaps, and the images at the upper end show why.
NoiseScoreDisplay.from_estimator(classifier, is_noisy=is_wrong)
n_right = (classifier.corrected_labels_ == y_train)[ranking[:16]].sum()
print(f"\nOf the suggestions for the 16 most suspicious labels {n_right} are right")
titles = [f"{y_given[row]} -> {classifier.corrected_labels_[row]}" for row in ranking[:16]]
SuspiciousImagesDisplay(X_train[ranking[:16]].reshape(-1, 8, 8), titles).plot()
plt.show()
