"""What an audit makes of votes: by hand, where they all agree, and bounds that hold for any."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_audit import FEW, TWO_SCORES, WRONG, by_hand

from noisyfit.audit import Audit
from noisyfit.label_quality import VotedLabels, aggregate_votes


def votes_of(shares):
    """Votes on whether given labels are wrong, of which these are the probabilities."""
    shares = np.asarray(shares, dtype=float)
    proba = np.column_stack([1 - shares, shares])
    return VotedLabels(shares > 0.5, proba, np.array([False, True]), np.full(len(shares), 4))


def probable(votes):
    """The shares of the votes, taken for probabilities that something else has found."""
    return replace(aggregate_votes(votes), method="dawid_skene")


def test_shares_of_votes_are_refused_where_they_differ_from_labels():
    y, rows = np.array(["cat", "dog"] * 5), [0, 1, 2]
    voted = aggregate_votes([["cat", "dog", "dog"], ["dog"] * 3, ["cat"] * 3])
    with pytest.raises(ValueError, match=r"no probabilities.*'dawid_skene'.*voted.labels"):
        Audit(np.full(10, 0.5), y, voted, rows=rows)
    assert Audit(np.full(10, 0.5), y, voted.labels, rows=rows)._design.wrong.tolist() == [1, 0, 0]


def test_votes_count_by_their_probability():
    shares = np.array([0, 0.25, 0, 1, 0.75, 1, 0.5, 1])
    y = np.zeros(100, dtype=int)
    audit = Audit(TWO_SCORES, y, votes_of(shares), FEW)
    assert audit.noise_rate.value == pytest.approx(0.6 * 1.25 / 4 + 0.4 * 3.25 / 4)
    moments = audit._design.of_groups(np.zeros(100, dtype=int), 1)
    spread = [np.var(shares[:4], ddof=1), np.var(shares[4:], ddof=1)]
    variance = 0.6**2 * (1 - 4 / 60) * spread[0] / 4 + 0.4**2 * (1 - 4 / 40) * spread[1] / 4
    assert moments.variance[0] == pytest.approx(variance)
    flagged = TWO_SCORES > 0.5
    assert audit.flag_precision(flagged).value == pytest.approx(3.25 / 4)
    assert audit.flag_recall(flagged).value == pytest.approx(32.5 / (32.5 + 18.75))
    assert audit.errors_left(40).value == pytest.approx(18.75 - 1.25)


@pytest.mark.parametrize("drawn", [None, FEW])
def test_votes_that_all_agree_are_a_verified_label(drawn):
    y, rows = np.zeros(100, dtype=int), FEW.rows
    hard = Audit(TWO_SCORES, y, WRONG, drawn, rows=rows)
    soft = Audit(TWO_SCORES, y, votes_of(WRONG), drawn, rows=rows)
    of_votes = aggregate_votes(np.repeat(WRONG[:, None], 3, axis=1))
    for other in (soft, Audit(TWO_SCORES, y, of_votes, drawn, rows=rows)):
        assert other.noise_rate == hard.noise_rate
        assert other.by_class() == hard.by_class()
        assert other.flag_recall(TWO_SCORES > 0.5) == hard.flag_recall(TWO_SCORES > 0.5)


def test_one_open_vote_leaves_the_exact_bounds_and_changes_little():
    y, rows = np.zeros(400, dtype=int), np.arange(80)
    scores = np.full(400, 0.5)
    shares = (np.arange(80) < 8).astype(float)
    exact = Audit(scores, y, votes_of(shares), rows=rows).noise_rate
    shares[0] = 0.98
    soft = Audit(scores, y, votes_of(shares), rows=rows).noise_rate
    np.testing.assert_allclose(soft, exact, atol=0.005)


def test_votes_for_a_label_none_has_and_truth_values():
    y = np.array(["cat", "dog", "cat", "dog"] * 3)
    scores, rows = np.linspace(0, 1, 12), [0, 1, 2, 3]
    voted = probable([["cat"] * 2, ["cat", "dog"], ["dog"] * 2, ["dog"] * 2])
    soft = Audit(scores, y, voted, rows=rows)
    assert soft._design.wrong.tolist() == [0, 0.5, 1, 0]
    asked = probable([[False, False], [True, False], [True, True], [False, None]])
    assert Audit(scores, y, asked, rows=rows).noise_rate == soft.noise_rate
    assert Audit(scores, None, asked, rows=rows).noise_rate == soft.noise_rate
    of_frame = Audit(scores, pd.Series(y, dtype=object), voted, rows=rows)
    assert of_frame.noise_rate == soft.noise_rate
    only = aggregate_votes([["cat"] * 2] * 4)
    assert Audit(scores, y, only, rows=rows)._design.wrong.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="none of the classes"):
        Audit(scores, y, aggregate_votes([["eel"] * 2] * 4), rows=rows)
    with pytest.raises(ValueError, match="an entry for each of 3 verified rows"):
        Audit(scores, y, voted, rows=rows[:3])
    with pytest.raises(ValueError, match="Row 1 was verified twice"):
        Audit(scores, y, voted, rows=[0, 1, 1, 2])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 40), st.booleans())
def test_bounds_of_votes_never_contradict(seed, n, stratified):
    rng = np.random.default_rng(seed)
    scores, y = rng.random(60), np.zeros(60, dtype=int)
    strata = (scores > 0.6).astype(int) if stratified else np.zeros(60, dtype=int)
    rows = np.concatenate([np.flatnonzero(strata == h)[: max(2, n // 2)] for h in set(strata)])
    shares = rng.choice([0, 1, 0.5, rng.random()], len(rows))
    audit = Audit(scores, y, votes_of(shares), by_hand(strata, rows))
    found = [audit.noise_rate, audit.flag_precision(scores > 0.5), audit.flag_recall(scores > 0.5)]
    for value, low, high in found:
        assert 0 <= low <= high <= 1
        assert np.isnan(value) or low - 1e-9 <= value <= high + 1e-9
    rate = audit.noise_rate
    assert rate.low >= shares.sum() / 60 - 1e-9
    assert rate.high <= 1 - (1 - shares).sum() / 60 + 1e-9
    value, low, high = audit.errors_left(20)
    assert 0 <= low <= high
    assert np.isnan(value) or low - 1e-9 <= value <= high + 1e-9
    audit.review_until(0.5)


def test_with_votes_for_all_rows_nothing_is_left_to_chance():
    shares = np.random.default_rng(0).random(100)
    rate = Audit(TWO_SCORES, np.zeros(100, dtype=int), votes_of(shares), rows=range(100)).noise_rate
    np.testing.assert_allclose(rate, shares.mean())
