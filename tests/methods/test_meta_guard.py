"""The guard of meta re-labelling: where plain training does as well, it is taken and said so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import make_classification

from noisyfit import MetaRelabelClassifier, load
from noisyfit.base import make_task, make_verdict
from noisyfit.methods.meta_relabel._guard import compare
from noisyfit.methods.meta_relabel._net import MetaNet
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import NoisyNet

N = 300
X, Y = make_classification(
    N, 10, n_informative=7, n_redundant=0, n_classes=3, n_clusters_per_class=1, class_sep=2,
    flip_y=0, random_state=0,
)  # fmt: skip
TRUSTED = np.arange(N) < 30
GIVEN = np.where(TRUSTED, Y, corrupt_labels(Y, transition_matrix("symmetric", 3, 0.3), 1).labels)
WRONG = GIVEN != Y
ORACLE = np.where(np.eye(3, dtype=bool)[Y], 0.9, 0.05)
RNG = np.random.default_rng(2)
GUESSED = np.where(
    RNG.random(N)[:, None] < 0.4, RNG.dirichlet(np.full(3, 200), N), ORACLE
)  # fmt: skip
"""Of two rows in five nothing is known."""


def judged_by(task, proba):
    """What networks say that know as much as `proba`; None: nobody is asked."""
    return None if proba is None else make_verdict(task, proba[None], [])._replace(plain=proba)


def fitted(proba, max_epochs=2):
    est = MetaRelabelClassifier(max_epochs=max_epochs, random_state=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "noisyfit.base._classifier.reach_verdict", lambda task, *a: judged_by(task, proba)
        )
        return est.fit(X, GIVEN, trusted=TRUSTED)


def task_of(proba):
    task = make_task(MetaRelabelClassifier(), X, GIVEN, TRUSTED)
    return replace(task, verdict=judged_by(task, proba))


def test_agreement_is_compared_on_rows_that_nobody_verified_by_hand():
    task = task_of(GUESSED)
    judged = ~TRUSTED
    predicted = np.where(TRUSTED, (GIVEN + 1) % 3, Y)  # what it says of trusted rows does not count
    guard = compare(task, predicted)
    own, plain = (Y == GIVEN)[judged], (GUESSED.argmax(axis=1) == GIVEN)[judged]
    assert guard.agreement == pytest.approx(own.mean())
    assert guard.held_out == pytest.approx(plain.mean())
    gain = own.astype(float) - plain
    n = len(gain)
    assert guard.t == pytest.approx(gain.mean() / np.sqrt(gain.var() / n + 1 / n**2))
    assert guard.t > 4
    most = 1 - task.verdict.found.rate
    assert guard.excess == pytest.approx((own.mean() - most) / np.sqrt(own.var() / n + 1 / n**2))
    assert guard.stands
    assert not guard._replace(t=1.9).stands
    assert not guard._replace(excess=2.1).stands


def test_a_net_that_is_no_better_or_has_learned_by_heart_does_not_stand():
    task = task_of(ORACLE)
    assert not compare(task, Y).stands, "as good as the others, though it was trained on them"
    by_heart = compare(task, GIVEN)
    assert by_heart.t > 2
    assert by_heart.agreement == 1
    assert not by_heart.stands
    assert "by heart" in by_heart.doubt
    assert "no more beyond chance" in compare(task, Y).doubt


def test_nothing_is_compared_where_nobody_was_asked_or_nothing_can_be_told():
    task = task_of(ORACLE)
    assert compare(replace(task, verdict=None), Y) is None
    assert compare(task_of(np.full((N, 3), 1 / 3)), Y) is None


@pytest.fixture(scope="module")
def guarded():
    """A fit whose meta step was too short to learn anything."""
    with pytest.warns(UserWarning, match="The meta step gains nothing here.* plain network"):
        return fitted(ORACLE)


def test_plain_training_takes_over_and_says_so(guarded):
    assert type(guarded.net_) is NoisyNet
    assert [e["stage"] for e in guarded.history_].count("plain training") == 2
    assert guarded.doubts_[-1].startswith("The meta step gains nothing here")
    assert "The meta step gains nothing here" in guarded.summary()
    np.testing.assert_array_equal(guarded.predicted_labels_, guarded.predict(X))
    assert auroc(WRONG[~TRUSTED], guarded.noise_scores_[~TRUSTED]) > 0.95
    assert not guarded.noise_scores_[TRUSTED].any()
    assert guarded.weights_ is not None, "what the meta step decided is there all the same"
    rejected = ~guarded.clean_mask_
    np.testing.assert_array_equal(
        guarded.corrected_proba_.argmax(axis=1)[rejected], guarded.predicted_labels_[rejected]
    )


def test_plain_training_learns_what_is_kept_alone(monkeypatch):
    learned = []
    original = NoisyNet.train_stage

    def seen(net, rows, epochs, name="training", validation=None):
        learned.append((name, rows.index.numpy().copy()))
        return original(net, rows, epochs, name, validation)

    monkeypatch.setattr(NoisyNet, "train_stage", seen)
    with pytest.warns(UserWarning, match="gains nothing"):
        est = fitted(ORACLE)
    assert learned[-1][0] == "plain training"
    np.testing.assert_array_equal(np.sort(learned[-1][1]), np.flatnonzero(est.clean_mask_))


def test_it_is_stored(guarded, tmp_path):
    guarded.save(tmp_path / "est.noisyfit")
    again = load(tmp_path / "est.noisyfit")
    assert again.doubts_ == guarded.doubts_
    np.testing.assert_array_equal(again.predict(X), guarded.predict(X))


def test_a_meta_step_that_tells_more_stands():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = fitted(GUESSED, max_epochs=15)
    assert type(est.net_) is MetaNet
    assert not any("meta step" in doubt for doubt in est.doubts_)


def test_the_users_model_is_not_taken_for_plain_training():
    est = MetaRelabelClassifier(max_epochs=2, judge_epochs=0, random_state=0)
    est.fit(X, GIVEN, trusted=TRUSTED, pred_proba=ORACLE)
    assert type(est.net_) is MetaNet
    assert est.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.05), "but it judges"


def test_without_a_verdict_there_is_no_guard():
    est = fitted(None)
    assert type(est.net_) is MetaNet
    assert est.doubts_ == [d for d in est.doubts_ if "meta step" not in d]
