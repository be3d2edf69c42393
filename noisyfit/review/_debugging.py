"""Data debugging: replace the most suspicious labels, as many as a budget allows."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from noisyfit._pipelines import of_last_step
from noisyfit.base import BaseNoisyClassifier, check_fitted_on
from noisyfit.data import check_labels


class DebuggedLabels(NamedTuple):
    """Labels after debugging, as `debug_labels` returns them.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MILDSelector, debug_labels
    >>> X, true = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> y = true.copy()
    >>> y[:30] = (true[:30] + 1) % 3
    >>> est = MILDSelector(max_epochs=10, random_state=0)
    >>> labels, replaced = debug_labels(est, X, y, share=0.1)
    >>> int(replaced.sum()), bool((labels == true).mean() > (y == true).mean())
    (30, True)
    """

    labels: np.ndarray
    """(n_samples,): the given labels, of which the most suspicious ones are replaced."""
    replaced: np.ndarray
    """(n_samples,), bool: rows whose label was replaced; the new label may equal the old one."""


def debug_labels(
    est: BaseNoisyClassifier | Pipeline, X: Any, y: Any, share: float = 0.1, truth: Any = None
) -> DebuggedLabels:
    """Replace the most suspicious labels, so that any other estimator can train on the result.

    Parameters
    ----------
    est : noisyfit estimator, or Pipeline that ends with one
        Estimator whose noise scores choose the labels. One that is fitted must have been fitted on
        `X` and `y`; of one that is not, a clone is fitted on them.
    X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
        Rows of the data set; of a pipeline, as they are before its first step.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        Given labels.
    share : float, default=0.1
        Fraction of **all** rows whose labels are replaced, in [0, 1], rounded down to whole rows:
        those with the highest noise scores. Trusted rows are never among them.
    truth : array-like of shape (n_samples,), default=None
        True labels, as an expert would give them. Only those of the replaced rows are looked at;
        the others may be missing. None: the estimator's predictions take their place.

    Returns
    -------
    DebuggedLabels
        The new labels, and which of them were replaced.

    Raises
    ------
    TypeError
        If `est` is no noisyfit estimator, nor a pipeline that ends with one.
    ValueError
        If `est` was fitted on other rows or labels, `truth` has another length or type than `y`, or
        `share` lies outside [0, 1].

    Notes
    -----
    Section 4.3 of Jia et al. [1]_ replaces 5 or 10 % of the labels in this way and finds that
    methods for learning with noisy labels then reach a higher accuracy. The predictions that take
    the place of `truth` come from a network that was not trained on the rows that `est` rejected.
    For all other rows they mostly repeat the given label.

    References
    ----------
    .. [1] Jia et al., "Learning from Training Dynamics: Identifying Mislabeled Data Beyond Manually
       Designed Features", AAAI 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from noisyfit import DynamicsLSTMDetector, debug_labels
    >>> X, y = load_digits(return_X_y=True)
    >>> given = y.copy()
    >>> given[:100] = (y[:100] + 3) % 10
    >>> est = DynamicsLSTMDetector(max_epochs=10, random_state=0).fit(X, given)
    >>> labels, replaced = debug_labels(est, X, given, share=0.06)
    >>> int(replaced.sum()), bool((labels != y).sum() < 0.5 * (given != y).sum())
    (107, True)
    """
    asked = est[-1] if isinstance(est, Pipeline) else est
    if not isinstance(asked, BaseNoisyClassifier):
        raise TypeError(f"est must be a noisyfit estimator. Got {type(asked).__name__} instead.")
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number in [0, 1]. Got {share!r} instead.")
    try:
        check_is_fitted(asked)
    except NotFittedError:
        est = clone(est).fit(X, y)
    est, X = of_last_step(est, X)
    given = check_fitted_on(est, X, y)
    # Trusted labels come last, whatever their score, and are never replaced.
    order = np.argsort(np.where(est.trusted_mask_, 1.0, -est.noise_scores_), kind="stable")
    replaced = np.zeros(len(given), dtype=bool)
    replaced[order[: int(share * len(given) + 1e-6)]] = True
    replaced &= ~est.trusted_mask_
    right = est.predict(X) if truth is None else _check_truth(truth, given, replaced)
    return DebuggedLabels(np.where(replaced, right, given), replaced)


def _check_truth(truth: Any, given: np.ndarray, replaced: np.ndarray) -> np.ndarray:
    truth = np.asarray(truth)
    looked_at = truth[replaced] if truth.shape == given.shape else truth
    if truth.shape != given.shape or (len(looked_at) and _type(looked_at) != _type(given)):
        raise ValueError(
            f"truth must hold {len(given)} labels of the type of y, {given.dtype}. Got an array of "
            f"{truth.dtype} of shape {truth.shape} instead."
        )
    if len(looked_at):
        check_labels(looked_at)
    # Labels that are not looked at may be missing.
    filled = given.astype(np.result_type(given, looked_at))
    filled[replaced] = looked_at
    return filled


def _type(labels: np.ndarray) -> str:
    if labels.dtype.kind in "OUT":
        return "text" if all(isinstance(label, str) for label in labels) else "mixed"
    return "number" if labels.dtype.kind in "iuf" else labels.dtype.kind
