"""`Audit`: what a few verified labels say of all of them."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.audit._design import Design
from noisyfit.audit._follow_up import FollowUp
from noisyfit.audit._population import read_population
from noisyfit.audit._ranking import Ranking
from noisyfit.audit._sampling import AuditSample, check_sample
from noisyfit.audit._verified import how_drawn, read_verified


class Audit(Ranking, FollowUp):
    r"""Estimate from a few verified labels how many of all are wrong, and where, with intervals.

    Every number is of the rows that could be drawn: those with a given label that were not trusted
    before.

    Parameters
    ----------
    est_or_scores : fitted noisyfit estimator, Pipeline, or array-like of shape (n_samples,)
        What the sample was drawn from: an estimator, a pipeline that ends with one, or scores in
        [0, 1], higher where a label is more likely wrong. Better scores make narrower intervals;
        poor ones do not make them wrong.
    y : array-like of shape (n_samples,) or None
        Given labels. None: those of the estimator; with bare scores None does where `verified`
        says right or wrong and nothing is asked by class.
    verified : array-like of shape (n,), VotedLabels or Review
        The right labels of the rows that were drawn, in their order; or, as truth values, True
        where the given label is **wrong**. If the classes are truth values, they are labels. Of a
        `Review`, trusted rows have its label, dropped ones are wrong, all others were skipped. What
        `noisyfit.label_quality.aggregate_votes` makes of several annotators' votes of the same, by
        ``"dawid_skene"`` and with the given labels as one more annotator: a given label is then
        wrong with one less its probability. What the votes get wrong is not in the intervals.
    sample : AuditSample, default=None
        How the rows were drawn. None: as a `Review` says, which has to know; without one, the
        verified rows count as a simple random sample of all
        rows, each as likely as any other. Rows picked in another way, such as the most suspicious
        ones, make every number wrong without a sign of it.
    rows : array-like of shape (n,), int, default=None
        Numbers of the verified rows. None: ``sample.rows``, all of them. Rows of the sample that
        are left out count as skipped without regard to their label, within their stratum.
    confidence : float, default=0.95
        Probability over draws that an interval holds the truth, in [0.5, 1). It is that of each
        interval by itself, not of all together.

    Attributes
    ----------
    noise_rate : Estimate
        Share of wrong labels.
    n_verified : int
        Number of rows that were verified.
    n_rows : int
        Number of rows that could be drawn.
    rows : ndarray of shape (n_verified,)
        Numbers of the verified rows, ascending.
    scores : ndarray of shape (n_samples,)
        What the sample was drawn from; NaN for rows that could not be drawn.

    Raises
    ------
    ValueError
        If fewer than two rows were verified, a row is there twice with labels that contradict each
        other, a label is none of the classes, a row could not be drawn, lengths differ, or the
        sample is of other rows.
    TypeError
        If `sample` is no `AuditSample`, or the estimator none of noisyfit.

    See Also
    --------
    sample : Draws the rows to verify.
    noisyfit.review.review_page : Shows them to somebody who is not to see what was guessed.

    Notes
    -----
    With strata h of :math:`N_h` rows, :math:`n_h` of them verified, :math:`z_i = 1` where a label
    is wrong (by votes, how likely it is to be), weights :math:`w_i = N_h / n_h`, and residuals
    :math:`e_i = z_i - \lambda s_i`, the share of wrong labels in a domain D is estimated by the
    difference estimator, which is known as prediction-powered inference [1]_ [2]_,

    .. math:: \hat p_D = \frac{\lambda}{N_D} \sum_{i \in D} s_i
        + \frac{\sum_{i \in D, \text{verified}} w_i e_i}{\sum_{i \in D, \text{verified}} w_i},
        \qquad \hat V = \frac{1}{\hat N_D^2}
        \sum_h N_h^2 \left(1 - \frac{n_h}{N_h}\right) \frac{s_h^2(u)}{n_h},

    where :math:`\hat N_D` is the denominator and :math:`u_i = e_i - \bar e_D` in D and 0 outside
    [3]_. :math:`\lambda` in [0, 1] makes the variance of the rate of all rows least. It is 0, which
    leaves the Hajek estimator, unless ten verified labels are wrong and ten are right.

    Intervals are those of Clopper and Pearson at the effective size of the sample, after Korn and
    Graubard [4]_, with :math:`\hat V` stretched by the quantile of Student's t for n less the
    number of strata. One more wrong label counts as the largest weight among the strata that have
    rows of D nobody has verified, after Fay and Feuer [5]_, and has at least the variance that it
    has in the stratum where it may best be overlooked, so that errors are allowed for in strata
    where none was found, and right labels where all were wrong. Simple random samples without the
    help of scores have exact hypergeometric bounds. No interval contradicts what was verified:
    where all rows are, it is the truth.

    Shares of errors (recall, what a review leaves) are ratios of two such numbers, by the method of
    variance estimates recovery [6]_. Strata of which fewer than two rows were verified are joined
    to their neighbour.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, C. Fannjiang, M. I. Jordan, T. Zrnic, "Prediction-powered
       inference", Science 382, 2023.
    .. [2] A. N. Angelopoulos, J. C. Duchi, T. Zrnic, "PPI++: efficient prediction-powered
       inference", arXiv:2311.01453, 2023.
    .. [3] W. G. Cochran, "Sampling techniques", 3rd edition, Wiley, 1977, chapters 5, 5A and 7.
    .. [4] E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected
       number of positive counts estimated from survey data", Survey Methodology 24, 1998.
    .. [5] M. P. Fay, E. J. Feuer, "Confidence intervals for directly standardized rates: a method
       based on the gamma distribution", Statistics in Medicine 16, 1997.
    .. [6] A. Donner, G. Y. Zou, "Closed-form confidence intervals for functions of the normal mean
       and standard deviation", Statistical Methods in Medical Research 21, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.audit import Audit, sample
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.beta(0.3, 1.2, size=5000)
    >>> is_wrong = rng.random(5000) < scores  # what nobody knows
    >>> drawn = sample(scores, 200, random_state=0)
    >>> audit = Audit(scores, None, is_wrong[drawn.rows], drawn)
    >>> print(f"in truth {is_wrong.mean():.3g}, estimated {audit.noise_rate}")
    in truth 0.206, estimated 0.2... (0.1... to 0.2...)
    >>> precision, recall = audit.flag_precision(scores > 0.5), audit.flag_recall(scores > 0.5)
    >>> bool(recall.low <= is_wrong[scores > 0.5].sum() / is_wrong.sum() <= recall.high)
    True
    """

    def __init__(
        self,
        est_or_scores: Any,
        y: Any,
        verified: Any,
        sample: AuditSample | None = None,
        *,
        rows: Any = None,
        confidence: float = 0.95,
    ) -> None:
        constraints: dict[str, list] = {"confidence": [Interval(Real, 0.5, 1, closed="left")]}
        validate_parameter_constraints(constraints, {"confidence": confidence}, caller_name="Audit")
        self.confidence = float(confidence)
        self._population = population = read_population(est_or_scores, y)
        sample = how_drawn(verified, rows, sample)
        if sample is not None:
            check_sample(sample, population)
        self._verified = found = read_verified(verified, rows, sample, population)
        inside = population.candidates
        strata = np.zeros(len(inside), dtype=np.int64) if sample is None else sample.row_strata
        place = inside.cumsum() - 1
        self._design = Design(
            population.scores[inside], strata[inside], place[found.rows], found.wrong
        )

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the verified rows, ascending: (n_verified,)."""
        return self._verified.rows

    @property
    def scores(self) -> np.ndarray:
        """Scores of all rows, NaN for those that could not be drawn: (n_samples,)."""
        return np.where(self._population.candidates, self._population.scores, np.nan)

    def __repr__(self) -> str:
        seen = f"{self.n_verified:,} of {self.n_rows:,} rows verified"
        return f"<Audit: {seen}, {self.noise_rate} of the labels wrong>"
