"""What an audit says of the order: against the truth, by hand, and over many draws."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from test_audit import FEW, TRUTH, TWO_SCORES, WRONG
from test_sampling import SCORES

from noisyfit.audit import Audit, AuditSample, sample

TIED = np.round(SCORES, 1)


@pytest.mark.parametrize("scores", [SCORES[:300], TIED[:300], np.full(300, 0.4)])
def test_all_rows_verified_give_the_truth(scores):
    wrong = TRUTH[:300]
    audit = Audit(scores, None, wrong, rows=range(300))
    assert audit.auroc() == (pytest.approx(roc_auc_score(wrong, scores)),) * 3
    assert audit.average_precision() == (pytest.approx(average_precision_score(wrong, scores)),) * 3
    top = np.argsort(-scores, kind="stable")[:40]
    assert audit.precision_at(40) == (pytest.approx(wrong[top].mean()),) * 3
    curve = audit.review_curve()
    order = np.argsort(-scores, kind="stable")
    found = np.array([wrong[order[:k]].sum() / wrong.sum() for k in curve.rows])
    for part in (curve.found, curve.low, curve.high):
        np.testing.assert_allclose(part, found)


def test_the_area_by_hand():
    # Two strata of 60 and 40 rows with scores .2 and .8, of which 1 of 4 and 3 of 4 are wrong.
    audit = Audit(TWO_SCORES, None, WRONG, FEW)
    wrong, right = {0.2: 15, 0.8: 30}, {0.2: 45, 0.8: 10}
    pairs = {
        (a, b): wrong[a] * right[b] * ((a > b) + (a == b) / 2)
        for a, b in itertools.product((0.2, 0.8), repeat=2)
    }
    assert audit.auroc().value == pytest.approx(sum(pairs.values()) / (45 * 55))
    value, low, high = audit.auroc()
    assert 0 < low < value < high < 1


def test_average_precision_by_hand():
    # Of the upper stratum: one row itself, the three others stand for 39. Of the lower: 59 rows.
    audit = Audit(TWO_SCORES, None, WRONG, FEW)
    upper = (1 + 2 * 13) / 40
    lower = (1 + 0 * 59 / 3 + 3 * 10) / (1 + 3 * 59 / 3 + 40)
    assert audit.average_precision().value == pytest.approx((30 * upper + 15 * lower) / 45)


def every_draw(strata, n_of):
    """All samples with a number of rows of each stratum."""
    rows = [np.flatnonzero(np.array(strata) == h) for h in range(len(n_of))]
    for parts in itertools.product(
        *(itertools.combinations(r, n) for r, n in zip(rows, n_of, strict=True))
    ):
        chosen = np.concatenate([np.array(part) for part in parts])
        counts, sizes = np.array(n_of), np.bincount(strata)
        where = np.array(strata)[chosen]
        yield AuditSample(chosen, (counts / sizes)[where], where, np.array(strata))


def test_the_sums_behind_the_area_are_right_in_the_mean_of_all_draws():
    strata, scores = [0] * 5 + [1] * 4, np.arange(9) / 10
    wrong = np.array([0, 1, 0, 0, 1, 1, 0, 1, 1], dtype=bool)
    estimates, spread = [], []
    for drawn in every_draw(strata, (3, 2)):
        design = Audit(scores, None, wrong[drawn.rows], drawn)._design
        values = design.wrong * scores[design.rows]
        estimates.append((design.weights * values).sum())
        spread.append(design.variance_of_sum(values))
    assert np.mean(estimates) == pytest.approx((wrong * scores).sum())
    assert np.mean(spread) == pytest.approx(np.var(estimates)), "Cochran 1977, theorem 5.3"


@pytest.mark.parametrize("verified", [np.zeros(50, bool), np.ones(50, bool)])
def test_labels_of_one_kind_have_no_order(verified):
    drawn = sample(SCORES, 50, random_state=0)
    audit = Audit(SCORES, None, verified, drawn)
    assert math.isnan(audit.auroc().value)
    assert audit.auroc()[1:] == (0, 1)
    if not verified.any():
        assert math.isnan(audit.average_precision().value)
        assert np.isnan(audit.review_curve().found).any()


def test_constant_scores_order_nothing_and_perfect_ones_everything():
    drawn = sample(SCORES, 200, random_state=0)
    alike = Audit(np.full(len(SCORES), 0.3), None, TRUTH[drawn.rows], rows=drawn.rows)
    assert alike.auroc() == (0.5, 0.5, 0.5), "whatever the labels are"
    for seed in range(20):
        wrong = np.random.default_rng(seed).random(3000) < 0.03
        scores = np.where(wrong, 0.9, 0.1) + np.random.default_rng(1).random(3000) / 20
        drawn = sample(scores, 200, random_state=seed)
        audit = Audit(scores, None, wrong[drawn.rows], drawn)
        for value, low, high in (audit.auroc(), audit.average_precision()):
            assert (value, high) == pytest.approx((1, 1))
            assert 0 <= low < 1


@pytest.mark.parametrize("useful", [True, False])
def test_intervals_hold_the_truth_as_often_as_they_say(useful):
    rng = np.random.default_rng(2)
    scores = SCORES if useful else rng.permutation(SCORES)
    area, precision = roc_auc_score(TRUTH, scores), average_precision_score(TRUTH, scores)
    held = np.zeros(2)
    for seed in range(150):
        drawn = sample(scores, 100, random_state=seed)
        audit = Audit(scores, None, TRUTH[drawn.rows], drawn)
        a, p = audit.auroc(), audit.average_precision()
        held += (a.low <= area <= a.high, p.low <= precision <= p.high)
    assert (held >= 0.9 * 150).all(), "of 95 % intervals"


def test_the_curve_of_errors_found_rises_and_agrees_with_recall():
    drawn = sample(SCORES, 200, random_state=0)
    audit = Audit(SCORES, None, TRUTH[drawn.rows], drawn)
    curve = audit.review_curve()
    assert (curve.rows[0], curve.rows[-1]) == (0, len(SCORES))
    assert (np.diff(curve.found) >= 0).all()
    assert (curve.low <= curve.found).all()
    assert (curve.found <= curve.high).all()
    middle = len(curve.rows) // 3
    top = np.zeros(len(SCORES), dtype=bool)
    top[np.argsort(-SCORES, kind="stable")[: curve.rows[middle]]] = True
    recall = audit.flag_recall(top)
    assert (curve.low[middle], curve.high[middle]) == pytest.approx(recall[1:])
    assert curve.found[middle] == pytest.approx(recall.value, abs=0.05)


@pytest.mark.parametrize("k", [0, 2001, 1.5])
def test_lengths_that_are_none_are_refused(k):
    drawn = sample(SCORES, 50, random_state=0)
    with pytest.raises(ValueError, match="'k' parameter of precision_at"):
        Audit(SCORES, None, TRUTH[drawn.rows], drawn).precision_at(k)
