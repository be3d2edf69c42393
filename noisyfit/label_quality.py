"""What noise scores say about a data set: the transition matrix, and how far a review must go."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array

_N_CONFUSIONS = 5


def estimate_transition_matrix(
    given: npt.ArrayLike, predicted: npt.ArrayLike, noise_scores: npt.ArrayLike, n_classes: int
) -> np.ndarray:
    r"""Estimate how labels were corrupted from calibrated noise scores.

    Parameters
    ----------
    given : array-like of shape (n_samples,), int
        Codes of the given labels, 0 to ``n_classes - 1``.
    predicted : array-like of shape (n_samples,), int
        Codes that a robust network predicts.
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.
    n_classes : int

    Returns
    -------
    ndarray of shape (n_classes, n_classes), float64
        Row: true class; column: given label; rows sum to 1, as those of
        `noisyfit.noise.transition_matrix`. A class without any row gets a one on the diagonal.

    Notes
    -----
    Row i counts with its noise score :math:`s_i` as one of its predicted class and with
    :math:`1 - s_i` as one of its given class. Where both agree it counts for that class whatever
    its score: which other class it might be of is not known. The estimate is as good as scores
    and predictions; errors that the network makes itself show as confusions.

    Examples
    --------
    >>> estimate_transition_matrix([0, 0, 0, 1], [0, 0, 1, 1], [0.1, 0.0, 1.0, 0.0], 2)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    given, predicted = np.asarray(given), np.asarray(predicted)
    scores = _probabilities(noise_scores)
    if not given.shape == predicted.shape == scores.shape:
        raise ValueError(
            "given, predicted and noise_scores must have one entry a row each. Got shapes "
            f"{given.shape}, {predicted.shape} and {scores.shape}."
        )
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (predicted, given), scores)
    np.add.at(counts, (given, given), 1 - scores)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.where(total > 0, total, 1), np.eye(n_classes))


def expected_errors_found(noise_scores: npt.ArrayLike) -> np.ndarray:
    """Compute the expected share of all wrong labels among the most suspicious rows.

    Parameters
    ----------
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.

    Returns
    -------
    ndarray of shape (n_samples + 1,), float64
        Entry n: the share that a review of the n highest scores finds. It rises from 0 to 1; where
        no label is expected to be wrong all entries are 1.

    Examples
    --------
    >>> expected_errors_found([0.1, 0.9, 0.0])
    array([0. , 0.9, 1. , 1. ])
    """
    scores = np.sort(_probabilities(noise_scores))[::-1]
    found = np.r_[0.0, scores.cumsum()]
    return found / found[-1] if found[-1] > 0 else np.ones_like(found)


def review_length(noise_scores: npt.ArrayLike, share: float = 0.9) -> int:
    """Count the most suspicious rows to review so that a share of the errors is expected found.

    Parameters
    ----------
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.
    share : float, default=0.9
        Of all wrong labels, in [0, 1].

    Returns
    -------
    int

    Examples
    --------
    >>> review_length([0.1, 0.9, 0.0], share=0.9), review_length([0.1, 0.9, 0.0], share=0.95)
    (1, 2)
    """
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number in [0, 1]. Got {share!r}.")
    found = expected_errors_found(noise_scores)
    return int(np.searchsorted(found, min(share, found[-1]) - 1e-12))


def summarise(
    name: str,
    classes: np.ndarray,
    noise_scores: np.ndarray,
    clean_mask: np.ndarray,
    trusted: np.ndarray,
    noise_rate: float,
    matrix: np.ndarray,
) -> str:
    """Describe the labels of a data set in a few lines.

    Parameters
    ----------
    name : str
        Of the estimator.
    classes : ndarray of shape (n_classes,)
    noise_scores, clean_mask, trusted : ndarray of shape (n_samples,)
    noise_rate : float
    matrix : ndarray of shape (n_classes, n_classes)
        Of `estimate_transition_matrix`.

    Returns
    -------
    str

    Examples
    --------
    >>> scores, clean = np.array([0.9, 0.1, 0.0, 0.0]), np.array([False, True, True, True])
    >>> print(summarise("MILDSelector", np.array(["cat", "dog"]), scores, clean,
    ...     np.zeros(4, dtype=bool), 0.25, np.array([[1.0, 0.0], [0.3, 0.7]])))
    MILDSelector on 4 labels of 2 classes
    Wrong by estimate: about 1 (25.0 %). Rejected: 1.
    Review the 1 most suspicious rows to find about 90 % of the errors, the 2 for 95 %.
    Most frequent confusions (true class -> given label):
      dog -> cat: 30.0 % of the rows that are dog
    """
    n_rows = len(noise_scores)
    lines = [
        f"{name} on {n_rows:,} labels of {len(classes)} classes",
        f"Wrong by estimate: about {round(noise_rate * n_rows):,} ({noise_rate:.1%})."
        f" Rejected: {int((~clean_mask).sum()):,}.".replace("%", " %"),
    ]
    if trusted.any():
        lines.append(f"Trusted: {int(trusted.sum()):,}, taken as right.")
    if not noise_scores.any():
        return "\n".join([*lines, "No label is suspicious."])
    lines.append(
        f"Review the {review_length(noise_scores, 0.9):,} most suspicious rows to find about 90 % "
        f"of the errors, the {review_length(noise_scores, 0.95):,} for 95 %."
    )
    wrong = matrix - np.diag(np.diag(matrix))
    largest = [i for i in np.argsort(-wrong, axis=None)[:_N_CONFUSIONS] if wrong.flat[i] >= 0.005]
    if largest:
        lines.append("Most frequent confusions (true class -> given label):")
    for i in largest:
        true, given = (classes[k] for k in np.unravel_index(i, wrong.shape))
        share = f"{wrong.flat[i]:.1%}".replace("%", " %")
        lines.append(f"  {true} -> {given}: {share} of the rows that are {true}")
    return "\n".join(lines)


def _probabilities(noise_scores: npt.ArrayLike) -> np.ndarray:
    scores = check_array(noise_scores, ensure_2d=False, dtype=np.float64, input_name="noise_scores")
    if scores.ndim != 1 or scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "noise_scores must be a vector of probabilities, in [0, 1]. Got an array of shape "
            f"{scores.shape} with values from {scores.min():g} to {scores.max():g}."
        )
    return scores
