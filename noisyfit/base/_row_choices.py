"""Which rows count how much in the losses, and which are left out to validate on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from noisyfit._sklearn import check_sample_weight


def row_weights(
    sample_weight: Any, class_weight: Any, y: np.ndarray, unlabeled: np.ndarray | None = None
) -> np.ndarray | None:
    """Combine the user's weights of rows and of classes.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
        Weights of the rows, not below 0.
    class_weight : dict, "balanced" or None
        Weights of the given labels.
    y : ndarray of shape (n_samples,)
        Checked labels.
    unlabeled : ndarray of shape (n_samples,), bool, or None, default=None
        Rows without a label, which have no weight of a class. None: there are none.

    Returns
    -------
    ndarray of shape (n_samples,), float64, or None
        Weights with mean 1; None if there are none.

    Raises
    ------
    ValueError
        For weights that are negative, not finite, of another number, or all 0.

    Examples
    --------
    >>> import numpy as np
    >>> row_weights([1, 3], None, np.array(["cat", "dog"]))
    array([0.5, 1.5])
    >>> row_weights(None, "balanced", np.array(["cat", "dog", "dog"])).round(2)
    array([1.5 , 0.75, 0.75])
    """
    if sample_weight is None and class_weight is None:
        return None
    X = np.empty((len(y), 0))  # the check asks it for its length alone
    given = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    weight = given.copy()  # it may be the user's own array
    has = np.ones(len(y), dtype=bool) if unlabeled is None else ~unlabeled
    weight[has] *= compute_sample_weight(class_weight, y[has])
    if weight.min() < 0:
        raise ValueError(f"class_weight must not be negative. Got {class_weight}.")
    if not 0 < weight[has].sum() < np.inf:
        raise ValueError(
            "The weights of the rows with a label must have a finite sum above 0. Got "
            f"{weight[has].sum()}."
        )
    return weight / weight.mean()


def unlabeled_rows(y: np.ndarray, unlabeled: Any) -> np.ndarray:
    """Mark the rows that have no label.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Checked labels.
    unlabeled : int, str or None
        What stands in `y` where a label is missing; None: every row has one.

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Raises
    ------
    ValueError
        If fewer than two classes are left, or the mark is a text and the labels are not.

    Examples
    --------
    >>> import numpy as np
    >>> unlabeled_rows(np.array([0, -1, 1]), -1)
    array([False,  True, False])
    """
    if unlabeled is None:
        return np.zeros(len(y), dtype=bool)
    if isinstance(unlabeled, str) != (y.dtype.kind in "OUST" and isinstance(y[0], str)):
        raise ValueError(
            f"unlabeled={unlabeled!r} is of another type than the labels, such as {y[0]!r}: no row "
            "would have it. Give it as it stands in y."
        )
    marked = np.asarray(y == unlabeled)
    left = np.unique(y[~marked])
    if len(left) < 2:
        raise ValueError(
            f"Labels of two classes are needed. Beside unlabeled={unlabeled!r}, y has "
            f"{left.tolist()} only."
        )
    return marked


def validation_rows(
    y: np.ndarray,
    spared: np.ndarray,
    fraction: float | None,
    random_state: np.random.Generator,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Choose rows of each given label to validate on.

    Parameters
    ----------
    y : ndarray of shape (n_samples,), int64
        Encoded labels.
    spared : ndarray of shape (n_samples,), bool
        Rows that are not chosen.
    fraction : float or None
        Fraction of the rows of each label, in (0, 0.5]; None: no row.
    random_state : numpy.random.Generator
        Generator of the choice.
    groups : ndarray of shape (n_samples,), int64, or None, default=None
        Codes of groups that are chosen as a whole or not at all; one with a spared row is not.
        None: every row for itself.

    Returns
    -------
    ndarray of shape (n_samples,), bool
        Of each label at least one row is left to train on. Whole groups come near the fraction.

    Raises
    ------
    ValueError
        If the fraction is less than a row of every label.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([0] * 10 + [1] * 20)
    >>> chosen = validation_rows(y, np.zeros(30, dtype=bool), 0.2, np.random.default_rng(0))
    >>> np.bincount(y[chosen])
    array([2, 4])
    """
    chosen = np.zeros(len(y), dtype=bool)
    if fraction is None:
        return chosen
    if groups is not None:
        chosen = _validation_groups(y, spared, fraction, random_state, groups)
        if not chosen.any():
            blocked = len(np.unique(groups[spared]))
            raise ValueError(
                f"validation_fraction={fraction} leaves no row to validate on: of "
                f"{len(np.unique(groups))} groups, {blocked} have trusted rows or rows without a "
                "label, and none of the others can be left out whole. Pass finer groups, raise the "
                "fraction, or leave it None."
            )
        return chosen
    for code in np.unique(y):
        rows = np.flatnonzero((y == code) & ~spared)
        n_chosen = min(round(fraction * len(rows)), np.count_nonzero(y == code) - 1)
        chosen[random_state.permutation(rows)[:n_chosen]] = True
    if not chosen.any():
        most = np.bincount(y[~spared]).max() if not spared.all() else 0
        raise ValueError(
            f"validation_fraction={fraction} leaves no row to validate on: of rows with a label "
            f"that nobody verified, the most frequent label has {most}. Raise it, or leave it None."
        )
    return chosen


def _validation_groups(
    y: np.ndarray,
    spared: np.ndarray,
    fraction: float,
    random_state: np.random.Generator,
    groups: np.ndarray,
) -> np.ndarray:
    """Choose groups in random order, each that brings the labels' numbers of rows nearer to theirs.

    Without spared rows, groups that are one row each are chosen in the numbers of single rows.
    """
    left = np.bincount(y) - 1  # one row of each label stays
    wanted = np.minimum(np.round(fraction * np.bincount(y[~spared], minlength=len(left))), left)
    rows, size = np.argsort(groups, kind="stable"), np.bincount(groups)
    end = np.cumsum(size)
    may = np.ones(len(size), dtype=bool)
    may[groups[spared]] = False
    chosen = np.zeros(len(y), dtype=bool)
    for group in random_state.permutation(np.flatnonzero(may)):
        own = rows[end[group] - size[group] : end[group]]
        labels, counts = np.unique(y[own], return_counts=True)
        before, after = wanted[labels], wanted[labels] - counts
        if np.abs(after).sum() < np.abs(before).sum() and (counts <= left[labels]).all():
            chosen[own] = True
            wanted[labels] = after
            left[labels] -= counts
    return chosen
