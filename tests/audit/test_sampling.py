"""Rows to verify: which are drawn, how many of each stratum, and how likely each was."""

from itertools import pairwise

import numpy as np
import pytest
from _generators import global_states
from sklearn.base import BaseEstimator

from noisyfit.audit import Audit, sample
from noisyfit.audit._sampling import EVEN, _allocate

SCORES = np.random.default_rng(0).beta(0.3, 1.5, size=2000)


class Fitted(BaseEstimator):
    """Has the public attributes of a fitted estimator."""

    def fit(self, X, y):
        raise NotImplementedError


def estimator(scores, labels, trusted=(), unlabeled=()):
    est, labels, scores = Fitted(), np.array(labels), np.array(scores, dtype=float)
    mask = np.zeros((2, len(labels)), dtype=bool)
    mask[0, list(trusted)] = mask[1, list(unlabeled)] = True
    est.noise_scores_, est.clean_mask_, est.given_labels_ = scores, scores < 0.5, labels
    est.trusted_mask_, est.labeled_mask_ = mask[0], ~mask[1]
    est.classes_ = np.unique(labels[~mask[1]])
    return est


def test_the_draw_is_three_quarters_even_and_a_quarter_by_spread():
    scores = np.r_[np.full(900, 0.1), np.full(100, 0.5)]  # standard deviations .3 and .5
    drawn = sample(scores, 100, random_state=0)
    neyman = 900 * 0.3 / (900 * 0.3 + 100 * 0.5)
    expected = round(100 * (0.75 * 0.9 + 0.25 * neyman))
    assert EVEN == 0.75
    assert np.bincount(drawn.strata).tolist() == [expected, 100 - expected]
    assert drawn.inclusion_probabilities[drawn.strata == 0] == pytest.approx(expected / 900)
    assert drawn.inclusion_probabilities[drawn.strata == 1] == pytest.approx((100 - expected) / 100)


def test_a_share_of_the_draw_may_go_by_the_score():
    scores = np.r_[np.full(900, 0.1), np.full(100, 0.5)]
    even = np.bincount(sample(scores, 100, random_state=0).strata)
    drawn = sample(scores, 100, suspicious=0.6, random_state=0)
    by_score = 100 * 0.5 / (900 * 0.1 + 100 * 0.5)
    expected = round(0.4 * even[1] + 60 * by_score)
    counts = np.bincount(drawn.strata)
    assert counts[1] == pytest.approx(expected, abs=1)
    assert drawn.inclusion_probabilities[drawn.strata == 1] == pytest.approx(counts[1] / 100)
    wrong = np.random.default_rng(0).random(1000) < scores
    rates = []
    for seed in range(200):
        rows = sample(scores, 100, suspicious=0.6, random_state=seed)
        rates.append(Audit(scores, None, wrong[rows.rows], rows).noise_rate.value)
    assert np.mean(rates) == pytest.approx(wrong.mean(), abs=0.006), "the weights make up for it"
    assert sample(np.zeros(50), 10, suspicious=0.5, random_state=0).rows.size == 10
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="'suspicious' parameter of sample"):
            sample(scores, 10, suspicious=share)


def test_strata_are_ordered_by_score_and_get_about_the_same_number_of_rows():
    drawn = sample(SCORES, 200, random_state=0)
    assert np.bincount(drawn.strata).tolist() == pytest.approx([20] * 10, abs=1)
    ends = [
        (SCORES[drawn.row_strata == h].min(), SCORES[drawn.row_strata == h].max())
        for h in range(10)
    ]
    assert all(one[1] < two[0] for one, two in pairwise(ends))
    # No row counts for much more than in a simple random sample.
    assert (1 / drawn.inclusion_probabilities).max() < 1.4 * len(SCORES) / 200


def test_inclusion_probabilities_are_the_frequencies_of_many_draws():
    scores, n_draws = SCORES[:60], 800
    times = np.zeros(60)
    for seed in range(n_draws):
        drawn = sample(scores, 12, strata=3, random_state=seed)
        assert len(set(drawn.rows)) == 12
        times[drawn.rows] += 1
    expected = np.zeros(60)
    expected[drawn.rows] = drawn.inclusion_probabilities
    for h in range(3):
        expected[drawn.row_strata == h] = expected[drawn.rows[drawn.strata == h]][0]
    error = (times / n_draws - expected) / np.sqrt(expected * (1 - expected) / n_draws)
    assert np.abs(error).max() < 4


@pytest.mark.parametrize("scores", [np.full(50, 0.3), np.zeros(50), np.ones(50)])
def test_constant_scores_are_drawn_from_at_random(scores):
    drawn = sample(scores, 10, random_state=0)
    assert set(drawn.row_strata) == {0}
    assert drawn.inclusion_probabilities == pytest.approx(0.2)


def test_equal_scores_are_in_one_stratum():
    scores = np.round(SCORES, 1)
    row_strata = sample(scores, 200, random_state=0).row_strata
    for value in np.unique(scores):
        assert len(set(row_strata[scores == value])) == 1


def test_every_stratum_has_two_rows_of_the_draw():
    scores = np.r_[np.zeros(5000), np.linspace(0.4, 0.6, 5000)]
    for n in (2, 5, 9, 40, 200):
        drawn = sample(scores, n, random_state=0)
        assert len(drawn.rows) == n
        assert np.bincount(drawn.strata).min() >= 2


def test_all_rows_are_drawn_where_there_are_no_more():
    drawn = sample(SCORES[:30], 100, random_state=0)
    assert sorted(drawn.rows) == list(range(30))
    assert (drawn.inclusion_probabilities == 1).all()


def test_trusted_rows_and_rows_without_a_label_are_not_drawn():
    est = estimator(SCORES[:40], ["a", "b"] * 20, trusted=range(10), unlabeled=range(30, 40))
    drawn = sample(est, 40, random_state=0)
    assert sorted(drawn.rows) == list(range(10, 30))
    assert set(np.flatnonzero(drawn.row_strata == -1)) == {*range(10), *range(30, 40)}
    everything = estimator(SCORES[:4], ["a", "b"] * 2, trusted=range(4))
    with pytest.raises(ValueError, match="no row to draw"):
        sample(everything, 2)


def test_rare_classes_are_strata_of_their_own():
    y = np.r_[np.zeros(1990, int), np.ones(6, int), np.full(3, 2), 3]
    drawn = sample(SCORES, 50, y=y, random_state=0)
    assert np.bincount(y[drawn.rows]).tolist() == [45, 2, 2, 1]
    for label, size in ((1, 6), (2, 3), (3, 1)):
        assert len(set(drawn.row_strata[y == label])) == 1
        own = drawn.inclusion_probabilities[y[drawn.rows] == label]
        assert own == pytest.approx(min(2, size) / size)
    # Where there are too many they take half of the draw, the rarest first.
    many = np.arange(2000) % 400
    drawn = sample(SCORES, 40, y=many, random_state=0)
    assert len(drawn.rows) == 40
    own = np.bincount(drawn.strata)[-10:]
    assert own.tolist() == [2] * 10


def test_further_batches_are_drawn_of_the_same_strata():
    first = sample(SCORES, 60, random_state=0)
    both = sample(SCORES, 90, after=first, random_state=1)
    at_once = sample(SCORES, 150, strata=10, random_state=2)
    assert both.rows[:60].tolist() == first.rows.tolist()
    assert len(set(both.rows)) == 150
    assert np.array_equal(both.row_strata, first.row_strata)
    counts, sizes = np.bincount(both.strata), np.bincount(both.row_strata)
    assert both.inclusion_probabilities == pytest.approx((counts / sizes)[both.strata])
    assert counts.tolist() == pytest.approx(np.bincount(at_once.strata).tolist(), abs=1)
    everything = sample(SCORES, 5000, after=both, random_state=0)
    assert sorted(everything.rows) == list(range(2000))


def test_a_batch_never_takes_back_what_was_drawn():
    least = np.array([8, 2])
    assert _allocate(12, np.array([0.1, 0.9]), np.array([50, 50]), least).tolist() == [8, 4]
    assert _allocate(20, np.array([0.9, 0.1]), np.array([10, 50]), np.zeros(2, int)).tolist() == [
        10,
        10,
    ]


def test_the_same_seed_draws_the_same_rows_and_moves_no_global_generator():
    before = global_states()
    first, second = (sample(SCORES, 50, random_state=3) for _ in range(2))
    sample(SCORES, 50)
    assert global_states() == before
    assert first.rows.tolist() == second.rows.tolist()
    assert first.rows.tolist() != sample(SCORES, 50, random_state=4).rows.tolist()
    assert first.rows.tolist() != sorted(first.rows), "the order would give the scores away"


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0.1, 1.2, 0.3], 2), {}, "in \\[0, 1\\].*Ranks do"),
        (([[0.1], [0.2]], 2), {}, "Scores must be a vector"),
        (([0.1, float("nan"), 0.3], 2), {}, "contains NaN"),
        (([0.1, 0.2, 0.3], 1), {}, "'n' parameter of sample"),
        (([0.1, 0.2, 0.3], 2), {"strata": 0}, "'strata' parameter of sample"),
        (([0.1, 0.2, 0.3], 2), {"y": ["a", "b"]}, "y must have one entry for each of 3 rows"),
        (([0.1, 0.2, 0.3], 2), {"after": sample([0.1, 0.2], 2)}, "drawn of 2 of 2 rows. Got 3"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sample(*arguments, **options)


def test_labels_of_another_fit_are_refused():
    est = estimator([0.1, 0.2, 0.9], ["a", "b", "a"])
    with pytest.raises(ValueError, match=r"differs.*in 1 rows, the first of them \[2\]"):
        sample(est, 2, y=["a", "b", "b"])
