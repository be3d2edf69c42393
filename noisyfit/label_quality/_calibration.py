"""From a ranking to probabilities: break ties, then calibrate on yes-or-no verdicts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit

# Bounds of a and b in the fit, and of b when it is moved so that the mean is the given rate.
_SLOPES = (1.0, 10.0)
_OFFSETS = (-12.0, 12.0)
_RATE_OFFSETS = (-20.0, 20.0)


def break_ties(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Separate tied values by a second criterion; the order of distinct values stays.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Values to separate, typically with few distinct ones.
    order : ndarray of shape (n_samples,)
        Second criterion, which orders equal values; only its ranks count.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Each moved by less than half the distance to the nearest other value.

    Examples
    --------
    >>> import numpy as np
    >>> break_ties(np.array([2.0, 0.0, 2.0]), np.array([0.1, 0.5, 0.9])).round(2)
    array([1.2, 0. , 2.8])
    """
    levels, level = np.unique(values, return_inverse=True)
    if len(levels) == 1:
        gap = np.ones(1)
    else:
        gaps = np.diff(levels)
        gap = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    _, rank = np.unique(order, return_inverse=True)
    middle = max(rank.max() / 2, 0.5)
    return values + 0.4 * gap[level] * (rank / middle - 1 if rank.max() else 0.0)


def calibrate(scores: np.ndarray, wrong: np.ndarray, rate: float | None = None) -> np.ndarray:
    r"""Turn scores into probabilities by a logistic curve fitted to yes-or-no verdicts.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Higher means more suspicious.
    wrong : ndarray of shape (n_samples,), bool
        Verdict on each row: True where its label is taken for wrong.
    rate : float or None, default=None
        Mean that the probabilities should have; None: that of `wrong`.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Strictly increasing in `scores`, in (0, 1); their mean is close to `rate`.

    Notes
    -----
    Platt scaling: :math:`p = 1/(1 + e^{-(a s + b)})` by maximum likelihood on the smoothed targets
    :math:`(n_1 + 1)/(n_1 + 2)` and :math:`1/(n_0 + 2)`. The scores are scaled to [-1, 1] first, and
    a is kept in [1, 10]: neither verdicts that do not depend on the scores nor verdicts that the
    scores separate perfectly flatten the ranking. A given rate moves b, as a change of prior does.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> p = calibrate(np.array([-3.0, -2.0, -1.0, 4.0]), np.array([False, False, False, True]))
    >>> bool(p[3] > 0.5 > p[2] > p[1] > p[0])
    True
    """
    low, high = scores.min(), scores.max()
    s = (scores - low) / (high - low) * 2 - 1 if high > low else np.zeros(len(scores))
    n_wrong = int(np.count_nonzero(wrong))
    target = np.where(wrong, (n_wrong + 1) / (n_wrong + 2), 1 / (len(wrong) - n_wrong + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = parameters[0] * s + parameters[1]
        residual = expit(z) - target
        value = -np.mean(target * log_expit(z) + (1 - target) * log_expit(-z))
        return value, np.array([np.mean(residual * s), np.mean(residual)])

    fit = minimize(loss, x0=[3.0, 0.0], jac=True, bounds=[_SLOPES, _OFFSETS], method="L-BFGS-B")
    slope, offset = fit.x
    if rate is not None:
        excess = [expit(slope * s + b).mean() - rate for b in _RATE_OFFSETS]
        if excess[0] < 0 < excess[1]:
            offset = brentq(lambda b: expit(slope * s + b).mean() - rate, *_RATE_OFFSETS)
        else:
            offset = _RATE_OFFSETS[int(excess[1] <= 0)]
    return expit(slope * s + offset)


def calibrate_judged(
    scores: np.ndarray, wrong: np.ndarray, rate: float, trusted: np.ndarray
) -> np.ndarray:
    """Calibrate the scores of rows that nobody verified; trusted labels are right.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Higher means more suspicious; those of trusted rows do not count.
    wrong : ndarray of shape (n_samples,), bool
        Verdict on each row.
    rate : float
        Proportion of wrong labels among the rows that nobody verified.
    trusted : ndarray of shape (n_samples,), bool
        Rows whose label was verified.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Probabilities as of `calibrate`; 0 for trusted rows.

    Examples
    --------
    >>> import numpy as np
    >>> wrong, trusted = np.array([True, False, False]), np.array([False, False, True])
    >>> p = calibrate_judged(np.array([3.0, 1.0, 2.0]), wrong, 0.5, trusted)
    >>> bool(p[0] > p[1] > p[2] == 0)
    True
    """
    probabilities, judged = np.zeros(len(trusted)), ~trusted
    if judged.any():
        probabilities[judged] = calibrate(scores[judged], wrong[judged], rate)
    return probabilities
