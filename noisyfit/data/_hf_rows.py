"""`HFRows`: a data set of Hugging Face as a map-style torch ``Dataset``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from noisyfit._random import seeded
from noisyfit.data._refusals import is_hf_dataset, refuse_unusable
from noisyfit.data._sources import SINGLE_READS

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL_NAMES = ("label", "labels", "target", "targets")


class HFRows(Dataset):
    """A Hugging Face data set as a map-style torch ``Dataset`` with items ``(input, label)``.

    Parameters
    ----------
    dataset : datasets.Dataset
        With its columns, or with a transform (``with_transform``) that makes them; it stays on the
        disk.
    input : str, default=None
        Column of the inputs: images, arrays or lists of numbers. None: of two columns, the one that
        has not the labels.
    label : str, default=None
        Column of the labels. None: of two columns, the one of type ``ClassLabel``, or else the one
        that is called ``label``, ``labels``, ``target`` or ``targets``; without it, items are
        inputs alone, which is enough for ``predict``.
    transform : callable, default=None
        Applied to each input, such as a transform of torchvision.

    Attributes
    ----------
    dataset : datasets.Dataset
        The two columns, in plain Python types unless the data set has a transform.
    input, label : str or None
        The columns that were chosen.

    Raises
    ------
    ValueError
        If there is no such column, or the input cannot be told from the others; the message lists
        the columns.
    TypeError
        If `dataset` is no data set of Hugging Face, or one in streaming mode.

    Notes
    -----
    Labels of type ``ClassLabel`` are its integers, as in the items; `label_names` are the names.
    In Hugging Face's data sets -1 often means that there is no label: drop such rows by
    ``dataset.filter`` before the fit.

    ``checkpoint=`` knows the rows again by the values of the column `input`, whatever
    `transform` makes of them; where the data set has a transform, by those of all its columns.

    Images are ``uint8``, channels first, whatever the format of the data set. All have to be of one
    size: bring them to it by `transform`.

    Examples
    --------
    >>> import datasets  # doctest: +SKIP
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.data import HFRows
    >>> pictures = datasets.load_dataset("cifar10", split="train")  # doctest: +SKIP
    >>> rows = HFRows(pictures, input="img", label="label")  # doctest: +SKIP
    >>> est = MILDSelector().fit(rows)  # doctest: +SKIP
    >>> names = np.array(rows.label_names)[est.corrected_labels_]  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset: Any,
        input: str | None = None,
        label: str | None = None,
        *,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if not is_hf_dataset(dataset):
            refuse_unusable(dataset)
            raise TypeError(
                f"dataset must be a Hugging Face data set. Got {type(dataset).__name__} instead."
            )
        has_transform = dataset.format["type"] == "custom"
        if has_transform and len(dataset):
            with seeded(SINGLE_READS, "cpu"):
                columns = list(dataset[0])
        else:
            columns = list(dataset.column_names)
        features = dict(dataset.features)
        if label is None and len(columns) == 2:
            label = _label_column(columns, features, input)
        if input is None and len(columns) == 1 + (label is not None):
            input = next(column for column in columns if column != label)
        for name, column in (("input", input), ("label", label)):
            if column not in columns and (column is not None or name == "input"):
                what = f"no column {column!r}" if column else "more than one that may be meant"
                raise ValueError(
                    f"Name the column of the {name}s: HFRows(dataset, input=..., label=...). The "
                    f"data set has {what}; its columns are {columns}."
                )
        if input == label:
            raise ValueError(
                f"input and label are both {input!r}. The data set has the columns {columns}."
            )
        if not has_transform:
            both = [column for column in (input, label) if column is not None]
            dataset = dataset.with_format(None).select_columns(both)
        self.dataset, self.input, self.label, self.transform = dataset, input, label, transform
        self._dtype = None if has_transform else _number_dtype(features[input])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        return self._item(self.dataset[int(i)], i)

    def __getitems__(self, rows: list[int]) -> list[Any]:
        """Read several rows at once, as torch's DataLoader asks for them."""
        read = self.dataset.__getitems__(rows)
        return [self._item(row, i) for row, i in zip(read, rows, strict=True)]

    def _item(self, row: Any, i: int) -> Any:
        x = row[self.input]
        if self.transform is not None:
            x = self.transform(x)
        if isinstance(x, list):
            x = np.asarray(x, dtype=self._dtype)
        if not hasattr(x, "getbands") and np.ndim(x) == 0:
            raise TypeError(
                f"The inputs must be images, arrays or lists of numbers. Got {type(x).__name__} in "
                f"row {i} of the column {self.input!r}. Turn texts into the embeddings of a "
                "language model, dataset.map(...); several columns of numbers are a table, "
                "dataset.to_pandas()."
            )
        return x if self.label is None else (x, row[self.label])

    @cached_property
    def targets(self) -> np.ndarray:
        """The column of the labels: (n_samples,). Read without reading an input."""
        if self.label is None:
            raise ValueError(
                f"HFRows was told of no column of labels: HFRows(dataset, input={self.input!r}, "
                f"label=...), or pass them as y. The columns are {list(self.dataset.column_names)}."
            )
        if self.label not in self.dataset.column_names:
            raise AttributeError("The labels are made by the transform of the data set.")
        return np.asarray(self.dataset.with_format("numpy")[self.label][:])

    @property
    def label_names(self) -> list[str] | None:
        """Names of the classes 0, 1, ... of a ``ClassLabel``; None for labels of another type."""
        feature = None if self.label is None else self.dataset.features.get(self.label)
        return getattr(feature, "names", None)


def _label_column(columns: list[str], features: dict[str, Any], input: str | None) -> str | None:
    """Choose the column that has the labels, if one says so."""
    others = [column for column in columns if column != input]
    for is_meant in (
        lambda column: hasattr(features.get(column), "str2int"),
        lambda column: column in _LABEL_NAMES,
    ):
        meant = [column for column in others if is_meant(column)]
        if len(meant) == 1:
            return meant[0]
    return None


def _number_dtype(feature: Any) -> np.dtype | None:
    """Return the type of the numbers of a column, which lists of Python do not know."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    try:
        dtype = np.dtype(getattr(feature, "dtype", None) or "O")
    except TypeError:
        return None
    return dtype if dtype.kind in "biuf" else None
