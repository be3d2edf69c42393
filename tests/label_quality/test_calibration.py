"""Breaking ties and calibrating keep the ranking, whatever the verdict."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from noisyfit.label_quality import _calibration, break_ties, calibrate, calibrate_judged

few_levels = st.lists(
    st.tuples(st.integers(-20, 20), st.integers(-50, 50)), min_size=1, max_size=60
)


@settings(max_examples=200)
@given(rows=few_levels, scale=st.sampled_from([0.5, 1.0, 1e-6, 1e6]))
def test_ties_are_broken_by_the_second_criterion_alone(rows, scale):
    values, order = np.array(rows, dtype=float).T
    values = values * scale
    broken = break_ties(values, order)
    assert broken.dtype == np.float64
    # the order is that of the pairs (value, order), and equal pairs stay equal
    by_pair = np.lexsort([order, values])
    for a, b in pairwise(by_pair):
        if values[a] == values[b] and order[a] == order[b]:
            assert broken[a] == broken[b]
        else:
            assert broken[a] < broken[b]


@given(rows=few_levels)
def test_no_value_moves_half_way_to_its_neighbour(rows):
    values, order = np.array(rows, dtype=float).T
    moved = np.abs(break_ties(values, order) - values)
    levels = np.unique(values)
    gap = np.diff(levels).min() if len(levels) > 1 else 1.0
    nearest = [np.abs(levels[levels != v] - v).min() if len(levels) > 1 else gap for v in values]
    assert (moved < 0.5 * np.array(nearest)).all()


@given(rows=few_levels)
def test_only_the_ranks_of_the_second_criterion_count(rows):
    values, order = np.array(rows, dtype=float).T
    np.testing.assert_array_equal(
        break_ties(values, order), break_ties(values, np.exp(order / 25) * 3 + 1)
    )


def test_without_a_second_criterion_nothing_moves():
    values = np.array([3.0, 1.0, 3.0])
    np.testing.assert_array_equal(break_ties(values, np.zeros(3)), values)
    np.testing.assert_array_equal(break_ties(np.zeros(1), np.ones(1)), [0])


def test_all_tied():
    np.testing.assert_allclose(
        break_ties(np.full(3, 7.0), np.array([2.0, 9.0, 5.0])), [6.6, 7.4, 7.0]
    )


def plainly_broken(values, order):
    """`break_ties` as it is defined, whatever memory it takes."""
    levels, level = np.unique(values, return_inverse=True)
    gaps = np.r_[np.inf, np.diff(levels), np.inf]
    gap = np.minimum(gaps[1:], gaps[:-1]) if len(levels) > 1 else np.ones(1)
    _, rank = np.unique(order, return_inverse=True)
    middle = max(rank.max() / 2, 0.5)
    return values + 0.4 * gap[level] * (rank / middle - 1 if rank.max() else 0.0)


@pytest.mark.parametrize("n_rows", [1, 2, 999, 10_001])
def test_ties_are_broken_to_the_last_bit_as_defined(n_rows):
    rng = np.random.default_rng(n_rows)
    few, any_value = rng.integers(-3, 3, n_rows).astype(float), rng.normal(size=n_rows)
    for values in (few, any_value, np.zeros(n_rows)):
        for order in (any_value, few, np.zeros(n_rows), any_value.astype(np.float16)):
            np.testing.assert_array_equal(break_ties(values, order), plainly_broken(values, order))


@pytest.mark.parametrize("rate", [None, 0.2])
def test_blocks_of_rows_change_no_bit(rate, monkeypatch):
    scores, wrong = scores_and_verdict(3, n=1001)
    whole = calibrate(scores, wrong, rate)
    for rows in (1000, 64, 7):
        monkeypatch.setattr(_calibration, "_BLOCK", rows)
        np.testing.assert_array_equal(calibrate(scores, wrong, rate), whole)


def scores_and_verdict(seed, n=400, slope=4.0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    return scores, rng.random(n) < expit(slope * scores - 2)


@settings(max_examples=100)
@given(
    scores=st.lists(st.integers(-1000, 1000), min_size=2, max_size=80, unique=True),
    data=st.data(),
)
def test_probabilities_increase_strictly(scores, data):
    wrong = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    scores = np.array(scores, dtype=float)
    p = calibrate(scores, wrong)
    assert (np.diff(p[np.argsort(scores)]) > 0).all()
    assert p.min() > 0
    assert p.max() < 1
    n_wrong = wrong.sum()
    target = np.where(wrong, (n_wrong + 1) / (n_wrong + 2), 1 / (len(wrong) - n_wrong + 2))
    assert p.mean() == pytest.approx(target.mean(), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_close_to_that_of_the_verdict(seed):
    scores, wrong = scores_and_verdict(seed)
    assert calibrate(scores, wrong).mean() == pytest.approx(wrong.mean(), abs=0.01)


def test_the_curve_is_the_maximum_likelihood_of_platt():
    scores, wrong = scores_and_verdict(0)
    p = calibrate(scores, wrong)
    n_wrong = wrong.sum()
    target = np.where(wrong, (n_wrong + 1) / (n_wrong + 2), 1 / (len(wrong) - n_wrong + 2))
    x = np.polynomial.Polynomial.fit(scores, scores, 1).mapparms()
    s = x[0] + x[1] * scores  # to [-1, 1]

    def loss(ab):
        q = np.clip(expit(ab[0] * s + ab[1]), 1e-15, 1 - 1e-15)
        return -np.mean(target * np.log(q) + (1 - target) * np.log(1 - q))

    fit = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    # where the best slope lies beyond its bound, the bound is taken
    assert fit.x[0] > 10
    slope = np.ptp(logit(p)) / 2
    assert slope == pytest.approx(10, rel=1e-4)

    scores, wrong = scores_and_verdict(1, slope=1.0)
    p = calibrate(scores, wrong)
    n_wrong = wrong.sum()
    target = np.where(wrong, (n_wrong + 1) / (n_wrong + 2), 1 / (len(wrong) - n_wrong + 2))
    s = 2 * (scores - scores.min()) / np.ptp(scores) - 1
    fit = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    assert 1 < fit.x[0] < 10
    np.testing.assert_allclose(p, expit(fit.x[0] * s + fit.x[1]), atol=1e-3)


@settings(max_examples=30)
@given(shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_units_of_the_scores_do_not_matter(shift, scale):
    scores, wrong = scores_and_verdict(0, n=60)
    np.testing.assert_allclose(
        calibrate(scores * scale + shift, wrong), calibrate(scores, wrong), atol=1e-3
    )


def test_perfect_separation_does_not_flatten_the_ranking():
    scores = np.linspace(0, 1, 200)
    p = calibrate(scores, scores > 0.8)
    assert np.diff(p).min() > 1e-9
    assert len(np.unique(p.round(6))) > 150
    assert p[0] < 0.01
    assert p[-1] > 0.8
    assert p.mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("verdict", [False, True])
def test_a_constant_verdict_does_not_flatten_the_ranking(verdict):
    p = calibrate(np.linspace(-5, 5, 50), np.full(50, verdict))
    assert (np.diff(p) > 0).all()
    # the ends are a slope of at least 1 over [-1, 1] apart, in logits
    assert np.ptp(logit(p)) >= 2 - 1e-6
    assert p.mean() == pytest.approx(51 / 52 if verdict else 1 / 52, abs=1e-3)


def test_a_verdict_against_the_scores_does_not_turn_the_ranking_round():
    scores = np.linspace(0, 1, 50)
    p = calibrate(scores, scores < 0.3)
    assert (np.diff(p) > 0).all()


def test_equal_scores_give_the_rate_of_the_verdict():
    p = calibrate(np.full(100, 3.0), np.arange(100) < 25)
    assert len(np.unique(p)) == 1
    assert p[0] == pytest.approx(0.25, abs=0.01)


@settings(max_examples=30)
@given(rows=few_levels, data=st.data())
def test_both_steps_together_rank_by_the_pairs(rows, data):
    assume(len(set(rows)) == len(rows) > 1)
    values, order = np.array(rows, dtype=float).T
    wrong = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    p = calibrate(break_ties(values, order), wrong)
    assert np.argsort(p).tolist() == np.lexsort([order, values]).tolist()


def test_a_given_rate_is_the_mean_and_keeps_the_order():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=500)
    wrong = scores + rng.normal(size=500) > 0.5
    for rate in (0.01, 0.2, 0.6):
        p = calibrate(scores, wrong, rate)
        assert p.mean() == pytest.approx(rate, abs=1e-6)
        np.testing.assert_array_equal(np.argsort(p), np.argsort(scores))
    for rate in (0.0, 1.0):  # cannot be the mean of numbers in (0, 1)
        p = calibrate(scores, wrong, rate)
        assert p.mean() == pytest.approx(rate, abs=1e-3)
        assert len(np.unique(p)) == 500


def test_rows_that_somebody_verified_have_no_part():
    rng = np.random.default_rng(0)
    scores, wrong = rng.normal(size=50), rng.random(50) < 0.3
    trusted = np.arange(50) < 20
    p = calibrate_judged(np.where(trusted, np.nan, scores), wrong, 0.3, trusted)
    assert (p[trusted] == 0).all()
    np.testing.assert_array_equal(p[~trusted], calibrate(scores[~trusted], wrong[~trusted], 0.3))
    assert (calibrate_judged(scores, wrong, 0.3, np.ones(50, dtype=bool)) == 0).all()
