"""`Rates`: shares of wrong labels, in all rows and in parts of them, and how far to review."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.audit._certificate import ReviewLimit, found_share, review_limit
from noisyfit.audit._intervals import Estimate, as_estimate, bounds, unseen_errors
from noisyfit.audit._transitions import MatrixEstimate, matrix_of
from noisyfit.data import check_groups, check_mask, plain_labels

if TYPE_CHECKING:
    from noisyfit.audit._design import Design
    from noisyfit.audit._population import Population
    from noisyfit.audit._verified import Verified


class Rates:
    """What verified rows say of the share of wrong labels."""

    confidence: float
    _design: Design
    _population: Population
    _verified: Verified

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
        return as_estimate(value, low[0], high[0])

    def precision_at(self, k: int) -> Estimate:
        """Estimate the share of wrong labels among the rows of the highest scores.

        Parameters
        ----------
        k : int
            Number of rows, of those that could be drawn; equal scores in the order of the rows.

        Returns
        -------
        Estimate
            NaN, from 0 to 1, if none of them was verified.

        Raises
        ------
        ValueError
            If `k` is no number of rows.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False, False], rows=range(4))
        >>> audit.precision_at(2)
        Estimate(value=0.5, low=0.5, high=0.5)
        """
        return self._shares(self._top(k, 1, "precision_at"), 2)[1]

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
        moments = self._design.of_groups(1 - self._top(k, 0, "errors_left"), 2).of_one(1)
        value, low, high = (end[0] for end in unseen_errors(moments, self._tail))
        return as_estimate(value if moments.n[0] or not moments.size[0] else np.nan, low, high)

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

    def _top(self, k: int, least: int, caller: str) -> np.ndarray:
        """Return 1 for the rows of the k highest scores, and 0 for all others."""
        constraints: dict[str, list] = {
            "k": [Interval(Integral, least, self.n_rows, closed="both")]
        }
        validate_parameter_constraints(constraints, {"k": k}, caller_name=caller)
        top = np.zeros(self.n_rows, dtype=np.int64)
        top[np.argsort(-self._design.scores, kind="stable")[:k]] = 1
        return top

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

    def transition_matrix(self) -> MatrixEstimate:
        r"""Estimate the share of the rows of each true class that were given each label.

        Returns
        -------
        MatrixEstimate
            Three arrays of shape (n_classes, n_classes), a row for each true class, and the
            classes. A class that no verified row has in truth is NaN, from 0 to 1.

        Raises
        ------
        ValueError
            If the right labels are not known: `verified` held truth values.

        Notes
        -----
        With :math:`N_j` rows of the given label j and :math:`q_{ij}` the share of class i among
        them, estimated like the noise rate of a domain, a row of the matrix is :math:`N_j q_{ij} /
        \sum_l N_l q_{il}`. Its intervals are those of a share of errors.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> y, right = ["cat", "cat", "dog", "dog"], ["cat", "dog", "dog", "dog"]
        >>> Audit([0.1, 0.9, 0.2, 0.8], y, right, rows=[0, 1, 2, 3]).transition_matrix().value
        array([[1.        , 0.        ],
               [0.33333333, 0.66666667]])
        """
        right, population = self._verified.right_codes, self._population
        if right is None or population.codes is None or population.classes is None:
            raise ValueError(
                "The right labels are not known: verified held truth values. Pass the labels "
                "themselves, and the given labels as y."
            )
        codes = population.codes[population.candidates]
        return matrix_of(self._design, codes, right, population.classes, self._tail)

    def _by(self, codes: np.ndarray, names: list[Any]) -> dict[Any, Estimate]:
        there = np.bincount(codes, minlength=len(names)) > 0
        found = self._shares(codes, len(names))
        return {name: found[i] for i, name in enumerate(names) if there[i]}

    def _shares(self, codes: np.ndarray, k: int) -> list[Estimate]:
        moments = self._design.of_groups(codes, k)
        low, high = bounds(moments, self._tail)
        value = np.where(moments.n > 0, moments.share, np.nan)
        return [as_estimate(*ends) for ends in zip(value, low, high, strict=True)]
