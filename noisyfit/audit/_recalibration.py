"""Scores turned into probabilities by the verified rows, and how far they are from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from noisyfit.audit._design import FEWEST_OF_A_KIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noisyfit.audit._design import Design

_FOLDS, _BINS = 5, 10
_RIDGE, _INTERCEPT = 0.1, 0.01
"""Penalties of the slopes and of the intercept: none where rows tell something, and a finite
solution where wrong labels have all the highest scores, or none was found."""
_OF_CLASS = 3.0
"""Penalty of what a class has beside the intercept: a class of few verified rows has little."""
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


def recalibrate(design: Design, codes: np.ndarray | None) -> np.ndarray:
    """Turn the scores of all rows into probabilities, of verified rows as if they were not.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.
    codes : ndarray of shape (n_rows,), int, or None
        Given labels; None: nobody knows them.

    Returns
    -------
    ndarray of shape (n_rows,), in [0, 1]
    """
    every = np.arange(len(design.rows))
    return _fitted(design, _of_use(design, codes, every), every, np.arange(len(design.scores)))


def recalibrated_out_of_fold(design: Design, codes: np.ndarray | None) -> np.ndarray:
    """Turn the scores of verified rows into probabilities, each by a map that has not seen it.

    Parameters
    ----------
    design, codes
        As of `recalibrate`.

    Returns
    -------
    ndarray of shape (n,), in [0, 1]
    """
    probabilities = np.empty(len(design.rows))
    for others, these in _folds(design, np.arange(len(design.rows))):
        of_others = _of_use(design, codes, others)
        probabilities[these] = _fitted(design, of_others, others, design.rows[these])
    return probabilities


def calibration_error(design: Design, codes: np.ndarray | None) -> CalibrationError:
    """Estimate the expected calibration error before and after.

    Parameters
    ----------
    design, codes
        As of `recalibrate`.

    Returns
    -------
    CalibrationError
    """
    before, after = design.scores[design.rows], recalibrated_out_of_fold(design, codes)
    weights, z = design.weights, design.wrong
    bins = _bins(after)
    spread = np.bincount(bins, weights=weights**2 * after * (1 - after), minlength=_BINS)
    chance = np.sqrt(2 / np.pi * spread).sum() / weights.sum()
    return CalibrationError(_error(before, z, weights), _error(after, z, weights), float(chance))


def _folds(design: Design, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Deal verified rows to folds; yields those of all others, and those of each."""
    n_folds = min(_FOLDS, len(chosen))
    fold = np.empty(len(chosen), dtype=np.int64)
    # Rows of a stratum in turn, so that each fold has some of each; not in their own order, in
    # which classes may follow each other.
    mixed = np.random.default_rng(0).permutation(len(chosen))
    order = mixed[np.argsort(design.strata[design.rows[chosen[mixed]]], kind="stable")]
    fold[order] = np.arange(len(chosen)) % n_folds
    for k in range(n_folds):
        yield chosen[fold != k], chosen[fold == k]


def _of_use(design: Design, codes: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    """Return the given labels if, of verified rows out of fold, they tell more than scores alone.

    By the likelihood with the weights of the sample, by more than its standard error.
    """
    n_wrong = design.wrong[chosen].sum()
    if codes is None or min(n_wrong, len(chosen) - n_wrong) < FEWEST_OF_A_KIND:
        return None
    likelier = []
    for others, these in _folds(design, chosen):
        alone, with_class = (
            np.clip(_fitted(design, given, others, design.rows[these]), _NEAREST, 1 - _NEAREST)
            for given in (None, codes)
        )
        z, odds = design.wrong[these], (1 - with_class) / (1 - alone)
        gain = z * np.log(with_class / alone) + (1 - z) * np.log(odds)
        is_class_known = np.isin(codes[design.rows[these]], codes[design.rows[others]])
        likelier.append(design.weights[these] * gain * is_class_known)
    gains = np.concatenate(likelier)
    return codes if gains.sum() > np.sqrt(len(gains)) * gains.std() else None


def _error(p: np.ndarray, z: np.ndarray, weights: np.ndarray) -> float:
    gaps = np.bincount(_bins(p), weights=weights * (z - p), minlength=_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def _bins(p: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.linspace(0, 1, _BINS + 1)[1:-1], p)


def _fitted(
    design: Design, codes: np.ndarray | None, chosen: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Return the probabilities that some verified rows give to rows.

    Logistic regression on the logit of the score, which is Platt's, and on the score itself;
    neither may lower a probability as the score rises, so that the order stays. With given labels,
    each class has an effect of its own beside them.
    """
    rows, z = design.rows[chosen], design.wrong[chosen]
    weights = design.weights[chosen] / design.weights[chosen].mean()
    features = _features(design.scores[rows])
    centre = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=weights))
    scale = np.where(spread > 1e-9, spread, np.inf)
    U = (features - centre) / scale
    codes = np.zeros(len(design.scores), dtype=np.int64) if codes is None else codes
    n_classes, of_row = int(codes.max()) + 1, codes[rows]
    n_classes = n_classes if n_classes > 1 else 0  # one class is the intercept
    penalty = np.r_[_INTERCEPT, _RIDGE, _RIDGE, np.full(n_classes, _OF_CLASS)]

    def linear(theta: np.ndarray, U: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return theta[0] + U @ theta[1:3] + (theta[3:][codes] if n_classes else 0.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        eta = linear(theta, U, of_row)
        g = weights * (expit(eta) - z)
        value = (weights * (np.logaddexp(0, eta) - z * eta)).sum() + penalty @ theta**2 / 2
        by_class = np.bincount(of_row, weights=g, minlength=n_classes)[:n_classes]
        return value, np.r_[g.sum(), U.T @ g, by_class] + penalty * theta

    bounds = [(None, None), (0, None), (0, None)] + [(None, None)] * n_classes
    start = np.r_[0.0, 1.0, 1.0, np.zeros(n_classes)]
    theta = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    features = (_features(design.scores[asked]) - centre) / scale
    return np.asarray(expit(linear(theta, features, codes[asked])))


def _features(scores: np.ndarray) -> np.ndarray:
    return np.stack([logit(np.clip(scores, _NEAREST, 1 - _NEAREST)), scores], axis=1)
