"""`StoredSource`: rows that stay on the disk, and are read batch by batch."""

from __future__ import annotations

import mmap
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import Subset

from noisyfit.data._parquet import ParquetRows
from noisyfit.data._sliceable import SliceableDataset
from noisyfit.data._sources import to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noisyfit.data._scaling import TableScaler

    OpenBar = Callable[[int], Any]

_BLOCK_VALUES = 2**20
_READ_AT_ONCE = 2**26
"""Bytes of a memory-mapped array from which on it is not copied."""


class StoredTable(Protocol):
    """Rows on the disk: those of Parquet files, of a memory-mapped array, or some of them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        ...

    @property
    def shard_rows(self) -> np.ndarray | None:
        """Rows of each shard that is read as a whole: (n_shards,); None: rows can be sought."""
        ...

    @property
    def window_rows(self) -> int:
        """Rows that are shuffled at a time, where rows cannot be sought."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows by their numbers."""
        ...

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the shards that rows are of."""
        ...

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all rows in blocks."""
        ...


class MappedArray:
    """A memory-mapped array, whose rows can be sought."""

    shard_rows: np.ndarray | None = None
    window_rows = 0

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows by their numbers, into an array of their own."""
        return np.asarray(self.X[rows])

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the shards that rows are of: one for all."""
        return np.zeros(len(rows), dtype=np.int32)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all rows in blocks."""
        step = max(1, _BLOCK_VALUES // max(1, int(np.prod(self.shape[1:]))))
        for start in range(0, len(self), step):
            yield np.asarray(self.X[start : start + step])


class SomeRows:
    """Some of the rows of a stored table, as ``torch.utils.data.Subset`` chooses them."""

    def __init__(self, table: StoredTable, rows: np.ndarray) -> None:
        self._table, self.rows = table, rows
        self.dtype: np.dtype = table.dtype
        self.shape: tuple[int, ...] = (len(rows), *table.shape[1:])
        self.shard_rows, self.window_rows = table.shard_rows, table.window_rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows by their numbers among these."""
        return self._table.take(self.rows[rows])

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the shards that rows are of."""
        return self._table.shards_of(self.rows[rows])

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all rows in blocks, in the order in which they lie on the disk."""
        step = max(1, _BLOCK_VALUES // max(1, int(np.prod(self.shape[1:]))))
        order = np.sort(self.rows)
        for start in range(0, len(order), step):
            yield self._table.take(order[start : start + step])


def stored_table(X: Any) -> StoredTable | None:
    """Return rows that are to stay on the disk; None for all others.

    Parameters
    ----------
    X : ndarray, CSR matrix or Dataset
        Checked inputs.

    Returns
    -------
    StoredTable or None
        None also for a memory-mapped array below 64 MiB: a copy of it is no matter, and quicker.
    """
    if isinstance(X, ParquetRows):
        return X
    if type(X) in (Subset, SliceableDataset):
        whole = stored_table(X.dataset)
        return None if whole is None else SomeRows(whole, np.asarray(X.indices, dtype=np.int64))
    if isinstance(X, np.ndarray) and X.nbytes >= _READ_AT_ONCE and is_mapped(X):
        return MappedArray(X)
    return None


class ReadInBlocks(Protocol):
    """Rows on the disk, of any kind."""

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[Any]:
        """Read all rows in blocks."""
        ...


@contextmanager
def shown_blocks(
    table: ReadInBlocks, times: int, open_bar: OpenBar | None
) -> Iterator[Callable[[], Iterator[Any]]]:
    """Give what reads all rows in blocks, as `StoredTable.blocks`, and shows how far it has come.

    Parameters
    ----------
    table : ReadInBlocks
        The rows.
    times : int
        How often all rows will be read.
    open_bar : callable or None
        Takes the number of rows that will be read, and returns what has ``update(n_rows)`` and
        ``close()``; None: nothing is shown.

    Yields
    ------
    callable
    """
    if open_bar is None:
        yield table.blocks
        return
    with closing(open_bar(times * len(table))) as bar:

        def blocks() -> Iterator[Any]:
            for block in table.blocks():
                yield block
                bar.update(len(block))

        yield blocks


def column_names(X: Any) -> list[str] | None:
    """Return the names of the columns of Parquet files, or of some of their rows.

    Parameters
    ----------
    X : object
        Rows as a user has passed them.

    Returns
    -------
    list of str, or None
        None for all else.
    """
    if type(X) in (Subset, SliceableDataset):
        return column_names(X.dataset)
    return list(X.columns) if isinstance(X, ParquetRows) else None


def is_mapped(X: np.ndarray) -> bool:
    """Say whether the values of an array lie in a file, wherever views of it have been taken."""
    owner: Any = X
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, mmap.mmap)


class StoredSource:
    """Inputs that stay on the disk, read and scaled batch by batch.

    Parameters
    ----------
    table : StoredTable
        All rows.
    device : torch.device
        Where batches are to be.
    scaler : TableScaler or None
        Standardises the columns; None: rows are as they are.
    """

    home = torch.device("cpu")

    def __init__(
        self, table: StoredTable, device: torch.device, scaler: TableScaler | None = None
    ) -> None:
        self.table, self.device, self.scaler = table, device, scaler

    def __len__(self) -> int:
        return len(self.table)

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the rows `ids`, scaled and on the device."""
        x = self.table.take(ids.cpu().numpy())
        if self.scaler is not None:
            x = self.scaler.transform(x)
        elif x.ndim == 2:
            x = x.astype(np.float32, copy=False)
        return to_device(torch.from_numpy(x), self.device)

    def shuffled(self, ids: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw an order of rows in which they can be read.

        Parameters
        ----------
        ids : tensor of shape (n_rows,), int64
            The rows.
        generator : torch.Generator or None
            Draws the order.

        Returns
        -------
        tensor of shape (n_rows,), int64
            In any order if rows can be sought, or if all of them are in memory at a time. Else the
            shards are in any order, and the rows of as many of them as fit into a window.
        """
        sizes = self.table.shard_rows
        if sizes is None or sizes.sum() <= self.table.window_rows:
            return ids[torch.randperm(len(ids), generator=generator)]
        shards = self.table.shards_of(ids.numpy())
        if (shards[1:] < shards[:-1]).any():
            by_shard = np.argsort(shards, kind="stable")
            ids, shards = ids[torch.from_numpy(by_shard)], shards[by_shard]
        bounds = np.searchsorted(shards, np.arange(len(sizes) + 1)).tolist()
        drawn = torch.randperm(len(sizes), generator=generator).tolist()
        parts = []
        for window in _windows(drawn, sizes, self.table.window_rows):
            part = torch.cat([ids[bounds[shard] : bounds[shard + 1]] for shard in window])
            parts.append(part[torch.randperm(len(part), generator=generator)])
        return torch.cat(parts)


def _windows(drawn: list[int], sizes: np.ndarray, n_rows: int) -> Iterator[list[int]]:
    """Divide shards into windows of no more rows than are asked for, or of a single shard."""
    window: list[int] = []
    filled = 0
    for shard in drawn:
        if window and filled + sizes[shard] > n_rows:
            yield window
            window, filled = [], 0
        window.append(shard)
        filled += int(sizes[shard])
    yield window
