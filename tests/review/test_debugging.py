"""debug_labels: a budget of corrections, spent on the most suspicious labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from noisyfit import MILDSelector, debug_labels
from noisyfit.noise import corrupt_labels, transition_matrix

X, TRUE = make_blobs(300, centers=3, cluster_std=0.8, random_state=0)
GIVEN, WRONG = corrupt_labels(TRUE, transition_matrix("symmetric", 3, 0.2), 0)


@pytest.fixture(scope="module")
def est():
    return MILDSelector(rounds=2, max_epochs=10, random_state=0).fit(X, GIVEN)


def test_the_budget_goes_to_the_highest_scores(est):
    labels, replaced = debug_labels(est, X, GIVEN, share=0.0999, truth=TRUE)
    assert replaced.sum() == 29  # int(300 * .0999), of all rows
    assert est.noise_scores_[replaced].min() >= est.noise_scores_[~replaced].max()
    np.testing.assert_array_equal(labels[replaced], TRUE[replaced])
    np.testing.assert_array_equal(labels[~replaced], GIVEN[~replaced])


def test_fewer_rows_than_labels_are_refused(est):
    with pytest.raises(ValueError, match=r"what est was fitted on\. Got 299 rows and 300 labels"):
        debug_labels(est, X[1:], GIVEN)


def test_the_truth_of_other_rows_is_not_looked_at(est):
    _, replaced = debug_labels(est, X, GIVEN, truth=TRUE)
    hidden = np.where(replaced, TRUE, 0)
    labels, _ = debug_labels(est, X, GIVEN, truth=hidden)
    np.testing.assert_array_equal(labels, np.where(replaced, TRUE, GIVEN))


def test_without_truth_the_predictions_stand_in(est):
    labels, replaced = debug_labels(est, X, GIVEN, share=0.2)
    np.testing.assert_array_equal(labels, np.where(replaced, est.predict(X), GIVEN))
    assert (labels != TRUE).mean() < 0.5 * WRONG.mean()


def test_other_estimators_train_on_the_result(est):
    labels, _ = debug_labels(est, X, GIVEN, share=0.25)
    debugged, plain = (LogisticRegression().fit(X, y).score(X, TRUE) for y in (labels, GIVEN))
    assert debugged >= plain


def test_of_a_pipeline_its_last_step_is_asked(est):
    scaler = FunctionTransformer(lambda X: X / 10)
    fitted = debug_labels(make_pipeline(scaler, est), 10 * X, GIVEN)
    np.testing.assert_array_equal(fitted.labels, debug_labels(est, X, GIVEN).labels)
    quick = clone(est).set_params(rounds=1, max_epochs=1, judge_epochs=0)
    fresh = debug_labels(make_pipeline(scaler, quick), 10 * X[:60], GIVEN[:60])
    assert not hasattr(quick, "noise_scores_")
    np.testing.assert_array_equal(fresh.labels, debug_labels(quick, X[:60], GIVEN[:60]).labels)
    with pytest.raises(TypeError, match="Got LogisticRegression instead"):
        debug_labels(make_pipeline(scaler, LogisticRegression()), X, GIVEN)


def test_an_estimator_that_is_not_fitted_is_cloned(est):
    fresh = MILDSelector(rounds=2, max_epochs=10, random_state=0)
    expected = debug_labels(est, X, GIVEN)
    np.testing.assert_array_equal(debug_labels(fresh, X, GIVEN).labels, expected.labels)
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(fresh)


def test_strings_keep_their_type(est):
    names = np.array(["ant", "bee", "caterpillar"])
    fresh = MILDSelector(rounds=1, max_epochs=5, random_state=0)
    labels, _ = debug_labels(fresh, X, names[GIVEN], truth=names[TRUE].tolist())
    assert labels.dtype == names.dtype


@pytest.mark.parametrize("share", [0, 1])
def test_nothing_or_everything(est, share):
    labels, replaced = debug_labels(est, X, GIVEN, share=share, truth=TRUE)
    np.testing.assert_array_equal(labels, TRUE if share else GIVEN)
    assert replaced.all() == bool(share)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"share": 1.5}, r"share must be a number in \[0, 1\]. Got 1.5"),
        ({"share": "a tenth"}, "Got 'a tenth'"),
        ({"share": True}, "Got True"),
        ({"truth": TRUE[:-1]}, r"truth must hold 300 labels.*shape \(299,\)"),
        ({"truth": TRUE.astype(str)}, "labels of the type of y, int64"),
    ],
)
def test_bad_arguments_are_refused(est, kwargs, message):
    with pytest.raises(ValueError, match=message):
        debug_labels(est, X, GIVEN, **kwargs)


def test_an_estimator_of_other_rows_is_refused(est):
    with pytest.raises(ValueError, match="fitted on 300 rows, but y has 299"):
        debug_labels(est, X[:-1], GIVEN[:-1])


def test_trusted_rows_are_never_replaced():
    trusted = np.arange(300) % 2 == 0
    est = MILDSelector(rounds=1, max_epochs=5, random_state=0).fit(X, GIVEN, trusted=trusted)
    labels, replaced = debug_labels(est, X, GIVEN, share=0.8)
    assert not replaced[trusted].any()
    assert replaced.sum() == 150
    np.testing.assert_array_equal(labels[trusted], GIVEN[trusted])


def test_a_share_is_not_rounded_down_by_a_binary_fraction(est):
    assert debug_labels(est, X, GIVEN, share=0.29).replaced.sum() == 87  # 300 * .29 = 86.99...


def test_truth_may_be_missing_where_it_is_not_looked_at():
    names = np.array(["ant", "bee", "caterpillar"])
    fresh = MILDSelector(rounds=1, max_epochs=5, random_state=0)
    _, replaced = debug_labels(fresh, X, names[GIVEN])
    truth = np.where(replaced, names[TRUE], None)
    labels, _ = debug_labels(fresh, X, pd.Series(names[GIVEN]), truth=truth)
    np.testing.assert_array_equal(labels, np.where(replaced, names[TRUE], names[GIVEN]))
    truth = np.where(replaced, TRUE, np.nan)
    fitted = MILDSelector(rounds=1, max_epochs=5, random_state=0).fit(X, GIVEN)
    labels, _ = debug_labels(fitted, X, GIVEN, truth=truth)
    np.testing.assert_array_equal(labels, np.where(replaced, TRUE, GIVEN))


def test_labels_of_another_coding_are_refused(est):
    with pytest.raises(ValueError, match="has the label 10, which was 0 in fit"):
        debug_labels(est, X, GIVEN + 10)


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match="Got LogisticRegression instead"):
        debug_labels(LogisticRegression(), X, GIVEN)
