"""The rows that an audit is about: their scores, their given labels, and which may be drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from noisyfit._pipelines import of_last_step
from noisyfit.data import check_labels, encode_labels
from noisyfit.label_quality import VotedLabels


class Population(NamedTuple):
    """All rows of a data set, as an audit sees them."""

    scores: np.ndarray
    """(n_samples,), float64, in [0, 1]."""
    candidates: np.ndarray
    """(n_samples,), bool: rows with a given label that nobody has verified yet."""
    codes: np.ndarray | None
    """(n_samples,), int64: given labels as codes, -1 without a label; None: not known."""
    classes: np.ndarray | None
    """(n_classes,): what the codes stand for."""
    flagged: np.ndarray | None
    """(n_samples,), bool: labels that an estimator rejects; None: there is no estimator."""
    given: np.ndarray | None
    """(n_samples,): the given labels themselves; None: not known."""
    trusted: np.ndarray
    """(n_samples,), bool: rows whose label was verified before."""


def read_population(est_or_scores: Any, y: Any) -> Population:
    """Return the rows of a fitted estimator, or of bare scores and labels.

    Parameters
    ----------
    est_or_scores : fitted noisyfit estimator, Pipeline, or array-like of shape (n_samples,)
        The estimator is read by its public attributes alone; of a pipeline, its last step.
    y : array-like of shape (n_samples,) or None
        Given labels; None: those of the estimator, or unknown.

    Returns
    -------
    Population

    Raises
    ------
    ValueError
        If scores are no probabilities, or `y` is not what the estimator was fitted on.
    TypeError
        If the estimator is none of noisyfit.
    """
    y = y.labels if isinstance(y, VotedLabels) else y
    est_or_scores, _ = of_last_step(est_or_scores, None)
    if hasattr(est_or_scores, "fit"):
        return _of_estimator(est_or_scores, y)
    scores = _check_scores(est_or_scores)
    everything, nothing = np.ones(len(scores), dtype=bool), np.zeros(len(scores), dtype=bool)
    if y is None:
        return Population(scores, everything, None, None, None, None, nothing)
    y = check_labels(y)
    _check_length("y", len(y), len(scores))
    return Population(scores, everything, *encode_labels(y), None, y, nothing)


def check_same(population: Population, other: Population, name: str) -> None:
    """Check that an estimator has the scores and labels that an audit is of.

    Parameters
    ----------
    population : Population
        What the audit is of.
    other : Population
        What the estimator has.
    name : str
        Name of the estimator, for the message.

    Raises
    ------
    ValueError
        If they differ.
    """
    for what, mine, yours in (
        ("scores", population.scores, other.scores),
        ("rows without a label, or trusted,", population.candidates, other.candidates),
        ("given labels", population.given, other.given),
    ):
        if mine is None or yours is None or not np.array_equal(mine, yours):
            raise ValueError(
                f"The audit is of other {what} than those of the {name}. Apply it to the estimator "
                "that the rows were drawn from, and that was passed to Audit."
            )


def _of_estimator(est: Any, y: Any) -> Population:
    check_is_fitted(est)
    if not hasattr(est, "noise_scores_"):
        raise TypeError(
            "est must be a noisyfit estimator, or a Pipeline that ends with one. Got a "
            f"{type(est).__name__}, which has no noise scores; scores of your own are passed as an "
            "array."
        )
    if getattr(est, "audit_", None) is not None:
        raise ValueError(
            f"The {type(est).__name__} speaks from an audit already, which another one would "
            "forget. Pass the estimator that the audit was applied to, and all verified rows; "
            "sample(est, n, after=drawn) draws further ones."
        )
    given, labeled = est.given_labels_, est.labeled_mask_
    if y is not None:
        y = check_labels(y)
        _check_length("y", len(y), len(given))
        differ = np.flatnonzero(y != given)
        if len(differ):
            raise ValueError(
                f"y differs from the labels that the {type(est).__name__} was fitted on, in "
                f"{len(differ)} rows, the first of them {differ[:5].tolist()}. Pass those labels, "
                "or None: the estimator knows them. Right labels belong into verified."
            )
    codes = np.full(len(given), -1, dtype=np.int64)
    codes[labeled], classes = encode_labels(given[labeled], est.classes_)
    candidates = labeled & ~est.trusted_mask_
    scores, flagged = _check_scores(est.noise_scores_), labeled & ~est.clean_mask_
    return Population(scores, candidates, codes, classes, flagged, given, est.trusted_mask_)


def _check_scores(scores: Any) -> np.ndarray:
    scores = check_array(scores, ensure_2d=False, dtype=np.float64, input_name="scores")
    if scores.ndim != 1 or scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "Scores must be a vector of numbers in [0, 1], higher where a label is more likely "
            f"wrong. Got an array of shape {scores.shape} with values from {scores.min():g} to "
            f"{scores.max():g}. Ranks do: scipy.stats.rankdata(scores) / len(scores)."
        )
    return scores


def _check_length(name: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{name} must have one entry for each of {expected} rows. Got {got}.")
