"""MILD's metric of training dynamics, and the split of a metric into two groups."""

from __future__ import annotations

import numpy as np


def selection_metric(correct: np.ndarray, *, lam: float = 1.0, full: bool = False) -> np.ndarray:
    r"""Compute MILD's metric of training dynamics; the larger, the less a row was memorised.

    Parameters
    ----------
    correct : array-like of shape (n_samples, n_epochs), bool or 0/1
        The sequences S: whether the prediction equalled the given label in each epoch.
    lam : float, default=1.0
        Weight :math:`\lambda` of forgetting against memorisation.
    full : bool, default=False
        Whether to use the averaged form :math:`C^F` instead of the simplified C.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        The metric of each row in epochs, from ``-lam * n_epochs`` to ``n_epochs``.

    Notes
    -----
    A sequence is cut into maximal runs: :math:`g^u` of misclassified epochs, :math:`g^l` of
    memorised ones. With their mean lengths M and F (Eq. 1; zero where there is no such run),

    .. math:: C^F = M - \lambda F \quad (2), \qquad
              C = \sum_j |g^u_j| - \lambda \sum_j |g^l_j| \quad (3).

    C depends on the number of memorised epochs alone, :math:`C = E - (1 + \lambda) \sum_k S^k` for
    E epochs; only :math:`C^F` depends on the order of the epochs.

    References
    ----------
    Hu et al., "MILD: Modeling the Instance Learning Dynamics for Learning with Noisy Labels",
    IJCAI 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.methods.mild import selection_metric
    >>> S = np.array([[0, 0, 0, 1, 1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]])
    >>> selection_metric(S)
    array([-2., -2.])
    >>> selection_metric(S, full=True)
    array([-1., -2.])
    """
    S = np.asarray(correct).astype(bool)
    ones = S.sum(axis=1)
    zeros = S.shape[1] - ones
    if not full:
        return zeros - lam * ones
    starts = np.concatenate([np.ones((len(S), 1), dtype=bool), S[:, 1:] != S[:, :-1]], axis=1)
    n_l = (starts & S).sum(axis=1)
    n_u = (starts & ~S).sum(axis=1)
    return zeros / np.maximum(n_u, 1) - lam * ones / np.maximum(n_l, 1)


def widest_gap(values: np.ndarray, min_gap: float) -> float:
    """Return the middle of the widest gap between neighboring values, if it separates two groups.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Value of each row.
    min_gap : float
        Smallest width of a gap that separates two groups. It must also be at least half the range
        of the values.

    Returns
    -------
    float
        NaN if no gap is that wide.

    Examples
    --------
    >>> import numpy as np
    >>> widest_gap(np.array([-20.0, -18.0, 20.0]), min_gap=8)
    1.0
    >>> widest_gap(np.array([-20.0, -18.0, -16.0]), min_gap=8)
    nan
    """
    levels = np.unique(values)
    gaps = np.diff(levels)
    if len(gaps) == 0 or gaps.max() < max(min_gap, 0.5 * (levels[-1] - levels[0])):
        return float("nan")
    return float(levels[gaps.argmax()] + gaps.max() / 2)


def group_means(values: np.ndarray, threshold: float) -> tuple[float, float]:
    """Compute the means of the values below a threshold and of all others.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Value of each row.
    threshold : float
        Smallest value of the upper group.

    Returns
    -------
    tuple of two floats
        Means of the lower and the upper group; NaN for a group without values.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.methods.mild._metric import group_means
    >>> group_means(np.array([1.0, 2.0, 6.0, 8.0]), threshold=5)
    (1.5, 7.0)
    """
    groups = values[values < threshold], values[values >= threshold]
    low, high = (float(group.mean()) if len(group) else float("nan") for group in groups)
    return low, high
