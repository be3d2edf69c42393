"""From checked inputs to `Rows`: their scale and their source."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset, Subset, TensorDataset

from noisyfit.data._dataset_items import first_input
from noisyfit.data._image_scaling import ImageScaler
from noisyfit.data._rows import Rows
from noisyfit.data._scaling import TableScaler, flat_columns
from noisyfit.data._sliceable import SliceableDataset
from noisyfit.data._sources import Source, SparseSource, StreamSource, TensorSource, as_inputs
from noisyfit.data._stored import StoredSource, shown_blocks, stored_table

if TYPE_CHECKING:
    from collections.abc import Callable

Scaler = ImageScaler | TableScaler


_SCALER_ROWS = 2048


def fit_scaler(X: Any, *, open_bar: Callable[[int], Any] | None = None) -> Scaler | None:
    """Learn the scale of ``uint8`` images or of a table; other inputs are taken as they are.

    Parameters
    ----------
    X : ndarray, CSR matrix or Dataset
        Checked inputs. Of images, at most 2,048 rows spread over the data set are looked at.
    open_bar : callable, default=None
        Shows how far the rows of a table on the disk are read: takes the number of rows, each time
        that one is read counted, and returns what has ``update(n_rows)`` and ``close()``.

    Returns
    -------
    ImageScaler, TableScaler or None

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.data import fit_scaler
    >>> images = np.zeros((4, 3, 8, 8), dtype=np.uint8)
    >>> type(fit_scaler(images)).__name__, type(fit_scaler(np.eye(4))).__name__
    ('ImageScaler', 'TableScaler')
    """
    shape, table = row_shape(X), stored_table(X)
    if len(shape) == 1 and (table is not None or not isinstance(X, Dataset)):
        scaler = TableScaler()
        if table is None:
            scaler.fit(X)
        else:
            with shown_blocks(table, 2, open_bar) as blocks:
                scaler.fit_blocks(blocks)
        why, columns = flat_columns(scaler.scaler_, (X if table is None else table).dtype)
        if len(columns):
            more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
            warnings.warn(
                f"Columns of X, counted from 0: {columns[:5].tolist()}{more} {why}.", stacklevel=2
            )
        return scaler
    if len(shape) != 3:
        return None
    source = _source(X, torch.device("cpu"))
    every = -(-len(source) // _SCALER_ROWS)
    if source.gather(torch.arange(1)).dtype != torch.uint8:
        return None
    return ImageScaler.from_images(source.gather(torch.arange(0, len(source), every)))


def users_scaler(scaler: ImageScaler, X: Any) -> ImageScaler:
    """Return a copy of the scaler of a pretrained network, if it fits the rows.

    Parameters
    ----------
    scaler : ImageScaler
        With the mean and standard deviation that the network was trained with.
    X : ndarray, CSR matrix or Dataset
        Checked inputs.

    Returns
    -------
    ImageScaler

    Raises
    ------
    ValueError
        For rows that are no ``uint8`` images of as many channels.
    """
    shape, n_channels = row_shape(X), len(scaler.mean)
    dtype = as_inputs(first_input(X)).dtype if isinstance(X, Dataset) and shape else None
    kind = getattr(X, "dtype", dtype)
    is_uint8 = kind in (torch.uint8, np.uint8)
    if len(shape) != 3 or shape[0] != n_channels or not is_uint8:
        raise ValueError(
            f"standardize={scaler} is for uint8 images of {n_channels} channels. Got rows of "
            f"{f'shape {shape} and type {kind}' if shape else 'several inputs by name'}. Pass the "
            "pixels from 0 to 255 as uint8, or standardize=False with inputs that are on the "
            "network's scale already."
        )
    return ImageScaler(scaler.mean, scaler.std)


def make_rows(X: Any, y: np.ndarray | None, device: torch.device, scaler: Scaler | None) -> Rows:
    """Put checked inputs into `Rows`.

    Parameters
    ----------
    X : ndarray, CSR matrix or Dataset
        Checked inputs.
    y : ndarray of shape (n_samples,), int64, or None
        Encoded labels; None for prediction.
    device : torch.device
        Where batches are to be.
    scaler : ImageScaler, TableScaler or None
        What brings the inputs to a common scale, as `fit_scaler` returns it.

    Returns
    -------
    Rows

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import fit_scaler, make_rows
    >>> X, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    >>> rows = make_rows(X, y, torch.device("cpu"), fit_scaler(X))
    >>> len(rows), rows.y
    (4, tensor([0, 1, 0, 1]))
    """
    table = stored_table(X)
    if isinstance(scaler, TableScaler):
        if table is None and isinstance(X, Dataset):
            raise ValueError(
                f"fit was given a table, whose columns were standardised. Got a "
                f"{type(X).__name__} instead; pass an array."
            )
        if table is None:
            source = _source(scaler.transform(X), device)
        else:
            source = StoredSource(table, device, scaler)
        scaler = None
    else:
        source = _source(X, device)
    labels = np.zeros(len(source), dtype=np.int64) if y is None else y
    return Rows(source, torch.from_numpy(labels), scaler)


def _source(X: Any, device: torch.device) -> Source:
    table = stored_table(X)
    if table is not None:
        return StoredSource(table, device)
    if isinstance(X, Dataset):
        tensor = _tensor_of(X)
        return StreamSource(X, device) if tensor is None else TensorSource(tensor.numpy(), device)
    if sparse.issparse(X):
        return SparseSource(X.astype(np.float32, copy=False), device)
    return TensorSource(X.astype(np.float32, copy=False) if X.ndim == 2 else X, device)


def _tensor_of(dataset: Dataset) -> torch.Tensor | None:
    """Return the inputs of a data set that holds them as one tensor: streaming gains nothing."""
    if isinstance(dataset, Subset) and type(dataset) in (Subset, SliceableDataset):
        tensor = _tensor_of(dataset.dataset)
        return None if tensor is None else tensor[torch.as_tensor(dataset.indices)]
    if type(dataset) is not TensorDataset or dataset.tensors[0].dtype == torch.bfloat16:
        return None  # a subclass may have changed its items; numpy knows no bfloat16
    return dataset.tensors[0].detach().cpu()


def row_shape(X: Any) -> tuple[int, ...]:
    """Shape of a single row's input; () of several inputs by name."""
    if not isinstance(X, Dataset):
        return X.shape[1:]
    first = as_inputs(first_input(X))
    return () if isinstance(first, dict) else tuple(first.shape)
