"""Labels of any container as a numpy array of their own kind, none of them through float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisyfit._sklearn import is_pandas_na
from noisyfit.data._array_checks import as_numpy

_KINDS = {"integers": (int, np.integer), "truth values": (bool, np.bool_)}


def plain_labels(y: Any, name: str = "y") -> Any:
    """Return labels as numpy holds them; what is no column of labels is returned as it is.

    Parameters
    ----------
    y : object
        Labels in a container of pandas (nullable, of categories or of Arrow), polars, narwhals or
        pyarrow, a tensor, an array or a list.
    name : str, default="y"
        Of the parameter, for the message.

    Returns
    -------
    object
        Integers, truth values, floats or strings as an array of that kind.

    Raises
    ------
    ValueError
        If a label is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from noisyfit.data._labels import plain_labels
    >>> plain_labels(pd.Series([2**60, 2**60 + 3], dtype="Int64")).dtype
    dtype('int64')
    """
    y = as_numpy(y, name)
    y = y.to_native() if hasattr(y, "to_native") else y  # of narwhals
    if hasattr(y, "iloc") and getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        column = plain_labels(y.iloc[:, 0], name)
        return column[:, None] if isinstance(column, np.ndarray) else y
    _refuse_gaps(y, name)
    dtype = getattr(y, "dtype", None)
    if hasattr(y, "isna") and hasattr(y, "dtype") and not isinstance(dtype, np.dtype):
        return _of_pandas(y)
    if isinstance(y, np.ndarray):
        if y.dtype.kind == "T":  # numpy's own strings of any length
            return y.astype(object)
        return _of_objects(y) if y.dtype == object and y.ndim == 1 else y
    if getattr(dtype, "kind", None) == "O" or hasattr(y, "null_count"):
        values = np.asarray(y)
        return _of_objects(values) if values.dtype == object and values.ndim == 1 else values
    return y


def _of_pandas(y: Any) -> Any:
    """Return a column of pandas' own types, or of its Arrow types, without a gap."""
    dtype = y.dtype
    if hasattr(dtype, "categories"):
        codes = np.asarray(y.cat.codes if hasattr(y, "cat") else y.codes)
        return np.asarray(plain_labels(dtype.categories))[codes]
    if dtype.kind in "biuf" and hasattr(dtype, "numpy_dtype"):
        return y.to_numpy(dtype=dtype.numpy_dtype)
    return _of_objects(np.asarray(y))


def _of_objects(y: np.ndarray) -> np.ndarray:
    """Return an array of objects that are all integers, or all truth values, as one of these."""
    if y.dtype != object or not len(y):
        return y
    if all(isinstance(label, _KINDS["truth values"]) for label in y):
        return y.astype(bool)
    if any(isinstance(label, _KINDS["truth values"]) for label in y):
        return y
    if all(isinstance(label, _KINDS["integers"]) for label in y):
        integers = np.array(y.tolist())  # int64, or uint64 if they need it
        return integers if integers.dtype.kind in "iu" else y
    return y


def _refuse_gaps(y: Any, name: str) -> None:
    """Refuse labels of which one is missing, and say in which rows."""
    rows = gap_rows(y)
    if not len(rows):
        return
    what = "NaN"
    if isinstance(y, (list, tuple)) or getattr(y, "dtype", None) == np.dtype(object):
        first = y[rows[0]] if not hasattr(y, "iloc") else y.iloc[rows[0]]
        what = "NaN" if isinstance(first, float) else str(first)
    elif "string" in str(getattr(y, "dtype", "")):
        what = "<NA>"
    elif getattr(getattr(y, "dtype", None), "kind", "") in ("m", "M"):
        what = "NaT"
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    raise ValueError(
        f"Input {name} contains {what}; every row needs a label. There is none in the rows "
        f"{rows[:5].tolist()}{more}."
    )


def gap_rows(y: Any) -> np.ndarray:
    """Return the rows whose label is missing; none of what is no column of labels.

    Parameters
    ----------
    y : object
        Labels, or marks of rows, in any container.

    Returns
    -------
    ndarray of int
    """
    if hasattr(y, "isna"):  # pandas
        gaps = np.asarray(y.isna())
    elif hasattr(y, "is_null"):  # polars and pyarrow
        gaps = np.asarray(y.is_null())
    elif isinstance(y, (list, tuple)) or (isinstance(y, np.ndarray) and y.dtype == object):
        gaps = np.array([_is_missing(label) for label in y], dtype=bool)
    elif isinstance(y, np.ndarray) and y.dtype.kind in "mM":
        gaps = np.isnat(y)
    else:
        gaps = np.zeros(0, dtype=bool)
    return np.flatnonzero(gaps) if gaps.ndim == 1 and gaps.dtype == bool else np.zeros(0, int)


def _is_missing(label: Any) -> bool:
    return label is None or is_pandas_na(label) or (isinstance(label, float) and label != label)
