"""Columns of a table that tell the given labels, as a copy of these would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import gammaln

if TYPE_CHECKING:
    from collections.abc import Iterator

_OFF = 0.001
"""Labels that may differ from what a column says, as a proportion of those of all classes but the
largest: of a rare class, a column must not leave out half."""
_BITS = 10
"""Bits that a column has to spare: labels in random order would be told once in 1,000 tables."""
_ROWS_A_CODE = 5
"""Rows of each value, on average, from which on values are codes whose order says nothing."""
_SAMPLE, _OF_CLASS = 256, 5
"""Rows by which columns are ruled out, and of each class at least, if it has so many."""
_SLACK, _SLACK_MARK = 10, 0.2
"""Changes of the label along a column, and proportion of a class, that do not rule out a column:
the few labels that may differ can all be in the sample."""
_MOST = 20
"""Columns at most that are looked at in all rows; with more, the classes lie far apart."""
_BLOCK = 2**22
"""Values that are looked at at once."""


class TellingColumns(NamedTuple):
    """Columns that tell the given labels, and how many labels each leaves out.

    Examples
    --------
    >>> from noisyfit.data._telling_columns import TellingColumns
    >>> TellingColumns(cuts={4: 0}).marks
    {}
    """

    cuts: dict[int, int] = {}  # noqa: RUF012 - read only
    """Columns each of which tells all labels by few cut points."""
    codes: dict[int, int] = {}  # noqa: RUF012 - read only
    """Columns each of which tells all labels by its values, in no order that a network could use
    as easily."""
    marks: dict[int, int] = {}  # noqa: RUF012 - read only
    """Columns that have a value for one class alone, which tell all labels together."""


def telling_columns(X: Any, y: np.ndarray, rows: np.ndarray) -> TellingColumns | None:
    """Find columns that tell all given labels, or nearly.

    Parameters
    ----------
    X : tensor or CSR matrix of shape (n_samples, n_features)
        Table as the network gets it.
    y : ndarray of shape (n_samples,), int64
        Given labels, encoded.
    rows : ndarray of shape (n_rows,), int64
        Rows whose labels count.

    Returns
    -------
    TellingColumns or None
        None if there is none, and if all columns that vary are such: then no other could tell more.

    Notes
    -----
    A column tells the labels if at most two intervals a class do, or if it has few values and each
    has one label. One label in a thousand may differ, not counting those of the largest class; it
    costs two cut points. Several columns do if for each class, but for one at most, there is a
    column that has its smallest value, or its largest, in all other classes, and never in this one,
    as a one-hot code has. A code that is one-hot with several columns for a class is not found.

    That is no proof of a leak: a column may be that good. It is not chance, however: the labels
    take more bits than the number of the column, its cut points and the labels between them, by 10.

    Columns are ruled out by a sample of about 256 rows, or 5 of each class, so that wide and long
    tables take little time. A sparse column with neither as many values as there are rows outside
    of the largest class, nor as many as a class has rows, is ruled out without being sorted.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data._telling_columns import telling_columns
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, 200)
    >>> X = torch.from_numpy(np.column_stack([rng.normal(size=(200, 2)), y]))
    >>> telling_columns(X, y, np.arange(200))
    TellingColumns(cuts={2: 0}, codes={}, marks={})
    """
    y = np.unique(y[rows], return_inverse=True)[1]
    n_columns, n_classes = X.shape[1], int(y.max(initial=-1)) + 1
    bits = _log2_choices(np.bincount(y)) - np.log2(max(1, n_columns))
    if n_columns < 2 or n_classes < 2 or bits < _BITS:
        return None
    telling, marking, n_varying = _candidates(X, y, rows)
    cuts: dict[int, int] = {}
    codes: dict[int, int] = {}
    for j, column in _full_columns(X, rows, telling[:_MOST]):
        found = _by_value(column, y, n_classes, bits)
        if found is not None:
            (cuts if found.by_cuts else codes)[j] = found.n_off
    if len(telling) == n_varying and len(cuts) + len(codes) == min(n_varying, _MOST):
        return None
    marks = _marks(X, y, rows, marking) if n_classes > 2 else {}
    n_needed = 1 + np.log2(n_columns)
    enough = len(marks) >= n_classes - 1 and len(marks) < n_varying
    if not enough or _log2_choices(np.bincount(y)) - len(marks) * n_needed < _BITS:
        marks = {}
    return TellingColumns(cuts, codes, marks) if cuts or codes or marks else None


class _Told(NamedTuple):
    """How a column tells the labels."""

    n_off: int
    by_cuts: bool


def _by_value(column: np.ndarray, y: np.ndarray, n_classes: int, bits: float) -> _Told | None:
    """Say how a column tells the labels; None if it does not.

    Parameters
    ----------
    column : ndarray of shape (n_rows,)
        Its values.
    y : ndarray of shape (n_rows,), int64
        Labels, from 0 to ``n_classes - 1``.
    n_classes : int
        Number of classes.
    bits : float
        What the labels take in bits, without what the number of the column takes.
    """
    n_rows, order = len(y), np.lexsort((y, column))
    most_off = _OFF * (n_rows - np.bincount(y).max())
    value, label = column[order], y[order]
    new_value = np.r_[True, value[1:] != value[:-1]]
    start = np.flatnonzero(new_value | np.r_[True, label[1:] != label[:-1]])
    size, of_value = np.diff(np.r_[start, n_rows]), np.cumsum(new_value)[start]
    by_size = np.lexsort((size, of_value))
    largest = by_size[np.r_[of_value[by_size][1:] != of_value[by_size][:-1], True]]
    label, n_values = label[start[largest]], len(largest)
    n_off = n_rows - int(size[largest].sum())
    n_pieces = 1 + int((label[1:] != label[:-1]).sum())
    spent = _log2_choices([n_pieces - 1, n_values - n_pieces]) + n_pieces * np.log2(n_classes)
    spent += _log2_choices([n_off, n_rows - n_off]) + n_off * np.log2(n_classes)
    if n_off > most_off or bits - spent < _BITS:
        return None
    n_cut_off = n_off + max(0, -(-(n_pieces - 2 * n_classes) // 2))
    if n_cut_off <= most_off:
        return _Told(n_cut_off, True)
    return _Told(n_off, False) if n_values * _ROWS_A_CODE <= n_rows else None


def _marks(X: Any, y: np.ndarray, rows: np.ndarray, candidates: np.ndarray) -> dict[int, int]:
    """Return a column for each class that one tells from all others, with the rows it misses."""
    sizes, marks, done = np.bincount(y), {}, set()
    for j, column in _full_columns(X, rows, candidates):
        for end in (column.min(), column.max()):
            n_wrong = _n_unlike(np.bincount(y[column != end], minlength=len(sizes)), sizes)
            of_class = int(n_wrong.argmin())
            if of_class not in done and n_wrong[of_class] <= _OFF * sizes[of_class]:
                done.add(of_class)
                marks[j] = int(n_wrong[of_class])
    return marks


def _n_unlike(n_on: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Count the rows that are on without being of a class, or the reverse: (..., n_classes)."""
    return n_on.sum(axis=-1, keepdims=True) + sizes - 2 * n_on


def _candidates(X: Any, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what a sample does not rule out, for all classes and for one, and what varies in it.

    Returns
    -------
    telling, marking : ndarray of int
        Numbers of columns, those first that are the likeliest to tell all classes.
    n_varying : int
        How many columns have more than one value in the sample.
    """
    # What is said of a table must not depend on the seed of a fit, nor advance its generators.
    sample = _sample(y, np.random.default_rng(0))
    label = y[sample]
    sizes = np.bincount(label)
    of_class = sparse.csr_array((np.ones(len(label), np.float32), (np.arange(len(label)), label)))
    telling, marking, misses, n_varying = [np.empty(0, int)], [np.empty(0, int)], [np.empty(0)], 0
    for place, block in _sampled_columns(X, rows[sample], sizes):
        low, high = block.min(axis=1, keepdims=True), block.max(axis=1, keepdims=True)
        varies = (low != high)[:, 0]
        n_missed = _n_missed(block, label, len(sizes))
        n_varying += int(varies.sum())
        telling.append(place[varies & np.isfinite(n_missed)])
        misses.append(n_missed[varies & np.isfinite(n_missed)])
        on = (block != end for end in (low, high))
        unlike = [
            (_n_unlike(m.astype(np.float32) @ of_class, sizes) / sizes).min(axis=1) for m in on
        ]
        marking.append(place[varies & (np.minimum(*unlike) <= _SLACK_MARK)])
    if sparse.issparse(X):
        n_varying = len(np.unique(X[rows[sample]].indices))
    likeliest = np.argsort(np.concatenate(misses), kind="stable")
    return np.concatenate(telling)[likeliest], np.concatenate(marking), n_varying


def _n_missed(block: np.ndarray, label: np.ndarray, n_classes: int) -> np.ndarray:
    """Count along each column of a sample what speaks against it; inf: it tells no labels."""
    order = np.argsort(block, axis=1)
    sorted_label, value = label[order], np.take_along_axis(block, order, axis=1)
    changes = sorted_label[:, 1:] != sorted_label[:, :-1]
    equal = value[:, 1:] == value[:, :-1]
    n_changes, n_mixed = changes.sum(axis=1), (changes & equal).sum(axis=1)
    missed = np.where(n_changes < 2 * n_classes + _SLACK, n_changes.astype(float), np.inf)
    coded = (equal.sum(axis=1) >= len(label) / 4) & (n_mixed <= _SLACK)
    return np.minimum(missed, np.where(coded, 2.0 * n_classes + n_mixed, np.inf))


def _sample(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of each class, in random order: equal values must not be sorted by their label."""
    order = rng.permutation(len(y))
    sizes = np.bincount(y)
    by_class = order[np.argsort(y[order], kind="stable")]
    place = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rng.permutation(by_class[place < max(_OF_CLASS, _SAMPLE // len(sizes))])


def _sampled_columns(
    X: Any, ids: np.ndarray, sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Generate numbers of columns and their values in a sample, a dense line for each column."""
    columns, is_sparse = np.arange(X.shape[1]), sparse.issparse(X)
    if is_sparse:
        X = X[ids].tocsc()
        X.sum_duplicates()
        X.eliminate_zeros()
        columns = np.flatnonzero(_well_filled(np.diff(X.indptr), np.sort(sizes)))
    step = max(1, _BLOCK // len(ids))
    for start in range(0, len(columns), step):
        place = columns[start : start + step]
        block = X[:, place] if is_sparse else X[:, start : start + step][ids]
        yield place, np.ascontiguousarray(_dense(block).T)


def _well_filled(n_stored: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mark sparse columns with values outside of the largest class, or of as many rows as one."""
    following = np.searchsorted(sizes, n_stored / (1 + _SLACK_MARK))
    nearest = np.append(sizes, np.inf)[following]
    of_one = n_stored >= (1 - _SLACK_MARK) * nearest
    return of_one | (n_stored >= sizes.sum() - sizes[-1] - _SLACK)


def _full_columns(
    X: Any, rows: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Generate numbers of columns and their values in all rows, one at a time."""
    is_sparse = sparse.issparse(X)
    part = X[:, columns].tocsc() if is_sparse and len(columns) else X
    for i, j in enumerate(columns.tolist()):
        yield j, _dense(part[:, [i]] if is_sparse else part[:, [j]])[rows, 0]


def _dense(part: Any) -> np.ndarray:
    return part.toarray() if sparse.issparse(part) else part.cpu().numpy()


def _log2_choices(counts: Any) -> float:
    """Return how many bits it takes to say which of so many things are of which kind."""
    counts = np.asarray(counts, dtype=np.float64)
    return float((gammaln(counts.sum() + 1) - gammaln(counts + 1).sum()) / np.log(2))
