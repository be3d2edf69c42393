"""Some of the rows of whatever a user has passed, in the same container."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from torch.utils.data import Dataset, Subset

from noisyfit._sklearn import safe_indexing
from noisyfit.data._columns import is_lazy
from noisyfit.data._sliceable import SliceableDataset


def check_selectable(values: Any, name: str) -> None:
    """Refuse what `select_rows` could not pick rows out of, by the first row.

    Parameters
    ----------
    values : object
        Rows or labels as a user has passed them; None is nothing to pick from.
    name : str
        Of the parameter, for the message.

    Raises
    ------
    TypeError
        If it is not in memory, or as `select_rows`.
    """
    if is_lazy(values) or hasattr(values, "__dask_graph__"):
        how = "collect" if is_lazy(values) else "compute"
        raise TypeError(
            f"{name} is not in memory, so that no rows can be picked out of it: a "
            f"{type(values).__module__}.{type(values).__name__}. Pass {name}.{how}()."
        )
    shape = getattr(values, "shape", None)
    if shape[0] if shape else hasattr(values, "__len__") and len(values):
        select_rows(values, np.arange(1), name)


def select_rows(values: Any, rows: np.ndarray, name: str = "X") -> Any:
    """Return some of the rows in the container in which all came.

    Parameters
    ----------
    values : object
        Rows or labels: array, list, data frame, tensor, sparse table of any format, torch Dataset.
    rows : ndarray of int
        Numbers of the rows.
    name : str, default="X"
        Of the parameter, for the message.

    Returns
    -------
    object
        Of the type of `values`; of a Dataset a `torch.utils.data.Subset`, unless it is a
        `SliceableDataset`.

    Raises
    ------
    TypeError
        If nobody can say how to take rows of it.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from noisyfit.data._select import select_rows
    >>> select_rows(sparse.eye_array(3, format="coo"), np.array([2])).toarray()
    array([[0., 0., 1.]])
    """
    if isinstance(values, SliceableDataset):
        return values[rows]
    if isinstance(values, Dataset):
        return Subset(values, rows.tolist())
    if sparse.issparse(values):
        return values.tocsr()[rows].asformat(values.format)
    if isinstance(values, tuple):
        return tuple(values[i] for i in rows)
    try:
        if type(values).__module__.startswith("pyarrow"):
            return values.take(rows)
        if type(values).__module__.startswith("narwhals"):
            return values[rows]
        return safe_indexing(values, rows)
    except Exception as error:
        raise TypeError(
            f"fit_resample returns {name} as it was passed, and rows of a "
            f"{type(values).__name__} cannot be picked out: {error}. Pass an array, a list or a "
            "data frame, or use fit and clean_mask_."
        ) from error
