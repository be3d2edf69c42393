"""Labels and the first input of a torch ``Dataset``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from noisyfit._random import seeded
from noisyfit.data._array_checks import as_numpy
from noisyfit.data._parquet import ParquetRows
from noisyfit.data._sources import SINGLE_READS

_SPREAD_ROWS, _CLASS_ROWS = 64, 192
"""Rows whose items are compared with `targets`: spread over all, and one of each class."""
_SECONDS_IN_SILENCE = 10


def dataset_targets(dataset: Dataset) -> np.ndarray:
    """Return the labels of a map-style Dataset: those that its items have.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With items ``(input, label)``. An attribute ``targets``, as torchvision's have, spares the
        reading of all items if a sample of them has the same labels; a ``target_transform`` is
        applied to it. It is the only source of labels where items are inputs alone.

    Returns
    -------
    ndarray of shape (n_samples,)

    Warns
    -----
    UserWarning
        If items have other labels than ``targets``, so that all of them are read, and if that
        takes long.
    """
    if type(dataset) is ConcatDataset:  # the items of one part may have to be read, not all
        return _joined([dataset_targets(part) for part in dataset.datasets])
    known = _known_targets(dataset)
    if known is None or _is_plain(dataset):
        return _read_labels(dataset) if known is None else known
    name, first = type(dataset).__name__, _first_item(dataset)
    if not _is_labelled(first):
        return known  # a wrong number of labels is refused by those who ask
    row = _differs(dataset, known)
    if row is None:
        return known
    warnings.warn(
        f"The items of {name} have other labels than its 'targets', such as row {row}. Those of "
        f"the items are used, for which all {len(dataset)} items are read. Pass the labels as y "  # type: ignore[arg-type]
        "to choose yourself, and to save the time.",
        UserWarning,
        stacklevel=2,
    )
    return _read_labels(dataset)


def _is_plain(dataset: Dataset) -> bool:
    """Say whether items have the labels that are known, so that none has to be read to see it."""
    if isinstance(dataset, Subset):
        return isinstance(dataset.dataset, ParquetRows) and _is_plain(dataset.dataset)
    return type(dataset) in (TensorDataset, ParquetRows)


def _known_targets(dataset: Dataset) -> np.ndarray | None:
    """Return the labels that are there without reading an item; None if they are not."""
    if isinstance(dataset, Subset):
        whole = _known_targets(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices, dtype=np.intp)]
    if isinstance(dataset, ConcatDataset):
        parts = [_known_targets(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else _joined(parts)  # type: ignore[arg-type]
    if type(dataset) is TensorDataset:
        return np.asarray(as_numpy(dataset.tensors[1])) if len(dataset.tensors) > 1 else None
    targets = getattr(dataset, "targets", None)
    if targets is None:
        return None
    targets = np.asarray(as_numpy(targets))
    transform = getattr(dataset, "target_transform", None)
    if callable(transform) and targets.ndim == 1:
        with seeded(SINGLE_READS, "cpu"):
            return _as_labels([transform(target) for target in targets.tolist()])
    return targets


def _differs(dataset: Dataset, known: np.ndarray) -> int | None:
    """Return the first row of a sample whose item has another label; None if there is none."""
    n_rows = len(dataset)  # type: ignore[arg-type]
    if known.ndim != 1 or len(known) != n_rows:
        return 0
    rows = set(np.linspace(0, n_rows - 1, min(n_rows, _SPREAD_ROWS)).astype(int).tolist())
    if known.dtype != object:
        _, firsts = np.unique(known, return_index=True)
        rows.update(firsts[:: -(-len(firsts) // _CLASS_ROWS)].tolist())
    with seeded(SINGLE_READS, "cpu"):
        for row in sorted(rows):
            label = np.asarray(as_numpy(dataset[row][1]))
            if label.size != 1 or label.item() != known[row]:
                return row
    return None


def _read_labels(dataset: Dataset) -> np.ndarray:
    """Read the label of every item; say so if it takes long."""
    n_rows, labels, is_told = len(dataset), [], False  # type: ignore[arg-type]
    start = time.monotonic()
    with seeded(SINGLE_READS, "cpu"):
        for row in range(n_rows):
            item = dataset[row]
            if not _is_labelled(item):
                keys = (
                    f" Its items are dicts with {list(item)}." if isinstance(item, Mapping) else ""
                )
                raise ValueError(
                    f"{type(dataset).__name__} has neither an attribute 'targets' nor items "
                    f"(input, label); pass the labels as y.{keys}"
                )
            labels.append(_label(item[1], row))
            seconds = time.monotonic() - start
            if seconds > _SECONDS_IN_SILENCE and not is_told:
                is_told = True
                warnings.warn(
                    f"To know the labels of {type(dataset).__name__}, all {n_rows} items are read, "
                    f"which takes about {seconds * n_rows / (row + 1):.0f} s. Pass the labels as "
                    "y, or give the data set an attribute 'targets'.",
                    UserWarning,
                    stacklevel=3,
                )
    return _as_labels(labels)


def _label(label: Any, row: int) -> Any:
    label = as_numpy(label)
    if isinstance(label, Mapping) or hasattr(label, "getbands") or np.size(label) != 1:
        shape = "" if isinstance(label, Mapping) else f" of shape {np.shape(label)}"
        raise ValueError(
            "A label must be one number, string or boolean. Got "
            f"{type(label).__name__}{shape} in row {row}. Pass the labels as y; of one-hot ones, "
            "y.argmax(axis=1)."
        )
    return label


def _as_labels(labels: list[Any]) -> np.ndarray:
    made = np.asarray([as_numpy(label) for label in labels])
    if made.dtype.kind == "U":
        _refuse_mixture(
            next((x for x in labels if np.asarray(as_numpy(x)).dtype.kind != "U"), None)
        )
    return made


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    made = np.concatenate(parts)
    if made.dtype.kind == "U":
        other = next((p[0] for p in parts if len(p) and p.dtype.kind not in "UO"), None)
        _refuse_mixture(other)
    return made


def _refuse_mixture(other: Any) -> None:
    """Refuse numbers among strings, which numpy would turn into strings."""
    if other is not None:
        raise ValueError(
            f"The data set has labels of two types: strings, and {other!r}. Pass the labels as y, "
            "all of one type."
        )


def _is_labelled(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) >= 2


def first_input(dataset: Dataset) -> Any:
    """Read the input of the first row."""
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise ValueError("Found a Dataset with 0 samples while a minimum of 1 is required.")
    item = _first_item(dataset)
    return item[0] if isinstance(item, (tuple, list)) else item


def _first_item(dataset: Dataset) -> Any:
    with seeded(SINGLE_READS, "cpu"):
        return dataset[0]
