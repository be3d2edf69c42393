"""Transition matrix, length of a review and summary, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from noisyfit import MILDSelector
from noisyfit.label_quality import (
    estimate_transition_matrix,
    expected_errors_found,
    review_length,
    summarize,
)
from noisyfit.label_quality._transition_matrix import frequent_confusions
from noisyfit.noise import corrupt_labels, transition_matrix


def test_a_matrix_by_hand():
    labels, predicted = [0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 1, 0]
    T = estimate_transition_matrix(labels, predicted, [0.5, 0.8, 0, 0, 0, 0.6], 3)
    # Class 0: 1 + 0.2 + 1 as given and 0.6 of row 5; class 1: 0.8 of row 1, 1 + 1 + 0.4 as given.
    np.testing.assert_allclose(T[0], [2.2 / 2.8, 0.6 / 2.8, 0])
    np.testing.assert_allclose(T[1], [0.8 / 3.2, 2.4 / 3.2, 0])
    assert T[2].tolist() == [0, 0, 1]


@given(st.data())
def test_rows_of_the_matrix_sum_to_one(data):
    n, n_classes = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
    codes = st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)
    scores = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    T = estimate_transition_matrix(data.draw(codes), data.draw(codes), scores, n_classes)
    np.testing.assert_allclose(T.sum(axis=1), 1)
    assert T.min() >= 0


@given(st.data())
def test_frequent_confusions_are_the_largest_entries_of_the_matrix(data):
    n = data.draw(st.integers(1, 40))
    codes = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    labels, predicted = data.draw(codes), data.draw(codes)
    scores = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    T = estimate_transition_matrix(labels, predicted, scores, 5)
    np.fill_diagonal(T, 0)
    found = frequent_confusions(labels, predicted, scores, 3)
    shares = [share for *_, share in found]
    np.testing.assert_allclose([T[i, j] for i, j, _ in found], shares)
    expected = np.sort(T, axis=None)[::-1][:3]
    np.testing.assert_allclose(shares, [share for share in expected if share >= 0.005])


@pytest.fixture(scope="module")
def fitted():
    X, y = load_digits(return_X_y=True)
    planted = transition_matrix("pair", 10, 0.2)
    corrupted = corrupt_labels(y, planted, random_state=0)
    return MILDSelector(random_state=0).fit(X, corrupted.labels), planted, corrupted.flipped


def test_a_planted_matrix_is_found(fitted):
    est, planted, _ = fitted
    assert np.abs(est.transition_matrix_ - planted).max() < 0.1
    wrong = est.transition_matrix_ - np.diag(np.diag(est.transition_matrix_))
    np.testing.assert_array_equal(wrong.argmax(axis=1), (np.arange(10) + 1) % 10)


def test_a_review_finds_what_it_promises(fitted):
    est, _, flipped = fitted
    for share in (0.5, 0.9):
        n = review_length(est.noise_scores_, share)
        found = flipped[np.argsort(-est.noise_scores_)[:n]].sum() / flipped.sum()
        assert found == pytest.approx(share, abs=0.08)
        assert n < 1.5 * share * flipped.sum()


def test_the_summary_names_planted_confusions(fitted):
    est, _, _ = fitted
    text = est.summary()
    assert "MILDSelector on 1,797 labels of 10 classes" in text
    assert f"Rejected: {(~est.clean_mask_).sum():,}." in text
    pairs = [line.split(":")[0].split() for line in text.splitlines() if " rows that are " in line]
    assert len(pairs) == 5
    assert all(int(b) == (int(a) + 1) % 10 for a, _, b in pairs)


def test_the_expected_errors_by_hand():
    found = expected_errors_found([0.2, 0.5, 0.0, 0.3])
    np.testing.assert_allclose(found, [0, 0.5, 0.8, 1, 1])
    for share, n in ((0, 0), (0.5, 1), (0.51, 2), (0.8, 2), (0.9, 3), (1, 3)):
        assert review_length([0.2, 0.5, 0.0, 0.3], share) == n
    np.testing.assert_allclose(expected_errors_found([0.2, 0.5, 0.3]), [0, 0.5, 0.8, 1])
    assert expected_errors_found([0.5]).tolist() == [0, 1]
    assert review_length([0.2, 0.5, 0.3], 1) == 3


def test_no_error_needs_no_review():
    assert expected_errors_found(np.zeros(3)).tolist() == [1, 1, 1, 1]
    assert review_length(np.zeros(3), 0.9) == 0
    text = summarize("Est", np.arange(2), np.zeros(3), 0, 0, 0.0, [])
    assert text.endswith("No label is suspicious.")
    assert "Trusted" not in text
    assert "Trusted: 3" in summarize("Est", np.arange(2), np.zeros(3), 0, 3, 0.0, [])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.2, 1.2], "from 0.2 to 1.2"),
        ([[0.1]], r"shape \(1, 1\)"),
        ([np.nan], "noise_scores contains NaN"),
    ],
)
def test_what_is_no_probability_is_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        review_length(scores)


@pytest.mark.parametrize("share", [-0.1, 1.1, "half", None])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be a number in \[0, 1\]"):
        review_length([0.5], share)


def test_there_is_no_matrix_before_a_fit():
    assert not hasattr(MILDSelector(), "transition_matrix_")
    with pytest.raises(AttributeError, match="MILDSelector is not fitted"):
        _ = MILDSelector().transition_matrix_


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\) and \(2,\)"):
        estimate_transition_matrix([0, 1], [0, 1, 1], [0, 0], 2)


def test_a_whole_summary():
    scores = np.r_[np.full(400, 1.0), np.full(1000, 0.05), np.full(600, 0.0)]
    text = summarize(
        "Est", np.array(["cat", "dog"]), scores, 450, 7, 0.225, [(1, 0, 0.3), (0, 1, 0.015)]
    )
    assert text.splitlines() == [
        "Est on 2,000 labels of 2 classes",
        "Unchecked: no network judged rows that it did not train on. Hard rows may count as wrong.",
        "Wrong by estimate: about 450 (22.5 %). Rejected: 450.",
        "Trusted: 7, taken as right.",
        "Review the 500 most suspicious rows to find about 90 % of the errors, the 950 for 95 %.",
        "Most frequent confusions (true class -> given label):",
        "  dog -> cat: 30.0 % of the rows that are dog",
        "  cat -> dog: 1.5 % of the rows that are cat",
    ]
    empty = summarize("Est", np.array(["cat", "dog"]), np.zeros(3), 0, 0, 0.0, [])
    assert empty.splitlines() == [
        "Est on 3 labels of 2 classes",
        "Unchecked: no network judged rows that it did not train on. Hard rows may count as wrong.",
        "Wrong by estimate: about 0 (0.0 %). Rejected: 0.",
        "No label is suspicious.",
    ]


@pytest.mark.parametrize(("n_rejected", "differs"), [(10, False), (11, True), (40, True)])
def test_a_few_rows_are_no_difference(n_rejected, differs):
    text = summarize("X", np.array([0, 1]), np.full(100, 0.5), n_rejected, 0, 0.0, [])
    assert ("It has rejected many more" in text) == differs
    assert ("of which 0 are above one half" in text) == differs


def test_a_summary_says_where_rejected_and_estimated_differ():
    scores = np.r_[np.full(30, 0.9), np.full(70, 0.1)]
    args = ("X", np.array([0, 1]), scores)
    assert "above one half" not in summarize(*args, 34, 0, 0.34, [])
    more = summarize(*args, 60, 0, 0.34, [])
    assert "rejected many more than it estimates to be wrong" in more
    assert "of which 30 are above one half" in more
    assert "many fewer" in summarize(*args, 5, 0, 0.34, [])
    few = ("X", np.array([0, 1]), np.r_[np.full(5, 0.9), np.full(95, 0.3)])
    assert "many fewer" not in summarize(*few, 5, 0, 0.33, []), "the scores say the same"


def test_a_summary_says_that_few_are_wrong_and_that_none_was_replaced():
    scores = np.r_[np.full(3, 0.9), np.full(97, 0.01)]
    args = ("X", np.array([0, 1]), scores, 3, 0, 0.01, [])
    text = summarize(*args, interval=(0.0, 0.042), n_replaced=0)
    assert "Believe that few labels are wrong, at most 4.2 %. How many is not known." in text
    assert "None of the rejected labels was replaced, at the lower end of 0.0 %" in text
    sure = summarize(*args, interval=(0.005, 0.042), n_replaced=2)
    assert "Believe it: nothing speaks against these numbers." in sure
    assert "was replaced" not in sure


def test_equally_frequent_confusions_come_in_the_order_of_classes():
    given = np.arange(40)
    predicted = (given + 1) % 40
    found = frequent_confusions(given, predicted, np.full(40, 0.5), n_confusions=30, min_share=0.5)
    assert found == [(i, (i - 1) % 40, 0.5) for i in range(30)]
    assert frequent_confusions(given, predicted, np.full(40, 0.5), min_share=0.51) == []


@pytest.mark.parametrize("seed", range(5))
def test_confusions_are_the_entries_of_the_matrix(seed):
    rng = np.random.default_rng(seed)
    given, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    scores = rng.random(60) * rng.random()
    matrix = estimate_transition_matrix(given, predicted, scores, 5)
    found = frequent_confusions(given, predicted, scores, n_confusions=20, min_share=0)
    assert len(found) == len({(p, g) for p, g in zip(predicted, given, strict=True) if p != g})
    for true, label, share in found:
        assert share == pytest.approx(matrix[true, label])


def test_a_class_that_nobody_belongs_to_has_no_confusions():
    assert frequent_confusions([0, 0], [1, 0], [0.0, 0.0], min_share=0) == [(1, 0, 0.0)]
    assert frequent_confusions([0, 0], [1, 0], [0.0, 0.0]) == []
