"""From noise scores to decisions: a table of all labels, and what a review decided."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from noisyfit.base import BaseNoisyClassifier, check_fitted_on
from noisyfit.data import check_labels
from noisyfit.review._page import write_page

if TYPE_CHECKING:
    import pandas as pd

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
    """(n_samples,): the given labels, those that were relabelled replaced."""
    kept: np.ndarray
    """(n_samples,), bool: rows that were not dropped."""
    trusted: np.ndarray
    """(n_samples,), bool: rows whose label was kept or replaced by somebody who looked."""


def label_report(est: BaseNoisyClassifier, X: Any, y: Any = None) -> pd.DataFrame:
    """Put what a fit found out about each label into a table, the most suspicious first.

    Parameters
    ----------
    est : fitted noisyfit estimator
    X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
        The rows that `est` was fitted on.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        The labels that `est` was fitted on.

    Returns
    -------
    pandas.DataFrame
        A line for each label: ``row``, its number in `X`; ``given``, the label; ``suggested``, the
        network's prediction; ``suggested_proba`` and ``given_proba``, the network's probabilities
        of the two; ``noise_score``; ``rank``, from 1 for the highest score; ``kept``; ``trusted``;
        ``reason``, in words.

    Raises
    ------
    ValueError
        If `X` and `y` are not what `est` was fitted on.

    Notes
    -----
    Needs pandas.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.review import label_report
    >>> X, y = load_digits(return_X_y=True)
    >>> given = y.copy()
    >>> given[:100] = (y[:100] + 3) % 10
    >>> report = label_report(MILDSelector(random_state=0).fit(X, given), X, given)
    >>> first = report.iloc[0]
    >>> bool(first.given != y[first.row]), bool(first.suggested == y[first.row])
    (True, True)
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("A label report needs pandas: python -m pip install pandas.") from error

    given = check_fitted_on(est, X, y)
    proba = est.predict_proba(X)
    rows, given_code = np.arange(len(given)), np.searchsorted(est.classes_, given)
    predicted = proba.argmax(axis=1)
    order = np.lexsort((rows, -est.noise_scores_))
    report = pd.DataFrame(
        {
            "row": rows,
            "given": given,
            "suggested": est.classes_[predicted],
            "suggested_proba": proba[rows, predicted],
            "given_proba": proba[rows, given_code],
            "noise_score": est.noise_scores_,
            "kept": est.clean_mask_,
            "trusted": est.trusted_mask_,
        }
    ).iloc[order]
    report.insert(6, "rank", np.arange(1, len(report) + 1))
    report["reason"] = [_reason(line) for line in report.itertuples()]
    return report.reset_index(drop=True)


def _reason(line: Any) -> str:
    """Say why a label got its score; `line` is one of the report."""
    if line.trusted:
        return "verified: taken as right"
    if line.suggested != line.given:
        says = f"the network says {line.suggested} ({line.suggested_proba:.0%})"
        gets = f"the given label {line.given} gets {line.given_proba:.0%}"
        kept = "; not enough to reject it" if line.kept else ""
        return f"{says}, {gets}{kept}".replace("%", " %")
    agrees = f"the network agrees ({line.given_proba:.0%})".replace("%", " %")
    if line.noise_score > 0.5 or not line.kept:
        return f"{agrees}, but learned the label late or never without its own repetition"
    return agrees


def review_page(
    est: BaseNoisyClassifier,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    texts: Any = None,
    images: Any = None,
    table: Any = None,
    names: Any = None,
    max_rows: int | None = 10_000,
) -> None:
    """Write a page on which somebody reviews the most suspicious labels, in any browser.

    It is one HTML file that needs no network and no server: open it from disk, decide with the
    keyboard or the mouse, export the decisions, and take them back with `apply_review`. The browser
    remembers what was decided.

    Parameters
    ----------
    est : fitted noisyfit estimator
    X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
        The rows that `est` was fitted on.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        The labels that `est` was fitted on.
    path : str or Path
        The file to write; one that is there is replaced.
    texts : sequence of str of length n_samples, default=None
        What to show of each row.
    images : sequence of n_samples images, default=None
        Arrays (height, width) or (channels, height, width), or PIL images. None: `X` itself, if it
        is an array of images with one or three channels.
    table : data frame or array of shape (n_samples, n_columns), default=None
        What to show of each row, value by value: rather the table as it was than what a pipeline
        made of it. None: `X` itself, if it is a data frame or `names` are given.
    names : sequence of str of length n_columns, default=None
        Names of the columns of `table`, or of `X`. None: those of the data frame.
    max_rows : int or None, default=10_000
        How many labels, from the most suspicious on; None: all.

    Raises
    ------
    ValueError
        If `X` and `y` are not what `est` was fitted on, or there are more or fewer texts, images or
        names.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.review import review_page
    >>> texts = ["a cat", "a dog"] * 20
    >>> X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
    >>> y[0] = "dog"
    >>> est = MILDSelector(max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     review_page(est, X, y, Path(folder) / "review.html", texts=texts)
    ...     "a cat" in (Path(folder) / "review.html").read_text(encoding="utf-8")
    True
    """
    report = label_report(est, X, y)
    n_rows = len(report)
    if images is None and texts is None and isinstance(X, np.ndarray) and X.ndim == 4:
        images = X if X.shape[1] in (1, 3) else None
    if table is None and (names is not None or hasattr(X, "columns")):
        table = X
    if table is not None and names is None:
        names = list(getattr(table, "columns", range(np.shape(table)[1])))
    if hasattr(texts, "columns"):
        raise ValueError("texts must hold a string for each row. For a data frame pass table=.")
    for name, given, expected in (
        ("texts", texts, n_rows),
        ("images", images, n_rows),
        ("table", None if table is None else range(table.shape[0]), n_rows),
        ("names", names, 0 if table is None else table.shape[1]),
    ):
        if given is not None and len(given) != expected:
            raise ValueError(f"{name} must have {expected} entries. Got {len(given)}.")
    texts = list(texts) if texts is not None else None  # a Series is looked up by its index
    report = report.head(max_rows or n_rows)
    write_page(est, report, path, texts=texts, images=images, table=table, names=names)


def apply_review(y: Any, decisions: Any) -> Review:
    """Take the decisions of a review into the labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The given labels.
    decisions : DataFrame, iterable of mappings, or path of a CSV or JSON file
        Each decision has ``row``, the number of a row, ``decision``, and ``label`` for those that
        relabel. ``"keep"`` and ``"relabel"`` make the row a trusted one, ``"drop"`` takes it out,
        ``"skip"`` leaves it as it is.

    Returns
    -------
    Review

    Raises
    ------
    ValueError
        For a decision that cannot be carried out; the message has its row. Nothing is applied
        then.

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
