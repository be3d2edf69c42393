"""Detection metrics: hand values, brute force, invariances, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import f1_score

from noisyfit.metrics import (
    auroc,
    average_precision,
    detection_report,
    expected_calibration_error,
    mask_f1,
    noise_rate_error,
    precision_at_recall,
)

RANKING = [auroc, average_precision, precision_at_recall]


@st.composite
def rankings(draw):
    """Truth with both classes, and scores on a coarse grid so that ties are common."""
    n = draw(st.integers(2, 40))
    truth = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    truth[0], truth[1] = True, False
    scores = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    return truth, scores


def cuts(truth, scores):
    """Yield recall, precision and added recall at each distinct score, highest first."""
    before = 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        recall = truth[taken].sum() / truth.sum()
        yield recall, truth[taken].mean(), recall - before
        before = recall


@settings(max_examples=50)
@given(rankings())
def test_auroc_counts_pairs(ranking):
    truth, scores = ranking
    difference = scores[truth][:, None] - scores[~truth]
    assert_allclose(auroc(truth, scores), np.mean((np.sign(difference) + 1) / 2))


@settings(max_examples=50)
@given(rankings())
def test_average_precision_sums_over_cuts(ranking):
    expected = sum(precision * step for _, precision, step in cuts(*ranking))
    assert_allclose(average_precision(*ranking), expected)


@settings(max_examples=50)
@given(rankings(), st.sampled_from([0.1, 0.5, 0.95, 1.0]))
def test_precision_at_recall_takes_the_first_cut_that_reaches_it(ranking, target):
    expected = next(precision for recall, precision, _ in cuts(*ranking) if recall >= target)
    assert_allclose(precision_at_recall(*ranking, recall=target), expected)


def test_precision_at_recall_takes_ties_together():
    # 2 wrong labels; the second lies in a group of four equal scores that must be taken whole.
    truth = [True, True, False, False, False, False]
    scores = [0.9, 0.5, 0.5, 0.5, 0.5, 0.1]
    assert precision_at_recall(truth, scores) == 2 / 5
    assert precision_at_recall(truth[::-1], scores[::-1]) == 2 / 5
    assert precision_at_recall(truth, scores, recall=0.5) == 1


def test_precision_at_recall_stops_at_19_of_20():
    # The 20th wrong label is last of all, and 0.95 does not need it.
    truth = np.r_[np.ones(19), np.zeros(100), 1]
    scores = -np.arange(120.0)
    assert precision_at_recall(truth, scores) == 1
    assert precision_at_recall(truth, scores, recall=0.951) == 20 / 120


@settings(max_examples=50)
@given(rankings())
def test_rankings_ignore_strictly_increasing_maps(ranking):
    truth, scores = ranking
    for metric in RANKING:
        assert metric(truth, np.exp(3 * scores) - 7) == metric(truth, scores)


@settings(max_examples=50)
@given(rankings(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(ranking, shuffler):
    truth, scores = ranking
    order = list(range(len(truth)))
    shuffler.shuffle(order)
    for metric in [*RANKING, expected_calibration_error]:
        assert_allclose(metric(truth[order], scores[order]), metric(truth, scores), atol=1e-12)


@settings(max_examples=50)
@given(rankings())
def test_reversed_ranking_mirrors_the_auroc(ranking):
    truth, scores = ranking
    assert_allclose(auroc(truth, -scores), 1 - auroc(truth, scores), atol=1e-12)
    assert_allclose(auroc(~truth, scores), 1 - auroc(truth, scores), atol=1e-12)


@pytest.mark.parametrize("metric", RANKING)
def test_perfect_and_useless_rankings(metric):
    truth = np.array([True, False, False, False])
    assert metric(truth, truth.astype(float)) == 1
    assert metric(truth, np.zeros(4)) == (0.5 if metric is auroc else 0.25)


def test_mask_f1_by_hand():
    # TP 2, FP 1, FN 1.
    assert mask_f1([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx(2 / 3)
    assert mask_f1([True, False], [False, False]) == 0
    assert mask_f1([True, True], [True, True]) == 1


@settings(max_examples=50)
@given(rankings())
def test_mask_f1_equals_scikit_learn(ranking):
    truth, scores = ranking
    flagged = scores > 0.5
    expected = f1_score(truth, flagged, zero_division=0)
    assert mask_f1(truth, flagged) == pytest.approx(expected)


def test_noise_rate_error_is_estimate_minus_truth():
    truth = [True] * 3 + [False] * 7
    assert noise_rate_error(truth, 0.4) == pytest.approx(0.1)
    assert noise_rate_error(truth, 0.0) == pytest.approx(-0.3)
    assert noise_rate_error([False, False], 0) == 0


def test_calibration_error_by_hand():
    # Two bins: three rows of mean .2 with a third wrong, one row of .9 that is right.
    truth = [True, False, False, False]
    scores = [0.1, 0.2, 0.3, 0.9]
    expected = 3 / 4 * abs(1 / 3 - 0.2) + 1 / 4 * 0.9
    assert expected_calibration_error(truth, scores, n_bins=2) == pytest.approx(expected)


def test_calibration_bins_are_closed_on_the_right():
    # 0.5 belongs to the lower of two bins, where its error cancels that of the 0.3.
    assert expected_calibration_error([0, 1, 1], [0.5, 0.5, 1.0], n_bins=2) == 0
    assert expected_calibration_error([0, 1], [0.3, 0.5], n_bins=2) == pytest.approx(0.1)
    # 0 and 1, the ends, have bins as well.
    assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0


@settings(max_examples=50)
@given(rankings(), st.integers(1, 20))
def test_calibration_error_lies_between_its_bounds(ranking, n_bins):
    truth, scores = ranking
    error = expected_calibration_error(truth, scores, n_bins)
    assert abs(truth.mean() - scores.mean()) - 1e-12 <= error
    assert error <= np.abs(truth - scores).mean() + 1e-12


def test_calibrated_scores_have_a_small_error_and_overconfident_ones_a_large_one():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    truth = rng.random(20_000) < probability
    assert expected_calibration_error(truth, probability) < 0.02
    assert expected_calibration_error(truth, np.round(probability)) > 0.2


def test_report_gathers_all_metrics():
    rng = np.random.default_rng(1)
    truth = rng.random(200) < 0.3
    scores = np.clip(0.4 * truth + 0.6 * rng.random(200), 0, 1)
    report = detection_report(truth, scores, clean_mask=scores < 0.5, noise_rate=0.25)
    assert report == {
        "true_noise_rate": truth.mean(),
        "auroc": auroc(truth, scores),
        "average_precision": average_precision(truth, scores),
        "precision_at_recall": precision_at_recall(truth, scores, 0.95),
        "expected_calibration_error": expected_calibration_error(truth, scores, 10),
        "mask_f1": mask_f1(truth, scores >= 0.5),
        "noise_rate_error": noise_rate_error(truth, 0.25),
    }
    assert all(type(value) is float for value in report.values())
    assert detection_report(truth, scores).keys() == report.keys() - {"mask_f1", "noise_rate_error"}


@pytest.mark.parametrize("metric", [*RANKING, detection_report])
@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([True, True], [0.1, 0.2], "is_noisy is True everywhere"),
        ([0, 0], [0.1, 0.2], "is_noisy is False everywhere"),
        ([0, 1], [0.1, np.nan], "noise_scores contains NaN"),
        ([0, 1], [0.1, np.inf], "noise_scores contains infinity"),
        ([0, 1, 1], [0.1, 0.2], r"inconsistent numbers of samples: \[3, 2\]"),
        ([0, 1], [[0.1], [0.2]], r"noise_scores must be 1-D, got an array of shape \(2, 1\)"),
        ([0, 2], [0.1, 0.2], r"boolean mask .* \[0, 2\]"),
        ([], [], "0 sample"),
    ],
)
def test_ranking_errors(metric, truth, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(truth, scores)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_at_recall([0, 1], [0, 1], recall=0), r"'recall' parameter .* \(0.0, 1"),
        (lambda: mask_f1([False, False], [True, False]), "is_noisy has no True"),
        (lambda: mask_f1([True, False], [0, 3]), "flagged must be a boolean mask"),
        (lambda: mask_f1([True, False], [True]), "inconsistent"),
        (lambda: noise_rate_error([True], 1.5), "'noise_rate' parameter"),
        (lambda: noise_rate_error([True], np.nan), "'noise_rate' parameter"),
        (lambda: expected_calibration_error([0, 1], [0, 1.5]), r"in \[0, 1\] .* from 0 to 1.5"),
        (lambda: expected_calibration_error([0, 1], [-0.1, 1]), "from -0.1 to 1"),
        (lambda: expected_calibration_error([0, 1], [0, np.nan]), "noise_scores contains NaN"),
        (lambda: expected_calibration_error([0, 1], [0, 1], n_bins=0), "'n_bins' parameter"),
        (lambda: detection_report([0, 1], [0, 1], clean_mask=[0, 2]), "clean_mask must be"),
    ],
)
def test_other_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("metric", "other"),
    [
        (auroc, [0.1, 0.2, 0.3]),
        (average_precision, [0.1, 0.2, 0.3]),
        (precision_at_recall, [0.1, 0.2, 0.3]),
        (expected_calibration_error, [0.1, 0.2, 0.3]),
        (mask_f1, [True, True, False]),
    ],
)
def test_messages_name_the_argument(metric, other):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[2, 3\]"):
        metric([True, False], other)
    with pytest.raises(ValueError, match="is_noisy must be a boolean mask"):
        metric([1, 2, 3], other)
    with pytest.raises(
        ValueError, match=r"is_noisy must be 1-D, got an array of shape \(1, 1, 3\)"
    ):
        metric([[[1, 0, 0]]], other)


def test_messages_name_the_function():
    for call, name in (
        (lambda: precision_at_recall([1, 0], [1, 0], recall=0), "precision_at_recall"),
        (lambda: noise_rate_error([1, 0], -0.1), "noise_rate_error"),
        (
            lambda: expected_calibration_error([1, 0], [1, 0], n_bins=0),
            "expected_calibration_error",
        ),
    ):
        with pytest.raises(ValueError, match=f"parameter of {name} must be"):
            call()
    for call in (lambda: noise_rate_error([2], 0), lambda: detection_report([2], [0])):
        with pytest.raises(ValueError, match="is_noisy must be a boolean mask"):
            call()
