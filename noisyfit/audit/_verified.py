"""What somebody found out about the labels of a few rows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import column_or_1d

from noisyfit.data import check_labels, encode_labels
from noisyfit.label_quality import VotedLabels

if TYPE_CHECKING:
    from noisyfit.audit._population import Population
    from noisyfit.audit._sampling import AuditSample

_KINDS = {"O": "text", "U": "text", "b": "truth", "i": "number", "u": "number", "f": "number"}
"""Kinds of labels by numpy's letter; labels of two kinds are never the same."""


class Verified(NamedTuple):
    """What somebody found out, each row once, in ascending order."""

    rows: np.ndarray
    """(n,), int64."""
    wrong: np.ndarray
    """(n,), bool; float, of votes: the probability of it."""
    right_codes: np.ndarray | None
    """(n,), int64: the right labels as codes of the classes, of votes the likeliest ones; -1 for no
    class. None: not known."""

    @property
    def is_known(self) -> np.ndarray:
        """Rows whose right label is known, be it the given one: (n,), bool."""
        return self.wrong == 0 if self.right_codes is None else self.right_codes >= 0

    def known_codes(self, population: Population) -> np.ndarray:
        """Return the right labels as far as they are known.

        Parameters
        ----------
        population : Population
            All rows, with their given labels.

        Returns
        -------
        ndarray of shape (n,), int64
            -1 where a right label is not known.
        """
        if self.right_codes is not None:
            return self.right_codes
        assert population.codes is not None, "an estimator knows its labels"
        return np.where(self.wrong == 0, population.codes[self.rows], -1)


def how_drawn(verified: Any, rows: Any, sample: AuditSample | None) -> AuditSample | None:
    """Return how the verified rows were drawn: as was said, or as a review of them says.

    Parameters
    ----------
    verified : Review, or anything else
        What the user passed.
    rows : array-like or None
        Numbers of rows, which a review has itself.
    sample : AuditSample or None
        What the user passed; None: the review's own.

    Returns
    -------
    AuditSample or None
        None only of what is no review.

    Raises
    ------
    ValueError
        If nobody knows how the rows of a review were picked.
    """
    if not _is_review(verified):
        return sample
    if rows is not None:
        raise ValueError(
            "A review knows which rows were decided on. Got rows as well: leave them out. Of rows "
            "drawn at random, each as likely as any other, pass review.labels[rows] with rows=rows."
        )
    sample = verified.sample if sample is None else sample
    if sample is None:
        raise ValueError(
            "The review does not say how its rows were drawn. Rows that were picked for their "
            "score cannot be audited: what is wrong among them says nothing of the others. If they "
            "are those of noisyfit.audit.sample, pass it: apply_review(y, decisions, sample=drawn)."
        )
    return sample


def read_verified(
    verified: Any, rows: Any, sample: AuditSample | None, population: Population
) -> Verified:
    """Return which rows were verified, and whether their labels are wrong.

    Parameters
    ----------
    verified : array-like of shape (n,), VotedLabels or Review
        Right labels, or True where the given one is wrong; or how likely each of these is.
    rows : array-like of shape (n,), int, or None
        Their rows; None: those of the sample, or of the review.
    sample : AuditSample or None
        How they were drawn.
    population : Population
        All rows.

    Returns
    -------
    Verified

    Raises
    ------
    ValueError
        If they do not fit together, or not to the other rows; the message says which.
    """
    dropped: Any = False
    if _is_review(verified):
        verified, rows, dropped = _decided(verified, population)
    if rows is None and sample is None:
        raise ValueError(
            "Nobody said which rows were verified: pass the sample that they are of, or, of rows "
            "that were drawn at random, each as likely as any other, their numbers as rows."
        )
    numbers = sample.rows if rows is None and sample is not None else _numbers(rows, population)
    voted = verified if isinstance(verified, VotedLabels) else None
    with warnings.catch_warnings():  # few rows may well have a class each
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        found = check_labels(verified if voted is None else voted.labels)
    if len(found) != len(numbers):
        whole = len(found) == len(population.scores)
        hint = (
            "These are labels of all rows: pass verified[sample.rows]."
            if whole
            else "Where not all rows of a sample were verified, pass those that were as rows."
        )
        raise ValueError(
            f"verified must have an entry for each of {len(numbers)} verified rows. Got "
            f"{len(found)}. {hint}"
        )
    _check_order(verified, numbers)
    if voted is None and found.dtype == bool and _is_binary(population.classes):
        warnings.warn(
            "verified holds truth values, and the classes are 0 and 1: True is read as 'the given "
            "label is wrong', not as class 1. If they are labels, pass them as integers.",
            UserWarning,
            stacklevel=3,
        )
    _check_drawn(numbers, sample, population)
    wrong, right = _is_wrong(found, numbers, population)
    wrong, right = wrong | dropped, None if right is None else np.where(dropped, -1, right)
    if voted is not None:
        wrong = _share_wrong(voted, numbers, population)
    _check_twice(numbers, found if voted is None else wrong)
    numbers, first = np.unique(numbers, return_index=True)
    if len(numbers) < 2:
        raise ValueError(f"An audit needs two verified rows at least. Got {len(numbers)}.")
    return Verified(numbers, wrong[first], None if right is None else right[first])


def _is_binary(classes: np.ndarray | None) -> bool:
    return classes is not None and classes.dtype != bool and classes.tolist() == [0, 1]


def _check_order(verified: Any, rows: np.ndarray) -> None:
    """Refuse a Series whose index has the rows in another order than the sample."""
    index = getattr(verified, "index", None)
    if index is None or callable(index):  # as that of a list
        return
    index = np.asarray(index)
    if index.dtype.kind not in "iu" or np.array_equal(index, rows):
        return
    if np.array_equal(np.sort(index), np.sort(rows)):
        raise ValueError(
            "The index of verified has the rows in another order than they were drawn in, and "
            f"entries are taken in order. Got {index[:5].tolist()} for {rows[:5].tolist()}. Pass "
            "verified.loc[sample.rows], or the index as rows."
        )


def _is_review(verified: Any) -> bool:
    """Whether it is a Review, known by its fields: `noisyfit.review` stands above this folder."""
    return getattr(verified, "_fields", ()) == ("labels", "kept", "trusted", "sample")


def _decided(review: Any, population: Population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and rows that somebody decided on, and which of them were dropped."""
    if len(review.labels) != len(population.scores):
        raise ValueError(
            f"The review is of {len(review.labels)} rows, the scores are of "
            f"{len(population.scores)}. Pass what the reviewed rows were drawn from."
        )
    classes = population.classes
    if classes is None or (classes.dtype == bool) != (review.labels.dtype == bool):
        raise ValueError(
            "The given labels, with which those of the review are compared, are not known, or of "
            "another type. Pass as y the labels that were reviewed."
        )
    rows = np.flatnonzero(review.trusted | ~review.kept)
    return review.labels[rows], rows, ~review.kept[rows]


def _numbers(rows: Any, population: Population) -> np.ndarray:
    rows = column_or_1d(np.asarray(rows))
    if rows.dtype.kind not in "iu":
        raise ValueError(
            f"rows must be numbers of rows. Got an array of {rows.dtype}. From a mask: "
            "np.flatnonzero(mask)."
        )
    outside = rows[(rows < 0) | (rows >= len(population.scores))]
    if len(outside):
        raise ValueError(
            f"rows must be numbers from 0 to {len(population.scores) - 1}. Got "
            f"{outside[:5].tolist()}."
        )
    return rows.astype(np.int64)


def _check_drawn(rows: np.ndarray, sample: AuditSample | None, population: Population) -> None:
    barred = rows[~population.candidates[rows]]
    if len(barred):
        raise ValueError(
            f"The rows {barred[:5].tolist()} are trusted or have no label, and no part of what is "
            "audited. Leave them out."
        )
    if sample is not None:
        others = np.setdiff1d(rows, sample.rows)
        if len(others):
            raise ValueError(
                f"The rows {others[:5].tolist()} were verified, but are not in the sample: nothing "
                "says how likely they were to be drawn. Leave them out, or draw further rows by "
                "noisyfit.audit.sample(..., after=sample)."
            )


def _is_wrong(
    found: np.ndarray, rows: np.ndarray, population: Population
) -> tuple[np.ndarray, np.ndarray | None]:
    classes, codes = population.classes, population.codes
    if found.dtype == bool and (classes is None or classes.dtype != bool):
        return found, None
    if classes is None or codes is None:
        raise ValueError(
            "verified holds labels, but the given labels are not known. Pass them as y, or as "
            "verified truth values: True where the label is wrong."
        )
    alike = _KINDS[found.dtype.kind] == _KINDS[classes.dtype.kind]
    unknown = np.setdiff1d(found, classes) if alike else found
    if len(unknown):
        raise ValueError(
            f"verified holds the labels {np.unique(unknown)[:5].tolist()}, which are none of the "
            f"classes {classes[:10].tolist()}. Where the right label is no class, pass truth "
            "values for all rows: True where the given label is wrong."
        )
    right = encode_labels(found, classes)[0]
    return right != codes[rows], right


def _share_wrong(voted: VotedLabels, rows: np.ndarray, population: Population) -> np.ndarray:
    """Return the probability that each given label is wrong, by the votes of its row."""
    if voted.method == "majority" and (voted.confidence < 1).any():
        raise ValueError(
            "Shares of votes are no probabilities: by them, an audit is off by about as much as a "
            "single annotator errs. Pass aggregate_votes(votes, 'dawid_skene') with the given "
            "labels as one more column of votes; or, if the majority is to be what is right, "
            "voted.labels."
        )
    share = np.zeros(len(rows))
    for name, proba in zip(voted.classes, voted.proba.T, strict=True):
        share += proba * _is_wrong(np.repeat(name, len(rows)), rows, population)[0]
    return np.clip(share, 0, 1)


def _check_twice(rows: np.ndarray, found: np.ndarray) -> None:
    order = np.argsort(rows, kind="stable")
    again = np.flatnonzero(rows[order][1:] == rows[order][:-1])
    differ = again[found[order][again] != found[order][again + 1]]
    if len(differ):
        row = rows[order][differ[0]]
        raise ValueError(
            f"Row {row} was verified twice, as {found[rows == row].tolist()}. Decide on one label "
            "for it."
        )
