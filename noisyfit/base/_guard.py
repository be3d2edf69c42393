"""Whether plain training predicts better than what a method has trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from noisyfit.base._judging import Verdict

_SURE = 2.0
"""t-value from which on one is said to be better."""
_SUREST = 0.25
"""Proportion of the rows of each predicted class that the networks in cross-validation are surest
of."""


class Comparison(NamedTuple):
    """Accuracies on the given labels of rows that no network in question was trained on."""

    plain: float
    """Of networks in cross-validation, which are trained plainly."""
    own: float
    """Of the network that predicts."""
    n_rows: int
    """Number of the rows."""
    t: float
    """t-value of the paired difference; above 0 plain training is better."""

    @property
    def plain_is_better(self) -> bool:
        """Whether plain training predicts more of the given labels, beyond chance."""
        return self.t > _SURE

    def sentence(self) -> str:
        """Say which is better, and where."""
        return (
            f"Plain training is better here: of the {self.n_rows:,} given labels that were held "
            f"back it predicts {100 * self.plain:.1f} %, and this network {100 * self.own:.1f} %. "
            "MILDSelector(rounds=1) trains plainly."
        )


def compare_with_plain(
    verdict: Verdict, y: np.ndarray, predicted: np.ndarray, rows: np.ndarray
) -> Comparison | None:
    """Compare a network with plain training on rows whose labels neither has seen.

    Parameters
    ----------
    verdict : Verdict
        What networks in cross-validation say.
    y, predicted : ndarray of shape (n_samples,), int64
        Given labels, and what the network predicts.
    rows : ndarray of shape (n_samples,), bool
        Rows whose labels it was not trained on, such as those that were held back to validate on.
        On its own rows a network that learns labels by heart would always win.

    Returns
    -------
    Comparison or None
        None where there are fewer than two such rows, and without such networks.
    """
    if rows.sum() < 2 or verdict.plain is None:
        return None
    plain, own = verdict.plain[rows].argmax(axis=1) == y[rows], predicted[rows] == y[rows]
    return Comparison(
        float(plain.mean()), float(own.mean()), len(own), paired_difference(plain, own)[1]
    )


def led_astray(
    verdict: Verdict, predicted: np.ndarray, plain: np.ndarray, judged: np.ndarray
) -> float:
    """Compare a network with plain training by what networks in cross-validation are surest of.

    Parameters
    ----------
    verdict : Verdict
        What networks in cross-validation say; they have been asked.
    predicted, plain : ndarray of shape (n_samples,), int64
        What the network predicts, and one that was trained plainly on the same rows.
    judged : ndarray of shape (n_samples,), bool
        Rows that count.

    Returns
    -------
    float
        By how much larger, in [-1, 1], the proportion is that the network predicts otherwise, among
        the surest quarter of the rows of each class that they predict; 0 where the t-value of the
        paired difference is between -2 and 2.

    Notes
    -----
    Both have trained on the rows, so that their agreement with given labels says nothing. Where
    networks that have not are sure, what one more network says otherwise is a label that it has
    learned by heart, or a mistake, or a correction of them all.
    """
    assert verdict.plain is not None, "networks were asked"
    named, sure = verdict.plain.argmax(axis=1), verdict.plain.max(axis=1)
    surest = np.zeros(len(named), dtype=bool)
    for code in np.unique(named[judged]):
        rows = np.flatnonzero(judged & (named == code))
        surest[rows[sure[rows] >= np.quantile(sure[rows], 1 - _SUREST)]] = True
    more, t = paired_difference((predicted != named)[surest], (plain != named)[surest])
    return more if abs(t) > _SURE else 0.0


def paired_difference(
    first: np.ndarray, second: np.ndarray, lead: float = 0.0
) -> tuple[float, float]:
    """Return the mean of a paired difference, and its t-value.

    Parameters
    ----------
    first, second : ndarray of shape (n_samples,), bool
        Which rows either is right in, or wrong.
    lead : float, default=0.0
        The t-value is of what the mean is above it.

    Returns
    -------
    tuple of two floats
    """
    difference = first.astype(float) - second
    mean, n = float(difference.mean()), len(difference)
    # One more row that differs: else few rows that all differ one way would be beyond doubt.
    error = np.sqrt(float(difference.var()) / n + 1 / n**2)
    return mean, float((mean - lead) / error)
