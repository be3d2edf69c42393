"""The columns of a table of any kind, and which of them cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from noisyfit._sklearn import is_pandas_na

if TYPE_CHECKING:
    from collections.abc import Callable


def is_lazy(X: Any) -> bool:
    """Say whether a frame of polars or narwhals is a query that was not run yet."""
    return hasattr(X, "collect") and hasattr(X, "collect_schema") and not hasattr(X, "to_numpy")


def frame_dtypes(X: Any) -> tuple[list, list] | None:
    """Return the names and the types of the columns of a data frame; None for anything else.

    Parameters
    ----------
    X : object
        A frame of pandas, polars, narwhals or dask, or a table or record batch of pyarrow.

    Returns
    -------
    tuple of two lists, or None

    Examples
    --------
    >>> import pandas as pd
    >>> from noisyfit.data._columns import frame_dtypes
    >>> frame_dtypes(pd.DataFrame({"a": [1], "b": [2.5]}))
    (['a', 'b'], [dtype('int64'), dtype('float64')])
    """
    schema: Any = getattr(X, "schema", None)
    if hasattr(X, "column_names") and hasattr(schema, "types"):
        return list(X.column_names), list(schema.types)
    if not hasattr(X, "columns"):
        return None
    types = X.dtypes if hasattr(X, "dtypes") else schema.values()
    return list(X.columns), list(types)


def is_missing(value: Any) -> bool:
    """Say whether the value of a cell is a gap: None, NaN, or what pandas has for it."""
    return value is None or is_pandas_na(value) or (np.ndim(value) == 0 and bool(value != value))


def name_columns(X: Any, what: str) -> str:
    """Name the columns of a table that are meant, at most five; nothing for a sparse one.

    Parameters
    ----------
    X : object
        A table that cannot be used.
    what : {"not a number", "missing", "all missing", "too large"}
        Columns with a value that is no number, with a gap, with nothing but gaps, or with a value
        that float32 does not hold, such as infinity.

    Returns
    -------
    str
        As " in the columns ['a']"; empty if there is none.
    """
    tests: dict[str, Callable[[np.ndarray], Any]] = {
        "not a number": lambda column: not _is_number(column),
        "missing": lambda column: _gaps(column).any(),
        "all missing": lambda column: _gaps(column).all(),
        "too large": lambda column: _too_large(column).any(),
    }
    return _named("columns", [name for name, column in _columns(X) if tests[what](column)])


def name_rows(X: Any, what: str) -> str:
    """Name the rows of a table that are meant, at most five; nothing for a sparse one.

    Parameters
    ----------
    X : object
        A table that cannot be used.
    what : {"all missing", "too large"}
        Rows with nothing but gaps, or with a value that float32 does not hold.

    Returns
    -------
    str
        As " in the rows [0, 7]"; empty if there is none.
    """
    test, of_all = (_gaps, np.all) if what == "all missing" else (_too_large, np.any)
    found = [test(column) for _, column in _columns(X)]
    return _named("rows", np.flatnonzero(of_all(found, axis=0)).tolist() if found else [])


def _named(what: str, meant: list[Any]) -> str:
    more = f" and {len(meant) - 5} more" if len(meant) > 5 else ""
    return f" in the {what} {meant[:5]}{more}" if meant else ""


def _columns(X: Any) -> list[tuple[Any, np.ndarray]]:
    """Return names and values of the columns of a dense table, one at a time."""
    dtypes = frame_dtypes(X)
    if dtypes is not None:
        return [(name, np.asarray(X[name])) for name in dtypes[0]]
    if sparse.issparse(X) or np.ndim(X) != 2:
        return []
    return list(enumerate(np.asarray(X).T))


def _gaps(column: np.ndarray) -> np.ndarray:
    if column.dtype == object:
        return np.array([is_missing(value) for value in column])
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=bool)


def _too_large(column: np.ndarray) -> np.ndarray:
    """Tell values that become infinity as float32; a column of other things has none."""
    if column.dtype.kind not in "fO":
        return np.zeros(len(column), dtype=bool)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.isinf(np.where(_gaps(column), 0, column).astype(np.float32))
    except (TypeError, ValueError):
        return np.zeros(len(column), dtype=bool)


def _is_number(column: np.ndarray) -> bool:
    try:
        column[[not gap for gap in _gaps(column)]].astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True
