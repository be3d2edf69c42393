"""Sequences of recorded probabilities: missing epochs are filled, lengths made equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_ROUNDING = 1e-5


def as_sequences(sequences: ArrayLike, first_row: int = 0) -> np.ndarray:
    """Check sequences, convert them to float32 and interpolate missing epochs row by row.

    Parameters
    ----------
    sequences : array-like of shape (n_samples, n_epochs)
        Probability of the given label in each epoch, in [0, 1]; NaN where none was recorded.
    first_row : int, default=0
        Row number of the first sequence, for the messages.

    Returns
    -------
    ndarray of shape (n_samples, n_epochs), float32
        The sequences, without NaN.

    Raises
    ------
    ValueError
        If a value lies outside [0, 1], a row has no recorded value, or the array is not 2-D.

    Examples
    --------
    >>> as_sequences([[0.2, float("nan"), 0.6, float("nan")]])
    array([[0.2, 0.4, 0.6, 0.6]], dtype=float32)
    """
    values = np.asarray(sequences, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            "sequences must have the shape (n_samples, n_epochs) with at least one epoch. Got "
            f"{values.shape} instead."
        )
    missing = np.isnan(values)
    if (values[~missing] < -_ROUNDING).any() or (values[~missing] > 1 + _ROUNDING).any():
        raise ValueError(
            "sequences must hold probabilities of the given label, in [0, 1]. Got values from "
            f"{np.nanmin(values):g} to {np.nanmax(values):g}; apply softmax to logits first."
        )
    empty = np.flatnonzero(missing.all(axis=1))
    if len(empty):
        raise ValueError(
            f"Row {empty[0] + first_row} of sequences has no recorded epoch; leave such rows out."
        )
    incomplete = np.flatnonzero(missing.any(axis=1))
    if len(incomplete):
        values = values.copy()
        values[incomplete] = _interpolate(values[incomplete], ~missing[incomplete])
    return values.clip(0, 1)


def resample(sequences: np.ndarray, length: int) -> np.ndarray:
    """Resample sequences to another length by linear interpolation; the first and last values stay.

    Parameters
    ----------
    sequences : ndarray of shape (n_samples, n_epochs)
        Sequences without NaN.
    length : int
        Number of values of each resampled sequence.

    Returns
    -------
    ndarray of shape (n_samples, length), float32
        The resampled sequences.

    Examples
    --------
    >>> resample(np.array([[0.0, 1.0]]), 3)
    array([[0. , 0.5, 1. ]], dtype=float32)
    """
    n_epochs = sequences.shape[1]
    if n_epochs == length:
        return sequences.astype(np.float32, copy=False)
    at = np.linspace(0, n_epochs - 1, length)
    left = at.astype(np.int64)
    fraction = (at - left).astype(np.float32)
    right = np.minimum(left + 1, n_epochs - 1)
    resampled = sequences[:, left] * (1 - fraction) + sequences[:, right] * fraction
    return resampled.astype(np.float32, copy=False)


def _interpolate(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill unknown values by linear interpolation, and by the nearest known value at the ends."""
    n_epochs = values.shape[1]
    at = np.arange(n_epochs)
    left = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, at, n_epochs)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == n_epochs, left, right)
    fraction = ((at - left) / np.maximum(right - left, 1)).astype(np.float32)
    before, after = (np.take_along_axis(values, side, axis=1) for side in (left, right))
    return (1 - fraction) * before + fraction * after
