"""What is done to the values before a mixture is fitted: moved above zero, and collapsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_array, check_consistent_length, gen_batches

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BLOCK = 2**16  # rows at a time: temporaries stay in the cache, memory stays flat


def shift_positive(scores: ArrayLike, zero_value: float = 0.1) -> tuple[np.ndarray, float]:
    """Move scores to the positive axis, the support of a Weibull density, as MILD's code does.

    If the smallest score is not positive it is subtracted from all, and the zeros this leaves
    become `zero_value`. Positive scores stay as they are.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Finite scores.
    zero_value : float, default=0.1
        Takes the place of a shifted score of exactly 0. It should be below the step between scores
        (2 for MILD's counts), else the smallest score overtakes its neighbours.

    Returns
    -------
    shifted : ndarray of shape (n_samples,)
        Positive float64 scores.
    offset : float
        What was subtracted (0.0 if nothing was). A threshold found on `shifted` is one on
        `scores` after adding `offset`.

    Raises
    ------
    ValueError
        If a score is not finite, or `zero_value` is not positive.

    Examples
    --------
    >>> from noisyfit.mixture import shift_positive
    >>> shift_positive([-20, -18, 20])
    (array([ 0.1,  2. , 40. ]), -20.0)
    """
    if not zero_value > 0:
        raise ValueError(f"zero_value must be positive. Got {zero_value!r} instead.")
    scores = check_values(scores, "scores")
    offset = min(float(scores.min()), 0.0)
    shifted = scores - offset
    shifted[shifted == 0] = zero_value
    return shifted, offset


def collapse(
    x: ArrayLike, sample_weight: ArrayLike | None = None, *, max_exact: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """Summarize rows as weighted distinct values, in one pass without a sort.

    Up to `max_exact` rows the summary is exact. Longer inputs are binned by the leading bits of
    the floating-point number ``x - min(x)``: 1024 bins to each power of two, fine near the minimum
    and never wider than a thousandth of the range. A bin is replaced by the mean of its rows.

    Parameters
    ----------
    x : array-like of shape (n_samples,)
        Finite values.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights, not all zero; each row counts 1 by default. Rows of weight 0 are left
        out.
    max_exact : int, default=10000
        The number of rows up to which nothing is binned.

    Returns
    -------
    values : ndarray of shape (n_values,)
        In ascending order.
    weights : ndarray of shape (n_values,)
        The total weight of the rows at each value, all positive.

    Raises
    ------
    ValueError
        If a value is not finite, lengths differ, or weights are negative or all zero.

    Notes
    -----
    A value moves by less than ``(x - min(x)) / 1024``, and the mean of all rows does not change.
    Values at least a 1024th of the range apart never share a bin and stay exact: integers over a
    range of 1024, hence MILD's scores of up to 512 epochs a round. Values closer to the minimum
    than ``range / 2**40`` share the first bin.

    Examples
    --------
    >>> from noisyfit.mixture._collapse import collapse
    >>> collapse([2, 5, 2, 2])
    (array([2., 5.]), array([3., 1.]))
    """
    x = check_values(x, "x")
    w = None if sample_weight is None else check_weights(sample_weight, x)
    if len(x) <= max_exact:
        values, inverse = np.unique(x, return_inverse=True)
        weights = np.bincount(inverse, w).astype(np.float64)
    else:
        values, weights = _bin(x, w)
    # Less than this fraction of the total would become 0 once the weights are normalized.
    kept = weights > weights.sum() * np.finfo(np.float64).tiny
    return values[kept], weights[kept]


def _bin(x: np.ndarray, w: np.ndarray | None, bits: int = 10, octaves: int = 40) -> tuple:
    low = x.min()

    def keys(part: np.ndarray) -> np.ndarray:
        # Read as integers, positive doubles keep their order; the shift leaves the exponent and
        # the first bits of the mantissa.
        return (part - low).view(np.int64) >> (52 - bits)

    top = int(keys(x.max(keepdims=True))[0])
    base = max(top - (octaves << bits), 0)
    weights, deviation = np.zeros((2, top - base + 1))
    first = np.full(top - base + 1, np.nan)
    for rows in gen_batches(len(x), BLOCK):
        part = x[rows]
        key = np.maximum(keys(part) - base, 0)
        new = np.isnan(first[key])
        first[key[new]] = part[new]
        # Means are taken of deviations from a member of the bin: a tie keeps its exact value.
        delta = part - first[key]
        weights += np.bincount(key, None if w is None else w[rows], len(first))
        deviation += np.bincount(key, delta if w is None else delta * w[rows], len(first))
    filled = weights > 0
    return first[filled] + deviation[filled] / weights[filled], weights[filled]


def check_values(x: ArrayLike, name: str) -> np.ndarray:
    """Return `x` as finite float64 values of shape (n_samples,), or say what is wrong."""
    x = np.asarray(check_array(x, ensure_2d=False, dtype=np.float64, input_name=name))
    if x.ndim != 1:
        raise ValueError(f"{name} must be 1-D. Got an array of shape {x.shape} instead.")
    return x


def check_weights(sample_weight: ArrayLike, x: np.ndarray) -> np.ndarray:
    """Return weights that fit the values `x`, or say what is wrong."""
    w = check_values(sample_weight, "sample_weight")
    check_consistent_length(x, w)
    if w.min() < 0:
        raise ValueError(f"sample_weight must not be negative. Got a minimum of {w.min()}.")
    if w.max() == 0:
        raise ValueError("sample_weight must not be all zero.")
    return w
