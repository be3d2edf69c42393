"""Two-component location-scale mixtures on weighted values: the mathematics of `noisyfit.mixture`.

Pure functions, for `_base.py` and `_mixtures.py`. The density of a component is
``kernel((t - location) / spread) / spread``. The normal density is one with ``t = x``; the Weibull
density is one with ``t = log(x)``, ``location = log(scale)`` and ``spread = 1 / shape``, because
the logarithm of a Weibull variable has the smallest-extreme-value (Gumbel) density. Both families
therefore share one likelihood and one gradient. Weights ``w`` sum to one, values ``t`` ascend.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp, softmax
from threadpoolctl import ThreadpoolController

# exp(100) = 3e43 is as good as infinity for a density, and its products stay finite.
MAX_EXPONENT = 100.0
# Beyond the logarithm of any positive double.
LARGEST_LOG = 800.0
# A projected gradient of the mean log-likelihood below this counts as zero: a line search that
# ends in rounding errors this close to the optimum has converged.
FLAT = 1e-5


class Family(NamedTuple):
    """The functions of ``z = (t - location) / spread`` that define a location-scale family."""

    log_kernel: Callable[[np.ndarray], np.ndarray]
    score: Callable[[np.ndarray], np.ndarray]  # derivative of log_kernel
    difference: Callable[[np.ndarray, np.ndarray], np.ndarray]  # log_kernel(z2) - log_kernel(z1)
    maximize: Callable[..., np.ndarray]  # (t, w, spreads) -> maximum-likelihood (location, spread)
    turning_point: Callable[[np.ndarray, np.ndarray], float]  # of the log odds of two components


class Solution(NamedTuple):
    """A local maximum of the likelihood, or the parameters from which one is searched for."""

    locations: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray
    log_likelihood: float = np.nan  # mean over the weight, in units of t
    n_iter: int = 0
    converged: bool = True


def _fit_gumbel(t: np.ndarray, w: np.ndarray, spreads: tuple[float, float]) -> np.ndarray:
    # Profile likelihood of a Weibull: the scale has a closed form given the shape, which solves
    # sum(w x^b log x) / sum(w x^b) - 1 / b = mean(log x); the left side rises with b.
    t, w = t[w > 0], w[w > 0] / w.sum()
    log_w, mean = np.log(w), w @ t

    def slope(shape: float) -> float:
        return float(softmax(shape * t + log_w) @ t - mean - 1 / shape)

    low, high = 1 / spreads[1], 1 / spreads[0]
    if slope(low) >= 0:
        shape = low
    elif slope(high) <= 0:
        shape = high
    else:
        shape = brentq(slope, low, high, xtol=1e-12, rtol=1e-12)
    return np.array([logsumexp(shape * t + log_w) / shape, 1 / shape])


def _gumbel_difference(z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
    # exp(z1) - exp(z2) by expm1, so that its sign survives where both exponentials overflow.
    gap = z1 - z2
    largest = np.exp(np.minimum(np.maximum(z1, z2), 700.0))
    return -gap - np.sign(gap) * largest * np.expm1(-np.abs(gap))


def _gumbel_turning_point(locations: np.ndarray, spreads: np.ndarray) -> float:
    # The slope of the log odds, (1 - exp(z2)) / s2 - (1 - exp(z1)) / s1, starts at the left with
    # the sign of 1/s2 - 1/s1, has its only extremum where exp(z2) / s2^2 = exp(z1) / s1^2 and
    # changes sign exactly once, to the right of it.
    b = 1 / spreads
    rise = b[1] - b[0]
    if rise == 0:
        return np.nan
    log_ratio = 2 * np.log(b[0] / b[1])
    low = (log_ratio + b[1] * locations[1] - b[0] * locations[0]) / rise

    def slope(t: float) -> float:  # times a positive factor that keeps it finite
        z = b * (t - locations)
        top = max(z.max(), 0.0)
        grown = b * np.exp(z - top)
        return float(np.sign(rise) * (rise * np.exp(-top) + grown[0] - grown[1]))

    low = max(low, -LARGEST_LOG)
    if low >= LARGEST_LOG or slope(low) <= 0 or slope(LARGEST_LOG) >= 0:
        return np.nan  # it turns where no double has its logarithm
    return float(brentq(slope, low, LARGEST_LOG, maxiter=1000))


def _fit_normal(t: np.ndarray, w: np.ndarray, spreads: tuple[float, float]) -> np.ndarray:
    w = w / w.sum()
    mean = w @ t
    return np.array([mean, np.clip(np.sqrt(w @ (t - mean) ** 2), *spreads)])


def _normal_turning_point(locations: np.ndarray, spreads: np.ndarray) -> float:
    # The log odds of two normals are a parabola (a line if the spreads are equal).
    precision = spreads.astype(float) ** -2
    if precision[0] == precision[1]:
        return np.nan
    gap = precision[1] * (locations[1] - locations[0])
    return float(locations[0] + gap / (precision[1] - precision[0]))


GUMBEL = Family(
    log_kernel=lambda z: z - np.exp(np.minimum(z, MAX_EXPONENT)),
    score=lambda z: 1 - np.exp(np.minimum(z, MAX_EXPONENT)),
    difference=_gumbel_difference,
    maximize=_fit_gumbel,
    turning_point=_gumbel_turning_point,
)
NORMAL = Family(
    log_kernel=lambda z: -0.5 * z**2 - 0.5 * np.log(2 * np.pi),
    score=lambda z: -z,
    difference=lambda z1, z2: 0.5 * (z1 - z2) * (z1 + z2),
    maximize=_fit_normal,
    turning_point=_normal_turning_point,
)


def kde_chord_split(x: np.ndarray, w: np.ndarray, n_rows: float) -> float:
    """Return the value where a kernel density estimate lies furthest below a chord.

    The chords run from the highest peak of the density to its values at both ends of the data. The
    peak is searched for on 100 points from 20 % below to 20 % above the range. SciPy's
    `gaussian_kde` has no frequency weights: it would take its bandwidth from the number of distinct
    values.
    """
    v = (x - x[0]) / (x[-1] - x[0])
    width = n_rows**-0.2 * np.sqrt(w @ (v - w @ v) ** 2 * n_rows / (n_rows - 1))

    def density(points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((points[:, None] - v) / width) ** 2) @ w

    grid = np.linspace(-0.2, 1.2, 100)
    peak = grid[np.argmax(density(grid))]
    gaps = []
    for end in (1.0, 0.0):  # the right side is kept unless the gap at the left is larger
        line = np.linspace(end, peak, 100)
        height = density(line)
        gap = np.abs(height - np.linspace(height[0], height[-1], 100))
        gaps.append((gap.max(), line[np.argmax(gap)]))
    _, divide = max(gaps, key=lambda gap: gap[0])
    return float(x[0] + divide * (x[-1] - x[0]))


def starting_splits(x: np.ndarray, w: np.ndarray, n_rows: float) -> list[int]:
    """Return, for each start, how many of the values go left: KDE split, then quantiles."""
    splits = [int(np.searchsorted(x, kde_chord_split(x, w, n_rows)))]
    splits += [int(i) for i in np.searchsorted(np.cumsum(w), (0.2, 0.5, 0.8)) + 1]
    side = 2 if len(x) >= 4 else 1
    return list(dict.fromkeys(min(max(k, side), len(x) - side) for k in splits))


def log_joint(
    t: np.ndarray, family: Family, locations: np.ndarray, spreads: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return log(weight * density) of each component, shape (2, n)."""
    z = (t - locations[:, None]) / spreads[:, None]
    with np.errstate(divide="ignore"):  # a weight of exactly 0
        return np.log(weights / spreads)[:, None] + family.log_kernel(z)


def negative_log_likelihood(
    theta: np.ndarray, t: np.ndarray, w: np.ndarray, family: Family
) -> tuple[float, np.ndarray]:
    """Return the mean negative log-likelihood of Eq. 5 and its gradient.

    ``theta`` is (location 1, log spread 1, location 2, log spread 2, logit of weight 2).
    """
    locations, spreads = theta[0:4:2], np.exp(theta[1:4:2])
    weights = np.exp(-np.logaddexp(0, [theta[4], -theta[4]]))
    joint = log_joint(t, family, locations, spreads, weights)
    total = np.logaddexp(joint[0], joint[1])
    weight = w * np.exp(joint - total)
    z = (t - locations[:, None]) / spreads[:, None]
    psi = family.score(z)
    grad = np.empty(5)
    grad[0:4:2] = (weight * psi).sum(1) / spreads
    grad[1:4:2] = (weight * (1 + z * psi)).sum(1)
    grad[4] = weights[1] - weight[1].sum()
    return float(-w @ total), grad


def maximize_likelihood(
    t: np.ndarray,
    w: np.ndarray,
    family: Family,
    start: Solution,
    *,
    spreads: tuple[float, float],
    min_weight: float,
    max_iter: int,
    tol: float,
) -> Solution:
    """Maximize the joint likelihood by bounded quasi-Newton steps."""
    # The location bounds exclude nothing: where the gradient vanishes a location is a (power)
    # mean of the values under the component.
    location, spread = (t[0], t[-1]), tuple(np.log(spreads))
    logit = np.log(1 / min_weight - 1)
    theta = np.empty(5)
    theta[0:4:2], theta[1:4:2] = start.locations, np.log(start.spreads)
    theta[4] = np.log(start.weights[1] / start.weights[0])
    bounds = np.array([location, spread, location, spread, (-logit, logit)])
    # SciPy hands 5 x 5 systems to a threaded LAPACK: its threads cost ten times what they save.
    with _threadpools().limit(limits=1, user_api="blas"):
        result = minimize(
            negative_log_likelihood,
            theta,  # SciPy moves it into the bounds
            args=(t, w, family),
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": max_iter, "ftol": tol, "gtol": 1e-9},
        )
    step = np.clip(result.x - result.jac, *bounds.T) - result.x
    return Solution(
        result.x[0:4:2],
        np.exp(result.x[1:4:2]),
        np.exp(-np.logaddexp(0, [result.x[4], -result.x[4]])),
        float(-result.fun),
        int(result.nit),
        bool(result.success or np.abs(step).max() < FLAT),
    )


@cache
def _threadpools() -> ThreadpoolController:
    """Look for the libraries with threads once: it takes as long as a small fit."""
    return ThreadpoolController()


def log_odds(
    t: np.ndarray, family: Family, locations: np.ndarray, spreads: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the log odds of component 2; in tails where both densities underflow, too."""
    z = (t - locations[:, None]) / spreads[:, None]
    with np.errstate(divide="ignore"):
        prior = np.diff(np.log(weights) - np.log(spreads))[0]
    return prior + family.difference(z[0], z[1])


def hold(t: np.ndarray, family: Family, locations: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Move `t` to the side of the turning point where the log odds rise.

    The log odds of two components turn at most once: down at the right if component 2 is the
    narrower, up at the left if it is the wider.
    """
    turn = family.turning_point(locations, spreads)
    if np.isnan(turn):
        return t
    return np.minimum(t, turn) if spreads[1] < spreads[0] else np.maximum(t, turn)
