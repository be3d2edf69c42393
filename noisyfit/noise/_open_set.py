"""Open-set noise: rows of no class, for which no label is right.

Rows are replaced here, and labels stay.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.data import check_labels, encode_labels
from noisyfit.noise._label_noise import (
    RandomState,
    corrupt_labels,
    noise_generator,
    transition_matrix,
)


class OpenSetRows(NamedTuple):
    """Rows of which some belong to no class, and which ones.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, ...)
        The rows after replacement, in the dtype and order of the original ones.
    replaced : ndarray of shape (n_samples,), bool
        True where the row belongs to no class, so that its label is wrong whatever it is.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.noise import open_set_noise
    >>> X, replaced = open_set_noise(np.zeros((10, 2)), np.ones((50, 2)), 0.3, random_state=0)
    >>> int(replaced.sum()), bool((X[replaced] == 1).all())
    (3, True)
    """

    X: Any
    replaced: np.ndarray


def open_set_noise(
    X: Any,
    X_out: Any,
    rate: float,
    *,
    y: npt.ArrayLike | None = None,
    random_state: RandomState = None,
) -> OpenSetRows:
    """Replace a fraction of the rows by rows of no class; the labels stay.

    Open-set noise is noise in the rows: what they show belongs to none of the classes, so that no
    label could be right [1]_. It is the noise of Table 5 of Zhang et al. [2]_, where rows of
    CIFAR-10 are replaced by rows of CIFAR-100 and of ImageNet.

    Parameters
    ----------
    X : array-like or CSR matrix of shape (n_samples, n_features), or images (n_samples, ...)
        Numeric rows of the classes.
    X_out : like `X`, of shape (n_out, ...)
        Pool of rows of no class, each of the shape of a row of `X`. As many as are to be replaced
        are drawn, each at most once.
    rate : float in [0, 1)
        Fraction of the rows to replace.
    y : array-like of shape (n_samples,), default=None
        Labels of the rows, which stay. If given, each class gets its part of the replaced rows.
    random_state : int, Generator, RandomState or None, default=None
        As in `noisyfit.noise.corrupt_labels`.

    Returns
    -------
    rows : OpenSetRows
        The named tuple ``(X, replaced)``; `X` is a copy. ``replaced.mean()`` is the realised rate,
        and `replaced` what `noisyfit.metrics` call ``is_noisy``.

    Raises
    ------
    ValueError
        For a `rate` out of range, rows of different shapes, fewer rows in `X_out` than are needed,
        ``uint8`` images with float images, other values that the dtype of `X` cannot hold, and `y`
        of another length.
    TypeError
        For sparse `X_out` with dense `X`.

    See Also
    --------
    noisyfit.noise.corrupt_labels : Wrong labels among the classes; may be made in addition.

    Notes
    -----
    ``rate * n_samples`` rows, rounded, are replaced. They are the rows whose label
    ``corrupt_labels(y, ..., exact=True)`` would flip at this rate: with `y`, each class's number
    is within one of ``rate`` times its size.

    References
    ----------
    .. [1] Wang et al., "Iterative Learning with Open-set Noisy Labels", CVPR 2018.
    .. [2] Zhang et al., "Distilling Effective Supervision from Severe Label Noise", CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.noise import open_set_noise
    >>> X, y = np.arange(20.0).reshape(10, 2), ["cat"] * 5 + ["dog"] * 5
    >>> noisy, replaced = open_set_noise(X, -np.ones((50, 2)), 0.4, y=y, random_state=0)
    >>> int(replaced[:5].sum()), int(replaced[5:].sum())
    (2, 2)
    >>> bool((noisy[replaced] == -1).all() and (noisy[~replaced] == X[~replaced]).all())
    True
    """
    validate_parameter_constraints(
        {"rate": [Interval(Real, 0, 1, closed="left")]},
        {"rate": rate},
        caller_name="open_set_noise",
    )
    rows = check_array(X, accept_sparse="csr", allow_nd=True, input_name="X")
    pool = _check_pool(X_out, rows)
    labels = np.zeros(rows.shape[0], dtype=np.int64) if y is None else check_labels(y)
    check_consistent_length(rows, labels)
    rng = noise_generator(random_state)
    codes, _ = encode_labels(labels)
    n_classes = max(2, codes.max() + 1)  # a label of a single class could not be flipped
    flips = transition_matrix("pair", n_classes, rate)
    replaced = corrupt_labels(codes, flips, rng, classes=range(n_classes), exact=True).flipped
    n_replaced = int(replaced.sum())
    if pool.shape[0] < n_replaced:
        raise ValueError(
            f"rate={rate} of {len(replaced)} rows are {n_replaced}, each to be replaced by another "
            f"row of X_out. Got {pool.shape[0]} of them; lower the rate or give more."
        )
    drawn = pool[rng.choice(pool.shape[0], n_replaced, replace=False)]
    if sparse.issparse(rows):
        source = np.arange(len(replaced))
        source[replaced] = len(replaced) + np.arange(n_replaced)
        return OpenSetRows(sparse.vstack([rows, drawn], format="csr")[source], replaced)
    noisy = rows.copy()
    noisy[replaced] = drawn
    return OpenSetRows(noisy, replaced)


def _check_pool(X_out: Any, X: Any) -> Any:
    """Return the rows of no class in the type and dtype of the checked `X`."""
    is_sparse = sparse.issparse(X)
    accepted = "csr" if is_sparse else False
    pool = check_array(X_out, accept_sparse=accepted, allow_nd=True, input_name="X_out")
    if pool.shape[1:] != X.shape[1:]:
        raise ValueError(
            f"X_out must hold rows of shape {X.shape[1:]}, as X does. Got rows of shape "
            f"{pool.shape[1:]} instead."
        )
    if X.ndim == 4 and np.uint8 in (X.dtype, pool.dtype) and X.dtype != pool.dtype:
        raise ValueError(
            f"X are images of {X.dtype}. Got X_out of {pool.dtype} instead, on another scale; "
            "bring both to 0 to 255 in uint8, or to one scale in float."
        )
    pool = type(X)(pool) if is_sparse else pool
    with np.errstate(over="ignore", invalid="ignore"):  # compared next
        cast = pool.astype(X.dtype)
    values, kept = (pool.data, cast.data) if is_sparse else (pool, cast)
    if not np.array_equal(values, kept):
        raise ValueError(
            f"X holds {X.dtype}. Got X_out of {pool.dtype} instead, whose values that cannot hold; "
            f"write X_out.astype(np.{X.dtype}) if rounding is meant, or X.astype(np.{pool.dtype})."
        )
    return cast
