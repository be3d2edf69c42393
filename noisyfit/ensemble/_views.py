"""Views of the labels: each says of every row how suspicious its label is, and how far to trust it.

Views err for different reasons, so that their mean is right more often than the best of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone

from noisyfit.base import accuracy_weights
from noisyfit.data import SparseSource, TensorSource
from noisyfit.label_quality import margins, normal_scores

if TYPE_CHECKING:
    from noisyfit.data import Rows

N_NEIGHBORS, MOST_NEIGHBORS = 20, 20_000
"""Neighbours that are asked, and rows up to which they are looked for."""


class View(NamedTuple):
    """One view of the labels of the rows that are judged."""

    name: str
    """What users read."""
    suspicion: np.ndarray
    """Higher means more suspicious: (n_rows,); only its ranks count."""
    accuracy: float
    """Proportion of given labels that the view predicts for rows that it did not learn from."""
    proba: np.ndarray | None = None
    """Probabilities of the classes: (n_rows, n_classes); None: it has none."""


def view_of(name: str, proba: np.ndarray, y: np.ndarray) -> View:
    """Make a view of out-of-fold probabilities.

    Parameters
    ----------
    name : str
        What users read.
    proba : ndarray of shape (n_rows, n_classes)
        Probabilities by a model that was not trained on the row.
    y : ndarray of shape (n_rows,), int64
        Given labels.

    Returns
    -------
    View
    """
    proba = proba.astype(np.float64)
    return View(name, -margins(proba, y), float((proba.argmax(axis=1) == y).mean()), proba)


def weights(views: list[View]) -> np.ndarray:
    """Weigh views by how well each predicts given labels, in comparison with the best.

    Parameters
    ----------
    views : list of View
        At least one.

    Returns
    -------
    ndarray of shape (n_views,)
        They sum to 1.
    """
    return accuracy_weights([view.accuracy for view in views])


def combined_suspicion(views: list[View]) -> np.ndarray:
    """Average the normal scores of the views' ranks.

    Parameters
    ----------
    views : list of View
        At least one.

    Returns
    -------
    ndarray of shape (n_rows,)
        Higher means more suspicious; of a standard normal, more or less.
    """
    scores = [normal_scores(view.suspicion) for view in views]
    return weights(views) @ np.stack(scores)


def combined_probability(views: list[View]) -> np.ndarray:
    """Average the probabilities of the views that have some.

    Parameters
    ----------
    views : list of View
        At least one with probabilities.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
    """
    views = [view for view in views if view.proba is not None]
    return np.tensordot(weights(views), np.stack([np.asarray(v.proba) for v in views]), axes=1)


def vectors_of(rows: Rows) -> Any:
    """Return the inputs of all rows as vectors, as the network gets them.

    Parameters
    ----------
    rows : Rows
        Resident or sparse rows.

    Returns
    -------
    ndarray or CSR matrix of shape (n_source, n_features), or None
        None for rows that are streamed, and for rows of several inputs.
    """
    if isinstance(rows.source, SparseSource):
        return rows.source.X
    if not isinstance(rows.source, TensorSource):
        return None
    ids = torch.arange(len(rows.source), device=rows.source.device)
    parts = [rows.prepare(rows.source.gather(part)).flatten(1).cpu() for part in ids.split(4096)]
    return torch.cat(parts).numpy()


def neighbors_view(
    X: Any,
    y: np.ndarray,
    n_classes: int,
    groups: np.ndarray | None = None,
    judged: np.ndarray | None = None,
) -> View:
    """Ask the nearest rows for their labels, by cosine in the standardised inputs.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Inputs as the network gets them.
    y : ndarray of shape (n_rows,), int64
        Given labels.
    n_classes : int
        Number of classes.
    groups : ndarray of shape (n_rows,), int64, or None, default=None
        Groups whose rows do not ask each other; None: all rows ask each other.
    judged : ndarray of shape (n_rows,), bool, or None, default=None
        Rows to judge; the others are only asked. None: all.

    Returns
    -------
    View
    """
    from sklearn.neighbors import NearestNeighbors

    own = 0 if groups is None else int(np.bincount(groups).max()) - 1
    n_neighbors = min(N_NEIGHBORS + min(own, N_NEIGHBORS), len(y) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbors, metric="cosine", algorithm="brute").fit(X)
    neighbors = search.kneighbors(return_distance=False)
    votes = np.zeros((len(y), n_classes))
    for column in neighbors.T:
        counts = np.ones(len(y)) if groups is None else groups[column] != groups
        votes[np.arange(len(y)), y[column]] += counts
    rows, others = np.arange(len(y)), votes.copy()
    others[rows, y] = -1
    margin = votes[rows, y] - others.max(axis=1)
    margin = margin if judged is None else margin[judged]
    return View("neighbours", -margin, float((margin > 0).mean()))


def cross_fitted(judge: Any, X: Any, y: np.ndarray, fold: np.ndarray, n_classes: int) -> np.ndarray:
    """Return out-of-fold probabilities of a scikit-learn classifier.

    Parameters
    ----------
    judge : classifier
        Has ``predict_proba``; a clone of it is fitted for each fold.
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Inputs.
    y : ndarray of shape (n_rows,), int64
        Given labels.
    fold : ndarray of shape (n_rows,), int64
        Fold of each row; a row of fold -1 is judged by the first, which has learned from it.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
    """
    proba = np.zeros((len(y), n_classes))
    for k in np.unique(np.maximum(fold, 0)):
        own, left_out = np.maximum(fold, 0) == k, fold == k
        fitted = clone(judge).fit(X[~left_out], y[~left_out])
        proba[np.ix_(own, fitted.classes_)] = fitted.predict_proba(X[own])
    return proba
