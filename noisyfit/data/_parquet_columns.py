"""Which columns of Parquet files can be inputs, and in words why others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_LISTED = 20
_LARGEST = float(np.finfo(np.float32).max)


def check_columns(schema: Any, columns: Sequence[str] | None, label: str | None) -> list[str]:
    """Return the columns of the inputs, if all are there and hold numbers.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the files.
    columns : sequence of str or None
        What the user asked for; None: all but `label`.
    label : str or None
        Column of the labels.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        If `columns` is a string.
    ValueError
        For columns that are not there, are there twice, are the labels, or hold no numbers.
    """
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names. Got {columns!r}; write [{columns!r}].")
    names = list(schema.names)
    chosen = [name for name in names if name != label] if columns is None else list(columns)
    listed = f"{names[:_LISTED]}{f' and {len(names) - _LISTED} more' * (len(names) > _LISTED)}"
    unknown = [name for name in [*chosen, *([] if label is None else [label])] if name not in names]
    if unknown:
        raise ValueError(f"There is no column {unknown[0]!r}. The files have {listed}.")
    if not chosen:
        raise ValueError(f"There is no column of inputs, columns=... The files have {listed}.")
    twice = sorted({name for name in chosen if chosen.count(name) > 1 or names.count(name) > 1})
    if twice:
        raise ValueError(f"The columns {twice} are there more than once.")
    if label in chosen:
        raise ValueError(f"The column {label!r} of the labels is among the inputs. Leave it out.")
    for name in chosen:
        advice = _refusal(schema.field(name).type)
        if advice:
            raise ValueError(
                f"The column {name!r} is of the type {schema.field(name).type}, which is no "
                f"number. {advice}, or leave it out: columns=[...]."
            )
    return chosen


def _refusal(dtype: Any) -> str:
    """Say what to do with a column of this type; nothing for numbers."""
    from pyarrow import types

    if types.is_floating(dtype) or types.is_integer(dtype) or types.is_boolean(dtype):
        return ""
    if types.is_temporal(dtype):
        return "Write a number in its place, such as days since the first date"
    if types.is_decimal(dtype):
        return "Cast it to float64 before the files are written"
    if types.is_nested(dtype):
        return "Write a column for each number of it"
    return "Write numbers in its place, such as a column of 0 and 1 for each category"


def number_type(schema: Any, columns: list[str]) -> np.dtype:
    """Return float32 if it holds the values of all columns by their types, else float64.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the files.
    columns : list of str
        Columns of numbers.

    Returns
    -------
    numpy dtype
    """
    types = {schema.field(name).type.to_pandas_dtype() for name in columns}
    return np.result_type(np.float32, *types)


def check_values(block: np.ndarray, columns: list[str], first: int) -> None:
    """Refuse values that are missing, infinite, or too large for float32.

    Parameters
    ----------
    block : ndarray of shape (n_rows, n_columns)
        Decoded rows.
    columns : list of str
        Their names.
    first : int
        Number of the first of the rows.

    Raises
    ------
    ValueError
        With the first row and its column.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)) and (
            block.dtype == np.float32 or max(block.max(), -block.min()) <= _LARGEST
        ):
            return
        wrong = ~(np.abs(block) <= _LARGEST)
    if wrong.any():
        row, column = (int(i[0]) for i in np.nonzero(wrong))
        value = block[row, column]
        what = "a missing value" if np.isnan(value) else f"{value}, which float32 cannot hold,"
        raise ValueError(
            f"The column {columns[column]!r} has {what} in row {first + row}. Fill the gaps before "
            "the files are written, or leave the column out."
        )
