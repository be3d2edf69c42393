"""What tells rows that stay on the disk from other rows: their values, read block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Subset

from noisyfit.data._hf_rows import HFRows
from noisyfit.data._make_rows import row_shape
from noisyfit.data._sliceable import SliceableDataset
from noisyfit.data._stored import SomeRows, shown_blocks, stored_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.utils.data import Dataset

    from noisyfit.data._stored import OpenBar, StoredTable

_ROWS_AT_ONCE = 64
"""Of a Hugging Face data set: as many photographs fit into memory."""


def identifying_parts(
    dataset: Dataset, open_bar: OpenBar | None = None
) -> Iterator[np.ndarray] | None:
    """Return all that a fit of rows on the disk depends on, for which they are read once.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Of Parquet files or of Hugging Face, or some of the rows of one.
    open_bar : callable or None, default=None
        As for `noisyfit.data._stored.shown_blocks`.

    Returns
    -------
    iterator of ndarray, or None
        Of Parquet files how they are shuffled, and their values. Of Hugging Face the shape of a
        row, and the columns of which the inputs are made, as they were before any transform. None
        for all other data sets: a transform with chance in it gives another input whenever a row is
        read, and nobody can tell what it was made of.
    """
    table = stored_table(dataset)
    if table is not None:
        return _parts_of_table(table, open_bar)
    columns = _hf_columns(dataset)
    if columns is not None:
        return _parts_of_columns(dataset, columns, open_bar)
    return None


def _parts_of_table(table: StoredTable, open_bar: OpenBar | None) -> Iterator[np.ndarray]:
    sizes = table.shard_rows
    if sizes is not None:  # of a larger window there is but one
        yield sizes
        yield np.asarray(min(table.window_rows, int(sizes.sum())))
    if isinstance(table, SomeRows):  # blocks are not in their order
        yield table.rows
    with shown_blocks(table, 1, open_bar) as blocks:
        yield from blocks()


class _ArrowColumns:
    """Columns of a Hugging Face data set, as they are stored.

    Their fingerprint would cost nothing, but it is none of the values: of files it hashes the time
    of their last change, of `map` the code of the function, or a random number where that cannot be
    pickled, and one that was saved with the data set stays what it was. A fit would be refused that
    goes on with the same rows, after a copy or on another machine.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self._dataset)

    def blocks(self) -> Iterator[Any]:
        """Read all rows as record batches, whatever the chunks in which they are stored."""
        from datasets.table import embed_table_storage

        for table in self._dataset.iter(_ROWS_AT_ONCE):
            # Pictures may be in files of their own; then the column has their paths alone.
            yield from embed_table_storage(table).combine_chunks().to_batches()


def _hf_columns(dataset: Dataset) -> Any:
    """Return the part of a Hugging Face data set that inputs are made of; None of all others."""
    if type(dataset) in (Subset, SliceableDataset):
        whole = _hf_columns(dataset.dataset)  # type: ignore[attr-defined]
        return None if whole is None else whole.select(np.asarray(dataset.indices))  # type: ignore[attr-defined]
    if not isinstance(dataset, HFRows):
        return None
    whole = dataset.dataset
    # The transform of a data set may make inputs of any columns. Labels are compared as y.
    has_transform = whole.format["type"] == "custom"
    return whole if has_transform else whole.select_columns([dataset.input])


def _parts_of_columns(
    dataset: Dataset, columns: Any, open_bar: OpenBar | None
) -> Iterator[np.ndarray]:
    yield np.asarray([len(columns), *row_shape(dataset)])
    yield np.asarray([str(kind) for kind in columns.data.schema.types])
    with shown_blocks(_ArrowColumns(columns), 1, open_bar) as blocks:
        for block in blocks():
            yield np.frombuffer(block.serialize(), dtype=np.uint8)
