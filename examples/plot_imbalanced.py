"""
Rare classes and wrong labels: an imbalanced-learn pipeline
===========================================================

Oversampling a rare class copies its wrong labels along. Every estimator here is a *sampler* as
well: `fit_resample` returns the rows that it keeps, so that it may stand in a pipeline of
imbalanced-learn, before the oversampling. A rare class never vanishes: a tenth of it is kept at
least.
"""

# %%
# Three classes of 78, 16 and 6 %, and labels of which a fifth is wrong. One wrong label in five of
# the large class means that most rows with the label of the rarest one are wrong.
import matplotlib.pyplot as plt
import numpy as np
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.display import TransitionMatrixDisplay
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = make_classification(
    n_samples=5_000,
    n_features=15,
    n_informative=8,
    n_classes=3,
    n_clusters_per_class=1,
    weights=[0.78, 0.16],
    class_sep=1.5,
    flip_y=0,
    random_state=0,
)
X, X_test, y, y_test = train_test_split(X, y, test_size=2_000, stratify=y, random_state=0)
y_given, is_wrong = corrupt_labels(y, transition_matrix("symmetric", 3, 0.2), random_state=0)
print("class   rows   labels with its name   of them wrong")
for c in range(3):
    named = y_given == c
    print(f"{c:5d}  {np.sum(y == c):5d}  {named.sum():21d}  {is_wrong[named].mean():14.1%}")

# %%
# Three classifiers behind SMOTE: with all rows, with the rows that a method keeps, and with the
# right labels, for comparison. Balanced accuracy is the mean of the recalls of the classes.
finals = {
    "nearest neighbours": KNeighborsClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    "random forest": RandomForestClassifier(random_state=0, n_jobs=1),
}
samplers = {
    "all labels": [],
    "MILD": [MILDSelector(random_state=0)],
    "DLT": [DLTClassifier(max_epochs=25, random_state=0)],
}
recalls, names = {}, [*samplers, "right labels"]
print("\nbalanced accuracy  " + "".join(f"{name:>14s}" for name in names))
for final, classifier in finals.items():
    for name in names:
        pipeline = make_pipeline(*samplers.get(name, []), SMOTE(random_state=0), classifier)
        pipeline.fit(X, y if name == "right labels" else y_given)
        predicted = pipeline.predict(X_test)
        recalls[final, name] = recall_score(y_test, predicted, average=None)
    means = (recalls[final, name].mean() for name in names)
    print(f"{final:19s}" + "".join(f"{mean:14.3f}" for mean in means))

# %%
# Left, the recalls of gradient boosting: leaving rows out pays in the large class, whose rows are
# no longer taken for rare ones, and costs in the rarest, where rightly labelled rows look odd and
# are left out, too. Right, which true class was given which label by the estimate of a step in such
# a pipeline. Nearest neighbours gain most. A random forest averages wrong labels away by itself,
# and loses by the rows that are left out: try both.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
width = 0.8 / len(names)
for i, name in enumerate(names):
    left.bar(np.arange(3) + i * width, recalls["gradient boosting", name], width, label=name)
left.set(xticks=np.arange(3) + 0.4 - width / 2, xlabel="class", ylabel="recall", ylim=(0.5, 1))
left.set_xticklabels(["0 (78 %)", "1 (16 %)", "2 (6 %)"])
left.legend(loc="lower left", fontsize=8)
TransitionMatrixDisplay.from_estimator(MILDSelector(random_state=0).fit(X, y_given), ax=right)
plt.show()
