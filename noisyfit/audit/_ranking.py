"""`Ranking`: how well the scores put wrong labels first, as the verified rows have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from noisyfit.audit._certificate import found_after
from noisyfit.audit._intervals import Estimate, Moments, as_estimate, loose_bounds
from noisyfit.audit._rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from noisyfit.audit._design import Design


class ReviewCurve(NamedTuple):
    """Share of the wrong labels that a review has found, by its length.

    Examples
    --------
    >>> from noisyfit.audit import Audit
    >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False, True], rows=range(4))
    >>> curve = audit.review_curve()
    >>> curve.rows.tolist(), curve.found.tolist()
    ([0, 1, 2, 3, 4], [0.0, 0.5, 1.0, 1.0, 1.0])
    """

    rows: np.ndarray
    """(n_lengths,), int64: rows reviewed, from the highest score down."""
    found: np.ndarray
    """(n_lengths,), in [0, 1]: share of all wrong labels among them; NaN if none is known."""
    low: np.ndarray
    """(n_lengths,): lower ends of the intervals."""
    high: np.ndarray
    """(n_lengths,): upper ends."""


class Ranking(Rates):
    """What verified rows say of the order of the scores."""

    def auroc(self) -> Estimate:
        """Estimate the area under the ROC curve of the scores.

        Returns
        -------
        Estimate
            Probability that a wrong label has a higher score than a right one, ties counted half.
            NaN, from 0 to 1, if the verified labels are all right or all wrong.

        Notes
        -----
        The weighted share of the pairs of a wrong and a right label among the verified rows that
        are in order. Its variance is that of the linear part; in its interval, made as in `Audit`,
        one more label counts as what it would change where that is most.

        (The ranks of wrong labels among *all* scores, which are known, give the area as well, from
        two sums. That was tried: where the scores are good it varies ten times as much.)

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, True, False], rows=range(4))
        >>> audit.auroc()
        Estimate(value=0.75, low=0.75, high=0.75)
        """
        return _auroc(self._design, self._tail)

    def average_precision(self) -> Estimate:
        """Estimate the average precision of the scores, the area under the precision-recall curve.

        Returns
        -------
        Estimate
            NaN, from 0 to 1, if no verified label is wrong.

        Notes
        -----
        The mean over the wrong labels of the precision at their score, which is estimated from the
        verified rows at or above it, each by how likely it was to be drawn together with the row
        itself.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, True, False], rows=range(4))
        >>> round(audit.average_precision().value, 3)
        0.833
        """
        return _average_precision(self._design, self._tail)

    def review_curve(self) -> ReviewCurve:
        """Estimate which share of the wrong labels reviews of each length find.

        Returns
        -------
        ReviewCurve
            At most 201 lengths. Each interval is one by itself; `Audit.review_until` is what may be
            read off where the length is not chosen beforehand.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [True, False], rows=[1, 2])
        >>> curve = audit.review_curve()
        >>> curve.rows.tolist(), curve.low.round(2).tolist()
        ([0, 1, 2, 3, 4], [0.0, 0.33, 0.5, 0.5, 1.0])
        """
        return ReviewCurve(*found_after(self._design, self._tail))


def _auroc(design: Design, tail: float) -> Estimate:
    z, scores, weights = design.wrong, design.scores[design.rows], design.weights
    if not 0 < z.sum() < len(z):
        return as_estimate(np.nan, 0, 1)
    right_below, n_right = _share_below(scores, weights * (1 - z))
    wrong_below, n_wrong = _share_below(scores, weights * z)
    value = min(float((weights * z) @ right_below(scores) / n_wrong), 1.0)  # rounding
    of_wrong = (right_below(scores) - value) / n_wrong
    of_right = (1 - wrong_below(scores) - value) / n_right
    variance = design.variance_of_sum(z * of_wrong + (1 - z) * of_right)
    changes = [0.0]
    for h, weight in enumerate(design.unseen_weights()):
        if weight:
            unseen = np.setdiff1d(np.flatnonzero(design.strata == h), design.rows)
            ends = design.scores[unseen].min(), design.scores[unseen].max()
            changes += list(weight / (n_wrong + weight) * (right_below(ends) - value))
            changes += list(weight / (n_right + weight) * (1 - wrong_below(ends) - value))
    return _bounded(value, variance, max(np.abs(changes)), design, tail)


def _share_below(scores: np.ndarray, weights: np.ndarray) -> tuple[Callable, float]:
    """Return a function of the share of weighted rows with a lower score, and the sum of weights.

    Equal scores count half.
    """
    order = np.argsort(scores, kind="stable")
    ranked, total = scores[order], float(weights.sum())
    sums = np.r_[0.0, weights[order].cumsum()]

    def share(of: Any) -> np.ndarray:
        ends = (np.searchsorted(ranked, of, side=side) for side in ("left", "right"))
        return np.asarray(sum(sums[end] for end in ends) / (2 * total))

    return share, total


def _average_precision(design: Design, tail: float) -> Estimate:
    found = np.flatnonzero(design.wrong > 0)
    if not len(found):
        return as_estimate(np.nan, 0, 1)
    z, scores, weights = design.wrong, design.scores[design.rows], design.weights
    stratum = design.strata[design.rows]
    # What row j stands for where row i was drawn: of its stratum one is known to be drawn.
    pairs = (design.sizes - 1) / np.maximum(design.counts - 1, 1)
    seen = np.where(stratum == stratum[found, None], pairs[stratum], weights)
    seen[np.arange(len(found)), found] = 1.0
    seen *= scores >= scores[found, None]  # at the score of row i or above it
    size = seen.sum(axis=1)
    precision = seen @ z / size
    share = weights[found] * z[found]
    value = share @ precision / share.sum()
    linear = (share / size) @ ((seen > 0) * (z - precision[:, None]))
    linear[found] += z[found] * (precision - value)
    variance = design.variance_of_sum(linear) / share.sum() ** 2
    weight = float(design.unseen_weights().max())
    return _bounded(min(float(value), 1.0), variance, weight / (share.sum() + weight), design, tail)


def _bounded(value: float, variance: float, step: float, design: Design, tail: float) -> Estimate:
    one = Moments(
        size=np.array([len(design.scores)]),
        share=np.array([value]),
        variance=np.array([variance]),
        step=np.array([step]),
        unseen_wrong=np.array([step * np.sqrt(1 - value)]),
        unseen_right=np.array([step * np.sqrt(value)]),
        freedom=np.array([len(design.rows) - len(design.sizes)]),
        n=np.array([len(design.rows)]),
        wrong=np.array([design.wrong.sum()]),
        simple=False,
    )
    low, high = loose_bounds(one, tail)
    return as_estimate(value, low[0], high[0])
