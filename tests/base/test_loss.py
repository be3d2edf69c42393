"""The choice of the loss: by what networks that did not train on a row predict of given labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification

from noisyfit import ConsensusClassifier, DynamicsLSTMDetector, MILDSelector, load
from noisyfit.base import _judging
from noisyfit.base._judging import _gain
from noisyfit.dynamics._mean_probability import MeanProbability
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import EarlyLearningNet

pytestmark = pytest.mark.judged

X, Y = make_classification(
    300, 10, n_informative=7, n_redundant=0, n_classes=3, n_clusters_per_class=1, class_sep=2,
    flip_y=0, random_state=0,
)  # fmt: skip
QUICK = {"max_epochs": 3, "random_state": 0}
METHODS = [
    MILDSelector(rounds=1, judge_epochs=3, **QUICK),
    DynamicsLSTMDetector(judge_epochs=3, **QUICK),
    ConsensusClassifier(judge=None, judge_epochs=3, **QUICK),
]


@pytest.fixture(scope="module")
def pairs():
    """Digits of which two in five carry the label of the next one."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:800], y[:800]
    return X, corrupt_labels(y, transition_matrix("pair", 10, 0.4), 1).labels


@pytest.fixture(scope="module")
def chosen(pairs):
    """A fit that has taken early-learning regularization by itself."""
    return MILDSelector(rounds=1, max_epochs=3, judge_epochs=15, random_state=0).fit(*pairs)


def test_early_learning_is_taken_where_it_predicts_more_of_the_given_labels(chosen):
    assert chosen.loss_ == "early_learning"
    assert isinstance(chosen.net_, EarlyLearningNet)
    assert not hasattr(chosen.net_, "target_")
    assert chosen._loss_gain > 0.02
    assert f"by {100 * chosen._loss_gain:.1f} points" in chosen.summary()


def test_its_networks_are_the_judges_in_two_repeats(chosen, pairs):
    asked = MILDSelector(
        loss="early_learning", rounds=1, max_epochs=3, judge_epochs=15, random_state=0
    ).fit(*pairs)
    assert 0 < chosen.held_out_noise_rate_.instability < 0.5
    assert chosen.noise_rate_ == pytest.approx(asked.noise_rate_, abs=0.08)
    # The method's own draws do not depend on how the loss was chosen.
    np.testing.assert_array_equal(chosen.predict_proba(pairs[0]), asked.predict_proba(pairs[0]))
    assert asked._loss_gain is None
    assert "Loss:" not in asked.summary()


def test_a_fit_with_early_learning_is_stored(chosen, pairs, tmp_path):
    chosen.save(tmp_path / "est.noisyfit")
    again = load(tmp_path / "est.noisyfit")
    assert again.summary() == chosen.summary()
    np.testing.assert_array_equal(again.predict(pairs[0]), chosen.predict(pairs[0]))


@pytest.mark.parametrize("est", METHODS, ids=lambda est: type(est).__name__)
def test_cross_entropy_is_kept_to_the_last_bit_where_nothing_speaks_against_it(est):
    est.fit(X, Y)
    scores, rate = est.noise_scores_, est.noise_rate_
    assert est.loss_ == "cross_entropy"
    assert est._loss_gain is not None
    assert "Loss:" not in est.summary()
    est.set_params(loss="cross_entropy").fit(X, Y)
    if not isinstance(est, ConsensusClassifier):
        np.testing.assert_array_equal(est.noise_scores_, scores)
    assert est.noise_rate_ == rate
    assert est._loss_gain is None


@pytest.mark.parametrize("est", METHODS[:2], ids=lambda est: type(est).__name__)
def test_without_judges_there_is_nothing_to_choose_by(est):
    est.set_params(judge_epochs=0, loss="auto").fit(X, Y)
    proba = est.predict_proba(X)
    assert est.loss_ == "cross_entropy"
    est.set_params(loss="early_learning").fit(X, Y)
    assert est.loss_ == "early_learning"
    assert isinstance(est.net_, EarlyLearningNet)
    assert np.abs(est.predict_proba(X) - proba).max() > 1e-3
    assert "Loss:" not in est.summary()


@pytest.mark.parametrize(("loss", "n_repeats"), [("auto", 1), ("cross_entropy", 2)])
def test_networks_that_are_not_stacked_are_asked_once_for_each_loss(loss, n_repeats):
    stages = []

    class Counts(torch.nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            stages.append(n_classes)
            self.linear = torch.nn.Linear(n_features, n_classes)

        def forward(self, x):
            return self.linear(x)

    est = MILDSelector(Counts, loss=loss, rounds=1, judge_epochs=2, **QUICK).fit(X, Y)
    assert np.isnan(est.held_out_noise_rate_.instability) == (n_repeats == 1)
    # Ten networks judge, in five folds: of each loss once, or of one twice.
    assert len(stages) in range(10, 16)


@pytest.mark.parametrize(("gain", "n_trained"), [(-0.1, 1), (0.0, 1), (0.1, 5)])
def test_a_loss_that_does_not_win_is_given_up_after_a_fold(gain, n_trained, monkeypatch):
    trained, train_stage = [], EarlyLearningNet.train_stage

    def counted(net, rows, *args, **kwargs):
        trained.append(len(rows))
        return train_stage(net, rows, *args, **kwargs)

    monkeypatch.setattr(EarlyLearningNet, "train_stage", counted)
    monkeypatch.setattr(_judging, "paired_difference", lambda *_: (gain, 10 * gain))
    module = torch.nn.Sequential(torch.nn.Linear(10, 3))
    est = MILDSelector(module, rounds=1, judge_epochs=2, retrain=False, **QUICK).fit(X, Y)
    assert est.loss_ == "cross_entropy"
    assert trained == [240] * n_trained


@pytest.mark.parametrize(("ended_early", "n_trained"), [(False, 5), (True, 1)])
def test_a_loss_does_not_win_by_what_the_other_was_not_trained(ended_early, n_trained, monkeypatch):
    """A gain of 1.5 %: networks that ended early might have made it up."""
    trained, train_stage = [], EarlyLearningNet.train_stage

    def counted(net, rows, *args, **kwargs):
        trained.append(len(rows))
        return train_stage(net, rows, *args, **kwargs)

    def gain(first, second, lead=0.0):
        return 0.015, 1000 * (0.015 - lead)

    monkeypatch.setattr(EarlyLearningNet, "train_stage", counted)
    monkeypatch.setattr(_judging, "paired_difference", gain)
    monkeypatch.setattr(MeanProbability, "_has_settled", lambda mean: ended_early)
    module = torch.nn.Sequential(torch.nn.Linear(10, 3))
    est = MILDSelector(module, rounds=1, judge_epochs=4, retrain=False, **QUICK).fit(X, Y)
    assert trained[:5] == [240] * n_trained
    assert est.loss_ == ("cross_entropy" if ended_early else "early_learning")


def test_the_gain_and_its_t_value_by_hand():
    y = np.zeros(8, dtype=np.int64)
    wins = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    task = SimpleNamespace(y=y, judged=np.arange(8) < 6)
    first = np.eye(2)[np.zeros(8, int)]
    other = np.eye(2)[wins]
    mean, t = _gain(first, other, task, task.judged)
    assert mean == pytest.approx(0.5)
    assert t == pytest.approx(0.5 / np.sqrt(0.25 / 6 + 1 / 36))
    assert _gain(other, first, task, task.judged)[1] == -t
    lead = _gain(first, other, task, task.judged, 0.25)
    assert lead == (mean, pytest.approx(t / 2))
    # Of the last six rows one differs.
    assert _gain(first, other, task, np.arange(8) >= 2)[0] == pytest.approx(1 / 6)
