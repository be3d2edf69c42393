"""How far to review, from the highest score down, until few errors are left for certain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisyfit.audit._intervals import Moments, bounds, loose_bounds, ratio_bounds

if TYPE_CHECKING:
    from noisyfit.audit._design import Design

MOST_CUTS = 200
"""Lengths of a review that are looked at, chosen before anything is known of the labels."""


_ROUNDING = 1e-12


class ReviewLimit(NamedTuple):
    """How many rows to review so that few errors are left, as `Audit.review_until` returns it.

    Examples
    --------
    >>> from noisyfit.audit import Audit
    >>> Audit([0.1, 0.9, 0.2, 0.8], None, [True, False], rows=[1, 2]).review_until(0.05)
    ReviewLimit(rows=inf, left=1.0, more_to_verify=2)
    """

    rows: float
    """Number of rows, those of the highest scores, an int; ``math.inf`` if no number of rows short
    of all of them is known to do."""
    left: float
    """Share of the errors that is left at most, with the confidence of the audit."""
    more_to_verify: int
    """About how many more rows to verify for `rows` to be finite; 0 if it is."""


def review_limit(design: Design, max_left: float, tail: float) -> ReviewLimit:
    """Find the shortest review after which few errors are left.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.
    max_left : float
        Largest share of the errors to be left.
    tail : float
        Probability that more is left.

    Returns
    -------
    ReviewLimit

    Notes
    -----
    Longer reviews leave less. The lengths are tried from the longest down, each at the level
    `tail`, until one fails: at the first that leaves too much it does so but with the probability
    `tail`, whatever the number of lengths, and no shorter one is tried after it (a fixed sequence).
    """
    cuts, moments, known = _cuts(design)
    left = _most_left(moments, known, tail)
    number = _shortest(left, max_left)
    if number < len(cuts) - 1:
        return ReviewLimit(int(cuts[number]), float(left[number]), 0)
    return ReviewLimit(math.inf, 1.0, _more_to_verify(design, moments, known, max_left, tail))


def _more_to_verify(
    design: Design, moments: list[Moments], known: np.ndarray, max_left: float, tail: float
) -> int:
    """Count the further rows with which some review would do, if they are like those so far."""
    n, n_rows = len(design.rows), len(design.scores)
    below, above = 1.0, n_rows / n  # nothing is left of what is verified whole
    if not design.wrong.any():
        return n_rows - n
    last = len(known) - 2  # of the lengths that leave something the one that is tried first
    moments, known = [part.of_one(last) for part in moments], known[last : last + 1]
    for _ in range(7):
        factor = math.sqrt(below * above)
        left = _most_left([_of_more(part, factor) for part in moments], known * factor, tail)
        enough = left[0] <= max_left + _ROUNDING
        below, above = (below, factor) if enough else (factor, above)
    return min(math.ceil(n * (above - 1)), n_rows - n)


def _cuts(design: Design) -> tuple[np.ndarray, list[Moments], np.ndarray]:
    """Return lengths of a review, moments of both sides of each, and errors known beyond it.

    Rows of equal score are reviewed together.
    """
    order = np.argsort(-design.scores, kind="stable")
    ranked = design.scores[order]
    cuts = np.r_[0, np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked)]
    picked = np.unique(np.linspace(0, len(cuts) - 1, MOST_CUTS + 1).round().astype(np.int64))
    cuts = cuts[picked]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    inside = rank[design.rows] < cuts[:, None]
    n_strata = len(design.sizes)
    by_stratum = [np.sort(rank[design.strata == h]) for h in range(n_strata)]
    sizes = np.stack([np.searchsorted(ranks, cuts) for ranks in by_stratum], axis=1)
    scores = np.r_[0.0, ranked.cumsum()][cuts]
    top = design.of_sums(inside, sizes, scores)
    rest = design.of_sums(~inside, design.sizes - sizes, ranked.sum() - scores)
    return cuts, [top, rest], rest.wrong


def found_after(
    design: Design, tail: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Estimate the share of the errors among the highest scores.

    Parameters
    ----------
    design : Design
        The verified rows, and all others.
    tail : float
        Probability that a bound is on the wrong side.

    Returns
    -------
    rows, found, low, high : ndarray of shape (n_lengths,)
        Lengths of a review, the share that each finds, and its bounds.
    """
    cuts, (top, rest), _ = _cuts(design)
    low, high = found_share(top, rest, tail)
    inside, outside = top.size * top.share, rest.size * rest.share
    with np.errstate(invalid="ignore"):
        found = np.clip(inside / (inside + outside), low, high)
    # A longer review finds no less, which separate estimates of both parts do not know.
    found = np.maximum.accumulate(found)
    return cuts, found, low, np.fmax(high, found)


def _most_left(moments: list[Moments], known: np.ndarray, tail: float) -> np.ndarray:
    """Return the largest share of all errors that is left; what was verified is not left."""
    return 1 - found_share(moments[0], moments[1], tail, known)[0]


def found_share(
    inside: Moments, outside: Moments, tail: float, known: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the share of the errors that lie inside of domains.

    Parameters
    ----------
    inside, outside : Moments
        Of domains, and of what lies outside of each.
    tail : float
        Probability that a bound is on the wrong side.
    known : ndarray of shape (k,) or float, default=0.0
        Errors outside that count as inside.

    Returns
    -------
    low, high : ndarray of shape (k,), in [0, 1]
    """
    loose: list[list[np.ndarray]] = []
    sure: list[list[np.ndarray]] = []
    for part in (inside, outside):
        loose.append([part.size * share for share in (part.share, *loose_bounds(part, tail))])
        sure.append([part.wrong, part.size * bounds(part, tail)[1]])
    for ends, sign in zip(loose + sure, (1, -1, 1, -1), strict=True):
        ends[:] = [np.maximum(end + sign * known, 0) for end in ends]
    low, high = ratio_bounds(*loose[0], *loose[1])
    # What was found is there, whatever else is: of the rest the bound by itself is enough.
    (found, most_found), (missed, most_missed) = sure
    with np.errstate(invalid="ignore"):  # 0 / 0, where neither is possible, rules nothing out
        least, most = found / (found + most_missed), most_found / (most_found + missed)
    low = np.fmax(low, least)
    return low, np.maximum(np.fmin(high, most), low)


def _shortest(left: np.ndarray, max_left: float) -> int:
    failed = np.flatnonzero(left > max_left + _ROUNDING)
    return int(failed[-1]) + 1 if len(failed) else 0


def _of_more(moments: Moments, factor: float) -> Moments:
    """Return what a sample would say that is larger by a factor, and finds the same shares."""
    return moments._replace(
        variance=moments.variance / factor,
        step=moments.step / factor,
        unseen_wrong=moments.unseen_wrong / factor,
        unseen_right=moments.unseen_right / factor,
        freedom=moments.freedom * factor,
        n=np.minimum(moments.n * factor, moments.size),
        wrong=np.minimum(moments.wrong * factor, moments.size),
        simple=False,
    )
