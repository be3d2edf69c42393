"""`parquet_dataset`: rows of Parquet files as a map-style torch ``Dataset``."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from noisyfit.data._parquet_columns import check_columns, check_values, number_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUFFER_BYTES = 2**28
_BLOCK_VALUES = 2**20
"""Values of a block of rows that is looked at on its own: its temporary copies are no matter."""


def parquet_dataset(
    path: str | Path | Sequence[str | Path],
    columns: Sequence[str] | None = None,
    label: str | None = None,
    *,
    buffer_bytes: int | None = None,
) -> ParquetRows:
    """Open Parquet files as a torch ``Dataset`` of rows that are read when they are needed.

    Pass it as `X` to `fit` and `predict`. Beside the labels, no more than `buffer_bytes` of the
    rows are in memory at any time.

    Parameters
    ----------
    path : str, Path, or sequence of these
        A file, a folder with all files in it and in its subfolders, or several files. Rows are
        numbered from 0 in the order of the paths, those of a sequence in its own.
    columns : sequence of str, default=None
        Columns of numbers that are the inputs, in this order. None: all but `label`.
    label : str, default=None
        Column of the labels: integers, strings or booleans. None: items are inputs alone.
    buffer_bytes : int, default=None
        Most bytes of decoded rows that are kept, not less than two row groups of the files take.
        None: 256 MiB, or two of the largest row groups.

    Returns
    -------
    torch.utils.data.Dataset
        Items ``(input, label)``, or inputs: arrays of shape (n_columns,). ``columns``, ``label``,
        ``buffer_bytes`` and ``dtype`` are what was chosen, ``targets`` are the labels:
        (n_samples,). Numbers that float32 cannot hold, such as int64, are read as float64.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        For files that are not Parquet or have no rows, columns that are not there or hold no
        numbers, and a buffer that is too small. Missing and infinite values are found when they are
        read: the message names row and column.

    See Also
    --------
    HFRows : A data set of Hugging Face.

    Notes
    -----
    Whole row groups are read, and the last ones used are kept. A shuffle that draws from all rows
    would read a row group for each row. In its place, each epoch draws an order of the row groups,
    takes as many at a time as half the buffer holds, and shuffles their rows. Every row group is
    read once an epoch. Where all rows fit into half the buffer, that is a shuffle of all rows, the
    same as that of an array. Files that are sorted by class, or by time, need row groups that are
    small beside the buffer, or rows in random order.

    Columns are standardised as those of an array are, from two passes over the files before the
    training. Columns that tell the labels are looked for in a sample of the rows. What needs all
    rows at once is left out: the search for near copies, which ``summary()`` of a fit says, and the
    neighbors and scikit-learn classifiers of `ConsensusClassifier`.

    Rows are read by pyarrow's threads, in the process that trains: ``num_workers`` has no effect.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.data import parquet_dataset
    >>> y = np.arange(60) % 2
    >>> table = pd.DataFrame({"a": y + 0.5, "b": -1.0 * y, "kind": np.array(["cat", "dog"])[y]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_parquet(f"{folder}/rows.parquet", row_group_size=20)
    ...     rows = parquet_dataset(folder, columns=["a", "b"], label="kind")
    ...     est = MILDSelector(rounds=1, max_epochs=5, lr=0.1, random_state=0).fit(rows)
    ...     len(rows), rows[1], est.predict(rows)[:3]
    (60, (array([ 1.5, -1. ]), 'dog'), array(['cat', 'dog', 'cat'], dtype=object))
    """
    return ParquetRows(path, columns, label, buffer_bytes)


class ParquetRows(Dataset):
    """Rows of Parquet files; `parquet_dataset` says what it does."""

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        columns: Sequence[str] | None,
        label: str | None,
        buffer_bytes: int | None,
    ) -> None:
        dataset, fragments = _opened(path)
        self.columns = check_columns(dataset.schema, columns, label)
        self.label, self._schema = label, dataset.schema
        self.dtype = number_type(dataset.schema, self.columns)
        groups = [
            (fragment.subset(row_group_ids=[group.id]), group.num_rows)
            for fragment in fragments
            for group in fragment.row_groups
            if group.num_rows
        ]
        if not groups:
            raise ValueError(f"Found 0 rows in {_named(path)} while a minimum of 1 is required.")
        self._groups = [group for group, _ in groups]
        self.shard_rows = np.array([n_rows for _, n_rows in groups])
        self._starts = np.concatenate([[0], np.cumsum(self.shard_rows)])
        least = 2 * int(self.shard_rows.max()) * self.row_bytes
        if buffer_bytes is not None and buffer_bytes < least:
            raise ValueError(
                f"buffer_bytes={buffer_bytes:,} is too small: the largest row group has "
                f"{self.shard_rows.max():,} rows, and two of its size take {least:,} bytes. Pass "
                "as many, or write the files with smaller row groups: "
                "pyarrow.parquet.write_table(table, path, row_group_size=...)."
            )
        self.buffer_bytes = max(_BUFFER_BYTES, least) if buffer_bytes is None else buffer_bytes
        self._forget()

    @property
    def row_bytes(self) -> int:
        """Bytes that a decoded row takes."""
        return len(self.columns) * self.dtype.itemsize

    @property
    def window_rows(self) -> int:
        """Rows that are shuffled at a time: half the buffer, so that there is room for the next."""
        return self.buffer_bytes // 2 // self.row_bytes

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return int(self._starts[-1]), len(self.columns)

    @cached_property
    def targets(self) -> np.ndarray:
        """The column of the labels: (n_samples,). Read without reading an input."""
        import pyarrow as pa

        if self.label is None:
            raise AttributeError("parquet_dataset was told of no column of labels: label=...")
        tables = [
            group.to_table(schema=self._schema, columns=[self.label]) for group in self._groups
        ]
        column = pa.chunked_array([chunk for table in tables for chunk in table.column(0).chunks])
        if column.null_count:
            gaps = np.flatnonzero(column.is_null().to_numpy())
            raise ValueError(
                f"The column {self.label!r} of the labels has {len(gaps):,} missing values, in the "
                f"rows {gaps[:5].tolist()}. Drop these rows, or write a mark into them that "
                "`unlabeled` of the estimator names, such as -1."
            )
        if pa.types.is_dictionary(column.type) or not pa.types.is_primitive(column.type):
            column = column.dictionary_encode().combine_chunks()  # each string once
            return column.dictionary.to_numpy(zero_copy_only=False)[column.indices.to_numpy()]
        return column.to_numpy()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, i: int) -> Any:
        return self.__getitems__([i])[0]

    def __getitems__(self, rows: list[int]) -> list[Any]:
        """Read several rows, as torch's DataLoader asks for them."""
        n_rows = len(self)
        numbers = np.asarray(rows, dtype=np.int64)
        wrong = numbers[(numbers < -n_rows) | (numbers >= n_rows)]
        if len(wrong):
            raise IndexError(f"There is no row {wrong[0]}: the files have {n_rows:,} rows.")
        numbers = np.where(numbers < 0, numbers + n_rows, numbers)
        inputs = self.take(numbers)
        if self.label is None:
            return list(inputs)
        return list(zip(inputs, self.targets[numbers].tolist(), strict=True))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows by their numbers, each row group that they are of at most once.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), int64
            From 0 to n_samples - 1, in any order.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
        """
        shards = self.shards_of(rows)
        order = np.argsort(shards, kind="stable")
        found, firsts = np.unique(shards[order], return_index=True)
        places = dict(zip(found.tolist(), np.split(order, firsts[1:]), strict=True))
        taken = np.empty((len(rows), len(self.columns)), self.dtype)
        with self._lock:
            # Those that are held come first: others would take their room before they are used.
            for shard in sorted(places, key=lambda shard: shard not in self._held):
                at = places[shard]
                taken[at] = self._shard(shard)[rows[at] - self._starts[shard]]
        return taken

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the row groups that rows are of: (n_rows,), int32."""
        return (np.searchsorted(self._starts, rows, side="right") - 1).astype(np.int32)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all rows in blocks, in their order."""
        step = max(1, _BLOCK_VALUES // len(self.columns))
        for start, n_rows in zip(self._starts, self.shard_rows, strict=False):
            for first in range(0, n_rows, step):
                yield self.take(np.arange(start + first, start + min(first + step, n_rows)))

    def _shard(self, shard: int) -> np.ndarray:
        """Return the decoded row group, from the buffer if it is there."""
        if shard in self._held:
            self._held.move_to_end(shard)
            return self._held[shard]
        room = self.buffer_bytes // self.row_bytes - self.shard_rows[shard]
        while sum(map(len, self._held.values())) > room:
            self._held.popitem(last=False)
        self._held[shard] = self._decoded(shard)
        return self._held[shard]

    def _decoded(self, shard: int) -> np.ndarray:
        table = self._groups[shard].to_table(schema=self._schema, columns=self.columns)
        first = int(self._starts[shard])
        gaps = [name for name in self.columns if table.column(name).null_count]
        if gaps:
            row = int(np.flatnonzero(table.column(gaps[0]).is_null().to_numpy())[0])
            raise ValueError(
                f"The column {gaps[0]!r} has a missing value in row {first + row}. Fill the gaps "
                "before the files are written, or leave the column out."
            )
        values = [table.column(name).to_numpy() for name in self.columns]
        block = np.stack(values, axis=1, dtype=self.dtype, casting="unsafe")
        check_values(block, self.columns, first)
        return block

    def _forget(self) -> None:
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        # Other processes read the row groups for themselves.
        return {k: v for k, v in self.__dict__.items() if k not in ("_held", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


def _opened(path: Any) -> tuple[Any, list[Any]]:
    """Open the files as a data set of pyarrow; return it with its files in order."""
    try:
        import pyarrow as pa
        import pyarrow.dataset as pads
    except ImportError as error:
        raise ImportError(
            "parquet_dataset needs pyarrow: python -m pip install 'noisyfit[parquet]'."
        ) from error
    one = isinstance(path, (str, Path))
    paths = [str(path)] if one else [str(p) for p in path]
    missing = next((p for p in paths if not Path(p).exists()), None)
    if missing is not None or not paths:
        raise FileNotFoundError(f"There is no file or folder {missing!r} of Parquet files.")
    try:
        dataset = pads.dataset(paths[0] if one else paths, format="parquet", partitioning="hive")
        fragments = list(dataset.get_fragments())
        if one:
            fragments.sort(key=lambda fragment: fragment.path)
        for fragment in fragments:
            fragment.ensure_complete_metadata()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise ValueError(f"{_named(path)} cannot be read as Parquet: {error}") from error
    if not fragments:
        raise ValueError(f"There is no Parquet file in {_named(path)}.")
    return dataset, fragments


def _named(path: Any) -> str:
    return repr(str(path)) if isinstance(path, (str, Path)) else f"these {len(path)} files"
