"""Check out-of-fold probabilities that users bring."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisyfit.data._array_checks import as_numpy

_ROUNDING = 0.01
"""By how much the probabilities of a row may miss 1."""


def check_pred_proba(pred_proba: Any, n_samples: int, classes: np.ndarray) -> np.ndarray | None:
    """Return probabilities of the classes that were computed elsewhere.

    Parameters
    ----------
    pred_proba : array-like of shape (n_samples, n_classes), or None
        What the user passed.
    n_samples : int
        Number of rows.
    classes : ndarray of shape (n_classes,)
        The labels that stand for the columns.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float32, or None
        None: there are none.

    Raises
    ------
    ValueError
        For another shape, columns of a data frame that have the names of the classes in another
        order, and values that are no probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.data import check_pred_proba
    >>> check_pred_proba([[1, 0], [0.5, 0.5]], 2, np.array(["cat", "dog"]))
    array([[1. , 0. ],
           [0.5, 0.5]], dtype=float32)
    """
    if pred_proba is None:
        return None
    names = list(getattr(pred_proba, "columns", ()))
    as_text, wanted = [str(name) for name in names], [str(c) for c in classes.tolist()]
    if as_text != wanted and set(as_text) == set(wanted):  # of a file, numbers may be strings
        raise ValueError(
            f"pred_proba has the columns {names}, but its columns have to be in the order of the "
            f"classes: {classes.tolist()}. Pass pred_proba[np.unique(y)]."
        )
    try:
        proba = np.asarray(as_numpy(pred_proba, "pred_proba"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "pred_proba must be numbers, one for each row and class: an array of shape "
            f"({n_samples}, {len(classes)}). Got {type(pred_proba).__name__}: {error}"
        ) from error
    if proba.shape != (n_samples, len(classes)):
        raise ValueError(
            "pred_proba must hold a probability for each row and class and be of shape "
            f"({n_samples}, {len(classes)}), its columns in the order of np.unique(y). Got the "
            f"shape {proba.shape} instead. Leave out classes without a given label, and scale the "
            "rest to a sum of 1; give rows without a label theirs, too."
        )
    missing = np.flatnonzero(~np.isfinite(proba).all(axis=1))
    if len(missing):
        raise ValueError(
            f"pred_proba has NaN or infinity in the rows {missing[:5].tolist()}. Every row needs "
            "probabilities by a model that was not trained on it."
        )
    sums = proba.sum(axis=1)
    if proba.min() < 0 or np.abs(sums - 1).max() > _ROUNDING:
        raise ValueError(
            "pred_proba must be probabilities that sum to 1 in each row. Got values from "
            f"{proba.min():.3g} to {proba.max():.3g} and sums from {sums.min():.3g} to "
            f"{sums.max():.3g}. Pass predict_proba, not decision values or logits."
        )
    return (proba / sums[:, None]).astype(np.float32)
