"""Cosine cycles with restarts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisyfit.methods.meta_relabel._schedule import (
    cosine_cycle_ends,
    cosine_cycle_factor,
    n_cosine_cycles,
)


def test_the_papers_schedule():
    """A first cycle of 500 steps, about an epoch; the 13th is the last whole one in 200,000."""
    assert n_cosine_cycles(408) == 13
    ends = cosine_cycle_ends(193_620, 13)
    exact = 1000 * (1.5 ** np.arange(1, 14) - 1)
    assert np.abs(ends - exact).max() <= 1


@given(n_steps=st.integers(50, 10_000), n_cycles=st.integers(1, 8))
def test_cycles_fill_the_training(n_steps, n_cycles):
    ends = cosine_cycle_ends(n_steps, n_cycles)
    assert len(ends) == n_cycles
    assert ends[-1] == n_steps
    assert (np.diff(ends, prepend=0) > 0).all()


@given(st.integers(1, 500))
def test_the_first_cycle_is_an_epoch_or_more(epochs):
    n_cycles = n_cosine_cycles(epochs)
    first = cosine_cycle_ends(1000 * epochs, n_cycles)[0]
    assert first >= 999
    assert cosine_cycle_ends(1000 * epochs, n_cycles + 1)[0] < 1001


def test_each_cycle_starts_lower_and_ends_near_zero():
    ends = cosine_cycle_ends(1000, 4)
    factors = np.array([cosine_cycle_factor(step, ends) for step in range(1000)])
    starts = np.r_[0, ends[:-1]]
    assert factors[starts] == pytest.approx(0.9 ** np.arange(4))
    assert (factors[ends - 1] < 0.001).all()
    rises = np.flatnonzero(np.diff(factors) > 0) + 1
    assert rises.tolist() == ends[:-1].tolist()


def test_whole_numbers_of_cycles_are_not_lost_to_rounding():
    assert [n_cosine_cycles(2**k - 1, growth=2) for k in range(1, 12)] == list(range(1, 12))


def test_nothing_is_left_at_the_end():
    ends = np.array([4, 10])
    assert [cosine_cycle_factor(step, ends) for step in (10, 11)] == [0, 0]
