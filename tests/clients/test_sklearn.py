"""scikit-learn: its ensembles, searches, routed parameters, and its looks at a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from _trial import ESTIMATORS, GIVEN, MILD, TRUE, TRUSTED, X, client, every_estimator
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
    learning_curve,
    permutation_test_score,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

pytestmark = [
    pytest.mark.slow,
    client("scikit-learn"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]

LEARNED = 0.9
"""Accuracy on the true labels that four epochs reach by far."""


def named(*estimators):
    return [(f"{type(est).__name__}{i}", clone(est)) for i, est in enumerate(estimators)]


@every_estimator
def test_bagging(est):
    """`BaggingClassifier(est)`: its parts see other rows each, and differ."""
    bag = BaggingClassifier(clone(est), 2, random_state=0).fit(X, GIVEN)
    assert bag.score(X, TRUE) > LEARNED
    one, other = (part.predict_proba(X) for part in bag.estimators_)
    assert np.abs(one - other).max() > 0.01


@every_estimator
def test_adaboost(est):
    """`AdaBoostClassifier(est)`, which passes weights to `fit`."""
    boosted = AdaBoostClassifier(clone(est), n_estimators=2, random_state=0).fit(X, GIVEN)
    assert boosted.score(X, TRUE) > LEARNED


def test_voting():
    """`VotingClassifier` of all of them, `voting="soft"`."""
    vote = VotingClassifier(named(*ESTIMATORS), voting="soft").fit(X, GIVEN)
    mean = np.mean([est.predict_proba(X) for est in vote.estimators_], axis=0)
    np.testing.assert_allclose(vote.predict_proba(X), mean)
    assert vote.score(X, TRUE) > LEARNED


def test_stacking():
    """`StackingClassifier` of all of them."""
    stack = StackingClassifier(named(*ESTIMATORS), LogisticRegression(), cv=2).fit(X, GIVEN)
    assert stack.score(X, TRUE) > LEARNED


@pytest.mark.xfail(
    raises=TypeError,
    reason="StackingClassifier hands what is routed to its final estimator as well, which takes no "
    "trusted rows",
)
def test_stacking_with_trusted():
    """`StackingClassifier.fit(X, y, trusted=mask)` with metadata routing."""
    with sklearn.config_context(enable_metadata_routing=True):
        stack = StackingClassifier(named(MILD), LogisticRegression(), cv=2)
        stack.fit(X, GIVEN, trusted=TRUSTED)


@every_estimator
def test_calibrated(est):
    """`CalibratedClassifierCV(est)`, and of `FrozenEstimator(fitted)`."""
    within = CalibratedClassifierCV(clone(est), cv=2).fit(X, GIVEN)
    after = CalibratedClassifierCV(FrozenEstimator(clone(est).fit(X, GIVEN))).fit(X, TRUE)
    assert within.score(X, TRUE) > LEARNED
    assert after.score(X, TRUE) > LEARNED


@every_estimator
def test_of_two_classes(est):
    """`OneVsRestClassifier`, `OneVsOneClassifier` and `OutputCodeClassifier`."""
    for ensemble in (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier):
        assert ensemble(clone(est)).fit(X, GIVEN).score(X, TRUE) > 0.8, ensemble.__name__


@every_estimator
def test_several_outputs(est):
    """`MultiOutputClassifier` and `ClassifierChain`."""
    both = np.column_stack([GIVEN, GIVEN == 0])
    for ensemble in (MultiOutputClassifier, ClassifierChain):
        predicted = ensemble(clone(est)).fit(X, both).predict(X)
        assert np.mean(predicted[:, 0] == TRUE) > LEARNED, ensemble.__name__


@every_estimator
def test_self_training(est):
    """`SelfTrainingClassifier(est)`: a third of the labels is missing."""
    some = np.where(np.arange(len(X)) % 3 == 1, -1, GIVEN)
    trained = SelfTrainingClassifier(clone(est), max_iter=2).fit(X, some)
    assert trained.score(X, TRUE) > LEARNED


def test_tuned_threshold():
    """`TunedThresholdClassifierCV(est)` for two classes."""
    tuned = TunedThresholdClassifierCV(clone(MILD), cv=2).fit(X, GIVEN == 0)
    assert 0 <= tuned.best_threshold_ <= 1
    assert tuned.score(X, TRUE == 0) > 0.8


@every_estimator
def test_searches(est):
    """`GridSearchCV` and `HalvingGridSearchCV` over `max_epochs` and the network."""
    grid = {"max_epochs": [3, 5], "module__hidden": [(8,)]}
    for search in (
        GridSearchCV(clone(est), grid, cv=2),
        HalvingGridSearchCV(clone(est), grid, cv=2, min_resources=60, random_state=0),
    ):
        search.fit(X, GIVEN)
        assert search.best_params_["module__hidden"] == (8,)
        assert search.best_estimator_.predict(X).shape == GIVEN.shape


def test_halving_by_epochs():
    """`HalvingGridSearchCV(resource="max_epochs")`: more epochs for what is ahead."""
    grid = {"lr": [1e-6, 0.05], "rounds": [1]}
    search = HalvingGridSearchCV(
        clone(MILD), grid, cv=2, resource="max_epochs", min_resources=2, max_resources=4, factor=2
    ).fit(X, GIVEN)
    assert search.best_params_ == {"lr": 0.05, "max_epochs": 4, "rounds": 1}


@every_estimator
def test_learning_curve(est):
    """`learning_curve`."""
    sizes, _, test = learning_curve(
        clone(est), X, TRUE, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0
    )
    assert sizes.tolist() == [30, 60]
    assert test[-1].mean() > 0.8


def test_permutation_test():
    """`permutation_test_score`."""
    quick = clone(MILD).set_params(rounds=1)
    score, others, _ = permutation_test_score(quick, X, TRUE, cv=2, n_permutations=3)
    assert score > others.max()


@every_estimator
def test_permutation_importance(est):
    """`permutation_importance`: a column of noise does not matter."""
    wide = np.column_stack([X, np.random.default_rng(0).normal(size=len(X))])
    found = permutation_importance(clone(est).fit(wide, GIVEN), wide, TRUE, n_repeats=2)
    assert found.importances_mean[:2].max() > 0.2 > abs(found.importances_mean[2])


@every_estimator
def test_partial_dependence(est):
    """`partial_dependence` of an array."""
    found = partial_dependence(clone(est).fit(X, GIVEN), X, [0], grid_resolution=5)
    assert found["average"].shape == (3, 5)
    np.testing.assert_allclose(found["average"].sum(0), 1, atol=1e-5)


@pytest.mark.xfail(
    reason="scikit-learn writes the float64 values of its grid into the float32 columns of the "
    "frame, which pandas refuses; the same with its own classifiers"
)
def test_partial_dependence_of_float32():
    """`partial_dependence` of a pandas frame of float32."""
    frame = pd.DataFrame(X.astype(np.float32), columns=["a", "b"])
    partial_dependence(clone(MILD).fit(frame, GIVEN), frame, ["a"], grid_resolution=5)


def test_sequential_feature_selection():
    """`SequentialFeatureSelector(est)`."""
    wide = np.column_stack([np.random.default_rng(0).normal(size=(len(X), 2)), X])
    quick = clone(MILD).set_params(rounds=1)
    chosen = SequentialFeatureSelector(quick, n_features_to_select=1, cv=2).fit(wide, TRUE)
    assert chosen.get_support()[2:].any()


@pytest.mark.parametrize("selector", [RFE, SelectFromModel])
def test_selection_by_coefficients(selector, refused):
    """`{selector.__name__}(est)`: a network has no `coef_`."""
    with refused((ValueError, AttributeError), match="coef_"):
        selector(clone(MILD)).fit(X, GIVEN).transform(X)


@every_estimator
@pytest.mark.parametrize("name", ["trusted", "sample_weight"])
def test_routing(est, name):
    """`cross_validate(make_pipeline(StandardScaler(), est), params=...)` with `{name}` routed."""
    values = {"trusted": TRUSTED, "sample_weight": np.linspace(0.5, 1.5, len(X))}[name]
    with sklearn.config_context(enable_metadata_routing=True):
        requested = clone(est).set_fit_request(**{name: True})
        if name == "sample_weight":
            requested.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, requested)
        found = cross_validate(
            pipeline, X, GIVEN, cv=2, params={name: values}, return_estimator=True,
            return_indices=True, error_score="raise",
        )  # fmt: skip
    for fitted, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        alone = make_pipeline(StandardScaler(), clone(est))
        alone.fit(X[rows], GIVEN[rows], **{f"{type(est).__name__.lower()}__{name}": values[rows]})
        np.testing.assert_array_equal(fitted.predict_proba(X), alone.predict_proba(X))


@every_estimator
def test_search_with_trusted(est):
    """`GridSearchCV.fit(X, y, trusted=mask)`: cut into folds, and whole for the last fit."""
    search = GridSearchCV(clone(est), {"max_epochs": [3, 4]}, cv=2)
    search.fit(X, GIVEN, trusted=TRUSTED)
    np.testing.assert_array_equal(search.best_estimator_.trusted_mask_, TRUSTED)
