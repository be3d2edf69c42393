"""The decisions of a review, applied to the labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisyfit._pipelines import of_last_step
from noisyfit.audit import AuditSample, check_sample, read_population
from noisyfit.base import check_labels_of_fit
from noisyfit.data import check_labels
from noisyfit.review._identity import check_identity, row_index
from noisyfit.review._known_labels import KnownLabels

DECISIONS = ("keep", "relabel", "label", "drop", "skip")
_N_NAMED = 5


class Review(NamedTuple):
    """Labels after a review, as `apply_review` returns them.

    Examples
    --------
    >>> from noisyfit.review import apply_review
    >>> review = apply_review(["a", "b", "a"], [{"row": 1, "decision": "relabel", "label": "a"}])
    >>> review.labels.tolist(), review.trusted.tolist()
    (['a', 'a', 'a'], [False, True, False])
    """

    labels: np.ndarray
    """(n_samples,): the given labels, of which the relabelled ones are replaced."""
    kept: np.ndarray
    """(n_samples,), bool: rows that were not dropped."""
    trusted: np.ndarray
    """(n_samples,), bool: rows whose label somebody has confirmed or replaced."""
    sample: AuditSample | None = None
    """How the rows were drawn; None: not for an audit."""


def apply_review(
    y: Any, decisions: Any, *, est: Any = None, sample: AuditSample | None = None
) -> Review:
    """Apply the decisions of a review to the labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The given labels, those that were reviewed.
    decisions : DataFrame, iterable of mappings, or path of a CSV or JSON file
        Each decision has a ``row``, the number of a row, a ``decision``, and for ``"relabel"`` and
        ``"label"`` also a ``label``. ``"keep"`` and ``"relabel"`` make the row a trusted one, as
        does ``"label"``, which says the right label without regard to the given one; ``"drop"``
        takes it out of ``kept``, ``"skip"`` leaves it as it is. What else a decision says is
        compared with `y`: ``given``, the label that the row had; ``index``, its place in the index
        of a Series; ``data_set``, as `review_page` wrote it.
    est : fitted noisyfit estimator, or Pipeline that ends with one, default=None
        One that was fitted on the rows that were reviewed, and on `y`. With it, not only the labels
        are compared with those of ``data_set``, but also the rows. None: the labels alone.
    sample : AuditSample, default=None
        Drew the rows that were reviewed, for an `Audit`, which finds it in the result. Rows of it
        without a decision count as skipped. None: the review is not for an audit.

    Returns
    -------
    Review
        The new labels, and which rows are kept and trusted.

    Raises
    ------
    ValueError
        If a decision cannot be carried out, was made on another label or data set, or on a row that
        is not in `sample`; the message names its row, and nothing is applied. If `sample` was drawn
        of other rows.

    Notes
    -----
    A label may be what pandas makes of it when it reads a file: 1.0 for 1 beside a gap, True for
    "True". Where that may be one of several classes, such as "1" and "01", it is refused; a text
    that is a class to the letter never is.

    A sample can be kept on disk until the decisions are back: ``np.savez("drawn.npz",
    **drawn._asdict())``, and ``AuditSample(**np.load("drawn.npz"))``.

    Examples
    --------
    >>> review = apply_review(["cat", "dog", "cat"], [
    ...     {"row": 0, "decision": "relabel", "label": "dog"}, {"row": 2, "decision": "drop"}])
    >>> review.labels.tolist(), review.kept.tolist(), review.trusted.tolist()
    (['dog', 'dog', 'cat'], [True, True, False], [True, False, False])
    """
    est, _ = of_last_step(est, None)
    given = check_labels(y) if est is None else check_labels_of_fit(est, y)
    entries = list(_read_decisions(decisions))
    check_identity(entries, given, row_index(y), est)
    known, labels = KnownLabels(given), given.copy()
    kept, trusted = np.ones(len(given), dtype=bool), np.zeros(len(given), dtype=bool)
    seen: set[int] = set()
    for entry in entries:
        row, decision = _check_decision(entry, len(given), seen)
        seen.add(row)
        if decision in ("relabel", "label"):
            labels[row] = known.find_one(entry.get("label"), row)
        kept[row] = decision != "drop"
        trusted[row] = decision in ("keep", "relabel", "label")
    if sample is not None:
        _check_drawn(sample, est, trusted | ~kept)
    return Review(labels, kept, trusted, sample)


def _check_drawn(sample: AuditSample, est: Any, decided: np.ndarray) -> None:
    """Check that a sample is of these rows, and that no other row was decided on."""
    population = read_population(np.zeros(len(decided)) if est is None else est, None)
    is_sample = isinstance(sample, AuditSample)  # anything else is refused below
    if est is None and is_sample and len(sample.row_strata) == len(decided):
        # Only an estimator knows which rows could be drawn; without one, the sample is believed.
        population = population._replace(candidates=sample.row_strata >= 0)
    check_sample(sample, population)
    others = np.setdiff1d(np.flatnonzero(decided), sample.rows)
    if len(others):
        raise ValueError(
            f"{len(others)} rows were decided on, but are not in the sample, the first of them "
            f"{others[:_N_NAMED].tolist()}: nothing says how likely they were to be drawn, and an "
            "audit with them would be wrong. Nothing was applied. Apply these decisions by "
            "themselves, without sample, or pass the sample that the rows are of, further batches "
            "(noisyfit.audit.sample(..., after=...)) included."
        )


def _check_decision(entry: Any, n_rows: int, seen: set[int]) -> tuple[int, str]:
    if not isinstance(entry, Mapping):
        raise ValueError(f"A decision must map names to values. Got {entry!r}.")
    missing = [name for name in ("decision", "row") if name not in entry]
    if missing:
        raise ValueError(f"A decision lacks {missing}. Got {dict(entry)}.")
    try:
        row = int(entry["row"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"row must be a whole number. Got {entry['row']!r}.") from error
    if not 0 <= row < n_rows or row != float(entry["row"]):
        raise ValueError(
            f"row must be a whole number from 0 to {n_rows - 1}. Got {entry['row']!r}."
        )
    if row in seen:
        raise ValueError(f"Row {row} was decided on twice.")
    if entry["decision"] not in DECISIONS:
        raise ValueError(
            f"The decision of row {row} must be one of {DECISIONS}. Got {entry['decision']!r}."
        )
    return row, entry["decision"]


def _read_decisions(decisions: Any) -> Iterable[Any]:
    if isinstance(decisions, (str, Path)):
        return _read_file(Path(decisions))
    for made_by, arguments in (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",))):
        if hasattr(decisions, made_by):  # polars, pyarrow, pandas
            return getattr(decisions, made_by)(*arguments)
    return decisions


def _read_file(path: Path) -> list:
    is_json = path.suffix.lower() == ".json"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            read = json.load(file) if is_json else list(csv.DictReader(file))
    except (ValueError, csv.Error, RecursionError) as error:
        kind = "JSON" if is_json else "CSV"
        raise ValueError(f"{path.name} is no {kind} in UTF-8: {error}") from error
    if not isinstance(read, list):
        raise ValueError(f"{path.name} must hold a list of decisions, each an object.")
    return read
