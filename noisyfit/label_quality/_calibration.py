"""From a ranking to probabilities: break ties, then calibrate on yes-or-no verdicts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit, logit, ndtri
from scipy.stats import rankdata
from sklearn.utils import gen_batches

# Bounds of a and b in the fit, and of b when it is moved so that the mean is the given rate.
_SLOPES = (1.0, 10.0)
_OFFSETS = (-12.0, 12.0)
_RATE_OFFSETS = (-20.0, 20.0)
_FARTHEST = 60.0  # logits by which a curve is moved at most after it was made steeper or flatter
_STEEPER = (0.3, 3.0)
"""Bounds of what a slope is multiplied with."""
_GRID = 4_000
"""Rows that a slope is found on."""
_BLOCK = 2**16
"""Rows that are computed at a time."""


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
    levels, level = _distinct(values)
    if len(levels) == 1:
        gap = np.ones(1)
    else:
        gaps = np.diff(levels)
        gap = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    moved = 0.4 * gap[level]
    del levels, level, gap  # there may be as many as rows, which may be more than memory
    rank = _distinct(order)[1]
    last = rank.max()
    moved *= rank / max(last / 2, 0.5) - 1 if last else 0.0
    moved += values
    return moved


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values and the place of each row's, as `np.unique` in half the memory."""
    order = np.argsort(values)
    ordered = values[order]
    new = np.ones(len(values), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    levels = ordered[new]
    del ordered
    place: np.ndarray = np.empty(len(values), np.int32 if len(values) < 2**31 else np.int64)
    place[order] = np.cumsum(new, dtype=place.dtype)
    place -= 1
    return levels, place


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Replace values by the quantiles of a normal distribution at their ranks.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Ties share their mean rank.

    Returns
    -------
    ndarray of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> normal_scores(np.array([5.0, 1.0, 7.0])).round(2)
    array([ 0.  , -0.97,  0.97])
    """
    return ndtri((rankdata(values) - 0.5) / len(values))


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
    s = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    s *= 2
    s -= 1
    n_wrong = int(np.count_nonzero(wrong))
    if_wrong, if_right = (n_wrong + 1) / (n_wrong + 2), 1 / (len(wrong) - n_wrong + 2)
    # Sums are of all rows at once, as their rounding depends on that; all else is done by blocks.
    values, residual = np.empty(len(s)), np.empty(len(s))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        for rows in gen_batches(len(s), _BLOCK):
            z, target = parameters[0] * s[rows], np.where(wrong[rows], if_wrong, if_right)
            z += parameters[1]
            residual[rows] = expit(z) - target
            values[rows] = target * log_expit(z) + (1 - target) * log_expit(-z)
        value = -values.mean()
        return value, np.array([np.multiply(residual, s, out=values).mean(), residual.mean()])

    def curve(slope: float, offset: float) -> np.ndarray:
        np.multiply(slope, s, out=values)
        np.add(values, offset, out=values)
        return expit(values, out=values)

    fit = minimize(loss, x0=[3.0, 0.0], jac=True, bounds=[_SLOPES, _OFFSETS], method="L-BFGS-B")
    slope, offset = fit.x
    if rate is not None:
        excess = [curve(slope, b).mean() - rate for b in _RATE_OFFSETS]
        if excess[0] < 0 < excess[1]:
            offset = brentq(lambda b: curve(slope, b).mean() - rate, *_RATE_OFFSETS)
        else:
            offset = _RATE_OFFSETS[int(excess[1] <= 0)]
    return curve(slope, offset)


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
    if not trusted.any():  # without a copy of the scores
        return calibrate(scores, wrong, rate)
    probabilities, judged = np.zeros(len(trusted)), ~trusted
    if judged.any():
        probabilities[judged] = calibrate(scores[judged], wrong[judged], rate)
    return probabilities


def with_length(probabilities: np.ndarray, length: float, share: float) -> np.ndarray:
    r"""Make the curve of probabilities steeper or flatter, so that errors lie where they should.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples,)
        In [0, 1].
    length : float
        Proportion of the rows, the most suspicious, that hold `share` of the errors.
    share : float
        Proportion of the errors, in (0, 1).

    Returns
    -------
    ndarray of shape (n_samples,)
        In the same order, with the same mean. As they are where less than half an error is
        expected.

    Notes
    -----
    A logistic curve has two parameters. Platt scaling takes both from verdicts, of which the scores
    themselves are made, and so is too sure. Here one follows from the noise rate, as before, and
    the other, a, from what is known of the ranking: with the logits z, the largest `length` of the
    :math:`1/(1 + e^{-(a z + b)})` sum to `share` of all. a is kept in [0.3, 3].

    Examples
    --------
    >>> import numpy as np
    >>> p = np.linspace(0.05, 0.95, 10)
    >>> with_length(p, 0.6, 0.9).round(2)
    array([0.01, 0.06, 0.15, 0.28, 0.42, 0.58, 0.72, 0.85, 0.94, 0.99])
    """
    n_samples, mean = len(probabilities), probabilities.mean()
    if mean * n_samples < 0.5:
        return probabilities
    z = logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
    ranks = np.linspace(0, n_samples - 1, min(n_samples, _GRID)).round().astype(int)
    few = np.sort(z)[::-1][ranks]
    n_first = max(1, round(length * len(few)))

    def missing(log_slope: float) -> float:
        p = moved_to(np.exp(log_slope) * few, mean)
        return share - p[:n_first].sum() / p.sum()

    flat, steep = np.log(_STEEPER)
    if missing(flat) <= 0:
        log_slope = flat
    elif missing(steep) >= 0:
        log_slope = steep
    else:
        log_slope = brentq(missing, flat, steep, xtol=1e-3)
    return moved_to(np.exp(log_slope) * z, mean)


def moved_to(z: np.ndarray, mean: float) -> np.ndarray:
    """Return probabilities with a given mean, by adding one number to all logits.

    Parameters
    ----------
    z : ndarray of shape (n_samples,)
        Finite logits.
    mean : float
        In (0, 1).

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    far = np.abs(z).max() + _FARTHEST
    return expit(z + brentq(lambda b: expit(z + b).mean() - mean, -far, far, xtol=1e-9))
