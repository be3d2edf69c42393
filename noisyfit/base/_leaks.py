"""Labels that may have got into the table: doubts of columns that tell them, and of unseen rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch

from noisyfit.data import (
    Source,
    SparseSource,
    StoredSource,
    TellingColumns,
    TensorSource,
    telling_columns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noisyfit.base._fit_task import FitTask

_STORED_ROWS = 4_096
"""Rows at most that are read of a table on the disk, spread over all of it."""
_UNUSED = 0.05
"""Share of the labels that networks contradict from which on they have not learned the codes."""


def holds_rows(source: Source) -> TypeGuard[TensorSource | SparseSource]:
    """Say whether all rows are in memory, which is where they are compared with each other."""
    return isinstance(source, TensorSource | SparseSource)


def not_looked_for(task: FitTask, row_shape: tuple[int, ...], folds: bool) -> str | None:
    """Say what was not looked for in rows that are not in memory.

    Parameters
    ----------
    task : FitTask
        Rows and labels.
    row_shape : tuple of int
        Shape of a row; () of several inputs by name.
    folds : bool
        Whether rows were judged by nets that are not to know them.

    Returns
    -------
    str or None
        A sentence or two; None if nothing was left out.
    """
    if holds_rows(task.rows.source):
        return None
    missed, advice = [], ""
    if folds and task.groups is None:
        missed.append("near copies of rows")
        advice = (
            " Networks that have learned from a copy are no judges of a row: pass copies as groups "
            "of fit."
        )
    if len(row_shape) == 1 and not isinstance(task.rows.source, StoredSource):
        missed.append("columns that tell the labels")
    if not missed:
        return None
    return f"Not looked for, as the rows are not in memory: {' and '.join(missed)}.{advice}"


def find_leaks(task: FitTask) -> TellingColumns | None:
    """Find columns of a table that tell all labels that nobody verified, as a copy would.

    Parameters
    ----------
    task : FitTask
        Rows and labels.

    Returns
    -------
    TellingColumns or None
        None if there is none, and for rows that are no vectors, or a Dataset's.

    Notes
    -----
    Of a table on the disk a sample is looked at, for which its files are read once more.
    """
    source, judged = task.rows.source, np.flatnonzero(task.judged)
    if isinstance(source, StoredSource) and len(source.table.shape) == 2:
        sample = judged[:: max(1, -(-len(judged) // _STORED_ROWS))]
        X = source.gather(torch.from_numpy(sample)).cpu()
        return telling_columns(X, task.y[sample], np.arange(len(sample)))
    if not holds_rows(source) or source.X.ndim != 2:
        return None
    return telling_columns(source.X, task.y, judged)


def doubts_of_leaks(
    found: TellingColumns | None,
    contradicted: np.ndarray,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Say which columns tell the given labels, and what that means if they were made from them.

    Parameters
    ----------
    found : TellingColumns or None
        None: nothing is said.
    contradicted : ndarray of shape (n_labels,), bool
        Labels that networks contradict, of those that the columns tell. Codes in no order are hard
        to learn: where many labels are contradicted nevertheless, they hide nothing.
    names : sequence of str or None, default=None
        Names of the columns; None: their numbers are given.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.base._leaks import doubts_of_leaks
    >>> from noisyfit.data import TellingColumns
    >>> found, contradicted = TellingColumns(cuts={1: 0}), np.zeros(600, dtype=bool)
    >>> print(*doubts_of_leaks(found, contradicted, ["age", "diagnosis"]))
    Column 'diagnosis' alone tells every given label. If it was made from the labels (a copy, ...
    """
    if found is None:
        return []
    doubts, n_labels = [], len(contradicted)
    alone = {**found.cuts, **(found.codes if contradicted.mean() <= _UNUSED else {})}
    if alone:
        who = _named(sorted(alone), names)
        who = f"Column {who} alone tells" if len(alone) == 1 else f"Each of the columns {who} tells"
        doubts.append(_sentence(who, max(alone.values()), n_labels, len(alone)))
    if found.marks:
        who = f"The columns {_named(sorted(found.marks), names)}, a class each, tell"
        n_off = sum(found.marks.values())
        doubts.append(_sentence(who, n_off, n_labels, len(found.marks)))
    return doubts


def _named(columns: list[int], names: Sequence[str] | None) -> str:
    said = [str(j) if names is None else repr(f"{names[j]!s:.40}") for j in columns]
    if len(said) > 5:
        listed = f"{', '.join(said[:5])} and {len(said) - 5} more"
    else:
        listed = " and ".join(part for part in (", ".join(said[:-1]), said[-1]) if part)
    return listed if names is not None else f"{listed} (counted from 0)"


def _sentence(who: str, n_off: int, n_labels: int, n_columns: int) -> str:
    what = f"all but {n_off:,} of the {n_labels:,} given labels" if n_off else "every given label"
    if n_columns == 1:
        made, hidden, leave = "it was", "it hides", "it"
    else:
        made, hidden, leave = "they were", "they hide", "them"
    return (
        f"{who} {what}. If {made} made from the labels (a copy, a code, something entered after "
        f"them, row numbers of a table sorted by them), {hidden} the wrong ones: leave {leave} out "
        "and fit again."
    )
