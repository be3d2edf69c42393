"""Estimates of how labels were corrupted: the transition matrix and its largest entries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from noisyfit.label_quality._review_length import _probabilities


def estimate_transition_matrix(
    given: npt.ArrayLike, predicted: npt.ArrayLike, noise_scores: npt.ArrayLike, n_classes: int
) -> np.ndarray:
    r"""Estimate how labels were corrupted from calibrated noise scores.

    Parameters
    ----------
    given : array-like of shape (n_samples,), int
        Class indices of the given labels, 0 to ``n_classes - 1``.
    predicted : array-like of shape (n_samples,), int
        Class indices that a robust network predicts.
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), float64
        Row: true class; column: given label; rows sum to 1, as those of
        `noisyfit.noise.transition_matrix`. A class without any row gets a one on the diagonal.

    Notes
    -----
    A row of noise score :math:`s_i` counts as :math:`s_i` rows of its predicted class and as
    :math:`1 - s_i` rows of its given class. Where both classes agree, the row counts for that class
    whatever its score, as nothing is known of another class. The estimate is as good as scores and
    predictions: mistakes of the network show as confusions, too.

    Examples
    --------
    >>> estimate_transition_matrix([0, 0, 0, 1], [0, 0, 1, 1], [0.1, 0.0, 1.0, 0.0], 2)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    given, predicted, scores = _check_rows(given, predicted, noise_scores)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (predicted, given), scores)
    np.add.at(counts, (given, given), 1 - scores)
    counts[np.diag_indices(n_classes)] += counts.sum(axis=1) == 0
    counts /= counts.sum(axis=1, keepdims=True)
    return counts


def frequent_confusions(
    given: npt.ArrayLike,
    predicted: npt.ArrayLike,
    noise_scores: npt.ArrayLike,
    n_confusions: int = 5,
    min_share: float = 0.005,
) -> list[tuple[int, int, float]]:
    """List the largest entries beside the diagonal of `estimate_transition_matrix`.

    The matrix itself, which has ``n_classes ** 2`` entries, is not made.

    Parameters
    ----------
    given, predicted, noise_scores : array-like of shape (n_samples,)
        As for `estimate_transition_matrix`.
    n_confusions : int, default=5
        Largest number of confusions to list.
    min_share : float, default=0.005
        Entries below this are left out.

    Returns
    -------
    list of tuple
        True class, given label, and the proportion of the class that was given the label.

    Examples
    --------
    >>> frequent_confusions([0, 0, 0, 1], [0, 0, 1, 1], [0.1, 0.0, 1.0, 0.0])
    [(1, 0, 0.5)]
    """
    given, predicted, scores = _check_rows(given, predicted, noise_scores)
    n_classes = max(given.max(), predicted.max()) + 1
    of_class = np.bincount(predicted, scores, n_classes) + np.bincount(given, 1 - scores, n_classes)
    differ = predicted != given
    pairs, number = np.unique(
        predicted[differ].astype(np.int64) * n_classes + given[differ], return_inverse=True
    )
    true, label = np.divmod(pairs, n_classes)
    mass = np.bincount(number, scores[differ], len(pairs))
    share = np.divide(mass, of_class[true], out=np.zeros(len(pairs)), where=mass > 0)
    largest = np.argsort(-share, kind="stable")[:n_confusions]
    return [
        (int(true[i]), int(label[i]), float(share[i])) for i in largest if share[i] >= min_share
    ]


def _check_rows(
    given: npt.ArrayLike, predicted: npt.ArrayLike, noise_scores: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given, predicted = np.asarray(given), np.asarray(predicted)
    scores = _probabilities(noise_scores)
    if not given.shape == predicted.shape == scores.shape:
        raise ValueError(
            "given, predicted and noise_scores must have one entry a row each. Got shapes "
            f"{given.shape}, {predicted.shape} and {scores.shape}."
        )
    return given, predicted, scores
