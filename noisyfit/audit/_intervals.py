"""Bounds of shares and of ratios from moments of a sample, and exact ones of a simple sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit
from scipy.stats import hypergeom

if TYPE_CHECKING:
    from collections.abc import Callable


class Estimate(NamedTuple):
    """A number that was estimated, and the interval that holds it with the stated confidence.

    Examples
    --------
    >>> from noisyfit.audit import Audit
    >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [True, False], rows=[1, 2])
    >>> audit.noise_rate
    Estimate(value=0.5, low=0.25, high=0.75)
    >>> print(audit.noise_rate)
    0.5 (0.25 to 0.75)
    """

    value: float
    """What is most plausible; NaN where no verified row says anything of it."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def as_estimate(value: float, low: float, high: float) -> Estimate:
    """Return plain numbers; rounding does not put a value outside of its interval.

    Parameters
    ----------
    value, low, high : float
        The value may be NaN.

    Returns
    -------
    Estimate
    """
    high = float(high)
    low = min(float(low), high)  # which rounding may put beyond it
    inside = float(min(max(value, low), high)) if value == value else float("nan")
    return Estimate(inside, low, high)


class Moments(NamedTuple):
    """What a sample says of the share of wrong labels in several domains, an entry for each."""

    size: np.ndarray
    """Rows of the domain."""
    share: np.ndarray
    """Estimated share of wrong labels; 0 where no row was verified."""
    variance: np.ndarray
    """Estimated variance of the share."""
    step: np.ndarray
    """What one more wrong label would add to the share where the sample is thinnest."""
    unseen_wrong: np.ndarray
    """Square root of the largest square of such a step times the share of right labels in its
    stratum: the standard deviation that one more wrong label there has, and the sample may hide."""
    unseen_right: np.ndarray
    """The same for one more right label."""
    freedom: np.ndarray
    """Degrees of freedom of the variance."""
    n: np.ndarray
    """Verified rows."""
    wrong: np.ndarray
    """Verified rows whose label is wrong."""
    simple: bool
    """Whether the verified rows of a domain are a simple random sample of it, and nothing else."""

    def of_one(self, index: int) -> Moments:
        """Return those of one domain, as arrays of one entry."""
        one = slice(index, index + 1)
        return self._replace(
            **{name: value[one] for name, value in self._asdict().items() if name != "simple"}
        )


def bounds(moments: Moments, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return one-sided bounds of the shares, from below and from above.

    Parameters
    ----------
    moments : Moments
        Of k domains.
    tail : float
        Probability that a bound is on the wrong side.

    Returns
    -------
    low, high : ndarray of shape (k,), in [0, 1]

    Notes
    -----
    Exact hypergeometric bounds for simple random samples. Else bounds of Clopper and Pearson at the
    effective size of the sample, after Korn and Graubard, where one more wrong label counts as much
    as the largest weight, after Fay and Feuer. Both are Clopper and Pearson's where all weights are
    equal. No bound contradicts what was verified.
    """
    size = np.maximum(moments.size, 1)
    least = moments.wrong / size
    most = np.maximum(1 - (moments.n - moments.wrong) / size, least)  # but for rounding
    if moments.simple:
        low, high = _hypergeometric(moments, tail)
    else:
        low, high = loose_bounds(moments, tail)
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    return np.where(moments.n > 0, low, 0.0), np.where(moments.n > 0, high, 1.0)


def unseen_errors(moments: Moments, tail: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many labels are wrong among the rows of each domain that were not verified.

    Parameters
    ----------
    moments : Moments
        Of k domains.
    tail : float
        Probability that a bound is on the wrong side.

    Returns
    -------
    value, low, high : ndarray of shape (k,)
        The estimate and its bounds.
    """
    low, high = bounds(moments, tail)
    unseen = moments.size - moments.n
    value, low, high = (
        np.clip(share * moments.size - moments.wrong, 0, unseen)
        for share in (moments.share, low, high)
    )
    return value, low, high


def loose_bounds(moments: Moments, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds at the effective size, even where what was verified contradicts them.

    Parameters
    ----------
    moments : Moments
        Of k domains.
    tail : float
        Probability that a bound is on the wrong side.

    Returns
    -------
    low, high : ndarray of shape (k,), in [0, 1]
    """
    freedom = np.maximum(moments.freedom, 1)
    variance = moments.variance * (stdtrit(freedom, tail) / ndtri(tail)) ** 2
    share = np.clip(moments.share, 0, 1)
    low = 1 - _upper(1 - share, variance, moments.step, moments.unseen_right, tail)
    high = _upper(share, variance, moments.step, moments.unseen_wrong, tail)
    # What the scores say is not enough: that there are wrong labels is known once one was found.
    return np.where(moments.wrong > 0, low, 0.0), np.where(moments.wrong < moments.n, high, 1.0)


def _upper(
    share: np.ndarray, variance: np.ndarray, step: np.ndarray, unseen: np.ndarray, tail: float
) -> np.ndarray:
    rest, spread = np.maximum(1 - share, 0), variance + unseen**2
    with np.errstate(divide="ignore", invalid="ignore"):
        size = (share + step) * rest * (1 + step) / spread
        mean = (share + step) / (1 + step)
        high = betaincinv(size * mean, size * (1 - mean), 1 - tail)
    # None is left, or nothing varies: but for rounding, of which the quantile would be NaN.
    none, known = rest < 1e-12, (spread < 1e-15) | (share + step < 1e-12)
    return np.where(none, 1.0, np.where(known, share, high))


def _hypergeometric(moments: Moments, tail: float) -> tuple[np.ndarray, np.ndarray]:
    size, n, wrong = (
        np.asarray(a).astype(np.int64) for a in (moments.size, moments.n, moments.wrong)
    )
    # The largest number in all with which so few would be found no more often than `tail` allows.
    high = _largest(lambda count: hypergeom.cdf(wrong, size, count, n) > tail, wrong, size)
    right = n - wrong
    low = size - _largest(lambda count: hypergeom.cdf(right, size, count, n) > tail, right, size)
    size = np.maximum(size, 1)
    return low / size, high / size


def _largest(
    holds: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the largest numbers for which a condition holds that holds from `low` to there."""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        good = holds(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle - 1)
        high = np.maximum(low, high)
    return low


def ratio_bounds(
    a: np.ndarray,
    a_low: np.ndarray,
    a_high: np.ndarray,
    b: np.ndarray,
    b_low: np.ndarray,
    b_high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of a / (a + b) from bounds of a and of b.

    Parameters
    ----------
    a, a_low, a_high, b, b_low, b_high : ndarray of shape (k,)
        Two estimates that hardly depend on each other, neither below 0, and their bounds. These
        measure how far the estimates may be off, and must not be cut at what is known: a distance
        that is cut would leave no room for that of the other.

    Returns
    -------
    low, high : ndarray of shape (k,), in [0, 1]

    Notes
    -----
    The method of variance estimates recovery for a ratio, of Donner and Zou (2012): a share r is
    inside if (1 - r) a - r b may be 0, where the distances of a and of b from their bounds add up
    as standard errors do.
    """
    low = _least_odds(a, b, a - a_low, b_high - b)
    # The other way round, what is most for a is least for b.
    high = _least_odds(b, a, b - b_low, a_high - a)
    return 1 - 1 / (1 + low), 1 / (1 + high)


def _least_odds(a: np.ndarray, b: np.ndarray, da: np.ndarray, db: np.ndarray) -> np.ndarray:
    """Return the least x with (a - x b)^2 = da^2 + x^2 db^2: the lower bound of a / b."""
    square, middle, constant = b**2 - db**2, a * b, a**2 - da**2
    below = middle + np.sqrt(np.maximum(middle**2 - square * constant, 0))
    # This form of the root holds for square = 0, too. Nothing of b is possible where below is 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(constant > 0, constant / below, 0.0)
