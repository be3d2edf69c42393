"""Was an estimator fitted on these labels? What works with its scores has to know."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from noisyfit.base._classifier import BaseNoisyClassifier
from noisyfit.data import check_labels, dataset_targets


def check_fitted_on(est: BaseNoisyClassifier, X: Any, y: Any = None) -> np.ndarray:
    """Check that the labels are those that an estimator was fitted on.

    Parameters
    ----------
    est : noisyfit estimator
        The estimator to ask.
    X : array-like, CSR matrix or torch Dataset
        Rows that it was fitted on; of a Dataset the labels may be read.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        Labels to compare with those of the fit.

    Returns
    -------
    ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    NotFittedError
        If `est` is not fitted.
    ValueError
        If there are more or fewer labels, or some differ.
    """
    if isinstance(est, Pipeline):
        raise TypeError(
            "est must be a noisyfit estimator. Got a Pipeline: pass its last step and what that "
            "was fitted on, pipeline[-1] and pipeline[:-1].transform(X)."
        )
    if not isinstance(est, BaseNoisyClassifier):
        raise TypeError(f"est must be a noisyfit estimator. Got {type(est).__name__} instead.")
    check_is_fitted(est)
    if y is None and not isinstance(X, Dataset):
        raise ValueError("y must be the labels that est was fitted on. Got None.")
    given = check_labels(dataset_targets(X) if y is None else y)
    if len(given) != len(est.noise_scores_):
        raise ValueError(
            f"est was fitted on {len(est.noise_scores_)} rows, but y has {len(given)} labels. "
            "Pass what it was fitted on."
        )
    differ = np.flatnonzero(given != est.given_labels_)
    if len(differ):
        then = est.given_labels_[differ[0]]
        raise ValueError(
            f"y is not what est was fitted on: row {differ[0]} has the label {given[differ[0]]}, "
            f"which was {then} in fit, and {len(differ) - 1} more differ. Pass the given labels in "
            "their order of then" + (", as y: the data set has others." if y is None else ".")
        )
    return given
