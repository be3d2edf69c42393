"""Of what a fit is one: its data, parameters and versions, by which a later one is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.utils.data import Dataset

from noisyfit.data import ImageScaler, identifying_parts, row_shape
from noisyfit.persistence._names import identifier_of
from noisyfit.training import rows_bar

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_MATTER = ("checkpoint", "iterator_train__num_workers", "n_jobs", "record_folder", "verbose")
"""Parameters that change no result."""
_TELLING = (str, int, float, bool, torch.device, np.generic, dict, ImageScaler)
"""What tells all about itself as a string."""


def identity_of_fit(est: Any, X: Any, y: np.ndarray, beside: dict[str, Any]) -> dict[str, str]:
    """Say of what a fit is one: data, parameters and versions, by hash where they are large.

    Parameters
    ----------
    est : noisyfit estimator
        The estimator that is fitted.
    X : ndarray, CSR matrix or torch Dataset
        Its checked inputs.
    y : ndarray of shape (n_samples,)
        Its checked labels.
    beside : dict of str to array-like of shape (n_samples,) or None
        What else ``fit`` was given, by name.

    Returns
    -------
    dict of str to str
    """
    packages = ("noisyfit", "torch", "numpy")
    return {
        "estimator": _class_name(type(est)),
        "X": hash_values(X, rows_bar(type(est).__name__, est.verbose, "reading")),
        "y": hash_values(y),
        **{name: hash_values(None if v is None else np.asarray(v)) for name, v in beside.items()},
        **{f"version of {name}": version(name) for name in packages},
        **{
            f"parameter {name}": _written(value)
            for name, value in est.get_params(deep=False).items()
            if name not in _NO_MATTER
        },
    }


def _written(value: Any) -> str:
    """Write a parameter so that two runs of one script agree on it."""
    if isinstance(value, nn.Module):
        weights = [tensor.cpu() for tensor in value.state_dict().values()]
        return f"{type(value).__qualname__} {hash_values([t.numpy() for t in weights])}"
    if isinstance(value, np.random.RandomState):
        return "a RandomState"
    if isinstance(value, (list, tuple)):
        return str([_written(item) for item in value])
    if isinstance(value, partial):
        return f"partial{_written([value.func, *value.args, value.keywords])}"
    if isinstance(value, type):
        return f"<class '{_class_name(value)}'>"
    if value is None or isinstance(value, _TELLING):
        return str(value)
    return getattr(value, "__qualname__", type(value).__qualname__)  # no address in memory


def _class_name(cls: type) -> str:
    return identifier_of(f"{cls.__module__}:{cls.__qualname__}").replace(":", ".")


def hash_values(value: Any, open_bar: Callable[[int], Any] | None = None) -> str:
    """Hash rows or labels; of Parquet files and of Hugging Face the rows, which are read once more.

    Of other data sets it is the length and the shape of a row alone: a transform with chance in it
    gives another input whenever a row is read.

    Parameters
    ----------
    value : array-like, CSR matrix, list of arrays, torch Dataset or None
        What to hash, its types and shapes included.
    open_bar : callable, default=None
        Shows how far rows on the disk are read, see `noisyfit.data.fit_scaler`.

    Returns
    -------
    str
        16 hexadecimal digits of its SHA-256.
    """
    digest = hashlib.sha256()
    if isinstance(value, Dataset):
        parts = identifying_parts(value, open_bar)
        size = (len(value), *row_shape(value)) if parts is None else ()  # type: ignore[arg-type]
        value = np.asarray(size) if parts is None else parts
    if sparse.issparse(value):
        value = [value.data, value.indices, value.indptr, np.asarray(value.shape)]
    for array in value if isinstance(value, list | Iterator) else [np.asarray(value)]:
        digest.update(f"{array.dtype} {array.shape}".encode())
        if array.dtype.hasobject:
            digest.update(repr(array.tolist()).encode())
        else:  # as it lies in memory or in a file, without a copy
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]
