"""Probabilities from several sources made one, and a doubt of those made in sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENIENCE = 0.05
"""Difference of accuracy by which a weight falls to 1/e."""
_FEW = 50
"""Rows up to which perfect agreement may be chance."""


def accuracy_weights(accuracy: Sequence[float] | np.ndarray) -> np.ndarray:
    """Weigh sources by how well each predicts given labels, in comparison with the best.

    Parameters
    ----------
    accuracy : array-like of shape (n_sources,)
        Proportion of given labels that each predicts of rows that it did not learn from.

    Returns
    -------
    ndarray of shape (n_sources,)
        They sum to 1; a source that is worse than the best by five points counts 1/e of it.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    weight = np.exp((accuracy - accuracy.max()) / _LENIENCE)
    return weight / weight.sum()


def pooled(sources: Sequence[np.ndarray], y: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Average probabilities, weighed by the accuracy on the given labels that are judged.

    Parameters
    ----------
    sources : sequence of ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities.
    y : ndarray of shape (n_samples,), int64
        Given labels.
    judged : ndarray of shape (n_samples,), bool
        Rows whose label is judged; at least one.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    accuracy = [(proba.argmax(axis=1) == y)[judged].mean() for proba in sources]
    return np.tensordot(accuracy_weights(accuracy), np.stack(sources), axes=1)


def doubt_of_own_rows(
    pred_proba: np.ndarray | None, y: np.ndarray, judged: np.ndarray
) -> str | None:
    """Say so if probabilities agree with the given labels as those of a model in sample do.

    Parameters
    ----------
    pred_proba : ndarray of shape (n_samples, n_classes), or None
        Checked probabilities; None: nothing is said.
    y : ndarray of shape (n_samples,), int64
        Given labels.
    judged : ndarray of shape (n_samples,), bool
        Rows whose label is judged.

    Returns
    -------
    str or None
        Sentences; None if there is nothing to say.
    """
    if pred_proba is None or judged.sum() <= _FEW:
        return None
    if not (pred_proba[judged].argmax(axis=1) == y[judged]).all():
        return None
    return (
        f"pred_proba agrees with all {judged.sum():,} given labels. Either all are right and easy, "
        "or it is of a model that was trained on these rows, and then it finds no wrong label. "
        "Each row's probabilities have to come from a model that did not see it: "
        "sklearn.model_selection.cross_val_predict(model, X, y, method='predict_proba')."
    )
