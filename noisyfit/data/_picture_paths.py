"""Rows that are single values, in a list or a column, and whether these are paths of files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from torch.utils.data import Dataset

_SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


def listed(X: Any) -> list[Any] | None:
    """Return a list, or a column or array of strings or objects, as a list; None for all else.

    Parameters
    ----------
    X : object
        What the user passed as rows.

    Returns
    -------
    list or None
    """
    if isinstance(X, (list, tuple)):
        return list(X)
    if isinstance(X, np.ndarray):
        return X.tolist() if X.ndim == 1 and X.dtype.kind in "UOT" else None
    if isinstance(X, Dataset) or hasattr(type(X), "columns"):  # a query would look for its own
        return None
    for name in ("to_list", "to_pylist"):  # of pandas, polars and narwhals; of pyarrow
        if hasattr(X, name):
            return getattr(X, name)()
    return None


def are_picture_paths(X: Any) -> bool:
    """Tell by the ends of their names whether rows are paths of pictures; no file is looked at.

    Parameters
    ----------
    X : object
        What the user passed as rows.

    Returns
    -------
    bool

    Examples
    --------
    >>> from noisyfit.data._picture_paths import are_picture_paths
    >>> are_picture_paths(["a/1.JPG", "b/2.png"]), are_picture_paths(["see 1.jpg", "no picture"])
    (True, False)
    """
    return are_paths(X, _SUFFIXES)


def are_paths(X: Any, suffixes: tuple[str, ...]) -> bool:
    """Tell by the ends of their names whether rows are paths of files of some kind.

    Parameters
    ----------
    X : object
        What the user passed as rows.
    suffixes : tuple of str
        Ends of the names, in small letters.

    Returns
    -------
    bool
    """
    values = listed(X)
    return bool(values) and all(
        isinstance(value, (str, os.PathLike)) and os.fspath(value).lower().endswith(suffixes)
        for value in values  # type: ignore[union-attr]
    )
