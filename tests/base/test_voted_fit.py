"""Labels that several annotators have voted for, in `fit`: scores by Bayes' rule, nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from _estimators import QUICKER
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.base import make_task
from noisyfit.base._decisions import with_votes
from noisyfit.label_quality import VotedLabels, aggregate_votes
from noisyfit.metrics import auroc

pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")


def problem(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    y = np.array(["cat", "dog"])[(X[:, 0] > 0).astype(int)]
    wrong = rng.random((n, 3)) < 0.25
    return X, y, np.where(wrong, np.where(y == "cat", "dog", "cat")[:, None], y[:, None])


X, Y, VOTES = problem()
VOTED = aggregate_votes(VOTES, "dawid_skene")
TRUSTED = np.arange(len(X)) < 12


@pytest.mark.parametrize("est", QUICKER, ids=lambda est: type(est).__name__)
def test_votes_multiply_the_odds_and_change_nothing_else(est):
    plain = clone(est).fit(X, VOTED.labels, trusted=TRUSTED)
    voted = clone(est).fit(X, VOTED, trusted=TRUSTED)
    assert_array_equal(voted.predict_proba(X), plain.predict_proba(X))
    assert_array_equal(voted.given_labels_, VOTED.labels)
    assert voted.noise_rate_ == plain.noise_rate_
    told = (plain.noise_scores_ > 0) & ~TRUSTED
    doubt = np.clip(1 - VOTED.confidence, 0.02, 0.98)
    prior = doubt[~TRUSTED].mean()
    old = np.clip(plain.noise_scores_, 1e-6, 1 - 1e-6)
    odds = old / (1 - old) * doubt / (1 - doubt) / (prior / (1 - prior))
    assert_allclose(voted.noise_scores_[told], (odds / (1 + odds))[told], rtol=1e-9)
    assert_array_equal(voted.noise_scores_[~told], 0)
    crossed = (plain.noise_scores_ > 0.5) != (voted.noise_scores_ > 0.5)
    assert (voted.clean_mask_ >= plain.clean_mask_)[~crossed].all(), "but for a tenth of a class"
    assert (voted.clean_mask_ != plain.clean_mask_)[~crossed].sum() <= len(X) / 10
    assert voted.clean_mask_[crossed & (voted.noise_scores_ <= 0.5)].all()
    assert voted.clean_mask_[TRUSTED].all()


def test_votes_find_what_inputs_do_not_tell():
    # Inputs that tell half of it: the votes know which labels are open.
    X, y, votes = problem(400, seed=1)
    X = X + np.random.default_rng(2).normal(size=X.shape).astype(np.float32)
    voted = aggregate_votes(votes, "dawid_skene")
    est = MILDSelector(rounds=2, max_epochs=5, random_state=0)
    alone, both = clone(est).fit(X, voted.labels), clone(est).fit(X, voted)
    is_wrong = voted.labels != y
    assert auroc(is_wrong, both.noise_scores_) > auroc(is_wrong, alone.noise_scores_) + 0.03
    assert auroc(is_wrong, both.noise_scores_) > auroc(is_wrong, 1 - voted.confidence)


def quick():
    return DLTClassifier(estimation_epochs=2, max_epochs=3, judge_epochs=0, random_state=0)


def test_votes_that_are_all_as_sure_change_nothing():
    labels = np.tile(VOTED.labels[:, None], 3)
    plain, voted = quick().fit(X, VOTED.labels), quick().fit(X, aggregate_votes(labels))
    assert_array_equal(voted.noise_scores_, plain.noise_scores_)
    assert_array_equal(voted.clean_mask_, plain.clean_mask_)


def test_a_pipeline_passes_votes_through():
    est = make_pipeline(StandardScaler(), quick()).fit(X, VOTED)
    alone = quick().fit(StandardScaler().fit_transform(X), VOTED)
    assert_array_equal(est[-1].noise_scores_, alone.noise_scores_)
    assert est.score(X, VOTED.labels) > 0.5


def test_where_votes_would_be_taken_for_labels():
    est = quick().fit(X, VOTED)
    with pytest.raises(TypeError, match=r"pass voted\.labels"):
        GridSearchCV(quick(), {"lr": [0.1]}, cv=2).fit(X, VOTED)
    with pytest.raises(TypeError, match=r"pass voted\.labels"):
        cross_val_score(quick(), X, VOTED)
    with pytest.raises(TypeError, match=r"pass voted\.labels"):
        est.score(X, VOTED)
    with pytest.raises(TypeError, match=r"pass voted\.labels"):
        est.score_labels(X, VOTED)
    with pytest.raises(TypeError, match=r"pass voted\.labels"):
        LogisticRegression().fit(X, VOTED)
    with pytest.raises(TypeError, match="fit_resample"):
        quick().fit_resample(X, VOTED)


def test_votes_of_other_rows_and_of_one_class_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(X[1:], VOTED)
    with pytest.raises(ValueError, match="only one class"):
        quick().fit(X, aggregate_votes(np.full((len(X), 2), "cat")))


def test_sure_rows_as_trusted_ones():
    est = quick().fit(X, VOTED.labels, trusted=VOTED.confidence > 0.95)
    assert_array_equal(est.noise_scores_[VOTED.confidence > 0.95], 0)


def test_one_hot_labels_are_no_votes():
    one_hot = np.eye(2)[(VOTED.labels == "dog").astype(int)]
    with pytest.raises(ValueError, match="1d array"):
        quick().fit(X, one_hot)
    assert not isinstance(one_hot, VotedLabels)


def test_saturated_scores_stay_finite_and_each_class_keeps_a_tenth():
    votes = aggregate_votes([[0, 0], [0, 0], [0, 1], [1, 1], [1, 1]])
    task = replace(make_task(quick(), np.eye(5), votes), trusted=np.arange(5) == 4)
    both, clean = with_votes(task, np.array([1.0, 1.0, 0.4, 1e-12, 0.0]), np.ones(5, dtype=bool))
    assert np.isfinite(both).all()
    assert 0 < both[3] < both[2] < both[0] < 1
    shift = -logit((0.02 * 3 + 0.5) / 4)
    assert both[2] == pytest.approx(expit(logit(0.4) + shift))
    assert clean.tolist() == [True, True, False, True, True], "only what has crossed one half"
    alone = replace(task, trusted=np.zeros(5, dtype=bool))
    alone = replace(alone, confidence=np.array([0.99, 0.99, 0.99, 0.6, 0.5]))
    both, clean = with_votes(alone, np.array([0.3, 0.3, 0.3, 0.4, 0.4]), np.ones(5, dtype=bool))
    assert (both[3:] > 0.5).all()
    assert clean.tolist() == [True, True, True, True, False], "the least suspicious of its class"
