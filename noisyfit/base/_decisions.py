"""From suspicion and verdict to noise scores, and to the labels that are worth replacing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from noisyfit.label_quality import calibrate_judged, moved_to, planted_length, with_length

if TYPE_CHECKING:
    from noisyfit.base._fit_task import FitTask
    from noisyfit.base._judging import Verdict

_SHARE = 0.9
"""Proportion of the planted errors whose place in the ranking sets the slope of the scores: what a
review is asked for by default."""


def noise_scores(
    task: FitTask, suspicion: np.ndarray, predicted: np.ndarray, noise_rate: float
) -> np.ndarray:
    """Turn a method's ranking into probabilities that labels are wrong.

    Parameters
    ----------
    task : FitTask
        Rows, labels, and the out-of-fold verdict, if there is one.
    suspicion : ndarray of shape (n_samples,)
        Higher means more suspicious; those of rows that are not judged do not count.
    predicted : ndarray of shape (n_samples,), int64
        Codes of the classes that the final net predicts, which count without a verdict.
    noise_rate : float
        Proportion of wrong labels among all labels.

    Returns
    -------
    ndarray of shape (n_samples,)
        In [0, 1]; 0 for rows that are not judged, and for all if the verdict tells nothing.

    Notes
    -----
    Where the curve lies follows from the noise rate. How steep it is follows, with a verdict, from
    where errors would lie that are planted as the wrong labels seem to go (`planted_length`);
    without one from how well the ranking agrees with the final net, which is too sure of itself.
    """
    verdict, judged = task.verdict, task.judged
    contradicted = predicted != task.y if verdict is None else verdict.contradicted
    rate = task.rate_among_judged(noise_rate)
    scores = calibrate_judged(suspicion, contradicted, rate, ~judged)
    if verdict is None:
        return scores
    if not verdict.found.told:  # nothing is flagged where none can be
        return np.zeros(task.n_samples)
    own = scores[judged]
    length = planted_length(verdict.proba[judged], task.y[judged], own, _SHARE)
    if length is not None:
        scores[judged] = with_length(own, length, _SHARE)
    return scores


def relabeled_rows(
    verdict: Verdict | None,
    y: np.ndarray,
    predicted: np.ndarray,
    noise_scores: np.ndarray,
    rejected: np.ndarray,
) -> np.ndarray:
    r"""Mark the rejected rows whose label is worth replacing by the predicted one.

    Parameters
    ----------
    verdict : Verdict or None
        None: all rejected rows.
    y, predicted : ndarray of shape (n_samples,), int64
        Given labels, and what the final net predicts.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    rejected : ndarray of shape (n_samples,), bool
        Rows to choose from.

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Notes
    -----
    With the score s of the given label y, and the out-of-fold probabilities p, the predicted class
    c is right with the probability :math:`s p_c / (1 - p_y)`. A label is replaced if that exceeds
    1 - s with scores that are moved to the *lower* end of the noise rate's interval: a label that
    is merely hard must not be replaced, and only what all estimates agree on is no such label.
    """
    if verdict is None or not rejected.any():
        return rejected
    rows = np.flatnonzero(rejected)
    low = verdict.interval[0]
    s = _lowered(noise_scores, low)[rows]
    p = verdict.proba[rows].astype(np.float64)
    here = np.arange(len(rows))
    of_predicted = p[here, predicted[rows]] / np.maximum(1 - p[here, y[rows]], 1e-9)
    marked = np.zeros(len(y), dtype=bool)
    marked[rows] = (predicted[rows] != y[rows]) & (s * of_predicted > 1 - s)
    return marked


def _lowered(scores: np.ndarray, mean: float) -> np.ndarray:
    """Move probabilities by one amount on the logit scale, so that they have a smaller mean."""
    if mean >= scores.mean():
        return scores
    lowered, open_to_doubt = np.zeros_like(scores), scores > 0  # others are trusted, or certain
    if mean > 0:
        z = logit(np.clip(scores[open_to_doubt], 1e-9, 1 - 1e-9))
        lowered[open_to_doubt] = moved_to(z, mean / open_to_doubt.mean())
    return lowered
