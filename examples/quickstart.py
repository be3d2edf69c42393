"""
Find the wrong labels of a data set
===================================

Four in ten labels of scikit-learn's digits are replaced by a wrong one. One fit says which, and
how many, and predicts as if they were not there.
"""

# %%
# Corrupt the labels of the training rows, and remember which, to check the answer later.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import MILDSelector
from noisyfit.metrics import auroc, mask_f1
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
noise = transition_matrix("symmetric", n_classes=10, rate=0.4)
y_given, is_wrong = corrupt_labels(y_train, noise, random_state=1)

# %%
# One fit. Nothing is told about the noise, and no clean label is seen.
selector = MILDSelector(random_state=0, verbose=1).fit(X_train, y_given)

print(f"\nWrong labels: {is_wrong.mean():.1%} in truth, {selector.noise_rate_:.1%} estimated")
print(f"Rounds: {selector.n_rounds_}; {selector.termination_}")

# %%
# Which labels are wrong? The scores rank them, the mask decides, corrected labels are suggested.
ranking = selector.noise_scores_.argsort()[::-1]
print("\nMost suspicious rows\n  row  score  given  suggested  true")
for row in ranking[:5]:
    score, suggested = selector.noise_scores_[row], selector.corrected_labels_[row]
    print(f"{row:5d}  {score:.3f}  {y_given[row]:5d}  {suggested:9d}  {y_train[row]:4d}")

print(f"\nAUROC of the scores: {auroc(is_wrong, selector.noise_scores_):.4f}")
print(f"F1 of the rejected rows: {mask_f1(is_wrong, ~selector.clean_mask_):.3f}")
before, after = (y_given == y_train).mean(), (selector.corrected_labels_ == y_train).mean()
print(f"Right training labels: {before:.1%} given, {after:.1%} corrected")

# %%
# How much better does it predict than the same network trained plainly, for as many epochs?
epochs = selector.n_rounds_ * selector.max_epochs
plain = MILDSelector(rounds=1, max_epochs=epochs, random_state=0).fit(X_train, y_given)
oracle = MILDSelector(rounds=1, max_epochs=epochs, random_state=0)
oracle.fit(X_train[~is_wrong], y_train[~is_wrong])

print("\nAccuracy on clean test rows")
print(f"  plain training     {plain.score(X_test, y_test):.3f}")
print(f"  MILDSelector       {selector.score(X_test, y_test):.3f}")
print(f"  clean rows only    {oracle.score(X_test, y_test):.3f}")
