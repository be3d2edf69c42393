"""The table of labels: its lines, its reasons, and what a review makes of it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from torch.utils.data import TensorDataset

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.review import apply_review, label_report

NAMES = np.array(["ant", "bee", "cat"])
X, TRUE = make_blobs(150, 5, centers=3, cluster_std=1.0, random_state=1)
WRONG = np.zeros(150, dtype=bool)
WRONG[np.random.default_rng(0).permutation(150)[:20]] = True
GIVEN = NAMES[np.where(WRONG, (TRUE + 1) % 3, TRUE)]
TRUSTED = np.arange(150) % 10 == 0
TRUSTED &= ~WRONG


@pytest.fixture(scope="module")
def est():
    return MILDSelector(max_epochs=20, random_state=0).fit(X, GIVEN, trusted=TRUSTED)


@pytest.fixture(scope="module")
def report(est):
    return label_report(est, X, GIVEN)


def test_each_label_has_a_line_and_the_most_suspicious_come_first(est, report):
    assert sorted(report.row) == list(range(150))
    assert report["rank"].tolist() == list(range(1, 151))
    assert (np.diff(report.noise_score) <= 0).all()
    back = report.sort_values("row")
    np.testing.assert_array_equal(back.noise_score, est.noise_scores_)
    np.testing.assert_array_equal(back.given, GIVEN)
    np.testing.assert_array_equal(back.suggested, est.predict(X))
    np.testing.assert_array_equal(back.kept, est.clean_mask_)
    np.testing.assert_array_equal(back.trusted, TRUSTED)
    proba = est.predict_proba(X)
    np.testing.assert_array_equal(back.suggested_proba, proba.max(axis=1))
    column = np.searchsorted(NAMES, GIVEN)
    np.testing.assert_array_equal(back.given_proba, proba[np.arange(150), column])


def test_suggestions_are_right_where_labels_are_wrong(report):
    top = report.head(20)
    assert WRONG[top.row].mean() > 0.8
    assert (top.suggested == NAMES[TRUE[top.row]]).mean() > 0.8


def test_reasons_say_what_the_numbers_say(report):
    for line in report.itertuples():
        if line.trusted:
            assert line.reason == "verified: taken as right"
        elif line.suggested != line.given:
            said = f"the network says {line.suggested} ({line.suggested_proba:.0%})"
            assert said.replace("%", " %") in line.reason
            assert ("not enough to reject" in line.reason) == line.kept
        else:
            assert "agrees" in line.reason


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (GIVEN[:-1], "fitted on 150 rows, but y has 149 labels"),
        (np.roll(GIVEN, 1), "y is not what est was fitted on: row .* in their order of then"),
    ],
)
def test_other_labels_are_refused(est, y, message):
    with pytest.raises(ValueError, match=message):
        label_report(est, X, y)


def test_what_is_no_fitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        label_report(MILDSelector(), X, GIVEN)
    with pytest.raises(TypeError, match=r"noisyfit estimator\. Got int"):
        label_report(3, X, GIVEN)


def test_a_review_makes_the_next_fit_better(est, report):
    """Twenty decisions by somebody who knows the truth, taken back as trusted rows."""
    decisions = [
        {"row": row, "decision": "relabel", "label": NAMES[TRUE[row]]} for row in report.row[:20]
    ]
    labels, kept, trusted, _ = apply_review(GIVEN, decisions)
    assert (labels != NAMES[TRUE]).sum() < 0.3 * WRONG.sum()
    again = DLTClassifier(max_epochs=10, random_state=0).fit(
        X[kept], labels[kept], trusted=trusted[kept]
    )
    assert (again.noise_scores_[report.row[:20]] == 0).all()
    assert again.noise_rate_ < est.noise_rate_


def test_missing_labels_are_told_apart(est):
    with pytest.raises(ValueError, match="y must be the labels that est was fitted on"):
        label_report(est, X)
    images = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(TRUE))
    named = MILDSelector(rounds=1, max_epochs=2).fit(images, GIVEN)
    with pytest.raises(ValueError, match=r"as y: the data set has others\.$"):
        label_report(named, images)
    assert len(label_report(named, images, GIVEN)) == 150
