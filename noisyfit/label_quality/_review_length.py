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


def _probabilities(noise_scores: npt.ArrayLike) -> np.ndarray:
    scores = check_array(noise_scores, ensure_2d=False, dtype=np.float64, input_name="noise_scores")
    if scores.ndim != 1 or scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "noise_scores must be a vector of probabilities, in [0, 1]. Got an array of shape "
            f"{scores.shape} with values from {scores.min():g} to {scores.max():g}."
        )
    return scores
