"""recording="auto": half of the ranking comes from networks that did not train on the row."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.datasets import make_classification

from noisyfit import DynamicsLSTMDetector, MILDSelector
from noisyfit.base import Trainer, make_task, ranked_by_both
from noisyfit.base._judging import reach_verdict
from noisyfit.label_quality import margins
from noisyfit.metrics import auroc

pytestmark = pytest.mark.judged
ESTIMATORS = [
    MILDSelector(max_epochs=8, rounds=1, loss="cross_entropy", random_state=0),
    DynamicsLSTMDetector(max_epochs=20, loss="cross_entropy", random_state=0),
]
each = pytest.mark.parametrize("est", ESTIMATORS, ids=lambda est: type(est).__name__)
N = 240


def learned_by_heart(seed=0):
    """A column for each row: in sample, every label is known, wrong or not."""
    X, y = make_classification(
        N, 6, n_informative=5, n_redundant=0, class_sep=1.5, flip_y=0, random_state=seed
    )
    wrong = np.random.default_rng(seed).random(N) < 0.25
    return np.hstack([X, 3 * np.eye(N)]), np.where(wrong, 1 - y, y), wrong


X, GIVEN, WRONG = learned_by_heart()


@each
def test_both_rank_where_judges_have_a_say(est):
    fitted = clone(est).fit(X, GIVEN)
    assert fitted.recording_ == "both"
    assert "the order is the mean of both" in fitted.recording_reason_
    assert f"Ranked in sample and out of fold: {fitted.recording_reason_}." in fitted.summary()
    alone = clone(est).set_params(recording="training").fit(X, GIVEN)
    assert alone.recording_ == "training"
    assert alone.recording_reason_ == "as asked for"
    assert "Ranked" not in alone.summary()
    assert auroc(WRONG, fitted.noise_scores_) > auroc(WRONG, alone.noise_scores_) + 0.003


@each
def test_without_judges_it_is_a_recording_in_sample(est):
    est = clone(est).set_params(judge_epochs=0)
    fitted = clone(est).fit(X, GIVEN)
    assert fitted.recording_ == "training"
    assert fitted.recording_reason_ == "no network in cross-validation judges the labels"
    plain = clone(est).set_params(recording="training").fit(X, GIVEN)
    np.testing.assert_array_equal(fitted.noise_scores_, plain.noise_scores_)


@each
def test_where_judges_can_tell_nothing_they_do_not_rank(est):
    rng = np.random.default_rng(0)
    fitted = clone(est).fit(rng.normal(size=(90, 3)), np.arange(90) % 3)
    assert not fitted.held_out_noise_rate_.told
    assert fitted.recording_ == "training"
    assert fitted.recording_reason_ == "no network in cross-validation can tell the labels"


def test_the_mean_by_hand():
    est = MILDSelector(max_epochs=4, judge_epochs=4, random_state=0)
    trusted = np.arange(N) < 30
    task = make_task(est, X, GIVEN, trusted)
    verdict = reach_verdict(task, Trainer(est, task), 4)
    task = replace(task, verdict=verdict)
    suspicion = np.random.default_rng(1).random(N)
    both = ranked_by_both(task, suspicion)
    np.testing.assert_array_equal(both[trusted], suspicion[trusted])

    def scores(values):
        return norm.ppf((rankdata(values) - 0.5) / len(values))

    expected = scores(suspicion[30:]) + scores(-margins(verdict.proba[30:], GIVEN[30:]))
    np.testing.assert_allclose(both[30:], expected)
