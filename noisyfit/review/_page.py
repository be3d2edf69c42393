"""The page on which people review labels: one HTML file that needs no server."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from noisyfit._pipelines import of_last_step
from noisyfit._random import spawn_streams
from noisyfit.audit import check_sample, read_population
from noisyfit.data import is_missing
from noisyfit.persistence import check_replaceable
from noisyfit.review._identity import data_set_identity, row_index
from noisyfit.review._report import label_report
from noisyfit.review._thumbnails import pictures_among, thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noisyfit.audit import AuditSample
    from noisyfit.base import BaseNoisyClassifier

_TEMPLATE = "review_page.html"


def review_page(
    est: BaseNoisyClassifier | Pipeline,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    texts: Any = None,
    images: Any = None,
    table: Any = None,
    names: Any = None,
    max_rows: int | None = 10_000,
    sample: AuditSample | None = None,
    blind: bool | None = None,
) -> None:
    """Write a page on which somebody reviews suspicious or drawn labels, in any browser.

    The page is one HTML file that needs no network and no server: open it from disk, decide with
    the keyboard or the mouse, export the decisions, and apply them with `apply_review`. The browser
    remembers the decisions. Rows of a data frame or Series with an index of its own show it.

    Parameters
    ----------
    est : fitted noisyfit estimator, or Pipeline that ends with one
        Estimator whose noise scores choose the labels.
    X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
        The rows that `est` was fitted on; of a pipeline, as they were before its first step.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        The labels that `est` was fitted on.
    path : str or Path
        The file to write. A page of noisyfit that is there is replaced.
    texts : sequence of str of length n_samples, default=None
        A text to show for each row. None: `X` itself, if these are what a pipeline was fitted on.
    images : pictures of n_samples rows, default=None
        A picture to show for each row: arrays (height, width) or (channels, height, width), PIL
        pictures or paths in a list or column, or a torch Dataset. None: `X` itself, if its rows are
        such pictures with one or three channels; strings are paths to what
        `noisyfit.features.ImageFeatures` reads, or if they name files.
    table : data frame or array of shape (n_samples, n_columns), default=None
        Values to show for each row, best those from before any preprocessing. None: `X` itself, if
        it is a data frame or `names` are given.
    names : sequence of str of length n_columns, default=None
        Names of the columns of `table`, or of `X`. None: those of the data frame.
    max_rows : int or None, default=10_000
        Number of labels on the page, from the most suspicious on. None: all. Those of `sample` are
        all there.
    sample : AuditSample, default=None
        Rows that `noisyfit.audit.sample` drew of `est`: the page has these and no others, in the
        order in which they were drawn. None: the most suspicious ones.
    blind : bool or None, default=None
        Whether nothing of score, rank, suggestion, reason and given label is on the page, nor in
        the file: the reviewer says what is the right class of each row, and agrees with nobody.
        None: only if there is a `sample`.

    Raises
    ------
    ValueError
        If `X` and `y` are not what `est` was fitted on, or the number of texts, images, lines of
        the table or names does not fit, or `sample` was drawn of other rows.
    TypeError
        If `sample` is no `AuditSample`.
    FileExistsError
        If there is a file of something else at `path`, which is left as it is.

    Notes
    -----
    Rows of a blind page without `sample` are in random order. Number and index of a row are shown
    on a blind page only where nothing else is to be seen of it: where rows are sorted by class,
    they tell the label. So do file names in `texts` and columns of `table`, if you pass such.

    Only pictures on the page are read. It holds small ones of them, of 192 pixels in height or
    width at most: as JPEG, about 8 KB of the page for a photograph, and up to 64 pixels as PNG, to
    the pixel. Pictures of a Dataset are as its transforms make them; numbers other than ``uint8``
    are stretched to the range from black to white.

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
    check_replaceable(path, _is_page, "a review page")
    report = label_report(est, X, y)
    images = pictures_among(est, X) if images is None else images
    if isinstance(est, Pipeline):
        est, _ = of_last_step(est, None)
        is_chosen = any(given is not None for given in (texts, images, table))
        texts = X if not is_chosen and _are_texts(X) else texts
    if sample is not None:
        check_sample(sample, read_population(est, None))
    n_rows = len(est.noise_scores_)
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
    # Indexing a Series would look up its index, not the row number.
    texts_given, texts = texts, list(texts) if texts is not None else None
    index = row_index(table, texts_given)
    if index is not None and "index" not in report:
        report["index"] = index[report["row"]]
    blind = sample is not None if blind is None else blind
    if sample is not None:
        report = report.set_index("row", drop=False).loc[sample.rows]
    else:
        report = report.head(max_rows or n_rows)
        if blind:  # always in the same order, so that the browser knows the page again
            report = report.iloc[spawn_streams(0).split.permutation(len(report))]
    shown = {"texts": texts, "images": images, "table": table, "names": names}
    _write_page(est, report, path, blind, **shown)


def _write_page(
    est: BaseNoisyClassifier,
    report: Any,
    path: str | Path,
    blind: bool,
    *,
    texts: Sequence[str] | None,
    images: Any,
    table: Any,
    names: Sequence[str] | None,
) -> None:
    """Write the page for the lines of a label report; other parameters as in `review_page`."""
    classes = [str(label) for label in est.classes_]
    code = {label: i for i, label in enumerate(est.classes_.tolist())}
    pairs = Counter(zip(report.given.tolist(), report.suggested.tolist(), strict=True))
    number = {pair: i for i, (pair, _) in enumerate(pairs.most_common())}
    values = None if table is None else _lines(table, report["row"].to_numpy())
    pictures = None if images is None else thumbnails(images, report["row"].to_numpy())
    rows = []
    for place, line in enumerate(report.itertuples()):
        row: dict[str, Any] = {"row": int(line.row)}
        if not blind:
            row |= {
                "given": code[line.given],
                "suggested": code[line.suggested],
                "score": round(float(line.noise_score), 6),
                "rank": int(line.rank),
                "pair": number[line.given, line.suggested],
                "reason": line.reason,
            }
        if "index" in report:
            row["index"] = str(line.index)
        if texts is not None:
            row["text"] = str(texts[line.row])
        if pictures is not None:
            row["image"] = next(pictures)
        if values is not None:
            row["values"] = [_written(v) for v in values[place]]
        rows.append(row)
    data = {
        "title": f"Label review: {type(est).__name__}, {len(rows):,} of {len(est.noise_scores_):,}",
        "data_set": data_set_identity(est.given_labels_, est),
        "classes": classes,
        "names": None if names is None else [str(name) for name in names],
        **(
            {"blind": True}
            if blind
            else {"pairs": [[code[a], code[b], pairs[a, b]] for a, b in number]}
        ),
        "rows": rows,
    }
    # Only these characters could end the script element or begin a comment in it.
    content = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e")
    # The browser keeps the decisions under this name.
    name = hashlib.sha256(content.encode("ascii")).hexdigest()[:16]
    html = files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    html = html.replace("__NAME__", name).replace("__DATA__", content)
    Path(path).write_text(html, encoding="utf-8")


def _is_page(path: Path) -> bool:
    """Whether noisyfit wrote a file: the name under which its pages remember tells."""
    content = path.read_bytes()
    return content.startswith(b"<!DOCTYPE html>") and b"noisyfit-review-" in content


def _are_texts(X: Any) -> bool:
    """Whether rows are texts; a data frame iterates over the names of its columns."""
    is_list = isinstance(X, list) or getattr(X, "ndim", 0) == 1
    return is_list and all(isinstance(row, str) for row in X)


def _lines(table: Any, rows: np.ndarray) -> list[Any]:
    """Return the values of lines of a table, each of the type of its column."""
    if hasattr(table, "iloc"):  # which brings a single row to one type, integers to floats
        return list(table.iloc[rows].itertuples(index=False, name=None))
    return [_values(table, row) for row in rows]


def _values(table: Any, row: int) -> Any:
    if sparse.issparse(table):
        return table[[row]].toarray()[0]
    if type(table).__module__.startswith("pyarrow"):  # whose brackets are for columns
        return list(table.slice(row, 1).to_pylist()[0].values())
    if hasattr(table, "row"):  # polars and narwhals, whose brackets return a frame of one row
        return table.row(row)
    return np.asarray(table[row])


def _written(value: Any) -> str:
    """Write a value as a person would: nothing for a gap, a date without the hour 0."""
    if is_missing(value):
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if abs(float(value)) < 1e5 else f"{value:.10g}"
    return str(value).removesuffix(" 00:00:00") if isinstance(value, datetime) else str(value)
