"""Planted errors say how far down a ranking the wrong labels lie."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from noisyfit.label_quality import (
    calibrate,
    margins,
    planted_length,
    review_length,
    with_length,
)
from noisyfit.metrics import expected_calibration_error

N = 6_000


def problem(kind, rate=0.2, n_classes=4, overlap=1.0, seed=0):
    """Probabilities that are right, labels drawn from them, and errors of a kind on top."""
    rng = np.random.default_rng(seed)
    proba = softmax(rng.normal(scale=4 / overlap, size=(N, n_classes)), axis=1)
    true = (proba.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    wrong = rng.random(N) < rate
    if kind == "one class":
        wrong &= true == 0
    step = rng.integers(1, n_classes, N) if kind == "symmetric" else 1
    given = np.where(wrong, (true + step) % n_classes, true)
    return proba, given, wrong


def needed(suspicion, wrong, share):
    order = np.argsort(-suspicion)
    return (np.searchsorted(wrong[order].cumsum(), share * wrong.sum()) + 1) / len(wrong)


def curve(proba, given, rate):
    """What a verdict makes of its own margins."""
    return calibrate(-margins(proba, given), proba.argmax(axis=1) != given, rate)


@pytest.mark.parametrize("overlap", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["symmetric", "pair", "one class"])
def test_planted_errors_lie_where_real_ones_do(kind, overlap):
    proba, given, wrong = problem(kind, overlap=overlap)
    scores = curve(proba, given, wrong.mean())
    for share in (0.5, 0.9):
        found = planted_length(proba, given, scores, share)
        assert 0.75 < found / needed(-margins(proba, given), wrong, share) < 1.35


def test_where_classes_overlap_a_verdict_on_itself_is_too_sure():
    proba, given, wrong = problem("symmetric", overlap=3.0)
    sure = curve(proba, given, wrong.mean())
    length = planted_length(proba, given, sure, 0.9)
    scores = with_length(sure, length, 0.9)
    need = needed(sure, wrong, 0.9) * N
    assert review_length(sure, 0.9) < 0.75 * need
    assert 0.8 * need < review_length(scores, 0.9) < 1.25 * need
    before, after = (expected_calibration_error(wrong, s) for s in (sure, scores))
    assert after < 0.6 * before


def test_a_curve_keeps_order_and_mean():
    p = expit(np.random.default_rng(0).normal(-2, 3, 5_000))
    for length in (0.05, 0.3, 0.8):
        q = with_length(p, length, 0.9)
        assert q.mean() == pytest.approx(p.mean(), abs=1e-6)
        np.testing.assert_array_equal(np.argsort(q, kind="stable"), np.argsort(p, kind="stable"))
        first = np.sort(q)[::-1][: round(length * 5_000)].sum() / q.sum()
        if length == 0.3:
            assert first == pytest.approx(0.9, abs=0.01)
    flattest, steepest = with_length(p, 0.99, 0.9), with_length(p, 0.01, 0.9)
    z, flat, steep = (np.log(s / (1 - s)) for s in (p, flattest, steepest))
    assert np.ptp(flat) == pytest.approx(0.3 * np.ptp(z), rel=1e-3)
    assert np.ptp(steep) == pytest.approx(3 * np.ptp(z), rel=1e-3)


def test_nothing_is_planted_where_nothing_can_be():
    # Every row of the only class that labels seem to come from looks wrong itself.
    proba = np.array([[0.9, 0.1]] * 4)
    assert planted_length(proba, np.ones(4, dtype=int), np.full(4, 0.9), 0.9) is None
    few = np.array([1e-3, 1e-4, 0.0])
    assert with_length(few, 0.3, 0.9) is few, "less than half an error is expected"


def test_one_row_of_a_class_and_ties():
    proba = np.full((5, 3), 1 / 3)
    length = planted_length(proba, np.array([0, 0, 0, 1, 2]), np.full(5, 0.2), 0.9)
    assert length == 1, "no margin tells rows apart"
    assert with_length(np.full(5, 0.2), 1.0, 0.9) == pytest.approx(np.full(5, 0.2))
