"""
A table in a Pipeline, tuned by a grid search
=============================================

A data frame with numbers, categories and gaps, and labels of which a quarter is wrong: the
preparation and the network stand in one `Pipeline`, and `GridSearchCV` chooses the settings. It can
only score on the labels that there are, wrong ones included; what that does to the choice is
shown beside the accuracy on right labels.
"""

# %%
# Two moons as a customer table: a category, a column with gaps, two numbers.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_moons
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from noisyfit import MILDSelector
from noisyfit.display import NoiseScoreDisplay
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix

rng = np.random.default_rng(0)
points, moon = make_moons(1_500, noise=0.1, random_state=0)
table = pd.DataFrame(
    {
        "income": np.exp(points[:, 0]),
        "age": np.where(rng.random(1_500) < 0.1, np.nan, points[:, 1]),
        "visits": points[:, 1] + 0.1 * rng.normal(size=1_500),
        "region": rng.choice(["north", "south", "west"], size=1_500),
    }
)
label = np.array(["stays", "leaves"])[moon]
X, X_test, y_true, y_test = train_test_split(table, label, test_size=500, random_state=0)
noise = transition_matrix("symmetric", n_classes=2, rate=0.25)
y, is_wrong = corrupt_labels(y_true, noise, random_state=0)

# %%
# The network's own settings are parameters like any other, with a double underscore.
prepare = make_column_transformer(
    (SimpleImputer(add_indicator=True), ["income", "age", "visits"]), (OneHotEncoder(), ["region"])
)
pipeline = make_pipeline(prepare, MILDSelector(MLP, rounds=1, max_epochs=25, random_state=0))
search = GridSearchCV(
    pipeline,
    {
        "mildselector__module__hidden": [(), (128, 128)],
        "mildselector__lr": [0.01, 0.1],
    },
    cv=2,
).fit(X, y)

found = pd.DataFrame(search.cv_results_)
columns = [c for c in found if c.startswith("param_")]
found["on true labels"] = [
    search.best_estimator_.set_params(**params).fit(X, y).score(X_test, y_test)
    for params in found.params
]
shown = found[[*columns, "mean_test_score", "on true labels"]]
print(shown.rename(columns=lambda name: name.split("__")[-1]).round(3).to_string(index=False))

# %%
# The last step of the best pipeline has the scores of all training labels.
best = search.best_estimator_.set_params(**search.best_params_).fit(X, y)
classifier = best[-1]
print(classifier.summary())
print(f"in truth {is_wrong.mean():.1%} are wrong")
NoiseScoreDisplay.from_estimator(classifier, is_noisy=is_wrong)
plt.show()
