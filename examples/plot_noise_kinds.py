"""
Kinds of wrong labels, and which are hard to find
=================================================

Thirty wrong labels in a hundred may mean very different things. `noisyfit.noise` makes the kinds
that the literature works with, each with a seed and the mask of what it changed. This shows their
transition matrices, and how well one and the same fit finds each kind.
"""

# %%
# Symmetric: any other class. Pair: always the next class. Asymmetric: some classes become one other
# class, as people mistake them. Superclass: any class of the same group. Instance-dependent: the
# more a row looks like another class, the likelier it is called so.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DLTClassifier
from noisyfit.display import TransitionMatrixDisplay
from noisyfit.metrics import auroc, mask_f1
from noisyfit.noise import corrupt_labels, instance_dependent_noise, transition_matrix

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=450, stratify=y, random_state=0)
looks_like = {1: 7, 3: 8, 5: 6, 9: 4}
groups = [0, 1, 1, 2, 3, 2, 0, 1, 2, 3]  # 0 and 6; 1, 2 and 7; 3, 5 and 8; 4 and 9

matrices = {
    "symmetric": transition_matrix("symmetric", 10, 0.3),
    "pair": transition_matrix("pair", 10, 0.3),
    "asymmetric": transition_matrix("asymmetric", 10, 0.3, mapping=looks_like),
    "superclass": transition_matrix("superclass", 10, 0.3, superclasses=groups),
}
given = {name: corrupt_labels(y, T, random_state=0) for name, T in matrices.items()}
given["instance"] = instance_dependent_noise(X, y, 0.3, random_state=0)

# %%
# One fit with the defaults for each. Asymmetric errors are fewer, as six of the classes have none.
print("kind         wrong   estimated   AUROC    F1   test accuracy")
fitted = {}
for name, (labels, is_wrong) in given.items():
    est = fitted[name] = DLTClassifier(max_epochs=30, random_state=0).fit(X, labels)
    print(
        f"{name:12s} {is_wrong.mean():.1%}    {est.noise_rate_:.1%}      "
        f"{auroc(is_wrong, est.noise_scores_):.3f}   {mask_f1(is_wrong, ~est.clean_mask_):.3f}   "
        f"{est.score(X_test, y_test):.3f}"
    )

# %%
# Above, what was done to the labels; below, what the fit says about it, knowing nothing. Errors
# that follow a rule are harder than those that are scattered, since a rule can be learned.
figure, axes = plt.subplots(2, 5, figsize=(15, 6.4), layout="constrained")
for (top, bottom), (name, (labels, _)) in zip(axes.T, given.items(), strict=True):
    TransitionMatrixDisplay.from_predictions(labels, y, ax=top)
    TransitionMatrixDisplay.from_estimator(fitted[name], ax=bottom)
    top.set(title=name, xlabel="", ylabel="true class" if name == "symmetric" else "")
    if name != "symmetric":
        bottom.set_ylabel("")
plt.show()
