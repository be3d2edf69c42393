"""Which label the rows of each true class were given, from the right labels of verified rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisyfit.audit._certificate import found_share

if TYPE_CHECKING:
    from noisyfit.audit._design import Design


class MatrixEstimate(NamedTuple):
    """Shares of the rows of a true class (row) that were given each label (column).

    Examples
    --------
    >>> from noisyfit.audit import Audit
    >>> audit = Audit([0.1, 0.9, 0.2, 0.8], [0, 0, 1, 1], [0, 1, 1], rows=[0, 1, 2])
    >>> matrix = audit.transition_matrix()
    >>> matrix.low[1].round(2).tolist(), matrix.high[1].round(2).tolist()
    ([0.33, 0.5], [0.5, 0.67])
    """

    value: np.ndarray
    """(n_classes, n_classes), in [0, 1]: rows sum to 1, or are NaN."""
    low: np.ndarray
    """(n_classes, n_classes): lower ends of the intervals."""
    high: np.ndarray
    """(n_classes, n_classes): upper ends."""
    classes: np.ndarray
    """(n_classes,): the classes of rows and columns."""


def matrix_of(
    design: Design, given: np.ndarray, right: np.ndarray, classes: np.ndarray, tail: float
) -> MatrixEstimate:
    """Estimate a transition matrix from the right labels of the verified rows.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.
    given : ndarray of shape (n_rows,), int64
        Given labels of all rows.
    right : ndarray of shape (n,), int64
        Right labels of the verified ones.
    classes : ndarray of shape (n_classes,)
        What they stand for.
    tail : float
        Probability that a bound is on the wrong side.

    Returns
    -------
    MatrixEstimate
    """
    shape = (len(classes), len(classes))
    matrix = MatrixEstimate(np.full(shape, np.nan), np.zeros(shape), np.ones(shape), classes)
    for c in np.unique(right[right >= 0]):
        of_class = design.of_another(right == c)
        inside, outside = of_class.of_groups_and_rest(given, len(classes))
        matrix.low[c], matrix.high[c] = found_share(inside, outside, tail)
        counts = inside.size * inside.share
        matrix.value[c] = np.clip(counts / counts.sum(), matrix.low[c], matrix.high[c])
    return matrix
