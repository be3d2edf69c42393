"""What networks that did not train on a row say of its label: rates, intervals, decisions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_classification

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.base import Verdict
from noisyfit.base._decisions import relabeled_rows, worth_replacing_from
from noisyfit.label_quality import NoiseRateEstimate, held_out_noise_rate, with_loss_gap
from noisyfit.noise import corrupt_labels, transition_matrix

pytestmark = pytest.mark.judged


def easy(n=600, n_classes=3, **settings):
    """Classes that overlap little; all labels are right."""
    settings = {"n_informative": 7, "n_redundant": 0, "class_sep": 2, **settings}
    return make_classification(
        n, 10, n_classes=n_classes, n_clusters_per_class=1, flip_y=0, random_state=0, **settings
    )


def flipped(y, kind, rate):
    """Labels of which some are wrong."""
    n_classes = y.max() + 1
    return corrupt_labels(y, transition_matrix(kind, n_classes, rate), 1).labels


@pytest.mark.parametrize("kind", [MILDSelector, DynamicsLSTMDetector])
def test_b04_a_rare_class_is_not_rejected(kind):
    X, y = easy(600, 2, weights=[0.985])
    est = kind(random_state=0, max_epochs=20).fit(X, y)
    assert (y == 1).sum() == 9
    assert (~est.clean_mask_)[y == 1].sum() <= 1
    assert est.noise_rate_ < 0.005
    np.testing.assert_array_equal(est.corrected_labels_, y)


def test_b05_errors_of_one_kind_are_counted():
    X, y = easy(800, 4)
    given = flipped(y, "pair", 0.4)
    est = DynamicsLSTMDetector(random_state=0).fit(X, given)
    assert est.noise_rate_ == pytest.approx((given != y).mean(), abs=0.06)
    low, high = est.noise_rate_interval_
    assert low <= (given != y).mean() <= high
    assert any("The estimate is uncertain" in doubt for doubt in est.doubts_)


def test_b06_labels_learned_by_heart_are_counted_and_doubted():
    X, y = easy()
    given = flipped(y, "symmetric", 0.2)
    numbered = sparse.hstack([sparse.csr_matrix(X), sparse.eye(600)]).tocsr()
    est = MILDSelector(random_state=0).fit(numbered, given)
    assert est.noise_rate_ == pytest.approx((given != y).mean(), abs=0.05)
    assert any("learned labels by heart" in doubt for doubt in est.doubts_)


def test_b08_nothing_is_wrong_with_clean_labels():
    X, y = load_digits(return_X_y=True)
    est = MILDSelector(random_state=0).fit(X[:600], y[:600])
    assert est.noise_rate_ < 0.01
    assert est.clean_mask_.mean() > 0.99
    np.testing.assert_array_equal(est.corrected_labels_, y[:600])
    assert est.doubts_ == []


@pytest.mark.parametrize(
    "kind", [MILDSelector, DynamicsLSTMDetector, DLTClassifier, DivideMixClassifier]
)
@pytest.mark.parametrize("told", ["noise", "constant"])
def test_b09_where_nothing_can_be_told_nothing_is_changed(kind, told):
    _, y = easy(300)
    X = np.random.default_rng(0).normal(size=(300, 6)) if told == "noise" else np.ones((300, 6))
    est = kind(random_state=0, max_epochs=8).fit(X, y)
    assert est.clean_mask_.all()
    assert not est.noise_scores_.any()
    np.testing.assert_array_equal(est.corrected_labels_, y)
    assert est.doubts_[0].startswith("Nothing can be told")
    assert est.noise_rate_interval_[1] > 0.5


def test_rows_are_not_handed_on_in_silence_where_nothing_can_be_told():
    """In a pipeline nobody reads the summary."""
    _, y = easy(300)
    X = np.random.default_rng(0).normal(size=(300, 6))
    with pytest.warns(UserWarning, match="All 300 rows with a label were kept, since nothing can"):
        kept, _ = MILDSelector(random_state=0, max_epochs=8).fit_resample(X, y)
    assert len(kept) == 300


def test_near_copies_are_judged_together():
    rng = np.random.default_rng(0)
    X, y = easy(200)
    given = flipped(y, "symmetric", 0.2)
    copies = np.tile(X, (3, 1)) + 0.01 * rng.normal(size=(600, 10))
    est = MILDSelector(random_state=0, rounds=1).fit(copies, np.tile(given, 3))
    assert est.noise_rate_ == pytest.approx((given != y).mean(), abs=0.08)


@pytest.mark.filterwarnings("ignore:The meta step gains nothing")  # in four epochs
def test_the_rate_of_all_methods_is_that_of_the_judges():
    X, y = easy(300)
    given = flipped(y, "symmetric", 0.3)
    for est in (
        DLTClassifier(max_epochs=6, random_state=0),
        DivideMixClassifier(max_epochs=6, random_state=0),
        MetaRelabelClassifier(max_epochs=4, random_state=0),
    ):
        trusted = np.arange(300) < 30
        labels = np.where(trusted, y, given)
        est.fit(X, labels, trusted=trusted)
        # Trusted labels are right: the rate is one of all labels.
        gap = getattr(est, "noise_rate_estimate_", None)  # meta re-labelling has none
        expected = est.held_out_noise_rate_.rate
        if gap is not None:
            gap = gap._replace(rate=gap.rate / 0.9)
            expected = with_loss_gap(est.held_out_noise_rate_, gap)
        assert est.noise_rate_ == pytest.approx(0.9 * expected)
        assert est.noise_rate_interval_[0] <= est.noise_rate_ <= est.noise_rate_interval_[1]


def test_dlt_looks_at_losses_in_sample_where_they_tell_two_groups():
    X, y = load_digits(return_X_y=True)
    given = flipped(y, "symmetric", 0.4)
    est = DLTClassifier(max_epochs=5, judge_epochs=10, random_state=0).fit(X, given)
    assert est.noise_rate_estimate_.separation > 4
    assert est.noise_rate_ == pytest.approx((given != y).mean(), abs=0.03)
    assert est.held_out_noise_rate_.rate < est.noise_rate_
    assert est.noise_rate_interval_ != est.noise_rate_estimate_.interval


def test_without_judges_a_method_speaks_for_itself():
    X, y = easy(300)
    est = MILDSelector(judge_epochs=0, random_state=0, max_epochs=5).fit(X, y)
    assert est.noise_rate_interval_ is None
    assert est.held_out_noise_rate_ is None


def test_judges_change_nothing_of_what_the_method_draws():
    X, y = easy(300)
    asked, alone = (
        MILDSelector(judge_epochs=epochs, rounds=1, max_epochs=5, random_state=0).fit(X, y)
        for epochs in (3, 0)
    )
    np.testing.assert_array_equal(asked.predict_proba(X), alone.predict_proba(X))


def test_a_fit_that_was_judged_is_stored(tmp_path):
    from noisyfit import load

    X, y = easy(200)
    est = MILDSelector(max_epochs=4, random_state=0).fit(X, flipped(y, "symmetric", 0.2))
    est.save(tmp_path / "est.noisyfit")
    again = load(tmp_path / "est.noisyfit")
    assert again.held_out_noise_rate_ == est.held_out_noise_rate_
    assert again.noise_rate_interval_ == est.noise_rate_interval_
    np.testing.assert_array_equal(again.corrected_labels_, est.corrected_labels_)
    assert again.summary() == est.summary()


def verdict_of(proba, y):
    """A verdict of two repeats that agree."""
    repeats = np.stack([proba, proba]).astype(np.float32)
    found = held_out_noise_rate(repeats, y)
    contradicted = proba.argmax(axis=1) != y
    return Verdict(proba, contradicted, np.zeros(len(y), bool), found, 1.0, [])


def test_labels_are_replaced_only_where_even_the_lower_end_says_so():
    n = 100
    y, wrong = np.zeros(n, dtype=np.int64), np.arange(n) < 20
    proba = np.where(wrong[:, None], [0.1, 0.9], [0.9, 0.1])
    scores = np.where(wrong, 0.9, 0.02)
    verdict = verdict_of(proba, y)
    predicted = proba.argmax(axis=1)
    sure = verdict._replace(found=verdict.found._replace(interval=(0.19, 0.3)))
    unsure = verdict._replace(found=verdict.found._replace(interval=(0.0, 0.3)))
    worth_from = worth_replacing_from(verdict, y, predicted)
    np.testing.assert_array_equal(relabeled_rows(sure, worth_from, scores, wrong), wrong)
    assert not relabeled_rows(unsure, worth_from, scores, wrong).any()
    np.testing.assert_array_equal(relabeled_rows(None, None, scores, wrong), wrong)


@pytest.mark.parametrize(("separation", "expected"), [(2.5, 0), (3.25, 1), (4.0, 2)])
def test_where_losses_fall_into_two_groups_the_rate_itself_counts(separation, expected):
    # Half the wrong labels are as likely to be right at half the rate, all are wrong at the rate.
    n = 200
    y, wrong, sure = np.arange(n) // 100, np.arange(n) < 20, np.arange(n) < 10
    proba = np.where((wrong | (y == 1))[:, None], [0.1, 0.9], [0.9, 0.1])
    scores = np.where(sure, 0.97, np.where(wrong, 0.8, 0.02))
    verdict = verdict_of(proba, y)
    found = verdict.found._replace(rate=float(scores.mean()), interval=(0.0, 0.3))
    gap = NoiseRateEstimate(found.rate, (0.1, 0.3), 3, separation, found.rate)
    worth_from = worth_replacing_from(verdict, y, proba.argmax(axis=1))
    replaced = relabeled_rows(verdict._replace(found=found), worth_from, scores, wrong, gap)
    np.testing.assert_array_equal(replaced, [np.zeros(n, bool), sure, wrong][expected])
    learned = gap._replace(rate=0.05)  # far below what is told out of fold
    verdict = verdict._replace(found=found)
    assert not relabeled_rows(verdict, worth_from, scores, wrong, learned).any()


def test_a_label_is_not_replaced_by_one_of_many_that_are_as_likely():
    y = np.zeros(50, dtype=np.int64)
    proba = np.full((50, 10), 0.1)
    verdict = verdict_of(proba, y)
    verdict = verdict._replace(found=verdict.found._replace(interval=(0.6, 0.9)))
    rejected = np.ones(50, dtype=bool)
    scores = np.full(50, 0.7)
    # s p / (1 - p) = .7 * .1 / .9 = .08, less than 1 - s = .3
    worth_from = worth_replacing_from(verdict, y, np.full(50, 3))
    np.testing.assert_allclose(worth_from, 0.9)  # 1 / (1 + .1 / .9)
    assert not relabeled_rows(verdict, worth_from, scores, rejected).any()


def test_a_label_that_is_predicted_is_never_worth_replacing():
    proba = np.array([[0.2, 0.8], [0.0, 1.0], [0.2, 0.8]])
    verdict = verdict_of(proba, np.array([0, 0, 1]))
    worth_from = worth_replacing_from(verdict, np.array([0, 0, 1]), np.array([1, 0, 1]))
    np.testing.assert_allclose(worth_from, [0.5, 1, 1])  # of two classes the other one is right
    assert worth_replacing_from(None, np.array([0]), np.array([1])) is None


def test_a_class_that_nobody_is_predicted_as_is_kept():
    X, y = easy(400, 2, class_sep=0.3, weights=[0.95])
    rare = y == 1
    est = DynamicsLSTMDetector(max_epochs=15, random_state=0).fit(X, y)
    assert est.clean_mask_[rare].mean() > 0.8
