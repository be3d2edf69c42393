"""Label corruption in which the features of a row choose its wrong class."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from scipy.stats import truncnorm
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length, gen_batches

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.noise._label_noise import (
    RATE,
    CorruptedLabels,
    RandomState,
    encode,
    noise_generator,
)

_BLOCK = 2**22  # elements of X made float64 at a time: 32 MiB


def instance_dependent_noise(
    X: Any,
    y: npt.ArrayLike,
    rate: float,
    random_state: RandomState = None,
    *,
    classes: npt.ArrayLike | None = None,
    logit_scale: float | None = 3.0,
) -> CorruptedLabels:
    r"""Corrupt labels so that the wrong class depends on the row's features.

    Algorithm 2 of Xia et al. [1]_. Each row draws its own flip rate
    :math:`q_i \sim N(\mathrm{rate}, 0.1^2)` truncated to [0, 1], and each class c a projection
    :math:`W_c \in R^{S \times C}` with standard normal entries. With :math:`p = x_i W_{y_i}` and
    :math:`p_{y_i} = -\infty`, the label is drawn from :math:`q_i\,\mathrm{softmax}(p)`, whose
    entry :math:`y_i` is then set to :math:`1 - q_i`.

    Parameters
    ----------
    X : array-like or CSR matrix of shape (n_samples, n_features), or images (n_samples, ...)
        Numeric features; more than two dimensions are flattened. Sparse input stays sparse.
    y : array-like of shape (n_samples,)
        True labels of at least two classes: integers (gaps are fine), strings or booleans.
    rate : float in [0, 1]
        Center of the flip rates before truncation; 0 leaves all labels as they are.
    random_state : int, Generator, RandomState or None, default=None
        As in `corrupt_labels`.
    classes : array-like of shape (n_classes,), default=None
        All classes a label may take; by default the sorted distinct values of `y`.
    logit_scale : float or None, default=3.0
        Root mean square that p has over rows and draws of W. The larger, the more surely the
        features decide which wrong label a row gets: with ten classes the likeliest one has on
        average .34 of the probability at 1, .68 at 3, .90 at 10. None uses `X` as it is.

    Returns
    -------
    corrupted : CorruptedLabels
        The named tuple ``(labels, flipped)``; ``flipped.mean()`` is the realised rate.

    Raises
    ------
    ValueError
        For `X` or `y` that are malformed or of different length, fewer than two classes, or a
        `rate` or `logit_scale` out of range.

    Notes
    -----
    Deviation from the paper: features are centered, scaled to unit variance and multiplied by
    ``logit_scale / sqrt(number of features that vary)`` before the projection. Pixels in [0, 1] are
    many and positive, so that softmax(p) is nearly one-hot and much the same for all rows of a
    class: in a draw at rate .4 on 25,000 CIFAR-10 images, on average 70 % of a class's wrong labels
    named one class, against 22 % at the default scale. ``logit_scale=None`` is the paper's form.

    Truncation moves the mean of q away from 0 and 1: it is .129 for rate .1 and .206 for .2, and
    equals `rate` to .0005 from .3 to .7. Only the wrong class, not q, depends on the features.

    References
    ----------
    .. [1] X. Xia et al., "Part-dependent label noise: Towards instance-dependent label noise",
       NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from noisyfit.noise import instance_dependent_noise
    >>> X, y = load_iris(return_X_y=True)
    >>> labels, flipped = instance_dependent_noise(X, y, 0.3, random_state=0)
    >>> bool((labels[flipped] != y[flipped]).all()), bool(0.15 < flipped.mean() < 0.45)
    (True, True)
    """
    validate_parameter_constraints(
        {"rate": RATE, "logit_scale": [None, Interval(Real, 0, None, closed="neither")]},
        {"rate": rate, "logit_scale": logit_scale},
        caller_name="instance_dependent_noise",
    )
    X = check_array(X, accept_sparse="csr", allow_nd=True)
    known, codes = encode(y, classes)
    check_consistent_length(X, codes)
    if len(known) < 2:
        raise ValueError(f"y needs at least 2 classes to be confused, got {known.tolist()}.")
    rng = noise_generator(random_state)
    if rate == 0:
        return CorruptedLabels(known[codes], np.zeros(len(codes), dtype=bool))
    X = X.reshape(len(codes), -1) if X.ndim > 2 else X
    mean, scale = _standardization(X, logit_scale)
    std = 0.1
    q = truncnorm.rvs(
        -rate / std, (1 - rate) / std, rate, std, size=(len(codes), 1), random_state=rng
    )
    new = codes.copy()
    for c in range(len(known)):
        # Standardizing W and not X keeps sparse rows sparse and leaves no copy of X.
        W_c = rng.standard_normal((X.shape[1], len(known))) * scale[:, None]
        rows_c = np.flatnonzero(codes == c)
        step = max(1, _BLOCK // X.shape[1])
        for start in range(0, len(rows_c), step):
            rows = rows_c[start : start + step]
            p = X[rows] @ W_c - mean @ W_c
            p[:, c] = -np.inf
            p = q[rows] * softmax(p, axis=1)
            p[:, c] = 1 - q[rows, 0]
            new[rows] = _draw(p, rng)
    return CorruptedLabels(known[new], new != codes)


def _standardization(X: Any, logit_scale: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and factor of each feature: (X - mean) * factor has row norms near the scale."""
    if logit_scale is None:
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    scaler = StandardScaler(with_mean=False)  # still computes the mean, and accepts sparse X
    for batch in gen_batches(X.shape[0], max(1, _BLOCK // X.shape[1])):
        scaler.partial_fit(X[batch])
    n_varying = np.sum(scaler.var_ / scaler.scale_**2)  # constant features have var 0, scale 1
    return scaler.mean_, logit_scale / np.sqrt(max(n_varying, 1)) / scaler.scale_


def _draw(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one column index for each row, with the probabilities of the row."""
    cdf = np.cumsum(p, axis=1)
    return (rng.random((len(p), 1)) * cdf[:, -1:] >= cdf[:, :-1]).sum(axis=1)
