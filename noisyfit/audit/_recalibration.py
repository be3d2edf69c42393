"""Scores turned into probabilities by the verified rows, and how far they are from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

if TYPE_CHECKING:
    from noisyfit.audit._design import Design

_FOLDS, _BINS = 5, 10
_RIDGE, _INTERCEPT = 0.1, 0.01
"""Penalties of the slopes and of the intercept: none where rows tell something, and a finite
solution where wrong labels have all the highest scores, or none was found."""
_NEAREST = 1e-4
"""Scores nearer to 0 or 1 count as this near: 0 and 1 have no logit."""


class CalibrationError(NamedTuple):
    """Expected calibration error, as the verified rows have it.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.audit import Audit, sample
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.random(2000)
    >>> is_wrong = rng.random(2000) < scores**4  # the scores are far too high
    >>> drawn = sample(scores, 300, random_state=0)
    >>> error = Audit(scores, None, is_wrong[drawn.rows], drawn).calibration_error()
    >>> error.before > 0.2, error.after < 0.1
    (True, True)
    """

    before: float
    """Of the scores as they were."""
    after: float
    """Of the recalibrated ones; each verified row by a map that was fitted without it."""
    by_chance: float
    """What would be expected if the recalibrated scores were right: few rows leave some."""


def recalibrate(design: Design, *, exact: bool = True) -> np.ndarray:
    """Turn the scores of all rows into probabilities.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.
    exact : bool, default=True
        Whether verified rows get what was found, and not what their score says.

    Returns
    -------
    ndarray of shape (n_rows,), in [0, 1]
    """
    rows = np.arange(len(design.rows))
    scores = _fitted(design, rows, design.scores)
    if exact:
        scores[design.rows] = design.wrong
    return scores


def calibration_error(design: Design) -> CalibrationError:
    """Estimate the expected calibration error before and after.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.

    Returns
    -------
    CalibrationError
    """
    n = len(design.rows)
    before, after = design.scores[design.rows], np.empty(n)
    # Rows of a stratum in turn, so that each fold has some of each.
    fold = np.empty(n, dtype=np.int64)
    fold[np.argsort(design.strata[design.rows], kind="stable")] = np.arange(n) % min(_FOLDS, n)
    for k in range(min(_FOLDS, n)):
        others, these = np.flatnonzero(fold != k), fold == k
        after[these] = _fitted(design, others, before[these])
    weights, z = design.weights, design.wrong
    bins = _bins(after)
    spread = np.bincount(bins, weights=weights**2 * after * (1 - after), minlength=_BINS)
    chance = np.sqrt(2 / np.pi * spread).sum() / weights.sum()
    return CalibrationError(_error(before, z, weights), _error(after, z, weights), float(chance))


def _error(p: np.ndarray, z: np.ndarray, weights: np.ndarray) -> float:
    gaps = np.bincount(_bins(p), weights=weights * (z - p), minlength=_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def _bins(p: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.linspace(0, 1, _BINS + 1)[1:-1], p)


def _fitted(design: Design, chosen: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the probabilities that some verified rows give to scores.

    Logistic regression on the logit of the score, which is Platt's, and on the score itself;
    neither may lower a probability as the score rises, so that the order stays.
    """
    rows, z = design.rows[chosen], design.wrong[chosen]
    weights = design.weights[chosen] / design.weights[chosen].mean()
    features = _features(design.scores[rows])
    centre = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=weights))
    scale = np.where(spread > 1e-9, spread, np.inf)
    U = (features - centre) / scale

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        eta, penalty = theta[0] + U @ theta[1:], np.array([_INTERCEPT, _RIDGE, _RIDGE])
        g = weights * (expit(eta) - z)
        value = (weights * (np.logaddexp(0, eta) - z * eta)).sum() + penalty @ theta**2 / 2
        return value, np.r_[g.sum(), U.T @ g] + penalty * theta

    bounds = [(None, None), (0, None), (0, None)]
    theta = minimize(loss, np.r_[0.0, 1.0, 1.0], jac=True, bounds=bounds, method="L-BFGS-B").x
    return np.asarray(expit(theta[0] + (_features(scores) - centre) / scale @ theta[1:]))


def _features(scores: np.ndarray) -> np.ndarray:
    return np.stack([logit(np.clip(scores, _NEAREST, 1 - _NEAREST)), scores], axis=1)
