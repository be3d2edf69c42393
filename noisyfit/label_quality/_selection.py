"""Rows that no selection may drop: trusted rows, and the last rows of a class."""

from __future__ import annotations

import numpy as np

_MIN_FRACTION_OF_CLASS = 0.1


def spare_last_rows(
    drop: np.ndarray, C: np.ndarray, y: np.ndarray, class_sizes: np.ndarray, trusted: np.ndarray
) -> np.ndarray:
    """Keep trusted rows, and at least a tenth of each class, out of the rows to drop.

    Parameters
    ----------
    drop : ndarray of shape (n_rows,), bool
        Rows that a threshold would drop.
    C : ndarray of shape (n_rows,)
        Metric of the selection; the rows of a class with the smallest values stay.
    y : ndarray of shape (n_rows,), int64
        Given labels.
    class_sizes : ndarray of shape (n_classes,), int64
        Rows of each given label before any selection.
    trusted : ndarray of shape (n_rows,), bool
        Rows whose label was verified.

    Returns
    -------
    ndarray of shape (n_rows,), bool
        The rows to drop that remain.

    Examples
    --------
    >>> import numpy as np
    >>> C, y = np.array([5.0, 3.0, -5.0]), np.array([0, 0, 1])
    >>> drop = np.array([True, True, False])
    >>> spare_last_rows(drop, C, y, np.array([2, 1]), np.zeros(3, dtype=bool))
    array([ True, False, False])
    """
    drop = drop & ~trusted
    least = np.ceil(_MIN_FRACTION_OF_CLASS * class_sizes).astype(np.int64)
    kept = np.bincount(y[~drop], minlength=len(class_sizes))
    for c in np.flatnonzero(kept < least):
        candidates = np.flatnonzero(drop & (y == c))
        order = np.argsort(C[candidates], kind="stable")
        drop[candidates[order[: least[c] - kept[c]]]] = False
    return drop
