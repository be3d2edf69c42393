"""Columns of records kept in a temporary file instead of in memory."""

from __future__ import annotations

import tempfile
import weakref
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


class ColumnFile:
    """A temporary file for columns; it is deleted when no column of it is in use any more.

    Parameters
    ----------
    folder : str or Path
        An existing folder. The file has no name there, or one that the system removes by itself.

    Notes
    -----
    All columns share one file and one handle: mapping each of them would take a handle an epoch.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     column = ColumnFile(folder).add(np.arange(10, dtype=np.float16))
    ...     column[2:5]
    array([2., 3., 4.], dtype=float16)
    """

    def __init__(self, folder: str | Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see below
        weakref.finalize(self, self._file.close)
        self._lock = Lock()
        self._end = 0

    def add(self, column: np.ndarray) -> StoredColumn:
        """Write a column, and return an object that reads it."""
        data = np.ascontiguousarray(column).view(np.uint8).data
        with self._lock:
            start = self._end
            self._file.seek(start)
            written = 0
            while written < len(data):  # a raw file may take less than it is given
                written += self._file.write(data[written:])
            self._end += written
        return StoredColumn(self, start, column.dtype, len(column))

    def read(self, start: int, values: np.ndarray) -> None:
        """Fill an array with the bytes of the file from position `start` on."""
        data = values.view(np.uint8).data
        with self._lock:
            self._file.seek(start)
            done = 0
            while done < len(data):
                n_bytes = self._file.readinto(data[done:])
                if not n_bytes:
                    raise OSError("The file of the recorded training dynamics was cut short.")
                done += n_bytes


class StoredColumn:
    """A column in a file, which reads slices of itself."""

    def __init__(self, file: ColumnFile, start: int, dtype: np.dtype, length: int) -> None:
        self._file, self._start, self.dtype, self._length = file, start, dtype, length

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Read the entries of a slice without a step."""
        first, stop, _ = rows.indices(self._length)
        values = np.empty(max(0, stop - first), dtype=self.dtype)
        self._file.read(self._start + first * self.dtype.itemsize, values)
        return values

    @property
    def nbytes(self) -> int:
        """Size of the column in the file, in bytes."""
        return self._length * self.dtype.itemsize
