"""`min_share_of_class`: how many rows of each class every method keeps."""

import numpy as np
import pytest
from _estimators import QUICK
from sklearn.base import clone
from sklearn.datasets import make_blobs

from noisyfit import ConsensusClassifier, DynamicsLSTMDetector, MILDSelector
from noisyfit.audit import Audit, sample
from noisyfit.base import make_task
from noisyfit.label_quality import spare_last_rows
from noisyfit.review import label_report

X, TRUE = make_blobs(240, 4, centers=3 * np.eye(3, 4), random_state=0)
X, GIVEN = X.astype(np.float32), TRUE.copy()
GIVEN[np.random.default_rng(0).choice(240, 24, replace=False)] = 3  # a class that there is not

ALONE = [est for est in QUICK if not isinstance(est, ConsensusClassifier)]
pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given")


def fitted(est, share):
    return clone(est).set_params(min_share_of_class=share).fit(X, GIVEN)


@pytest.mark.parametrize(("share", "least"), [(0, 0), (0.1, 3), (0.5, 12), (0.07, 7), (0.29, 29)])
def test_the_best_rows_of_a_class_stay(share, least):
    n = 24 if share in (0, 0.1, 0.5) else 100  # 0.07 * 100 is a little more than 7
    C, y = np.arange(n + 5.0)[::-1], np.repeat([0, 1], [n, 5])
    drop = spare_last_rows(y == 0, C, y, np.array([n, 5]), np.zeros(n + 5, dtype=bool), share)
    np.testing.assert_array_equal(np.flatnonzero(~drop), np.arange(n - least, n + 5))


@pytest.mark.parametrize("est", ALONE, ids=lambda est: type(est).__name__)
@pytest.mark.parametrize(("share", "least"), [(0, 0), (0.3, 8)])
def test_a_class_keeps_its_share_and_may_vanish_without_one(est, share, least):
    est = fitted(est, share)
    own = GIVEN == 3
    assert np.count_nonzero(est.clean_mask_ & own) == least
    kept, others = est.noise_scores_[est.clean_mask_ & own], est.noise_scores_[~est.clean_mask_]
    by_score = not isinstance(est, MILDSelector)  # its rounds drop rows before there are scores
    assert not (least and by_score) or kept.max() <= others[GIVEN[~est.clean_mask_] == 3].min()
    # What is left works as if the class were there.
    np.testing.assert_array_equal(est.classes_, [0, 1, 2, 3])
    assert est.predict_proba(X).shape == (240, 4)
    assert np.isfinite(est.transition_matrix_).all()
    assert np.mean(est.corrected_labels_ == TRUE) > 0.9 - 0.1 * bool(least)
    assert len(label_report(est, X, GIVEN)) == 240
    assert "240 labels of 4 classes" in str(est.summary())


def test_judges_keep_a_class_that_they_do_not_know():
    est = clone(QUICK[0]).set_params(min_share_of_class=0, judge_epochs=5).fit(X, GIVEN)
    assert est.clean_mask_[GIVEN == 3].all()


def test_later_rounds_train_without_the_class():
    params = {"rounds": 2, "max_epochs": 8, "judge_epochs": 0, "threshold": 0.8, "random_state": 0}
    est = MILDSelector(min_share_of_class=0, **params).fit(X, GIVEN)
    trained = np.bincount(GIVEN[est.dropped_round_ != 1], minlength=4)
    assert trained[3] == 0
    assert (trained[:3] > 50).all()
    assert est.n_rounds_ == 2
    assert not (est.predict(X) == 3).any()


@pytest.mark.parametrize("recording", ["training", "evaluation", "held_out"])
def test_a_selection_that_leaves_no_rows_to_train_on_is_refused(recording):
    params = {"recording": recording, "max_epochs": 2, "judge_epochs": 0, "random_state": 0}
    with pytest.raises(ValueError, match=r"leaves 1 of 240 rows .*min_share_of_class=0\.0"):
        MILDSelector(threshold=0.004, rounds=2, min_share_of_class=0, **params).fit(X, GIVEN)
    with pytest.raises(ValueError, match=r"leaves 0 of 240 rows .*Raise min_share_of_class"):
        DynamicsLSTMDetector(remove=0.999, min_share_of_class=0, **params).fit(X, GIVEN)


def test_rows_that_are_held_back_are_not_trained_on():
    task = make_task(MILDSelector(validation_fraction=0.25, random_state=0), X, TRUE)
    held_back, trained = np.flatnonzero(task.validation), np.flatnonzero(~task.validation)
    kept = np.isin(np.arange(240), [*held_back, trained[0]])
    with pytest.raises(ValueError, match="leaves 1 of 240 rows"):
        task.check_trainable(kept)
    kept[trained[1]] = True
    task.check_trainable(kept)


@pytest.mark.parametrize(("share", "least"), [(0, 0), (0.3, 8)])
def test_an_audit_leaves_the_share_to_a_class(share, least):
    est = fitted(QUICK[0], share)
    drawn = sample(est, 60, random_state=0)
    audited = Audit(est, None, TRUE[drawn.rows], drawn).apply(est)
    unseen = np.setdiff1d(np.flatnonzero(GIVEN == 3), drawn.rows)
    assert len(unseen) > 8
    assert np.count_nonzero(audited.clean_mask_[unseen]) == least


@pytest.mark.parametrize("est", QUICK, ids=lambda est: type(est).__name__)
@pytest.mark.parametrize("share", [1.0, -0.1, "a tenth", None])
def test_a_share_that_is_none(est, share):
    with pytest.raises(ValueError, match=r"'min_share_of_class' parameter .*range \[0"):
        fitted(est, share)
