"""What noise scores say about a data set: the transition matrix, and how far a review must go."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array


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

    The matrix itself, of the size of the classes squared, is not made.

    Parameters
    ----------
    given, predicted, noise_scores : array-like of shape (n_samples,)
        As for `estimate_transition_matrix`.
    n_confusions : int, default=5
        How many at most.
    min_share : float, default=0.005
        Entries below are left out.

    Returns
    -------
    list of tuple
        True class, given label, and the share of the class that was given the label.

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
    n_rejected: int,
    n_trusted: int,
    noise_rate: float,
    confusions: list[tuple[int, int, float]],
) -> str:
    """Describe the labels of a data set in a few lines.

    Parameters
    ----------
    name : str
        Of the estimator.
    classes : ndarray of shape (n_classes,)
    noise_scores : ndarray of shape (n_samples,)
    n_rejected, n_trusted : int
    noise_rate : float
    confusions : list of tuple
        Of `frequent_confusions`.

    Returns
    -------
    str

    Examples
    --------
    >>> print(summarise("MILDSelector", ["cat", "dog"], [0.9, 0.1, 0.0, 0.0], 1, 0, 0.25,
    ...     [(1, 0, 0.3)]))
    MILDSelector on 4 labels of 2 classes
    Wrong by estimate: about 1 (25.0 %). Rejected: 1.
    Review the 1 most suspicious rows to find about 90 % of the errors, the 2 for 95 %.
    Most frequent confusions (true class -> given label):
      dog -> cat: 30.0 % of the rows that are dog
    """
    n_rows = len(noise_scores)
    lines = [
        f"{name} on {n_rows:,} labels of {len(classes)} classes",
        f"Wrong by estimate: about {round(noise_rate * n_rows):,} ({_percent(noise_rate)}). "
        f"Rejected: {n_rejected:,}.",
    ]
    n_wrong, by_score = noise_rate * n_rows, int((np.asarray(noise_scores) > 0.5).sum())
    if abs(n_rejected - n_wrong) > max(0.25 * n_wrong, 10):
        more = "more" if n_rejected > n_wrong else "fewer"
        lines.append(
            f"It has rejected many {more} than it takes for wrong: decide by the scores, of which "
            f"{by_score:,} are above one half."
        )
    if n_trusted:
        lines.append(f"Trusted: {n_trusted:,}, taken as right.")
    if not np.any(noise_scores):
        return "\n".join([*lines, "No label is suspicious."])
    lines.append(
        f"Review the {review_length(noise_scores, 0.9):,} most suspicious rows to find about 90 % "
        f"of the errors, the {review_length(noise_scores, 0.95):,} for 95 %."
    )
    if confusions:
        lines.append("Most frequent confusions (true class -> given label):")
    for true, label, share in confusions:
        of = f"{_percent(share)} of the rows that are {classes[true]}"
        lines.append(f"  {classes[true]} -> {classes[label]}: {of}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


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


def _probabilities(noise_scores: npt.ArrayLike) -> np.ndarray:
    scores = check_array(noise_scores, ensure_2d=False, dtype=np.float64, input_name="noise_scores")
    if scores.ndim != 1 or scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "noise_scores must be a vector of probabilities, in [0, 1]. Got an array of shape "
            f"{scores.shape} with values from {scores.min():g} to {scores.max():g}."
        )
    return scores
