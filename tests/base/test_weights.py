"""Weights of rows and classes: what they change, and that they change nothing else."""

import functools

import numpy as np
import pytest
import torch
from _estimators import QUICK, READERS, slow_but
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import AdaBoostClassifier, VotingClassifier
from sklearn.multioutput import MultiOutputClassifier
from torch import nn

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.base._row_choices import row_weights

NAMES = [type(est).__name__ for est in QUICK]
every_estimator = pytest.mark.parametrize("est", QUICK, ids=NAMES)


def blobs(n=120):
    X, y = make_blobs(n, centers=3, random_state=0, cluster_std=0.7)
    return X, y


def fitted(est, X, y, sample_weight=None, **params):
    trusted = np.arange(len(y)) % 4 == 0 if isinstance(est, MetaRelabelClassifier) else None
    est = clone(est).set_params(**{"max_epochs": 3, **params})
    return est.fit(X, y, trusted=trusted, sample_weight=sample_weight)


@functools.cache
def without_weights(est):
    """Return the estimator, fitted on blobs; not to be fitted again."""
    return fitted(est, *blobs())


class Linear(nn.Module):
    """A network without anything that depends on which rows make a batch."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.layer(x)


@every_estimator
@pytest.mark.parametrize("constant", [1.0, 7.0, 1e-6])
def test_equal_weights_are_none(est, constant):
    X, y = blobs()
    plain, weighted = without_weights(est), fitted(est, X, y, np.full(len(y), constant))
    np.testing.assert_allclose(weighted.noise_scores_, plain.noise_scores_, atol=1e-6)
    np.testing.assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-6)


WHOLE_BATCHES = [
    MILDSelector(rounds=1),
    DLTClassifier(noise_rate=0.0, mixup_alpha=0.0, lambda_prior=0.0, augment=None),
    DynamicsLSTMDetector(remove=0.0),
    DivideMixClassifier(
        division="dlt", noise_rate=0.0, mixup_alpha=0.0, lambda_prior=0.0, augment=None
    ),
]


@pytest.mark.parametrize("est", WHOLE_BATCHES, ids=[*NAMES[:3], NAMES[-1]])
def test_a_weight_of_two_is_a_row_that_is_there_twice(est):
    """scikit-learn's equivalence, exact where all rows are one batch, as in every method but the
    meta step, which compares the rows of a batch with each other."""
    X, y = blobs(60)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    often = 1 + np.arange(60) % 3
    whole = {"module": Linear, "batch_size": 200, "standardize": False, "random_state": 0}
    est = clone(est).set_params(**whole, max_epochs=20, lr=0.1)
    weighted = clone(est).fit(X, y, sample_weight=often).predict_proba(X)
    repeated = clone(est).fit(X.repeat(often, 0), y.repeat(often)).predict_proba(X)
    plain = clone(est).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)
    assert np.abs(plain - repeated).max() > 1e-3, "the weights make a difference"


@every_estimator
def test_rows_without_weight_teach_nothing(est):
    X, y = blobs(240)
    wrong = np.arange(240) % 2 == 1  # every other label is wrong, but nobody learns from them
    given = np.where(wrong, (y + 1) % 3, y)
    params = {"max_epochs": 12, "batch_size": 16}
    assert fitted(est, X, given, (~wrong).astype(float), **params).score(X, y) > 0.9
    if isinstance(
        est, (MetaRelabelClassifier, DLTClassifier, DivideMixClassifier)
    ):  # which find the right half
        return
    assert fitted(est, X, given, **params).score(X, y) < 0.8


@every_estimator
def test_class_weights_multiply_the_weights_of_rows(est):
    X, y = blobs()
    of_class = np.array([1.0, 3.0, 0.5])
    sample_weight = np.random.default_rng(0).random(len(y))
    one = fitted(est, X, y, sample_weight, class_weight=dict(enumerate(of_class)))
    other = fitted(est, X, y, sample_weight * of_class[y])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)
    names = np.array(["ant", "bee", "cat"])
    weights = dict(zip(names, of_class.tolist(), strict=True))
    named = fitted(est, X, names[y], sample_weight, class_weight=weights)
    np.testing.assert_allclose(one.predict_proba(X), named.predict_proba(X), atol=1e-6)


@every_estimator
def test_balanced_weights_find_a_rare_class(est):
    rng = np.random.default_rng(0)
    y = (np.arange(400) < 20).astype(int)
    X = rng.normal(size=(400, 2)) + 1.5 * y[:, None]
    epochs = 10 if isinstance(est, MetaRelabelClassifier) else 4  # trusted rows are balanced anyway
    recall = [
        fitted(est, X, y, class_weight=weights, max_epochs=epochs).predict(X)[y == 1].mean()
        for weights in (None, "balanced")
    ]
    assert recall[1] > recall[0] + 0.2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "inconsistent|shape"),
        (np.zeros(120), "finite sum above 0|at least one non-zero"),
        (np.full(120, -1.0), "[Nn]egative"),
        (np.full(120, np.nan), "NaN"),
        (np.full((120, 2), 1.0), "1D array"),
        (np.full(120, "a"), "could not convert|dtype"),
    ],
)
@every_estimator
def test_weights_that_cannot_be_used_are_refused(est, weights, message):
    X, y = blobs()
    with pytest.raises(ValueError, match=message):
        clone(est).fit(X, y, sample_weight=weights)


def test_a_class_without_weight_in_the_dict_is_named():
    X, y = blobs()
    with pytest.raises(ValueError, match=r"\[3\].*not in class_weight"):
        MILDSelector(class_weight={0: 1.0, 1: 1.0, 7: 1.0}).fit(X, np.where(y == 2, 3, y))


def test_weights_have_mean_one():
    y = np.array(["a", "a", "b"])
    assert row_weights(None, None, y) is None
    np.testing.assert_allclose(row_weights([1, 1, 4], None, y), [0.5, 0.5, 2])
    np.testing.assert_allclose(row_weights(2.0, {"a": 1, "b": 4}, y), [0.5, 0.5, 2])


@pytest.mark.parametrize("est", slow_but(READERS, QUICK))
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_ensembles_that_pass_weights_work(est):
    X, y = blobs()
    est = clone(est).set_params(max_epochs=3)
    assert AdaBoostClassifier(est, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.8
    votes = VotingClassifier([("a", est), ("b", clone(est))]).fit(X, y, sample_weight=np.ones(120))
    assert votes.score(X, y) > 0.8
    both = MultiOutputClassifier(est).fit(X, np.c_[y, y == 1], sample_weight=np.ones(120))
    assert both.score(X, np.c_[y, y == 1]) > 0.8


@every_estimator
def test_decisions_and_logarithms_agree_with_the_probabilities(est):
    X, y = blobs()
    three, two = without_weights(est), fitted(est, X, y > 0)
    np.testing.assert_allclose(
        np.exp(three.predict_log_proba(X)), three.predict_proba(X), atol=1e-6
    )
    decisions = torch.from_numpy(three.decision_function(X))
    np.testing.assert_allclose(decisions.softmax(1), three.predict_proba(X), atol=1e-6)
    log_odds = torch.from_numpy(two.decision_function(X))
    np.testing.assert_allclose(log_odds.sigmoid(), two.predict_proba(X)[:, 1], atol=1e-6)
    np.testing.assert_array_equal(two.classes_[(log_odds > 0).int()], two.predict(X))


def test_negative_weights_of_classes_are_refused():
    X, y = blobs()
    with pytest.raises(ValueError, match="class_weight must not be negative"):
        MILDSelector(class_weight={0: -1.0, 1: 1.0, 2: 1.0}).fit(X, y)


def test_both_gradients_of_the_meta_step_weigh_rows_alike():
    X, y = blobs()
    weight = np.random.default_rng(0).random(len(y)) + 0.1
    found = [
        fitted(
            MetaRelabelClassifier(random_state=0), X, y, weight, meta_gradient=kind, max_epochs=1
        ).weights_
        for kind in ("jvp", "double_backward")
    ]
    np.testing.assert_allclose(*found, atol=1e-3)
    plain = fitted(MetaRelabelClassifier(random_state=0), X, y, max_epochs=1).weights_
    assert np.nanmax(np.abs(plain - found[0])) > 0.05, "the weights make a difference"
