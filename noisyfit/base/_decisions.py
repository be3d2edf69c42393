"""From suspicion and verdict to noise scores, and to the labels that are worth replacing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from noisyfit.label_quality import (
    calibrate_judged,
    margins,
    moved_to,
    normal_scores,
    planted_length,
    trust_in_gap,
    with_length,
    with_loss_gap,
)

if TYPE_CHECKING:
    from noisyfit.base._fit_task import FitTask
    from noisyfit.base._judging import Verdict
    from noisyfit.dynamics import TrainingDynamics
    from noisyfit.label_quality import NoiseRateEstimate

_SHARE = 0.9
"""Proportion of the planted errors whose place in the ranking sets the slope of the scores: what a
review is asked for by default."""


_SURE = 0.98
"""Confidence of votes beyond which they are not believed: that all agree happens by chance, too."""

BOTH = "both"
"""Name of a ranking in sample and out of fold."""


def ranked_by_both(task: FitTask, suspicion: np.ndarray) -> np.ndarray:
    """Average a ranking in sample with that of the out-of-fold verdict.

    They err for different reasons: the one where wrong labels are learned by heart at once, the
    other where rows are few. Equal weights are as good as the better of the two, or better,
    whatever the share of labels that is learned by heart.

    Parameters
    ----------
    task : FitTask
        Rows, labels, and the out-of-fold verdict.
    suspicion : ndarray of shape (n_samples,)
        Higher means more suspicious; those of rows that are not judged do not count.

    Returns
    -------
    ndarray of shape (n_samples,)
        As `suspicion` without a verdict, and where it tells nothing.
    """
    verdict, judged = task.verdict, task.judged
    if verdict is None or not verdict.found.told:
        return suspicion
    out_of_fold = -margins(verdict.proba[judged], task.y[judged])
    both = suspicion.astype(np.float64)
    both[judged] = normal_scores(suspicion[judged]) + normal_scores(out_of_fold)
    return both


def chosen_recording(
    task: FitTask, recording: str, mode: str, dynamics: TrainingDynamics
) -> dict[str, str]:
    """Return the attributes that say which recording a ranking is of, and why.

    Parameters
    ----------
    task : FitTask
        Rows, labels, and the out-of-fold verdict, if there is one.
    recording : str
        What the user asks for.
    mode : str
        How the dynamics were recorded.
    dynamics : TrainingDynamics
        Records of ``"correct"``.

    Returns
    -------
    dict of str to str
        ``recording_`` and ``recording_reason_``.
    """
    verdict = task.verdict
    if recording != "auto":
        return {"recording_": mode, "recording_reason_": "as asked for"}
    if verdict is None or not verdict.found.told:
        nobody = "no network in cross-validation " + ("judges" if verdict is None else "can tell")
        return {"recording_": mode, "recording_reason_": f"{nobody} the labels"}
    judges = "networks" if task.pred_proba is None else "judges"
    known = np.nanmean(dynamics.epochs(start=dynamics.n_epochs - 1).correct[task.judged])
    return {
        "recording_": BOTH,
        "recording_reason_": (
            f"the network agrees in sample with {known:.0%} of the labels, {judges} out of fold "
            f"with {1 - verdict.found.contradicted:.0%}; the order is the mean of both"
        ),
    }


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


def settled(
    task: FitTask, scores: np.ndarray, clean: np.ndarray, verdict: Verdict | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and kept rows as the user gets them, from those of a method.

    Parameters
    ----------
    task : FitTask
        Rows, labels, and what is known of them.
    scores : ndarray of shape (n_samples,)
        Noise scores of the method.
    clean : ndarray of shape (n_samples,), bool
        Rows whose label the method keeps.
    verdict : Verdict or None
        The out-of-fold verdict that counts.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        0 for rows that are not judged, combined with the votes if there were any.
    clean : ndarray of shape (n_samples,), bool
        With the rows that no method may drop, and without those that have no label.
    """
    scores = np.where(task.judged, np.asarray(scores, dtype=np.float64), 0.0)
    clean = (np.asarray(clean) | task.spared) & ~task.unlabeled
    if verdict is not None and not verdict.found.told:  # nothing is flagged where none can be
        scores, clean = np.zeros_like(scores), ~task.unlabeled
    assert scores.shape == clean.shape == (task.n_samples,), "one score and mark a row"
    assert np.isfinite(scores).all(), "noise scores are finite"
    assert 0 <= scores.min() <= scores.max() <= 1, "noise scores lie in [0, 1]"
    return with_votes(task, scores, clean)


def with_votes(
    task: FitTask, scores: np.ndarray, clean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Combine scores with what the votes say of the same labels, by Bayes' rule.

    Parameters
    ----------
    task : FitTask
        Rows, and the confidence of their votes, if there were any.
    scores : ndarray of shape (n_samples,)
        Probability that each label is wrong by its inputs; 0 where nothing is said.
    clean : ndarray of shape (n_samples,), bool
        Rows whose label is kept.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
    clean : ndarray of shape (n_samples,), bool
        Labels whose score has crossed one half have changed sides; some of each class stay,
        see `FitTask.kept_rows`.

    Notes
    -----
    Inputs and votes err for different reasons, so that their odds multiply. What is in both, the
    share v of wrong labels, by the votes the mean of 1 - c, counts once:

    .. math:: o_i = \frac{s_i}{1 - s_i} \cdot \frac{1 - c_i}{c_i} \cdot \frac{1 - v}{v}.
    """
    if task.confidence is None or not task.judged.any():
        return scores, clean
    told = task.judged & (scores > 0)
    doubt = np.clip(1 - task.confidence, 1 - _SURE, _SURE)
    shift = logit(doubt) - logit(doubt[task.judged].mean())
    if np.allclose(shift[told], 0):  # all votes are as sure as each other
        return scores, clean
    both = scores.copy()
    both[told] = expit(logit(np.clip(scores[told], 1e-6, 1 - 1e-6)) + shift[told])
    crossed = (scores > 0.5) != (both > 0.5)
    return both, task.kept_rows(np.where(crossed, both > 0.5, ~clean), both)


def worth_replacing_from(
    verdict: Verdict | None, y: np.ndarray, predicted: np.ndarray
) -> np.ndarray | None:
    r"""Return the noise score of each row above which its label is worth replacing.

    Parameters
    ----------
    verdict : Verdict or None
        The out-of-fold verdict.
    y, predicted : ndarray of shape (n_samples,), int64
        Given labels, and what the final net predicts, which would replace them.

    Returns
    -------
    ndarray of shape (n_samples,), float32, or None
        In [1/2, 1]; 1, which no score exceeds, where the given label is predicted. None without a
        verdict.

    Notes
    -----
    With the score s of the given label y, and the out-of-fold probabilities p, the predicted class
    c is right with the probability :math:`s q` with :math:`q = p_c / (1 - p_y)`. Replacing raises
    the expected number of right labels if that exceeds 1 - s, for :math:`s > 1 / (1 + q)`.
    """
    if verdict is None:
        return None
    p, here = verdict.proba, np.arange(len(y))
    q = p[here, predicted].astype(np.float64) / np.maximum(1.0 - p[here, y], 1e-9)
    return np.where(predicted == y, 1.0, 1 / (1 + np.clip(q, 0, 1))).astype(np.float32)


def relabeled_rows(
    verdict: Verdict | None,
    worth_from: np.ndarray | None,
    noise_scores: np.ndarray,
    rejected: np.ndarray,
    gap: NoiseRateEstimate | None = None,
) -> np.ndarray:
    """Mark the rejected rows whose label is worth replacing by the predicted one.

    Parameters
    ----------
    verdict : Verdict or None
        None: all rejected rows.
    worth_from : ndarray of shape (n_samples,), or None
        `worth_replacing_from`.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    rejected : ndarray of shape (n_samples,), bool
        Rows to choose from.
    gap : NoiseRateEstimate or None, default=None
        What the losses in sample say of the judged labels; None: nothing.

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Notes
    -----
    Scores are moved to the *lower* end of the noise rate's interval before: a label that is merely
    hard must not be replaced, and only what all estimates agree on is no such label. The clearer
    the losses in sample fall into two groups, the nearer to the noise rate itself: of hard rows
    they are in between.
    """
    if verdict is None or worth_from is None or not rejected.any():
        return rejected
    return rejected & (_lowered(noise_scores, _believed_rate(verdict, gap)) > worth_from)


def _believed_rate(verdict: Verdict, gap: NoiseRateEstimate | None) -> float:
    low = verdict.interval[0]
    if gap is None:
        return low
    trust = trust_in_gap(verdict.found, gap)
    return (1 - trust) * low + trust * verdict.share * with_loss_gap(verdict.found, gap)


def _lowered(scores: np.ndarray, mean: float) -> np.ndarray:
    """Move probabilities by one amount on the logit scale, so that they have a smaller mean."""
    if mean >= scores.mean():
        return scores
    lowered, open_to_doubt = np.zeros_like(scores), scores > 0  # others are trusted, or certain
    if mean > 0:
        z = logit(np.clip(scores[open_to_doubt], 1e-9, 1 - 1e-9))
        lowered[open_to_doubt] = moved_to(z, mean / open_to_doubt.mean())
    return lowered
