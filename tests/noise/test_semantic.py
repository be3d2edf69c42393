"""Labels of a classifier that has seen little."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.naive_bayes import GaussianNB

from noisyfit import MILDSelector
from noisyfit.noise import semantic_noise

X, Y = load_digits(return_X_y=True)


class Recorder(ClassifierMixin, BaseEstimator):
    """Says the first class, and remembers what it learned from."""

    seen = None

    def fit(self, X, y):
        type(self).seen = X, y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_a_share_of_each_class_is_learned_from_with_true_labels():
    numbers = np.arange(len(Y))[:, None]
    labels, flipped = semantic_noise(numbers, Y, Recorder(), share_trained_on=0.1, random_state=0)
    rows, y = Recorder.seen
    assert (y == Y[rows[:, 0]]).all()
    np.testing.assert_allclose(np.bincount(y), 0.1 * np.bincount(Y), atol=1)
    assert (labels == 0).all(), "all rows get what it says"
    assert (flipped == (Y != 0)).all()


def test_the_more_it_has_seen_the_less_it_errs_and_not_by_chance():
    rates = [
        semantic_noise(X, Y, GaussianNB(), share_trained_on=share, random_state=0).flipped.mean()
        for share in (0.02, 0.05, 0.5)
    ]
    assert rates[0] > rates[1] > rates[2] > 0.05
    labels, flipped = semantic_noise(X, Y, LogisticRegression(max_iter=500), random_state=0)
    pairs = confusion_matrix(Y[flipped], labels[flipped])
    by_chance = len(Y) * flipped.mean() / 90
    assert pairs.max() > 4 * by_chance, "some classes are taken for each other"


def test_rows_of_any_kind_and_labels_of_any_type():
    names = np.array([f"digit {c}" for c in range(10)])[Y]
    expected = semantic_noise(X, names, GaussianNB(), random_state=0)
    assert expected.labels.dtype == names.dtype
    frame = pd.DataFrame(X, index=np.arange(len(Y))[::-1])
    of_frame = semantic_noise(frame, list(names), GaussianNB(), random_state=0)
    assert (of_frame.labels == expected.labels).all()
    linear = LogisticRegression(max_iter=500)
    of_sparse = semantic_noise(sparse.csr_matrix(X / 16), Y, linear, random_state=0)
    assert 0.02 < of_sparse.flipped.mean() < 0.5


def test_a_network_may_be_the_one_that_errs():
    few = MILDSelector(rounds=1, max_epochs=5, judge_epochs=0, random_state=0)
    labels, flipped = semantic_noise(X, Y, few, share_trained_on=0.1, random_state=0)
    assert 0.02 < flipped.mean() < 0.6
    assert labels.dtype == Y.dtype


def test_the_same_seed_makes_the_same_labels_and_the_classifier_is_left_alone():
    classifier = GaussianNB()
    one, two = (semantic_noise(X, Y, classifier, random_state=3) for _ in range(2))
    assert (one.labels == two.labels).all()
    assert not hasattr(classifier, "classes_")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, Y, GaussianNB()), {"share_trained_on": 1.0}, "'share_trained_on' parameter"),
        ((X, Y, "linear"), {}, "'classifier' parameter"),
        ((X[:10], Y, GaussianNB()), {}, "inconsistent numbers of samples"),
        ((X[:12], Y[:12], GaussianNB()), {}, "of which 2 has 1 rows: raise share_trained_on"),
        ((X[:50], np.ones(50, int), GaussianNB()), {}, "Got 1 classes"),
    ],
)
def test_what_cannot_be_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        semantic_noise(*arguments, **options)
