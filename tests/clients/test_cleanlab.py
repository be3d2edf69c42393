"""cleanlab: its CleanLearning around an estimator, and its functions on what one predicts."""

from __future__ import annotations

import numpy as np
import pytest
from _trial import GIVEN, MILD, TRUE, X, client, every_estimator
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from noisyfit.metrics import auroc

pytestmark = [
    pytest.mark.slow,
    client("cleanlab"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


@every_estimator
def test_clean_learning(est):
    """`CleanLearning(clf=est).fit(X, y)`: the estimator is its classifier."""
    classification = pytest.importorskip("cleanlab.classification")
    learning = classification.CleanLearning(clf=clone(est), cv_n_folds=3, verbose=False)
    learning.fit(X, GIVEN)
    issues = learning.get_label_issues()
    assert auroc(GIVEN != TRUE, -issues["label_quality"].to_numpy()) > 0.9
    assert isinstance(learning.clf, type(est))
    assert np.mean(learning.predict(X) == TRUE) > 0.9


@every_estimator
def test_find_label_issues(est):
    """`filter.find_label_issues` on `cross_val_predict(est, ..., method="predict_proba")`."""
    find = pytest.importorskip("cleanlab.filter").find_label_issues
    out_of_fold = cross_val_predict(clone(est), X, GIVEN, cv=3, method="predict_proba")
    found = find(GIVEN, out_of_fold)
    assert np.mean(GIVEN[found] != TRUE[found]) > 0.8


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # cleanlab's own call of pandas
def test_datalab():
    """`Datalab(...).find_issues(pred_probs=est.predict_proba(X))`."""
    lab = pytest.importorskip("cleanlab.datalab.datalab")
    pytest.importorskip("datasets")
    data = {"x": X.tolist(), "y": GIVEN.tolist()}
    lab = lab.Datalab(data, label_name="y", verbosity=0)
    lab.find_issues(
        pred_probs=clone(MILD).fit(X, GIVEN).predict_proba(X), issue_types={"label": {}}
    )
    scores = lab.get_issues("label")["label_score"].to_numpy()
    assert auroc(GIVEN != TRUE, -scores) > 0.9
