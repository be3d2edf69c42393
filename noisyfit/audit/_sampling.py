"""`sample`: which rows to verify, drawn so that it is known how likely each was to be drawn."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from noisyfit._random import spawn_streams
from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.audit._population import Population, read_population

if TYPE_CHECKING:
    from numpy.random import RandomState

FEWEST = 2
"""Rows of a stratum below which its variance cannot be estimated."""
EVEN = 0.75
"""Share of the draw in proportion to the size of the strata, the rest being Neyman's."""
ROWS_PER_STRATUM = 4
"""Fewer a stratum, and there are fewer strata: their variances would be guesswork."""


class AuditSample(NamedTuple):
    """Rows to verify, as `sample` draws them.

    Examples
    --------
    >>> from noisyfit.audit import sample
    >>> drawn = sample([0.1, 0.9, 0.2, 0.8, 0.1, 0.3], 6, random_state=0)
    >>> sorted(drawn.rows.tolist()), drawn.inclusion_probabilities.tolist()
    ([0, 1, 2, 3, 4, 5], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """

    rows: np.ndarray
    """(n,), int64: numbers of the rows, in random order; further batches stand at the end."""
    inclusion_probabilities: np.ndarray
    """(n,), float64, in (0, 1]: how likely each of `rows` was to be drawn, in all batches."""
    strata: np.ndarray
    """(n,), int64: the stratum of each of `rows`."""
    row_strata: np.ndarray
    """(n_samples,), int64: the stratum of every row, -1 where it could not be drawn."""


def sample(
    est_or_scores: Any,
    n: int,
    *,
    y: Any = None,
    strata: int = 10,
    suspicious: float = 0.0,
    after: AuditSample | None = None,
    random_state: int | RandomState | None = None,
) -> AuditSample:
    r"""Draw rows to verify: stratified by score, the more of a stratum the less is known of it.

    Parameters
    ----------
    est_or_scores : fitted noisyfit estimator, Pipeline, or array-like of shape (n_samples,)
        Whose ``noise_scores_`` say where errors may lie, of a pipeline those of its last step; or
        such scores, in [0, 1]. They need not be right: an audit of rows by poor scores has wider
        intervals, not wrong ones. Rows that the estimator was told to trust, and rows without a
        label, are not drawn.
    n : int
        Number of rows to draw, at least 2. All rows that may be drawn, if there are no more.
    y : array-like of shape (n_samples,), default=None
        Given labels, by which rare classes are looked after. None: those of the estimator; with
        bare scores classes are then not looked after.
    strata : int, default=10
        Number of strata by score. There are fewer where that would leave less than four rows
        of the draw to each, and where scores are tied; with constant scores, or ``strata=1``, the
        draw is a simple random sample.
    suspicious : float, default=0.0
        Share of the draw that goes by the score itself, in [0, 1): for somebody who verifies to
        find errors as well, and to learn more of the flags. The interval of the noise rate gets
        wider.
    after : AuditSample, default=None
        What was drawn before of the same rows. `n` more are drawn on top of it, in its strata, and
        the result holds both. None: nothing was.
    random_state : int, RandomState instance or None, default=None
        An int draws the same rows every time.

    Returns
    -------
    AuditSample
        With ``after``, the rows of the new batch are ``rows[len(after.rows):]``.

    Raises
    ------
    ValueError
        If scores are no probabilities, labels and scores are of different length, or `after` was
        drawn of other rows.
    TypeError
        If the estimator, or the last step of the pipeline, is none of noisyfit.

    Notes
    -----
    Row i with score :math:`s_i` counts :math:`m_i = \frac{3}{4N} + \frac{\sigma_i}{4 \sum_j
    \sigma_j}` with :math:`\sigma_i = \sqrt{s_i (1 - s_i)}`, the standard deviation of "the label is
    wrong" if the score is a probability. Rows are ordered by score and cut into strata of equal
    :math:`\sum m_i`; equal scores stay together. Stratum h gets :math:`n_h = n \sum_{i \in h} m_i`
    rows, rounded, and at least two: a quarter of the draw by Neyman's optimal allocation [1]_, the
    rest in proportion to size, so that scores that are sure of themselves and wrong raise the
    weight of a row by a third at most, but for rounding. With a share a of `suspicious` rows
    :math:`m_i` is :math:`1 - a` times that, and :math:`a s_i / \sum_j s_j`. Within a stratum rows
    are drawn at random without replacement, and each has the inclusion probability
    :math:`n_h / N_h`.

    A class of which less than two rows would be expected in the draw is a stratum of its own, of
    which two rows are drawn; the rarest classes first, while these strata take at most half of the
    draw. Of any other class two rows or more are expected, which is no promise that there are.

    Further batches depend on scores alone and not on what was verified, so that all rows drawn from
    a stratum are a simple random sample of it, whatever the number of batches [2]_.

    References
    ----------
    .. [1] J. Neyman, "On the two different aspects of the representative method", Journal of the
       Royal Statistical Society 97, 1934.
    .. [2] W. G. Cochran, "Sampling techniques", 3rd edition, Wiley, 1977, chapters 5 and 5A.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.audit import sample
    >>> scores = np.r_[np.full(900, 0.01), np.full(100, 0.5)]
    >>> first = sample(scores, 50, random_state=0)
    >>> np.bincount(first.strata).tolist()  # of 900 rows that look right, and of 100 others
    [42, 8]
    >>> both = sample(scores, 50, after=first, random_state=1)
    >>> len(both.rows), both.rows[:50].tolist() == first.rows.tolist()
    (100, True)
    """
    constraints: dict[str, list] = {
        "n": [Interval(Integral, 2, None, closed="left")],
        "strata": [Interval(Integral, 1, None, closed="left")],
        "suspicious": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }
    options = {"n": n, "strata": strata, "suspicious": suspicious, "random_state": random_state}
    validate_parameter_constraints(constraints, options, caller_name="sample")
    rng = spawn_streams(random_state).split
    population = read_population(est_or_scores, y)
    if not population.candidates.any():
        raise ValueError("There is no row to draw: all are trusted or without a label.")
    weight = _row_weights(population, float(suspicious))
    before = np.empty(0, dtype=np.int64)
    if after is None:
        row_strata = _make_strata(population, weight, int(n), int(strata))
    else:
        row_strata, before = check_sample(after, population).row_strata, after.rows
    inside = row_strata >= 0
    sizes = np.bincount(row_strata[inside])
    mass = np.bincount(row_strata[inside], weights=weight[inside])
    drawn_before = np.bincount(row_strata[before], minlength=len(sizes))
    counts = _allocate(len(before) + int(n), mass, sizes, drawn_before)
    fresh = inside.copy()
    fresh[before] = False
    new = [
        rng.choice(np.flatnonzero(fresh & (row_strata == h)), counts[h] - drawn_before[h], False)
        for h in range(len(sizes))
    ]
    rows = np.r_[before, rng.permutation(np.concatenate(new))]
    of_row = row_strata[rows]
    return AuditSample(rows, (counts / sizes)[of_row], of_row, row_strata)


def check_sample(drawn: Any, population: Population) -> AuditSample:
    """Check that a sample was drawn of these rows, and has the probabilities of its strata.

    Parameters
    ----------
    drawn : object
        What the user passed as an `AuditSample`.
    population : Population
        The rows.

    Returns
    -------
    AuditSample

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If it was drawn of other rows, or its probabilities are not those of its strata.
    """
    if not isinstance(drawn, AuditSample):
        raise TypeError(
            "A sample must be an AuditSample, as noisyfit.audit.sample returns it, which has the "
            f"inclusion probabilities. Got {type(drawn).__name__}. Of rows that you drew at random "
            "yourself, each as likely as any other, pass the numbers as rows, without a sample."
        )
    inside = drawn.row_strata >= 0
    if not np.array_equal(inside, population.candidates):
        raise ValueError(
            f"The sample was drawn of {int(inside.sum())} of {len(inside)} rows. Got "
            f"{len(population.candidates)} rows, {int(population.candidates.sum())} of which may "
            "be drawn. Pass the estimator or the scores that the sample was drawn from."
        )
    if len(np.unique(drawn.rows)) < len(drawn.rows):
        raise ValueError("The sample has a row twice; noisyfit.audit.sample draws none twice.")
    sizes = np.bincount(drawn.row_strata[inside])
    counts = np.bincount(drawn.row_strata[drawn.rows], minlength=len(sizes))
    expected = (counts / sizes)[drawn.row_strata[drawn.rows]]
    stated = np.asarray(drawn.inclusion_probabilities, dtype=np.float64)
    if stated.shape != expected.shape or not np.allclose(stated, expected, rtol=1e-6):
        raise ValueError(
            "The inclusion probabilities of the sample are missing, or not those of its strata "
            "(rows drawn / rows there). Pass the sample whole, as noisyfit.audit.sample returned "
            "it: rows that were left out of verified are counted as skipped."
        )
    return drawn


def _row_weights(population: Population, suspicious: float) -> np.ndarray:
    """Return the share of the draw that each row stands for; 0 where it cannot be drawn."""
    scores = np.where(population.candidates, population.scores, 0)
    spread = np.where(population.candidates, (scores * (1 - scores)) ** 0.5, 0)
    even = population.candidates / population.candidates.sum()
    weight = even
    if spread.any():
        weight = EVEN * even + (1 - EVEN) * spread / spread.sum()
    if scores.any():
        weight = (1 - suspicious) * weight + suspicious * scores / scores.sum()
    return weight


def _make_strata(population: Population, weight: np.ndarray, n: int, strata: int) -> np.ndarray:
    """Return the stratum of each row: those by score, then a rare class in each."""
    row_strata = np.full(len(weight), -1, dtype=np.int64)
    rare = _rare_classes(population, weight, n) if strata > 1 else []
    common = population.candidates.copy()
    for code in rare:
        common &= population.codes != code
    last = 0
    if common.any():
        strata = max(1, min(strata, (n - FEWEST * len(rare)) // ROWS_PER_STRATUM))
        row_strata[common] = _cut(population.scores[common], weight[common], strata)
        last = row_strata.max() + 1
    for code in rare:
        row_strata[population.candidates & (population.codes == code)] = last
        last += 1
    return row_strata


def _rare_classes(population: Population, weight: np.ndarray, n: int) -> list[int]:
    if population.codes is None:
        return []
    codes = population.codes[population.candidates]
    expected = n * np.bincount(codes, weights=weight[population.candidates])
    rare = [code for code in np.argsort(expected, kind="stable") if 0 < expected[code] < FEWEST]
    return rare[: n // 2 // FEWEST]


def _cut(scores: np.ndarray, weight: np.ndarray, strata: int) -> np.ndarray:
    """Cut rows, ordered by score, into strata of about the same weight; ties stay together."""
    values, group = np.unique(scores, return_inverse=True)
    mass = np.bincount(group, weights=weight, minlength=len(values))
    middle = (mass.cumsum() - mass / 2) / mass.sum()
    chosen = np.minimum((middle * strata).astype(np.int64), strata - 1)
    sizes = np.bincount(chosen[group], minlength=strata)
    number, last, rows = np.zeros(strata, dtype=np.int64), 0, 0
    for h in np.flatnonzero(sizes):  # a stratum of one row could not say how much rows differ
        if rows >= FEWEST:
            last, rows = last + 1, 0
        number[h] = last
        rows += sizes[h]
    if rows < FEWEST:
        number[number == last] = max(last - 1, 0)
    return number[chosen][group]


def _allocate(n: int, mass: np.ndarray, sizes: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Divide n rows among strata in proportion to their mass, between bounds, and whole."""
    low = np.maximum(np.minimum(FEWEST, sizes), least)
    n = int(np.clip(n, low.sum(), sizes.sum()))
    # The factor at which the bounded shares sum to n, by bisection: they rise with it.
    below, above = 0.0, (sizes / mass).max()
    for _ in range(100):
        middle = (below + above) / 2
        total = np.clip(middle * mass, low, sizes).sum()
        below, above = (middle, above) if total < n else (below, middle)
    exact = np.clip(above * mass, low, sizes)
    counts = np.floor(exact + 1e-9).astype(np.int64)
    room = np.where(counts < sizes, exact - counts, -1.0)
    counts[np.argsort(-room, kind="stable")[: n - counts.sum()]] += 1
    return counts
