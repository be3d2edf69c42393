"""Label corruption by a classifier that has seen little: its mistakes are those of the classes."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length

from noisyfit._sklearn import HasMethods, Interval, validate_parameter_constraints
from noisyfit.data import check_labels, select_rows
from noisyfit.noise._label_noise import CorruptedLabels, RandomState, noise_generator


def semantic_noise(
    X: Any,
    y: npt.ArrayLike,
    classifier: Any,
    *,
    share_trained_on: float = 0.05,
    random_state: RandomState = None,
) -> CorruptedLabels:
    """Corrupt labels by what a classifier makes of the rows that has learned from a few of them.

    Parameters
    ----------
    X : array-like, CSR matrix or images of shape (n_samples, ...)
        Rows, as `classifier` takes them.
    y : array-like of shape (n_samples,)
        True labels of at least two classes: integers (gaps are fine), strings or booleans.
    classifier : scikit-learn classifier
        A clone of it is fitted on a share of the rows with their true labels. An estimator of
        noisyfit with ``rounds=1, judge_epochs=0`` is plain training of a network.
    share_trained_on : float, default=0.05
        Share of the rows that it is fitted on, in (0, 1), the same of each class.
    random_state : int, Generator, RandomState or None, default=None
        Draws these rows, as in `corrupt_labels`. The classifier has a ``random_state`` of its own.

    Returns
    -------
    corrupted : CorruptedLabels
        The named tuple ``(labels, flipped)``; ``flipped.mean()`` is the realised rate, which
        follows from how little the classifier has seen.

    Raises
    ------
    ValueError
        If `X` and `y` are of different length, a class has too few rows for a share of it, or the
        share is out of range.

    Notes
    -----
    The semantic noise of RoG [1]_, where a VGG-13 learns from 5 % of CIFAR-10 (34 % of the labels
    are then wrong) and from 20 % of CIFAR-100 (37 %), as used in Table 4 of the meta re-labelling
    paper [2]_. All rows get the classifier's labels, also those that it was fitted on.

    References
    ----------
    .. [1] K. Lee et al., "Robust inference via generative classifiers for handling noisy labels",
       ICML 2019.
    .. [2] Z. Zhang et al., "Distilling effective supervision from severe label noise", CVPR 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from noisyfit.noise import semantic_noise
    >>> X, y = load_digits(return_X_y=True)
    >>> labels, flipped = semantic_noise(X, y, GaussianNB(), random_state=0)
    >>> bool((labels[flipped] != y[flipped]).all()), bool(0.1 < flipped.mean() < 0.5)
    (True, True)
    """
    validate_parameter_constraints(
        {
            "share_trained_on": [Interval(Real, 0, 1, closed="neither")],
            "classifier": [HasMethods(["fit", "predict"])],
        },
        {"share_trained_on": share_trained_on, "classifier": classifier},
        caller_name="semantic_noise",
    )
    y = check_labels(y)
    check_consistent_length(X, y)
    names, counts = np.unique(y, return_counts=True)
    if len(names) < 2 or counts.min() * share_trained_on < 1:
        rare = f"{names[counts.argmin()]} has {counts.min()} rows"
        raise ValueError(
            "The classifier has to see a row of each of two classes or more. Got "
            f"{len(names)} classes, of which {rare}: raise share_trained_on (now "
            f"{share_trained_on:g}) or leave rare classes out."
        )
    rng = noise_generator(random_state)
    seen, _ = train_test_split(
        np.arange(len(y)),
        train_size=share_trained_on,
        stratify=y,
        random_state=int(rng.integers(2**31)),
    )
    weak = clone(classifier).fit(select_rows(X, seen), y[seen])
    labels = np.asarray(weak.predict(X)).astype(y.dtype, copy=False)
    return CorruptedLabels(labels, labels != y)
