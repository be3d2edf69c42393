"""Rows without a label: who learns from them, and what is said of them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DivideMixClassifier, DLTClassifier, MetaRelabelClassifier, debug_labels
from noisyfit.review import label_report, review_page

X, Y = load_digits(return_X_y=True)
X, X_TEST, Y, Y_TEST = train_test_split(X, Y, random_state=0)
RNG = np.random.default_rng(0)
LABELED = RNG.random(len(Y)) < 0.15
WRONG = LABELED & (RNG.random(len(Y)) < 0.2)
GIVEN = np.where(WRONG, (Y + 1) % 10, Y)
HIDDEN = np.where(LABELED, GIVEN, -1)
TRUSTED = np.zeros(len(Y), dtype=bool)
for c in range(10):
    TRUSTED[np.flatnonzero(LABELED & ~WRONG & (c == Y))[:3]] = True
ESTIMATORS = [
    DLTClassifier(unlabeled=-1, max_epochs=12, random_state=0),
    MetaRelabelClassifier(unlabeled=-1, max_epochs=5, random_state=0),
    DivideMixClassifier(unlabeled=-1, division="dlt", max_epochs=6, random_state=0),
]
NAMES = [type(est).__name__ for est in ESTIMATORS]


@pytest.fixture(scope="module", params=ESTIMATORS, ids=NAMES)
def est(request):
    trusted = TRUSTED if isinstance(request.param, MetaRelabelClassifier) else None
    return request.param.fit(X, HIDDEN, trusted=trusted)


def test_they_are_learned_from(est):
    assert est.score(X_TEST, Y_TEST) > 0.87
    assert (est.corrected_labels_ == Y)[~LABELED].mean() > 0.87


def test_without_them_dlt_learns_less():
    alone = DLTClassifier(random_state=0).fit(X[LABELED], GIVEN[LABELED])
    assert alone.score(X_TEST, Y_TEST) < 0.82


def test_nothing_is_said_of_labels_that_are_not_there(est):
    np.testing.assert_array_equal(est.labeled_mask_, LABELED)
    np.testing.assert_array_equal(est.classes_, np.arange(10))
    np.testing.assert_array_equal(est.given_labels_, HIDDEN)
    assert est.noise_scores_[~LABELED].max() == 0
    assert not est.clean_mask_[~LABELED].any()
    assert est.noise_rate_ == pytest.approx(WRONG.sum() / LABELED.sum(), abs=0.12)
    assert f"on {LABELED.sum()} labels" in est.summary()
    assert f"Without a label: {(~LABELED).sum():,} more rows." in est.summary()
    assert not any("Without a label" in doubt for doubt in est.doubts_)
    counted = est.class_report()
    assert counted["given"].tolist() == np.bincount(GIVEN[LABELED], minlength=10).tolist()
    assert counted["rejected"].sum() == (LABELED & ~est.clean_mask_).sum()
    assert counted["corrected"].sum() == LABELED.sum()
    np.testing.assert_allclose(est.transition_matrix_.sum(axis=1), 1)


def test_the_labels_that_are_there_are_judged(est):
    judged = LABELED & ~est.trusted_mask_
    right, wrong = judged & ~WRONG, judged & WRONG
    assert est.noise_scores_[wrong].mean() > 2 * est.noise_scores_[right].mean()


def test_a_review_lists_labels(est, tmp_path):
    report = label_report(est, X, HIDDEN)
    assert set(report.row) == set(np.flatnonzero(LABELED))
    review_page(est, X, HIDDEN, tmp_path / "page.html")
    labels, replaced = debug_labels(est, X, HIDDEN, share=0.02)
    assert replaced.sum() == int(0.02 * len(Y))
    assert LABELED[replaced].all()
    assert (labels[~LABELED] == -1).all()


@pytest.mark.parametrize("strategy", ["sliding_window", "last_epoch"])
def test_they_are_never_in_the_clean_part(strategy):
    settings = {"unlabeled": -1, "strategy": strategy, "max_epochs": 6, "random_state": 0}
    est = DLTClassifier(noise_rate=0.0, **settings).fit(X[:300], HIDDEN[:300])
    share = LABELED[:300].mean()
    repeated = round((1 - share) / share)
    in_training = share * repeated / (share * repeated + 1 - share)
    assert est.history_[-1]["selection_proportion"] == pytest.approx(in_training, abs=1e-6)
    # With a noise rate of 0 all labels are kept, and nothing else.
    assert est.history_[-1]["kept_share"] == pytest.approx(in_training, abs=0.02)
    est = DLTClassifier(noise_rate=0.3, **settings).fit(X[:300], HIDDEN[:300])
    assert (est.thresholds_[-1] < 100).all(), "the threshold lies among rows with a label"


def test_texts_can_mark_them():
    names = np.array(["cat", "dog"])[Y[:200] % 2].astype(object)
    names[::2] = ""
    est = DLTClassifier(unlabeled="", max_epochs=3, estimation_epochs=2).fit(X[:200], names)
    assert est.classes_.tolist() == ["cat", "dog"]
    assert set(est.corrected_labels_[::2]) <= {"cat", "dog"}
    assert est.given_labels_[0] == ""


def test_what_cannot_be_is_refused():
    est = DLTClassifier(unlabeled=-1)
    with pytest.raises(ValueError, match=r"two classes are needed.*unlabeled=-1, y has \[3\]"):
        est.fit(X[:20], np.where(np.arange(20) < 9, -1, 3))
    with pytest.raises(ValueError, match="trusted marks 1 rows without a label"):
        est.fit(X[:300], HIDDEN[:300], trusted=np.arange(300) == np.argmin(LABELED))
    with pytest.raises(ValueError, match="switch on relabel or pool_loss"):
        MetaRelabelClassifier(
            unlabeled=-1, relabel=False, pool_loss=False, consistency=0, max_epochs=1
        ).fit(X, HIDDEN, trusted=TRUSTED)


@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_rows_that_stand_in_for_trusted_ones_have_labels():
    est = MetaRelabelClassifier(unlabeled=-1, max_epochs=1, warmup_epochs=2, random_state=0)
    est.fit(X, HIDDEN)
    assert LABELED[est.probe_].all()
    assert est.probe_.any()


def test_validation_rows_have_labels():
    est = DLTClassifier(unlabeled=-1, validation_fraction=0.2, max_epochs=3, estimation_epochs=2)
    est.fit(X, HIDDEN)
    assert LABELED[est.validation_mask_].all()
    assert est.validation_mask_.any()


def test_they_are_no_errors_of_the_predictions(est):
    assert est.score(X, HIDDEN) == est.score(X[LABELED], GIVEN[LABELED])
    weight = np.arange(len(Y))
    weighed = est.score(X, HIDDEN, sample_weight=weight)
    assert weighed == est.score(X[LABELED], GIVEN[LABELED], sample_weight=weight[LABELED])


def test_balanced_weights_are_those_of_the_labels():
    even = np.full(300, -1)
    for code in range(10):
        even[np.flatnonzero(code == Y[:300])[:6]] = code
    settings = {"unlabeled": -1, "noise_rate": 0.1, "max_epochs": 3, "random_state": 0}
    plain, balanced = (
        DLTClassifier(class_weight=weights, **settings).fit(X[:300], even)
        for weights in (None, "balanced")
    )
    np.testing.assert_allclose(balanced.noise_scores_, plain.noise_scores_, atol=1e-6)


@pytest.mark.parametrize(("mark", "labels"), [(-1, HIDDEN.astype(str)), ("-1", HIDDEN)])
def test_a_mark_of_another_type_is_refused(mark, labels):
    with pytest.raises(ValueError, match="is of another type than the labels"):
        DLTClassifier(unlabeled=mark).fit(X, labels)


def test_weights_have_to_be_those_of_labels():
    with pytest.raises(ValueError, match="rows with a label must have a finite sum above 0"):
        DLTClassifier(unlabeled=-1).fit(X, HIDDEN, sample_weight=~LABELED)
