"""Sequences: missing epochs, and other lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisyfit.methods.dynamics_lstm._sequences import as_sequences, resample

NAN = float("nan")


def test_missing_epochs_are_interpolated_row_by_row():
    # The case of the fact sheet, one class at a time: (.7, .1), (.2, .3) and (.1, .6).
    filled = as_sequences([[0.7, NAN, 0.1], [0.2, NAN, 0.3], [0.1, NAN, 0.6]])
    np.testing.assert_allclose(filled[:, 1], [0.4, 0.25, 0.35], rtol=1e-6)


def test_missing_ends_take_the_nearest_value():
    np.testing.assert_allclose(as_sequences([[NAN, 0.2, 0.4, NAN]]), [[0.2, 0.2, 0.4, 0.4]])


@given(st.integers(2, 12).flatmap(lambda n: st.lists(st.booleans(), min_size=n, max_size=n)))
def test_gaps_of_any_length_are_filled_linearly(known):
    known = np.array(known)
    known[len(known) // 2] = True
    values = np.random.default_rng(len(known)).random((2, len(known))).astype(np.float32)
    at = np.arange(len(known))
    expected = [np.interp(at, at[known], row[known]) for row in values]
    filled = as_sequences(np.where(known, values, np.float32(NAN)))
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, expected, atol=1e-6)


def test_rounding_beyond_zero_and_one_is_taken_back():
    just = np.array([[0.0, 1.0, -1e-7, 1 + 1e-7]])
    filled = as_sequences(just)
    assert filled.tolist() == [[0, 1, 0, 1]]
    assert filled.dtype == np.float32
    for value in (-1e-3, 1 + 1e-3):
        with pytest.raises(ValueError, match="apply softmax"):
            as_sequences([[value, 0.5]])


def test_the_input_is_left_alone():
    values = np.array([[0.5, NAN]], dtype=np.float32)
    as_sequences(values)
    assert np.isnan(values[0, 1])


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([0.1, 0.2], r"shape \(n_samples, n_epochs\).*Got \(2,\)"),
        (np.zeros((3, 0)), "at least one epoch"),
        ([[0.1, 1.2]], r"in \[0, 1\]. Got values from 0.1 to 1.2; apply softmax"),
        ([[-0.1, 0.2]], r"in \[0, 1\]"),
        ([[0.1, 0.2], [NAN, NAN]], "Row 1 of sequences has no recorded epoch"),
        ([[0.1, float("inf")]], r"in \[0, 1\]"),
    ],
)
def test_bad_sequences_are_refused(sequences, message):
    with pytest.raises(ValueError, match=message):
        as_sequences(sequences)


@given(n_epochs=st.integers(1, 30), length=st.integers(2, 40), seed=st.integers(0, 9))
def test_resampling_is_linear_interpolation(n_epochs, length, seed):
    values = np.random.default_rng(seed).random((3, n_epochs)).astype(np.float32)
    at, epochs = np.linspace(0, n_epochs - 1, length), np.arange(n_epochs)
    expected = [np.interp(at, epochs, row) for row in values]
    resampled = resample(values, length)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled, expected, atol=1e-6)


def test_the_same_length_changes_nothing():
    values = np.random.default_rng(0).random((3, 7)).astype(np.float32)
    assert resample(values, 7) is values
