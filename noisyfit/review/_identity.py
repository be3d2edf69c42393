"""Of which data set, and of which of its rows, decisions are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from noisyfit.persistence import hash_values
from noisyfit.review._known_labels import KnownLabels, is_gap, read_as

_N_NAMED = 10
_UNKNOWN = "unknown"  # hash of rows that are streamed, or of which nothing was passed
_WHAT_TO_DO = (
    "Nothing was applied. Apply decisions to the labels that were reviewed, and drop or reorder "
    "rows after that: y = review.labels[review.kept]."
)


def data_set_identity(labels: np.ndarray, est: Any = None) -> str:
    """Return a name of a data set: its number of rows, and hashes of given labels and of rows.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Given labels, in the order of the rows.
    est : fitted noisyfit estimator or None, default=None
        Has a sample of the rows that it was fitted on.

    Returns
    -------
    str
        Three parts with a dash between; the last one is "unknown" without a sample.
    """
    # Alike for 1 and 1.0, which is what integers are beside a gap.
    texts = [
        str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
        for label in labels.tolist()
    ]
    sample = None if est is None else vars(est).get("_row_sample")
    rows = _UNKNOWN if sample is None else hash_values(sample)
    return f"{len(texts)}-{hash_values(np.array(texts, dtype=object))}-{rows}"


def row_index(*containers: Any) -> Any:
    """Return the index of the first data frame or Series that has one of its own.

    Parameters
    ----------
    *containers : object
        What may have an index, as pandas' objects do.

    Returns
    -------
    pandas.Index or None
        None where all are numbered from 0 on, as rows are anyway. One of several levels is
        returned as one of tuples.
    """
    for container in containers:
        index = getattr(container, "index", None) if hasattr(container, "iloc") else None
        if index is None:
            continue
        index = index.to_flat_index() if hasattr(index, "to_flat_index") else index
        if not np.array_equal(index.to_numpy(), np.arange(len(index))):
            return index
    return None


def check_identity(entries: list[Any], given: np.ndarray, index: Any, est: Any) -> None:
    """Refuse decisions that were made on other labels, or on those of other rows.

    Parameters
    ----------
    entries : list
        Decisions, of which those are compared that say what they were made on.
    given : ndarray of shape (n_samples,)
        The labels that they are to be applied to.
    index : pandas.Index or None
        The labels' own index.
    est : fitted noisyfit estimator or None
        Was fitted on the same rows.

    Raises
    ------
    ValueError
        Lists the rows whose label, or place in the index, is another one.
    """
    known, here = KnownLabels(given), data_set_identity(given, est)
    entries = [entry for entry in entries if isinstance(entry, Mapping)]
    others = [
        name
        for name in dict.fromkeys(str(entry.get("data_set")) for entry in entries)
        if not is_gap(name) and not _same(name, here)
    ]
    differ = [told for entry in entries if (told := _difference(entry, given, known, index))]
    if differ:
        listed = "; ".join(differ[:_N_NAMED])
        more = f"; and {len(differ) - _N_NAMED} more" if len(differ) > _N_NAMED else ""
        sizes = f" {_sizes(others[0], here)}" if others else ""
        raise ValueError(
            f"{len(differ)} of {len(entries)} decisions were made on another label or row than y "
            f"has there: {listed}{more}.{sizes} {_WHAT_TO_DO}"
        )
    if others:
        raise ValueError(
            f"The decisions are of another data set. {_sizes(others[0], here)} {_WHAT_TO_DO}"
        )


def _difference(entry: Mapping, given: np.ndarray, known: KnownLabels, index: Any) -> str:
    """Say in what the row of a decision is not the one that was decided on; "" if in nothing."""
    try:
        row = int(entry["row"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""  # refused in words of its own
    then, place = entry.get("given"), entry.get("index")
    if not is_gap(then):
        if row >= len(given):
            return f"row {row} had the label {str(then)!r} and is not there"
        if row >= 0 and not any(label == given[row] for label in known.find(then)):
            return f"row {row} had the label {str(then)!r} and has {str(given[row])!r}"
    if index is not None and not is_gap(place) and 0 <= row < len(given):
        now = index[row]
        if not (str(now) == str(place) or read_as(now) == read_as(place) or _is_time(now, place)):
            return f"row {row} was at the index {str(place)!r} and is at {str(now)!r}"
    return ""


def _is_time(now: Any, place: Any) -> bool:
    """Whether a place in a file stands for a date or duration of pandas.

    Its files have other texts for them than `str`: no hours where all of them are 0.
    """
    kind = type(now)
    if not (hasattr(kind, "isoformat") and hasattr(kind, "as_unit")):
        return False
    zone = getattr(now, "tzinfo", None)
    # pandas' to_json writes milliseconds, since 1970 in UTC, unless told otherwise.
    settings = {"unit": "ms", **({"tz": zone} if zone else {})} if isinstance(place, int) else {}
    try:
        return bool(kind(place, **settings) == now)
    except (TypeError, ValueError, OverflowError):
        return False


def _same(one: str, other: str) -> bool:
    (*labels_1, rows_1), (*labels_2, rows_2) = one.split("-"), other.split("-")
    return labels_1 == labels_2 and (rows_1 == rows_2 or _UNKNOWN in (rows_1, rows_2))


def _sizes(then: str, now: str) -> str:
    (n_then, *labels_then), (n_now, *labels_now) = (name.split("-") for name in (then, now))
    if n_then != n_now:
        return f"It had {n_then} labels when it was reviewed, y has {n_now}."
    if labels_then[:1] != labels_now[:1]:
        return "It has as many labels, but not the same ones in the same order."
    return "Its labels are the same, but est was fitted on other rows, or in another order."
