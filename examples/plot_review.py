"""
Look at the worst labels, correct them, fit again
=================================================

A fit says which labels it doubts. Here somebody looks at the first of them, decides, and the
decisions go back into the labels: the next fit starts from better ones. The reviewer is played by
the true labels of scikit-learn's digits, of which one in five was replaced by a random other one.
"""

# %%
# 1,297 digits for training, 500 to test on, and an error in every fifth label.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import MILDSelector
from noisyfit.display import NoiseScoreDisplay, SuspiciousImagesDisplay
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import apply_review, label_report

digits = load_digits()
images = (digits.images[:, None] * 15).astype(np.uint8)
X, X_test, y_true, y_test = train_test_split(
    images.reshape(len(images), -1), digits.target, test_size=500, random_state=0
)
y = corrupt_labels(y_true, transition_matrix("symmetric", 10, 0.2), random_state=0).labels

est = MILDSelector(random_state=0).fit(X, y)
print(est.summary())
print(f"\nIn truth {np.mean(y != y_true):.1%} are wrong.")

# %%
# The scores fall into two heaps. The images in the upper one, with their label and what the network
# takes them for:
NoiseScoreDisplay.from_estimator(est)

order = np.argsort(-est.noise_scores_)[:24]
titles = [f"{a} -> {b}" for a, b in zip(y[order], est.predict(X[order]), strict=True)]
SuspiciousImagesDisplay(X[order].reshape(-1, 8, 8), titles).plot()
plt.show()

# %%
# The same as a table, with a reason for each.
report = label_report(est, X, y)
print(report.head(8)[["row", "given", "suggested", "noise_score", "reason"]].to_string(index=False))

# %%
# A review of 150 rows. Rows whose label is right are kept, the others get the right
# one; all of them are trusted from now on.
decisions = [
    {"row": row, "decision": "keep"}
    if y[row] == y_true[row]
    else {"row": row, "decision": "relabel", "label": y_true[row]}
    for row in report.row[:150]
]
review = apply_review(y, decisions)
again = MILDSelector(random_state=0).fit(X, review.labels, trusted=review.trusted)

for name, labels, fit in (("before", y, est), ("after", review.labels, again)):
    wrong = np.mean(labels != y_true)
    print(f"{name}: {wrong:.1%} of the labels wrong, accuracy {fit.score(X_test, y_test):.3f}")
n_found = sum(entry["decision"] == "relabel" for entry in decisions)
print(f"{n_found} of the 150 rows that were looked at had a wrong label")
