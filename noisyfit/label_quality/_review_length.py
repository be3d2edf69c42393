"""How many rows a review has to look at, and a summary of the labels in words."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array


def expected_errors_found(noise_scores: npt.ArrayLike) -> np.ndarray:
    """Compute the expected proportion of all wrong labels among the most suspicious rows.

    Parameters
    ----------
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.

    Returns
    -------
    ndarray of shape (n_samples + 1,), float64
        Entry n is the proportion of the wrong labels that a review of the n highest scores is
        expected to find. It rises from 0 to 1; where no label is expected to be wrong all entries
        are 1.

    Examples
    --------
    >>> expected_errors_found([0.1, 0.9, 0.0])
    array([0. , 0.9, 1. , 1. ])
    """
    scores = np.sort(_probabilities(noise_scores))[::-1]
    found = np.r_[0.0, scores.cumsum()]
    return found / found[-1] if found[-1] > 0 else np.ones_like(found)


def review_length(noise_scores: npt.ArrayLike, share: float = 0.9) -> int:
    """Count the most suspicious rows that a review needs, to find a proportion of the errors.

    Parameters
    ----------
    noise_scores : array-like of shape (n_samples,)
        Probability that each given label is wrong.
    share : float, default=0.9
        Proportion of all wrong labels that is expected to be found, in [0, 1].

    Returns
    -------
    int
        Number of rows, those of the highest scores.

    Examples
    --------
    >>> review_length([0.1, 0.9, 0.0], share=0.9), review_length([0.1, 0.9, 0.0], share=0.95)
    (1, 2)
    """
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number in [0, 1]. Got {share!r}.")
    found = expected_errors_found(noise_scores)
    return int(np.searchsorted(found, min(share, found[-1]) - 1e-12))


def summarize(
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
        Name of the estimator.
    classes : ndarray of shape (n_classes,)
        Names of the classes.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    n_rejected, n_trusted : int
        Numbers of rows whose label was rejected, and of trusted rows.
    noise_rate : float
        Estimated proportion of wrong labels.
    confusions : list of tuple
        Result of `frequent_confusions`.

    Returns
    -------
    str
        Lines of text without a line end after the last one.

    Examples
    --------
    >>> print(summarize("MILDSelector", ["cat", "dog"], [0.9, 0.1, 0.0, 0.0], 1, 0, 0.25,
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
        (
            f"Wrong by estimate: about {round(noise_rate * n_rows):,} ({_percent(noise_rate)}). "
            f"Rejected: {n_rejected:,}."
        ),
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


def _probabilities(noise_scores: npt.ArrayLike) -> np.ndarray:
    scores = check_array(noise_scores, ensure_2d=False, dtype=np.float64, input_name="noise_scores")
    if scores.ndim != 1 or scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "noise_scores must be a vector of probabilities, in [0, 1]. Got an array of shape "
            f"{scores.shape} with values from {scores.min():g} to {scores.max():g}."
        )
    return scores
