"""Rows that no selection may drop: trusted rows, and the last rows of a class."""

from __future__ import annotations

import numpy as np

MIN_SHARE_OF_CLASS = 0.1
"""Share of each class that is kept unless somebody says otherwise."""


def spare_last_rows(
    drop: np.ndarray,
    C: np.ndarray,
    y: np.ndarray,
    class_sizes: np.ndarray,
    trusted: np.ndarray,
    min_share: float = MIN_SHARE_OF_CLASS,
) -> np.ndarray:
    """Keep trusted rows, and at least a share of each class, out of the rows to drop.

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
    min_share : float, default=0.1
        Share of the rows of each class, in [0, 1), of which at least this many stay. 0: all may go.

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
    # 0.07 * 100 is a little more than 7, which are enough.
    least = np.ceil(min_share * class_sizes - 1e-9).astype(np.int64)
    kept = np.bincount(y[~drop], minlength=len(class_sizes))
    for c in np.flatnonzero(kept < least):
        candidates = np.flatnonzero(drop & (y == c))
        order = np.argsort(C[candidates], kind="stable")
        drop[candidates[order[: least[c] - kept[c]]]] = False
    return drop
