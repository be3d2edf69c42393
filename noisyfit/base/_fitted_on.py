"""Was an estimator fitted on these rows and labels? What works with its scores has to know."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from noisyfit.base._classifier import BaseNoisyClassifier
from noisyfit.base._row_sample import differing_rows, row_sample, sampled_ids
from noisyfit.data import check_labels, check_X, dataset_targets, row_shape


def check_fitted_on(est: BaseNoisyClassifier, X: Any, y: Any = None) -> np.ndarray:
    """Check that rows and labels are those that an estimator was fitted on.

    Parameters
    ----------
    est : noisyfit estimator
        The estimator to ask.
    X : array-like, CSR matrix or torch Dataset
        Rows to compare with those of the fit; of a Dataset the labels may be read.
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
        If there are more or fewer rows or labels, or some differ.

    Notes
    -----
    All labels are compared, and of the rows a sample of up to 256 that are spread over them. Of a
    Dataset that is streamed, and of an estimator whose file was saved before rows were compared,
    only the number of rows and their shape.
    """
    given = check_labels_of_fit(est, y, X if isinstance(X, Dataset) else None)
    _check_rows(est, X)
    return given


def check_labels_of_fit(
    est: BaseNoisyClassifier, y: Any, dataset: Dataset | None = None
) -> np.ndarray:
    """Check that labels are those that an estimator was fitted on.

    Parameters
    ----------
    est : noisyfit estimator
        The estimator to ask.
    y : array-like of shape (n_samples,), or None
        Labels to compare with those of the fit; None: those of `dataset`.
    dataset : torch Dataset or None, default=None
        Has labels of its own.

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
    if y is None and dataset is None:
        raise ValueError("y must be the labels that est was fitted on. Got None.")
    given = check_labels(dataset_targets(dataset) if y is None else y)  # type: ignore[arg-type]
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


def _check_rows(est: BaseNoisyClassifier, X: Any) -> None:
    what_to_do = (
        "Pass the rows of then in their order of then; for the last step of a pipeline these are "
        "pipeline[:-1].transform(X)."
    )
    fitted = vars(est)
    X = check_X(est, X, fitted["_row_dtype"])
    n_rows = len(X) if isinstance(X, Dataset) else X.shape[0]  # type: ignore[arg-type]
    n_then = len(est.noise_scores_)
    if n_rows != n_then:
        raise ValueError(
            f"X must be what est was fitted on. Got {n_rows} rows and {n_then} labels. {what_to_do}"
        )
    shape, shape_then = row_shape(X), tuple(fitted["_row_shape"])
    if shape != shape_then:
        raise ValueError(
            f"X is not what est was fitted on: its rows have the shape {shape}, which was "
            f"{shape_then} in fit. {what_to_do}"
        )
    then = fitted.get("_row_sample")  # not there in files from before
    now = None
    if then is not None:
        now = row_sample(X, est.as_rows(X) if isinstance(X, Dataset) else None)
    if then is None or now is None:
        return
    differ = differing_rows(then, now)
    if len(differ):
        raise ValueError(
            f"X is not what est was fitted on: row {sampled_ids(n_rows)[differ[0]]} differs, and "
            f"{len(differ) - 1} more of the {len(now)} rows that were compared. {what_to_do}"
        )
