"""`ConsensusClassifier`: views, their weights, judges of the user, what is trained at last."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from noisyfit import ConsensusClassifier
from noisyfit.ensemble._net import SoftLabelNet
from noisyfit.ensemble._views import (
    View,
    combined_probability,
    combined_suspicion,
    cross_fitted,
    neighbors_view,
    normal_scores,
    view_of,
    weights,
)
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

X, Y = make_classification(
    400, 10, n_informative=7, n_redundant=0, n_classes=3, n_clusters_per_class=1, class_sep=2,
    flip_y=0, random_state=0,
)  # fmt: skip
GIVEN = corrupt_labels(Y, transition_matrix("symmetric", 3, 0.2), 1).labels
WRONG = GIVEN != Y
AS_IT_IS = ConsensusClassifier._judge_epochs
"""Of the estimator, before conftest.py makes it quick."""


@pytest.fixture(scope="module")
def fitted():
    """A consensus with its defaults."""
    return ConsensusClassifier(random_state=0, judge_epochs=20).fit(X, GIVEN)


def test_the_numbers_are_right(fitted):
    assert fitted.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.05)
    low, high = fitted.noise_rate_interval_
    assert low <= WRONG.mean() <= high
    assert auroc(WRONG, fitted.noise_scores_) > 0.97
    assert (fitted.corrected_labels_ != Y).mean() < WRONG.mean() - 0.05
    assert fitted.score(X, Y) > 0.9


def test_it_says_what_was_asked_and_how_much_it_counted(fitted):
    assert set(fitted.views_) == {
        "networks out of fold",
        "training dynamics",
        "neighbours",
        "LogisticRegression",
        "HistGradientBoostingClassifier",
    }
    assert sum(fitted.views_.values()) == pytest.approx(1)
    assert fitted.loss_ in ("cross_entropy", "early_learning")
    np.testing.assert_allclose(fitted.held_out_proba_.sum(axis=1), 1, rtol=1e-4)
    assert {epoch["stage"] for epoch in fitted.history_} == {"in sample", "last training"}


def test_weights_fall_with_accuracy_by_hand():
    views = [View(str(a), np.arange(3.0), a) for a in (0.8, 0.75, 0.3)]
    expected = np.exp([0, -1, -10])
    np.testing.assert_allclose(weights(views), expected / expected.sum())


def test_views_are_combined_by_hand():
    first = View("a", np.array([1.0, 5.0, 3.0]), 0.8, np.eye(3))
    second = View("b", np.array([100.0, -1.0, 7.0]), 0.75, np.full((3, 3), 1 / 3))
    third = View("c", np.array([0.0, 0.0, 0.0]), 0.1)
    w = np.array([1, np.exp(-1), np.exp(-14)])
    z = 0.9674215661017
    expected = w / w.sum() @ np.array([[-z, z, 0], [z, -z, 0], [0, 0, 0]])
    np.testing.assert_allclose(combined_suspicion([first, second, third]), expected)
    v = w[:2] / w[:2].sum()
    np.testing.assert_allclose(
        combined_probability([first, second, third]), v[0] * np.eye(3) + v[1] / 3
    )


def test_normal_scores_do_not_depend_on_the_scale():
    values = np.random.default_rng(0).normal(size=50)
    np.testing.assert_allclose(normal_scores(values), normal_scores(np.exp(3 * values)))


def test_neighbours_vote_but_not_for_themselves_or_their_group():
    rows = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3) + 0.01 * np.arange(6)[:, None]
    y = np.array([0, 0, 1, 1, 1, 1])
    # All other rows vote: two of class 0 against three for row 2, one against four for row 0.
    np.testing.assert_array_equal(neighbors_view(rows, y, 2).suspicion, [3, 3, -1, -1, -1, -1])
    in_groups = neighbors_view(rows, y, 2, np.array([0, 0, 0, 1, 1, 1]))
    # Row 0 hears rows 3 to 5, all of class 1; row 3 hears two of class 0 and one of class 1.
    np.testing.assert_array_equal(in_groups.suspicion, [3, 3, -3, 1, 1, 1])


def test_a_row_is_judged_by_a_classifier_that_has_not_seen_it():
    fold = np.arange(400) % 5
    proba = cross_fitted(GaussianNB(), X, Y, fold, 3)
    expected = GaussianNB().fit(X[fold != 2], Y[fold != 2]).predict_proba(X[fold == 2])
    np.testing.assert_allclose(proba[fold == 2], expected)
    flipped = Y.copy()
    flipped[7] = (Y[7] + 1) % 3
    np.testing.assert_array_equal(cross_fitted(GaussianNB(), X, flipped, fold, 3)[7], proba[7])


def test_a_class_that_a_fold_lacks_has_the_probability_zero():
    y = np.array([0, 0, 1, 1, 2])
    fold = np.array([0, 1, 0, 1, 1])
    proba = cross_fitted(GaussianNB(), np.arange(10.0).reshape(5, 2), y, fold, 3)
    assert proba[1, 2] == 0
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("judge", [None, KNeighborsClassifier(), [GaussianNB(), GaussianNB()]])
def test_the_user_chooses_who_judges(judge):
    est = ConsensusClassifier(judge=judge, max_epochs=3, random_state=0).fit(X, GIVEN)
    own = {"networks out of fold", "training dynamics", "neighbours"}
    asked = set(est.views_) - own
    assert asked == (set() if judge is None else {type(j).__name__ for j in np.atleast_1d(judge)})


def test_a_judge_without_probabilities_is_refused():
    class Silent(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            return self

    with pytest.raises(ValueError, match="judge"):
        ConsensusClassifier(judge=Silent(), max_epochs=2).fit(X, GIVEN)


def test_a_better_view_counts_for_more():
    proba = np.where(np.eye(3, dtype=bool)[Y], 0.8, 0.1)
    good = view_of("good", proba, GIVEN)
    bad = view_of("bad", np.random.default_rng(0).dirichlet(np.ones(3), 400), GIVEN)
    share = weights([good, bad])
    assert share[0] > 0.99
    assert auroc(WRONG, combined_suspicion([good, bad])) > 0.95


@pytest.mark.parametrize("loss", ["cross_entropy", "early_learning"])
def test_the_loss_is_as_asked(loss):
    est = ConsensusClassifier(loss=loss, judge=None, max_epochs=2, random_state=0).fit(X, GIVEN)
    assert est.loss_ == loss


def test_the_last_training_is_on_soft_labels_by_hand():
    net = SoftLabelNet(torch.nn.PReLU(), target=torch.tensor([[0.5, 0.25]])).initialize()
    logits = torch.tensor([[1.0, 0.0]])
    step = net.training_loss({"x": logits, "index": torch.tensor([0])}, torch.tensor([0]))
    log_p = np.log([np.e / (1 + np.e), 1 / (1 + np.e)])
    assert step["loss"].item() == pytest.approx(-(0.5 * log_p[0] + 0.25 * log_p[1]), rel=1e-5)
    assert net.release().target is None


def test_rows_that_are_all_trusted_are_learned_as_they_are():
    est = ConsensusClassifier(max_epochs=8, random_state=0)
    est.fit(X, Y, trusted=np.ones(400, dtype=bool))
    assert est.noise_rate_ == 0
    assert est.views_ == {}
    assert est.score(X, Y) > 0.9


def test_images_are_judged_by_networks_alone():
    images = np.random.default_rng(0).integers(0, 255, (60, 1, 8, 8)).astype(np.uint8)
    est = ConsensusClassifier(max_epochs=1, random_state=0).fit(images, np.arange(60) % 2)
    assert set(est.views_) == {"networks out of fold", "training dynamics"}


def test_quick_asks_fewer_and_less_often(monkeypatch):
    asked = []
    import noisyfit.base._judging as judging

    original = judging._cross_fit

    def counted(task, trainer, folds, epochs, early_learning):
        asked.append((len(folds), epochs, early_learning))
        return original(task, trainer, folds, epochs, early_learning)

    monkeypatch.setattr(judging, "_cross_fit", counted)
    monkeypatch.setattr(ConsensusClassifier, "_judge_epochs", AS_IT_IS)
    est = ConsensusClassifier(preset="quick", random_state=0).fit(X, GIVEN)
    assert asked == [(1, 15, False)]
    assert set(est.views_) == {
        "networks out of fold",
        "training dynamics",
        "neighbours",
        "LogisticRegression",
    }
    assert est.loss_ == "cross_entropy"
    assert {e["stage"]: 0 for e in est.history_} == {"in sample": 0, "last training": 0}
    assert len([e for e in est.history_ if e["stage"] == "in sample"]) == 15
    assert len([e for e in est.history_ if e["stage"] == "last training"]) == 50
    assert est.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.07)
    low, high = est.noise_rate_interval_
    assert low <= WRONG.mean() <= high
    assert auroc(WRONG, est.noise_scores_) > 0.95


def test_what_is_said_by_itself_counts_with_quick_as_well(monkeypatch):
    monkeypatch.setattr(ConsensusClassifier, "_judge_epochs", AS_IT_IS)
    est = ConsensusClassifier(
        preset="quick", judge=GaussianNB(), loss="early_learning", judge_epochs=2, max_epochs=3
    ).fit(X, GIVEN)
    assert "GaussianNB" in est.views_
    assert est.loss_ == "early_learning"
    assert len([e for e in est.history_ if e["stage"] == "in sample"]) == 2


def test_verified_rows_are_asked_where_few_are_judged():
    trusted = Y != 0  # only rows of one class are judged: alone they would teach nothing
    est = ConsensusClassifier(max_epochs=3, random_state=0)
    est.fit(X, np.where(trusted, Y, GIVEN), trusted=trusted)
    assert {"neighbours", "LogisticRegression"} <= set(est.views_)
    few = np.arange(len(Y)) > 3
    est.fit(X, np.where(few, Y, GIVEN), trusted=few)
