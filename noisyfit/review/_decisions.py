"""The decisions of a review, applied to the labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisyfit.data import check_labels

DECISIONS = ("keep", "relabel", "drop", "skip")


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


def apply_review(y: Any, decisions: Any) -> Review:
    """Apply the decisions of a review to the labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The given labels.
    decisions : DataFrame, iterable of mappings, or path of a CSV or JSON file
        Each decision has a ``row``, the number of a row, a ``decision``, and for ``"relabel"`` also
        a ``label``. ``"keep"`` and ``"relabel"`` make the row a trusted one, ``"drop"`` takes it
        out of ``kept``, ``"skip"`` leaves it as it is.

    Returns
    -------
    Review
        The new labels, and which rows are kept and trusted.

    Raises
    ------
    ValueError
        If a decision cannot be carried out; the message names its row.

    Examples
    --------
    >>> review = apply_review(["cat", "dog", "cat"], [
    ...     {"row": 0, "decision": "relabel", "label": "dog"}, {"row": 2, "decision": "drop"}])
    >>> review.labels.tolist(), review.kept.tolist(), review.trusted.tolist()
    (['dog', 'dog', 'cat'], [True, True, False], [True, False, False])
    """
    given = check_labels(y)
    classes = {str(label): label for label in np.unique(given)}
    labels = given.copy()
    kept, trusted = np.ones(len(given), dtype=bool), np.zeros(len(given), dtype=bool)
    seen: set[int] = set()
    for entry in _read_decisions(decisions):
        row, decision = _check_decision(entry, len(given), seen)
        seen.add(row)
        if decision == "relabel":
            label = str(entry.get("label", ""))
            if label in ("", "None", "nan") and label not in classes:
                raise ValueError(f"Row {row} is to be relabelled, but its decision has no label.")
            if label not in classes:
                raise ValueError(
                    f"Row {row} is to get the label {entry.get('label')!r}, which no row has. "
                    f"Known are {list(classes)}."
                )
            labels[row] = classes[label]
        kept[row] = decision != "drop"
        trusted[row] = decision in ("keep", "relabel")
    return Review(labels, kept, trusted)


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
    if hasattr(decisions, "to_dict"):
        return decisions.to_dict("records")
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
