"""`Audit`: what a few verified labels say of all of them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.audit._certificate import ReviewLimit, found_share, review_limit
from noisyfit.audit._design import Design
from noisyfit.audit._intervals import Estimate, bounds
from noisyfit.audit._population import read_population
from noisyfit.audit._sampling import AuditSample, check_sample
from noisyfit.audit._verified import how_drawn, read_verified
from noisyfit.data import check_groups, check_mask, plain_labels


class Audit:
    r"""Estimate from a few verified labels how many of all are wrong, and where, with intervals.

    Every number is of the rows that could be drawn: those with a given label that were not trusted
    before.

    Parameters
    ----------
    est_or_scores : fitted noisyfit estimator, or array-like of shape (n_samples,)
        What the sample was drawn from: an estimator, or scores in [0, 1], higher where a label is
        more likely wrong. Better scores make narrower intervals; poor ones do not make them wrong.
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

    Raises
    ------
    ValueError
        If fewer than two rows were verified, a row is there twice with labels that contradict each
        other, a label is none of the classes, a row could not be drawn, lengths differ, or the
        sample is of other rows.
    TypeError
        If `sample` is no `AuditSample`.

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
    rows of D nobody has verified, after Fay and Feuer [5]_, so that rare errors in thinly sampled
    strata are allowed for although none was found. Simple random samples without the help of
    scores have exact hypergeometric bounds. No interval contradicts what was verified: where all
    rows are, it is the truth.

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
        numbers, wrong = read_verified(verified, rows, sample, population)
        inside = population.candidates
        strata = np.zeros(len(inside), dtype=np.int64) if sample is None else sample.row_strata
        place = inside.cumsum() - 1
        self._design = Design(population.scores[inside], strata[inside], place[numbers], wrong)

    @property
    def n_verified(self) -> int:
        """Number of rows that were verified."""
        return len(self._design.rows)

    @property
    def n_rows(self) -> int:
        """Number of rows that could be drawn."""
        return len(self._design.scores)

    @property
    def noise_rate(self) -> Estimate:
        """Share of wrong labels among the rows that could be drawn."""
        return self._shares(np.zeros(self.n_rows, dtype=np.int64), 1)[0]

    def by_class(self) -> dict[Any, Estimate]:
        """Estimate the share of wrong labels among the rows of each given label.

        Returns
        -------
        dict of class to Estimate
            Without classes that no row has which could be drawn. Of a class of which no row was
            verified the value is NaN and the interval 0 to 1.

        Raises
        ------
        ValueError
            If the given labels are not known.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> y, right = ["cat", "cat", "dog", "dog"], ["cat", "dog", "dog", "dog"]
        >>> Audit([0.1, 0.9, 0.2, 0.8], y, right, rows=[0, 1, 2, 3]).by_class()["cat"]
        Estimate(value=0.5, low=0.5, high=0.5)
        """
        population = self._population
        if population.codes is None or population.classes is None:
            raise ValueError("The given labels are not known. Pass them as y to Audit.")
        codes = population.codes[population.candidates]
        return self._by(codes, population.classes.tolist())

    def by(self, groups: Any) -> dict[Any, Estimate]:
        """Estimate the share of wrong labels in each group of rows.

        Parameters
        ----------
        groups : array-like of shape (n_samples,)
            The group of every row: an annotator, a source, a year.

        Returns
        -------
        dict of group to Estimate
            In the order in which the groups first appear, without groups of which no row could be
            drawn. Of a group of which no row was verified the value is NaN and the interval 0 to 1.

        Raises
        ------
        ValueError
            If there is not one group for each row.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False], rows=[0, 1, 2])
        >>> audit.by(["Ann", "Bob", "Ann", "Bob"])["Ann"]
        Estimate(value=0.0, low=0.0, high=0.0)
        """
        codes = check_groups(groups, len(self._population.scores))
        if codes is None:
            raise ValueError("groups must hold the group of each row. Got None.")
        values = groups if isinstance(groups, (list, tuple)) else plain_labels(groups, "groups")
        values = values.tolist() if hasattr(values, "tolist") else list(values)
        names = [values[row] for row in np.unique(codes, return_index=True)[1]]
        return self._by(codes[self._population.candidates], names)

    def flag_precision(self, flagged: Any = None) -> Estimate:
        """Estimate the share of flagged labels that are wrong.

        Parameters
        ----------
        flagged : array-like of shape (n_samples,), bool, default=None
            Labels that are called wrong. None: those that the estimator rejects, ``~clean_mask_``.

        Returns
        -------
        Estimate
            NaN, from 0 to 1, if no flagged row was verified or none is flagged.

        Raises
        ------
        ValueError
            If `flagged` is no mask, or None without an estimator.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False, False], rows=range(4))
        >>> audit.flag_precision([False, True, False, True])
        Estimate(value=0.5, low=0.5, high=0.5)
        """
        return self._shares(self._flags(flagged).astype(np.int64), 2)[1]

    def flag_recall(self, flagged: Any = None) -> Estimate:
        """Estimate the share of wrong labels that are flagged.

        Parameters
        ----------
        flagged : array-like of shape (n_samples,), bool, default=None
            Labels that are called wrong. None: those that the estimator rejects, ``~clean_mask_``.

        Returns
        -------
        Estimate
            The value is NaN if no wrong label was found.

        Raises
        ------
        ValueError
            If `flagged` is no mask, or None without an estimator.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [True, True, False, False], rows=range(4))
        >>> audit.flag_recall([False, True, False, True])
        Estimate(value=0.5, low=0.5, high=0.5)
        """
        both = self._design.of_groups(self._flags(flagged).astype(np.int64), 2)
        outside, inside = both.of_one(0), both.of_one(1)
        low, high = found_share(inside, outside, self._tail)
        found, missed = inside.size * inside.share, outside.size * outside.share
        value = found[0] / (found + missed)[0] if (found + missed)[0] > 0 else np.nan
        return _estimate(value, low[0], high[0])

    def errors_left(self, k: int) -> Estimate:
        """Estimate how many wrong labels are left after a review of the highest scores.

        Parameters
        ----------
        k : int
            Number of rows that are reviewed, of those that could be drawn: those of the highest
            scores, equal ones in the order of the rows.

        Returns
        -------
        Estimate
            Number of rows. Rows that were verified are not left, whatever their score.

        Raises
        ------
        ValueError
            If `k` is no number of rows.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False], rows=[0, 1, 2])
        >>> audit.errors_left(1)
        Estimate(value=0.0, low=0.0, high=1.0)
        """
        constraints: dict[str, list] = {"k": [Interval(Integral, 0, self.n_rows, closed="both")]}
        validate_parameter_constraints(constraints, {"k": k}, caller_name="errors_left")
        left = np.ones(self.n_rows, dtype=np.int64)
        left[np.argsort(-self._design.scores, kind="stable")[:k]] = 0
        moments = self._design.of_groups(left, 2)
        size, known, unseen = moments.size[1], moments.wrong[1], (moments.size - moments.n)[1]
        ends = (moments.share, *bounds(moments, self._tail))
        value, low, high = (np.clip(end[1] * size - known, 0, unseen) for end in ends)
        return _estimate(value if moments.n[1] or not size else np.nan, low, high)

    def review_until(self, max_left: float = 0.05) -> ReviewLimit:
        """Find how many rows to review so that few of the errors are left.

        Parameters
        ----------
        max_left : float, default=0.05
            Largest share of all wrong labels that may be left, in (0, 1).

        Returns
        -------
        ReviewLimit
            The least number of rows, from the highest score down, after which no more is left, with
            the confidence of the audit (one-sided). Rows that were verified count as reviewed
            whatever their score, and rows of equal score are reviewed together.

        Raises
        ------
        ValueError
            If `max_left` is out of range.

        Notes
        -----
        At most 200 lengths, evenly spaced, are tried from the longest down, each at the confidence
        of the audit, until one fails. All before it hold together with that confidence: a fixed
        sequence of nested hypotheses needs no correction for their number.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False, False], rows=range(4))
        >>> audit.review_until(0.05)
        ReviewLimit(rows=0, left=0.0, more_to_verify=0)
        """
        constraints: dict[str, list] = {"max_left": [Interval(Real, 0, 1, closed="neither")]}
        validate_parameter_constraints(
            constraints, {"max_left": max_left}, caller_name="review_until"
        )
        return review_limit(self._design, float(max_left), 1 - self.confidence)

    @property
    def _tail(self) -> float:
        return (1 - self.confidence) / 2

    def _flags(self, flagged: Any) -> np.ndarray:
        population = self._population
        if flagged is None:
            flagged = population.flagged
        if flagged is None:
            raise ValueError("flagged is needed where the audit is of bare scores: a mask of rows.")
        mask = check_mask(flagged, "flagged", len(population.scores))
        return mask[population.candidates]

    def _by(self, codes: np.ndarray, names: list[Any]) -> dict[Any, Estimate]:
        there = np.bincount(codes, minlength=len(names)) > 0
        found = self._shares(codes, len(names))
        return {name: found[i] for i, name in enumerate(names) if there[i]}

    def _shares(self, codes: np.ndarray, k: int) -> list[Estimate]:
        moments = self._design.of_groups(codes, k)
        low, high = bounds(moments, self._tail)
        value = np.where(moments.n > 0, moments.share, np.nan)
        return [_estimate(*ends) for ends in zip(value, low, high, strict=True)]


def _estimate(value: float, low: float, high: float) -> Estimate:
    """Return plain numbers; rounding does not put a value outside of its interval."""
    low, high = float(low), float(high)
    inside = float(min(max(value, low), high)) if value == value else float("nan")
    return Estimate(inside, low, high)
