"""What an audit says: by hand, where all is known, whatever the order, and over many draws."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sampling import SCORES, estimator

from noisyfit import MILDSelector
from noisyfit.audit import Audit, AuditSample, sample
from noisyfit.label_quality import aggregate_votes
from noisyfit.review import Review, apply_review

TRUTH = np.random.default_rng(1).random(len(SCORES)) < SCORES


def by_hand(strata, rows):
    strata, rows = np.array(strata), np.array(rows)
    counts, sizes = np.bincount(strata[rows]), np.bincount(strata)
    return AuditSample(rows, (counts / sizes)[strata[rows]], strata[rows], strata)


STRATA = [0] * 60 + [1] * 40
FEW = by_hand(STRATA, [0, 1, 2, 3, 60, 61, 62, 63])
WRONG = np.array([0, 0, 0, 1, 1, 1, 0, 1], dtype=bool)
TWO_SCORES = np.repeat([0.2, 0.8], [60, 40])


def test_the_rate_is_the_weighted_mean_of_the_strata():
    audit = Audit(TWO_SCORES, None, WRONG, FEW)
    assert audit.noise_rate.value == pytest.approx(0.6 * 1 / 4 + 0.4 * 3 / 4)
    moments = audit._design.of_groups(np.zeros(100, dtype=int), 1)
    variance = 0.6**2 * (1 - 4 / 60) * 0.25 / 4 + 0.4**2 * (1 - 4 / 40) * 0.25 / 4
    assert moments.variance[0] == pytest.approx(variance), "Cochran 1977, eq. 5.7"
    assert moments.step[0] == pytest.approx(15 / 100), "a row of the thinner stratum"
    thin = (0.6 / 4) ** 2 * (3 / 4), (0.4 / 4) ** 2 * (1 / 4)
    assert moments.unseen_wrong[0] ** 2 == pytest.approx(max(thin))
    thin = (0.6 / 4) ** 2 * (1 / 4), (0.4 / 4) ** 2 * (3 / 4)
    assert moments.unseen_right[0] ** 2 == pytest.approx(max(thin))
    assert moments.freedom[0] == 6
    assert (audit.n_verified, audit.n_rows) == (8, 100)


def test_a_domain_is_estimated_by_a_ratio():
    # Rows 2, 3, 62, 63 and half of the others: weights 15 and 10, three of four wrong.
    groups = np.where(np.isin(np.arange(100), [2, 3, 62, 63]) | (np.arange(100) % 20 > 9), "x", "y")
    estimate = Audit(TWO_SCORES, None, WRONG, FEW).by(groups)["x"]
    assert estimate.value == pytest.approx((15 * 1 + 10 * 1) / (2 * 15 + 2 * 10))
    assert estimate.low < estimate.value < estimate.high


def test_precision_and_recall_by_hand():
    audit = Audit(TWO_SCORES, None, WRONG, FEW)
    flagged = TWO_SCORES > 0.5
    assert audit.flag_precision(flagged).value == pytest.approx(3 / 4)
    assert audit.flag_recall(flagged).value == pytest.approx(30 / (30 + 15))
    left = audit.errors_left(40)
    assert left.value == pytest.approx(15 - 1), "the one that was verified is not left"
    assert left.high <= 60 - 4


def test_the_slope_makes_the_residuals_least():
    drawn = sample(SCORES, 300, random_state=0)
    design = Audit(SCORES, None, TRUTH[drawn.rows], drawn)._design
    whole = np.zeros(len(SCORES), dtype=int)

    def variance(slope):
        design.slope = slope
        return design.of_groups(whole, 1).variance[0]

    best = design.slope
    assert 0.5 < best <= 1, "these scores are probabilities"
    assert variance(best) < min(variance(0.0), variance(best - 0.05))
    design.slope = best
    residual = TRUTH[design.rows] - best * SCORES[design.rows]
    expected = best * SCORES.mean() + sum(
        design.sizes[h] / len(SCORES) * residual[design.strata[design.rows] == h].mean()
        for h in range(len(design.sizes))
    )
    assert design.of_groups(whole, 1).share[0] == pytest.approx(expected)


def test_few_errors_do_not_make_the_scores_believed():
    drawn = sample(SCORES, 100, random_state=0)
    few = np.zeros(100, dtype=bool)
    few[:9] = True
    assert Audit(SCORES, None, few, drawn)._design.slope == 0


@pytest.mark.parametrize("scores", [SCORES[:200], np.round(SCORES[:200], 1), np.full(200, 0.3)])
@pytest.mark.parametrize("truth", [TRUTH[:200], np.zeros(200, bool), np.ones(200, bool)])
def test_all_rows_verified_give_the_truth(scores, truth):
    groups = np.arange(200) % 3
    for drawn in (None, sample(scores, 200, random_state=0)):
        rows = np.arange(200) if drawn is None else drawn.rows
        audit = Audit(scores, groups, truth[rows], drawn, rows=rows)
        assert audit.noise_rate == (pytest.approx(truth.mean()),) * 3
        for label, estimate in audit.by_class().items():
            assert estimate == (pytest.approx(truth[groups == label].mean()),) * 3
        flagged = np.arange(200) < 50
        assert audit.flag_precision(flagged) == (pytest.approx(truth[:50].mean()),) * 3
        if truth.any():
            recall = truth[:50].sum() / truth.sum()
            assert audit.flag_recall(flagged) == (pytest.approx(recall),) * 3
            assert audit.review_until(0.05) == (0, 0.0, 0)
        assert audit.errors_left(20) == (0, 0, 0)


def test_all_but_one_row_verified_leave_one_in_doubt():
    rows = np.arange(199)
    audit = Audit(SCORES[:200], None, TRUTH[rows], rows=rows)
    known = TRUTH[:199].sum()
    assert audit.noise_rate.low == pytest.approx(known / 200)
    assert audit.noise_rate.high == pytest.approx((known + 1) / 200)


def test_all_verified_labels_right():
    drawn = sample(SCORES, 100, random_state=0)
    audit = Audit(SCORES, None, np.zeros(100, bool), drawn)
    value, low, high = audit.noise_rate
    assert (value, low) == (0, 0)
    assert 0.036 < high < 1.5 * 0.036, "3.7 rows of a hundred, and more for the thin strata"
    recall = audit.flag_recall(SCORES > 0.5)
    assert math.isnan(recall.value)
    assert recall[1:] == (0, 1)
    assert audit.review_until(0.05) == (math.inf, 1.0, 1900)
    all_wrong = Audit(SCORES, None, np.ones(100, bool), drawn).noise_rate
    assert all_wrong == pytest.approx((1, 1 - high, 1))


def test_a_simple_sample_without_scores_has_exact_bounds():
    audit = Audit(np.full(1000, 0.5), None, np.zeros(50, bool), rows=range(50))
    ways = [math.comb(1000 - k, 50) / math.comb(1000, 50) for k in range(200)]
    assert audit.noise_rate.high == pytest.approx(sum(p > 0.025 for p in ways) / 1000 - 1 / 1000)


def test_strata_without_verified_rows_join_their_neighbour():
    drawn = sample(SCORES, 200, random_state=0)
    some = drawn.strata != 4
    some &= (drawn.strata != 0) | (np.arange(200) == np.flatnonzero(drawn.strata == 0)[0])
    rows = drawn.rows[some]
    audit = Audit(SCORES, None, TRUTH[rows], drawn, rows=rows)
    assert len(audit._design.sizes) == 8
    assert audit.noise_rate.low < TRUTH.mean() < audit.noise_rate.high


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_order_of_rows_does_not_matter(seed, tied):
    rng = np.random.default_rng(seed)
    scores = np.round(SCORES[:300], 1) if tied else SCORES[:300]
    truth, groups = TRUTH[:300], np.arange(300) % 3
    drawn = sample(scores, 80, random_state=int(seed))
    order = rng.permutation(300)
    place = np.argsort(order)
    moved = AuditSample(
        place[drawn.rows], drawn.inclusion_probabilities, drawn.strata, drawn.row_strata[order]
    )
    one = Audit(scores, groups, truth[drawn.rows], drawn)
    two = Audit(scores[order], groups[order], truth[drawn.rows], moved)
    same = {"rel": 1e-9, "abs": 1e-12, "nan_ok": True}
    assert two.noise_rate == pytest.approx(one.noise_rate, **same)
    for label, estimate in one.by_class().items():
        assert two.by_class()[label] == pytest.approx(estimate, **same)
    flagged = scores > 0.4
    assert two.flag_recall(flagged[order]) == pytest.approx(one.flag_recall(flagged), **same)
    assert two.review_until(0.3) == pytest.approx(one.review_until(0.3), **same)


def test_a_higher_confidence_is_a_wider_interval():
    drawn = sample(SCORES, 100, random_state=0)
    narrow, wide = (
        Audit(SCORES, None, TRUTH[drawn.rows], drawn, confidence=c).noise_rate for c in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


def test_a_longer_review_leaves_less_and_more_rows_certify_a_shorter_one():
    limits = []
    for n in (100, 400, 1000):
        drawn = sample(SCORES, n, random_state=0)
        limits.append(Audit(SCORES, None, TRUTH[drawn.rows], drawn).review_until(0.1))
    assert limits[0].rows > limits[1].rows > limits[2].rows
    audit = Audit(SCORES, None, TRUTH[drawn.rows], drawn)
    assert all(limit.left <= 0.1 for limit in limits)
    assert (
        audit.review_until(0.3).rows < audit.review_until(0.1).rows < audit.review_until(0.03).rows
    )
    left = [audit.errors_left(k).value for k in range(0, 2001, 100)]
    assert (np.diff(left) < 0.1).all()
    assert left[-1] == 0


def test_more_rows_are_asked_for_where_the_sample_does_not_do():
    scores, rng = np.full(5000, 0.5), np.random.default_rng(0)
    scores[:50] = 0.9
    truth = (scores > 0.5) | (rng.random(5000) < 0.001)
    drawn = sample(scores, 60, random_state=0)
    limit = Audit(scores, None, truth[drawn.rows], drawn).review_until(0.5)
    assert math.isinf(limit.rows)
    assert 60 < limit.more_to_verify < 4900
    more = sample(scores, 2 * limit.more_to_verify, after=drawn, random_state=1)
    assert Audit(scores, None, truth[more.rows], more).review_until(0.5).rows == 50


@pytest.mark.parametrize(("rate", "useful"), [(0.01, True), (0.2, True), (0.2, False), (0.6, True)])
def test_intervals_hold_the_truth_as_often_as_they_say(rate, useful):
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(1500) < 1500 * rate)
    scores = 1 / (1 + np.exp(-rng.normal(3 * truth - 2 if useful else 0, 1, size=1500)))
    flagged = scores > 0.5
    answers = {"rate": truth.mean(), "recall": truth[flagged].sum() / truth.sum()}
    covered, certified, n_draws = dict.fromkeys(answers, 0), 0, 120
    order = np.argsort(-scores)
    for seed in range(n_draws):
        drawn = sample(scores, 100, random_state=seed)
        audit = Audit(scores, None, truth[drawn.rows], drawn)
        for name, estimate in (("rate", audit.noise_rate), ("recall", audit.flag_recall(flagged))):
            covered[name] += estimate.low <= answers[name] <= estimate.high
        if seed < 40:
            limit = audit.review_until(0.2)
            unseen = truth & ~np.isin(np.arange(1500), drawn.rows)
            left = unseen[order[limit.rows :]].sum() if math.isfinite(limit.rows) else 0
            certified += left <= 0.2 * truth.sum()
    assert min(covered.values()) >= 0.92 * n_draws  # two standard deviations below .95 .. .98
    assert certified >= 0.92 * 40
    assert audit.noise_rate.high - audit.noise_rate.low < 0.3


def test_scores_alone_do_not_prove_that_there_are_errors():
    # Enough wrong labels among the high scores to believe the scores, and none among the low ones.
    scores = np.r_[np.full(100, 0.9), np.full(400, 0.1)]
    rows, wrong = np.r_[:40, 100:140], np.r_[np.arange(40) % 4 > 0, np.zeros(40, bool)]
    audit = Audit(scores, None, wrong, rows=rows)
    assert audit._design.slope > 0
    assert audit.errors_left(100).low == 0
    assert audit.flag_precision(scores < 0.5).low == 0
    right = Audit(1 - scores, None, ~wrong, rows=rows)
    assert right.flag_precision(scores < 0.5).high == 1


def test_intervals_hold_where_nearly_all_errors_are_in_one_stratum():
    # Of the verified rows of a stratum all may be alike, and then it seems to be known for certain.
    rng = np.random.default_rng(4)
    scores = np.r_[np.linspace(0.05, 0.15, 4500), np.linspace(0.85, 0.9, 500)]
    wrong = (np.arange(5000) >= 4500) & (rng.random(5000) < 0.7)
    wrong[rng.choice(4500, 10, replace=False)] = True
    held = 0
    for seed in range(200):
        drawn = sample(scores, 50, random_state=seed)
        low, high = Audit(scores, None, wrong[drawn.rows], drawn).noise_rate[1:]
        held += low <= wrong.mean() <= high
    assert held >= 0.92 * 200


def test_scores_that_tell_make_the_interval_narrower():
    widths = {}
    for name, scores in (("told", SCORES), ("not told", np.full(len(SCORES), 0.5))):
        drawn = [sample(scores, 200, random_state=seed) for seed in range(20)]
        estimates = [Audit(scores, None, TRUTH[one.rows], one).noise_rate for one in drawn]
        widths[name] = np.mean([e.high - e.low for e in estimates])
    assert widths["told"] < 0.85 * widths["not told"]


def test_an_estimator_is_read_by_its_public_attributes():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = rng.normal(3 * y[:, None], 1, size=(300, 3)).astype(np.float32)
    given = np.where(rng.random(300) < 0.2, 1 - y, y).astype(object)
    given = np.where(given == 1, "dog", "cat")
    right = np.where(y == 1, "dog", "cat")
    trusted = np.arange(300) < 20
    given = np.where(trusted, right, given)
    est = MILDSelector(max_epochs=5, judge_epochs=0, random_state=0).fit(X, given, trusted=trusted)
    drawn = sample(est, 60, random_state=0)
    audit = Audit(est, None, right[drawn.rows], drawn)
    wrong = (given != right)[20:]
    assert audit.n_rows == 280
    assert audit.noise_rate.low <= wrong.mean() <= audit.noise_rate.high
    assert set(audit.by_class()) == {"cat", "dog"}
    precision = audit.flag_precision()
    flagged = ~est.clean_mask_[20:]
    assert precision.low <= wrong[flagged].mean() <= precision.high
    assert precision == audit.flag_precision(~est.clean_mask_)
    recall = audit.flag_recall()
    assert recall.low <= wrong[flagged].sum() / wrong.sum() <= recall.high
    same = Audit(est, given, (given != right)[drawn.rows], drawn)
    assert same.noise_rate == audit.noise_rate


def test_groups_may_be_anything_and_those_that_cannot_be_drawn_are_left_out():
    est = estimator([0.1, 0.9, 0.2, 0.8], ["a", "b", "a", "b"], trusted=[0])
    audit = Audit(est, None, ["b", "a"], rows=[1, 2])
    assert audit.by([("x", 1), ("y", 2), ("y", 2), ("y", 2)]) == {("y", 2): audit.noise_rate}
    found = audit.by(np.array([7, 8, 8, 9]))
    assert list(found) == [8, 9]
    assert math.isnan(found[9].value)
    assert found[9][1:] == (0, 1)


BARE = {"est_or_scores": [0.1, 0.9, 0.2, 0.8], "y": ["a", "b", "a", "b"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"verified": ["a", "c"], "rows": [0, 1]},
            r"labels \['c'\], which are none of the classes",
        ),
        ({"verified": [0, 1], "rows": [0, 1]}, r"labels \[0, 1\], which are none of the classes"),
        ({"verified": ["a", "b", "a"], "rows": [0, 1, 1]}, "Row 1 was verified twice, as"),
        ({"verified": ["a"], "rows": [0, 1]}, "an entry for each of 2 verified rows. Got 1"),
        ({"verified": ["a", "b"], "rows": [0, 4]}, r"numbers from 0 to 3. Got \[4\]"),
        ({"verified": ["a", "b"], "rows": [0, -1]}, r"numbers from 0 to 3. Got \[-1\]"),
        ({"verified": ["a", "b"], "rows": [True, False]}, "rows must be numbers of rows"),
        ({"verified": ["a", "b"]}, "Nobody said which rows were verified"),
        ({"verified": ["a", "a"], "rows": [0, 0]}, "two verified rows at least. Got 1"),
        ({"verified": ["a", "b"], "rows": [0, 1], "y": None}, "given labels are not known"),
        ({"verified": ["a", "b"], "rows": [0, 1], "y": ["a", "b"]}, "each of 4 rows. Got 2"),
        ({"verified": ["a", "b"], "rows": [0, 1], "confidence": 1}, "'confidence' parameter"),
        ({"verified": ["a", None], "rows": [0, 1]}, "contains None"),
    ],
)
def test_what_was_not_verified_rightly_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Audit(**{**BARE, **changed})


def test_a_row_that_was_verified_twice_alike_counts_once():
    twice = Audit(**BARE, verified=["a", "a", "a"], rows=[0, 1, 1])
    assert twice.noise_rate == Audit(**BARE, verified=["a", "a"], rows=[0, 1]).noise_rate


def test_labels_come_in_any_container():
    y = pd.Series(["a", "b"] * 20)
    drawn = sample(SCORES[:40], 20, y=y.astype("category"), random_state=0)
    audits = [
        Audit(SCORES[:40], y, labels, drawn)
        for labels in (["a"] * 20, pd.Series(["a"] * 20), np.array(["a"] * 20))
    ]
    assert len({audit.noise_rate for audit in audits}) == 1
    expected = (y[drawn.rows] == "b").to_numpy()
    assert audits[0].noise_rate == Audit(SCORES[:40], None, expected, drawn).noise_rate
    # pandas makes floats of integers beside a gap
    numbers = Audit(SCORES[:40], np.arange(40) % 2, np.zeros(20), drawn)
    assert numbers.noise_rate == audits[0].noise_rate
    assert list(audits[0].by(torch.arange(40) % 2)) == [0, 1]


def test_truth_values_are_labels_where_the_classes_are():
    scores, y = [0.1, 0.9, 0.2, 0.8], [True, True, False, False]
    audit = Audit(scores, y, [True, False, False, False], rows=range(4))
    assert audit.noise_rate.value == 0.25


def test_samples_that_say_nothing_of_these_rows_are_refused():
    drawn = sample(SCORES[:50], 20, random_state=0)
    wrong = TRUTH[drawn.rows]
    with pytest.raises(TypeError, match=r"must be an AuditSample.*Got ndarray"):
        Audit(SCORES[:50], None, wrong, drawn.rows)
    with pytest.raises(ValueError, match=r"drawn of 50 of 50 rows\. Got 60"):
        Audit(SCORES[:60], None, wrong, drawn)
    for probabilities in (np.full(20, np.nan), np.full(20, 0.5), np.ones(3)):
        with pytest.raises(ValueError, match="probabilities of the sample are missing"):
            Audit(SCORES[:50], None, wrong, drawn._replace(inclusion_probabilities=probabilities))
    other = np.setdiff1d(np.arange(50), drawn.rows)[:2]
    with pytest.raises(ValueError, match="not in the sample"):
        Audit(SCORES[:50], None, [True, False], drawn, rows=other)
    est = estimator([0.1, 0.9, 0.2, 0.8], ["a", "b", "a", "b"], trusted=[0])
    with pytest.raises(ValueError, match=r"rows \[0\] are trusted or have no label"):
        Audit(est, None, ["a", "b"], rows=[0, 1])


def test_questions_that_have_no_answer_are_refused():
    audit = Audit(BARE["est_or_scores"], None, [True, False], rows=[0, 1])
    with pytest.raises(ValueError, match="given labels are not known"):
        audit.by_class()
    with pytest.raises(ValueError, match="flagged is needed"):
        audit.flag_precision()
    with pytest.raises(ValueError, match=r"boolean mask of shape \(4,\)"):
        audit.flag_recall([True, False])
    with pytest.raises(ValueError, match="groups must hold the group of each row"):
        audit.by(["x"])
    with pytest.raises(ValueError, match="'k' parameter of errors_left"):
        audit.errors_left(5)
    with pytest.raises(ValueError, match="'max_left' parameter of review_until"):
        audit.review_until(1.0)


def decided(rows, labels):
    """A decision on each row: its right label, "drop" for None and "skip" for "?"."""
    kinds = {None: "drop", "?": "skip"}
    return [
        {"row": int(row), "decision": kinds.get(label, "label"), "label": label or ""}
        for row, label in zip(rows, labels, strict=True)
    ]


def test_a_review_says_what_was_verified_and_how_it_was_drawn():
    y = np.array(["01", "1"])[np.arange(len(SCORES)) % 2]
    drawn = sample(SCORES, 200, random_state=0)
    right = np.where(TRUTH, np.where(y == "1", "01", "1"), y)[drawn.rows].astype(object)
    right[:20], right[20:50] = None, "?"
    review = apply_review(y, decided(drawn.rows, right), sample=drawn)
    wrong = TRUTH[drawn.rows]
    wrong[:20] = True
    seen = np.r_[:20, 50:200]
    expected = Audit(SCORES, y, wrong[seen], drawn, rows=drawn.rows[seen])
    audit = Audit(SCORES, y, review)
    assert audit.n_verified == 170
    assert audit.noise_rate == expected.noise_rate
    assert audit.by_class() == expected.by_class()
    assert Audit(SCORES, y, review._replace(sample=None), drawn).noise_rate == audit.noise_rate
    # Rows on which nobody decided were skipped.
    part = [d for d in decided(drawn.rows, right) if d["decision"] != "skip"]
    assert Audit(SCORES, y, apply_review(y, part, sample=drawn)).noise_rate == audit.noise_rate
    both = sample(SCORES, 50, after=drawn, random_state=1)
    assert Audit(SCORES, y, review, both).n_verified == 170, "the second batch is skipped so far"


def test_labels_of_a_review_are_labels_where_they_are_truth_values():
    y = np.arange(40) % 2 == 0
    drawn = sample(SCORES[:40], 40, random_state=0)
    review = Review(y.copy(), np.ones(40, bool), np.ones(40, bool), drawn)
    assert Audit(SCORES[:40], y, review).noise_rate.value == 0
    for other in (None, y.astype(int)):
        with pytest.raises(ValueError, match=r"not known, or of another type\. Pass as y"):
            Audit(SCORES[:40], other, review)


def test_one_class_may_be_wrong_as_well():
    y = np.array(["a"] * 40)
    drawn = sample(SCORES[:40], 40, random_state=0)
    review = apply_review(y, decided(range(40), ["a"] * 30 + [None] * 10), sample=drawn)
    assert Audit(SCORES[:40], y, review).noise_rate.value == 0.25


def test_reviews_that_say_nothing_of_all_rows_are_refused():
    y = np.array(["a", "b"] * 20)
    scores = SCORES[:40]
    drawn = sample(scores, 10, random_state=0)
    others = np.setdiff1d(np.arange(40), drawn.rows)
    with pytest.raises(ValueError, match=r"picked for their score cannot be.*sample=drawn\)"):
        Audit(scores, y, apply_review(y, decided(range(3), "abb")))
    with pytest.raises(ValueError, match="not in the sample"):
        Audit(scores, y, apply_review(y, decided(others[:3], "abb")), drawn)
    review = apply_review(y, decided(drawn.rows[:3], "abb"), sample=drawn)
    with pytest.raises(ValueError, match=r"Got rows as well.*pass review\.labels\[rows\]"):
        Audit(scores, y, review, rows=drawn.rows[:3])
    with pytest.raises(ValueError, match="review is of 40 rows, the scores are of 39"):
        Audit(scores[:39], y[:39], review, sample(scores[:39], 10))
    for n in (0, 1):
        skipped = apply_review(y, decided(drawn.rows[:n], "a" * n), sample=drawn)
        with pytest.raises(ValueError, match=f"two verified rows at least. Got {n}"):
            Audit(scores, y, skipped)
    est = estimator(scores, y, trusted=range(5), unlabeled=range(5, 9))
    for row in (0, 6):
        review = apply_review(y, decided([row, 20], "ab"))
        with pytest.raises(ValueError, match=rf"rows \[{row}\] are trusted or have no label"):
            Audit(est, None, review, sample(est, 40))


def test_a_series_is_taken_in_order_and_refused_in_another():
    drawn = sample(SCORES, 40, random_state=0)
    labels = np.arange(len(SCORES)) % 2
    right = pd.Series(TRUTH.astype(int))
    expected = Audit(SCORES, labels, right[drawn.rows].to_numpy(), drawn).noise_rate
    assert Audit(SCORES, labels, right[drawn.rows], drawn).noise_rate == expected
    of_no_index = right[drawn.rows].reset_index(drop=True)
    assert Audit(SCORES, labels, of_no_index, drawn).noise_rate == expected
    in_order = right[np.sort(drawn.rows)]
    with pytest.raises(ValueError, match=r"another order.*verified.loc\[sample.rows\]"):
        Audit(SCORES, labels, in_order, drawn)
    assert Audit(SCORES, labels, in_order, drawn, rows=in_order.index).noise_rate == expected
    with pytest.raises(ValueError, match=r"labels of all rows: pass verified\[sample.rows\]"):
        Audit(SCORES, labels, right, drawn)


def test_truth_values_beside_the_classes_0_and_1_are_doubtful():
    y = np.array([0, 1] * 5)
    with pytest.warns(UserWarning, match="not as class 1") as caught:
        rate = Audit(np.full(10, 0.5), y, [True, False], rows=[0, 1]).noise_rate
    assert caught[0].filename == __file__
    assert rate.value == 0.5


def test_an_audit_shows_what_it_found():
    audit = Audit([0.1, 0.9, 0.2, 0.8], None, [True, False], rows=[1, 2])
    assert repr(audit) == "<Audit: 2 of 4 rows verified, 0.5 (0.25 to 0.75) of the labels wrong>"


def test_votes_of_the_given_labels_are_those_labels():
    votes = np.array([["a", "a", "b"], ["b", "b", "b"], ["a", "b", "a"]])
    voted = aggregate_votes(votes)
    audit = Audit([0.5, 0.1, 0.2], voted, ["a", "a"], rows=[0, 1])
    assert audit.labels.tolist() == ["a", "a", "a"]
    assert len(sample([0.5, 0.1, 0.2], 2, y=voted, random_state=0).rows) == 2


def test_few_rows_of_many_classes_are_no_regression():
    y = np.arange(200) % 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Audit(np.full(200, 0.5), y, y[:30], rows=range(30)).noise_rate.value == 0
