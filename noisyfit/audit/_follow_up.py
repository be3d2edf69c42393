"""`FollowUp`: what an audit changes: the scores, the labels of the next fit, an estimator."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit._pipelines import of_last_step, with_last_step
from noisyfit.audit._applied import AppliedAudit
from noisyfit.audit._certificate import found_share
from noisyfit.audit._intervals import as_estimate, unseen_errors
from noisyfit.audit._population import check_same, read_population
from noisyfit.audit._rates import Rates
from noisyfit.audit._recalibration import (
    CalibrationError,
    calibration_error,
    recalibrate,
    recalibrated_out_of_fold,
)
from noisyfit.label_quality import MIN_SHARE_OF_CLASS, spare_last_rows

if TYPE_CHECKING:
    from noisyfit.audit._intervals import Estimate


class FollowUp(Rates):
    """What follows from verified rows for all others."""

    @property
    def _codes(self) -> np.ndarray | None:
        """Given labels of the rows that could be drawn."""
        codes = self._population.codes
        return None if codes is None else codes[self._population.candidates]

    def recalibrated_scores(self) -> np.ndarray:
        """Turn the scores into probabilities that a label is wrong, by the verified rows.

        Returns
        -------
        ndarray of shape (n_samples,), float64, in [0, 1]
            0 or 1 for verified rows, by what was found. Rows that could not be drawn keep their
            score. Others keep their order among those with the same given label, and among all
            where the given labels are not known, or tell nothing beside the scores.

        Notes
        -----
        Logistic regression on the logit of the score (Platt's) and on the score itself, with the
        sampling weights, and coefficients that are not negative. Where it predicts verified rows
        out of fold better, with an effect of each given class besides, which is held back by a
        penalty: labels of one class may be wrong nearly all, which scores need not tell. Isotonic
        regression was tried, in a script that is not kept, on 26 sets of scores to choose by: it
        was worse with 60 and with 200 verified rows, and no better with 500.

        Examples
        --------
        >>> import numpy as np
        >>> from noisyfit.audit import Audit, sample
        >>> rng = np.random.default_rng(0)
        >>> scores = rng.random(2000)
        >>> is_wrong = rng.random(2000) < scores**4  # the scores are far too high
        >>> drawn = sample(scores, 300, random_state=0)
        >>> better = Audit(scores, None, is_wrong[drawn.rows], drawn).recalibrated_scores()
        >>> bool(abs(scores.mean() - is_wrong.mean()) > 0.2)
        True
        >>> bool(abs(better.mean() - is_wrong.mean()) < 0.05)
        True
        """
        return self._with_what_was_found(self._as_if_unseen())

    def _as_if_unseen(self) -> np.ndarray:
        """Return the recalibrated scores, of verified rows by their score as of all others."""
        scores = self._population.scores.copy()
        scores[self._population.candidates] = recalibrate(self._design, self._codes)
        return scores

    def _with_what_was_found(self, scores: np.ndarray) -> np.ndarray:
        scores = scores.copy()
        scores[self._verified.rows] = self._design.wrong
        return scores

    def calibration_error(self) -> CalibrationError:
        """Estimate how far scores are from probabilities, before and after recalibration.

        Returns
        -------
        CalibrationError
            Expected calibration errors over ten bins of equal width, by the sampling weights, and
            what of them chance explains.

        Examples
        --------
        >>> from noisyfit.audit import Audit
        >>> scores = [0.4, 0.6] * 50
        >>> audit = Audit(scores, None, [False, True] * 50, rows=range(100))
        >>> round(audit.calibration_error().before, 3), audit.calibration_error().after < 0.05
        (0.4, True)
        """
        return calibration_error(self._design, self._codes)

    @property
    def labels(self) -> np.ndarray:
        """The given labels, where they were verified the right ones: (n_samples,).

        Of rows that are not in `kept` the given one is there, which is wrong.
        """
        population, right = self._population, self._verified.right_codes
        if population.given is None or population.classes is None:
            raise AttributeError("The given labels are not known. Pass them as y to Audit.")
        labels = population.given.copy()
        if right is not None:
            known = right >= 0
            labels[self._verified.rows[known]] = population.classes[right[known]]
        return labels

    @property
    def trusted(self) -> np.ndarray:
        """Rows whose label in `labels` was verified, now or before: (n_samples,), bool.

        Of rows that several annotators voted on, those of which the votes are sure, with a
        probability of .95.
        """
        trusted, found = self._population.trusted.copy(), self._verified
        sure = np.abs(found.wrong - 0.5) >= 0.45
        trusted[found.rows[found.is_known & sure]] = True
        return trusted

    @property
    def kept(self) -> np.ndarray:
        """Rows but those that are wrong and have no right label: (n_samples,), bool.

        ``est.fit(X[audit.kept], audit.labels[audit.kept], trusted=audit.trusted[audit.kept])`` is
        the next fit.
        """
        kept = np.ones(len(self._population.scores), dtype=bool)
        kept[self._verified.rows[~self._verified.is_known]] = False
        return kept

    def apply(self, est: Any) -> Any:
        """Let a fitted estimator speak from the audit.

        Parameters
        ----------
        est : fitted noisyfit estimator, or Pipeline that ends with one
            That of which the rows were drawn. It is left as it is.

        Returns
        -------
        estimator or Pipeline
            A copy, which predicts as before; of a pipeline, one that ends with such a copy. Its
            ``noise_scores_`` are `recalibrated_scores`, its ``noise_rate_`` and
            ``noise_rate_interval_`` are the audit's, ``clean_mask_`` keeps labels whose score is
            one half at most, `min_share_of_class` of each class, and what is not verified of a
            class that hardly any row is predicted as; ``corrected_labels_`` have the right label of
            each verified row, and replace rejected ones where that raises the expected number of
            right labels by the recalibrated scores. ``summary()`` says so, and ``audit_`` is an
            `AppliedAudit`. A further `fit` forgets it.

        Raises
        ------
        ValueError
            If the audit is of other scores or labels.

        Notes
        -----
        Sample further rows from the estimator as it was before: the strata are those of its scores.

        Examples
        --------
        >>> import numpy as np
        >>> from noisyfit import MILDSelector
        >>> from noisyfit.audit import Audit, sample
        >>> X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
        >>> y[:4] = "dog"
        >>> est = MILDSelector(max_epochs=5, judge_epochs=0, random_state=0).fit(X, y)
        >>> drawn = sample(est, 20, random_state=0)
        >>> verified = np.array(["cat", "dog"] * 20)[drawn.rows]
        >>> print(Audit(est, y, verified, drawn).apply(est).summary())
        MILDSelector on 40 labels of 2 classes
        From an audit: 20 of 40 labels were verified; intervals hold in 95 % of draws.
        ...
        """
        passed, (est, _) = est, of_last_step(est, None)
        theirs, population = read_population(est, None), self._population
        check_same(population, theirs, type(est).__name__)
        labeled = est.labeled_mask_
        audited, as_unseen = copy(est), self._as_if_unseen()
        scores = self._with_what_was_found(as_unseen)
        rejected = self._rejected(scores, est)
        audited.noise_scores_, audited.clean_mask_ = scores, labeled & ~rejected
        share = population.candidates.sum() / labeled.sum()
        value, low, high = (float(number * share) for number in self.noise_rate)
        audited.noise_rate_, audited.noise_rate_interval_ = value, (low, high)
        audited.audit_ = AppliedAudit(
            self._verified.rows,
            self._verified.known_codes(population),
            len(self._design.scores),
            self.confidence,
            self.noise_rate,
            *self._of_rejected(rejected, as_unseen, est),
        )
        return with_last_step(passed, audited)

    def _of_rejected(
        self, rejected: np.ndarray, as_unseen: np.ndarray, est: Any
    ) -> tuple[Estimate, Estimate]:
        """Estimate precision and recall of labels that are rejected, the verified ones as known."""
        design, inside = self._design, self._population.candidates
        # Of verified rows no right one is rejected, which says nothing of others: in the sample
        # those stand for the rejected that would be, had nobody verified them. Not by a map that
        # was fitted to them, which would find more wrong ones among them than among others; but by
        # its order, in which the rows of a class are spared.
        spared = (as_unseen > 0.5) & ~self._by_score(as_unseen, est, np.zeros(len(inside), bool))
        rejected = rejected[inside]
        domain = rejected.copy()
        out_of_fold = recalibrated_out_of_fold(design, self._codes)
        domain[design.rows] = (out_of_fold > 0.5) & ~spared[inside][design.rows]
        both = design.of_groups(domain.astype(np.int64), 2)
        others, those = both.of_one(0), both.of_one(1)
        known, n_known = design.wrong[rejected[design.rows]].sum(), rejected[design.rows].sum()
        n_rejected = (those.size - those.n)[0] + n_known
        precision = [
            (number[0] + known) / n_rejected if n_rejected else np.nan
            for number in unseen_errors(those, self._tail)
        ]
        moved = known - those.wrong  # rejected by what was found, and not by the score
        low, high = found_share(those, others, self._tail, moved)
        found = (those.size * those.share + moved)[0]
        total = (those.size * those.share + others.size * others.share)[0]
        recall = as_estimate(found / total if total > 0 else np.nan, low[0], high[0])
        if not n_rejected:
            return as_estimate(np.nan, 0, 1), recall
        return as_estimate(*precision), recall

    def _rejected(self, scores: np.ndarray, est: Any) -> np.ndarray:
        """Return the labels that are more likely wrong than not, but the last of a class."""
        verified_right = np.zeros(len(scores), dtype=bool)
        verified_right[self._verified.rows] = self._verified.wrong <= 0.5
        rejected = self._by_score(scores, est, verified_right)
        rejected[self._verified.rows] = self._verified.wrong > 0.5
        return rejected

    def _by_score(self, scores: np.ndarray, est: Any, is_right: np.ndarray) -> np.ndarray:
        """Reject by the scores alone what no class has to keep."""
        population = self._population
        assert population.codes is not None, "an estimator knows its labels"
        labeled = np.flatnonzero(population.codes >= 0)
        given = population.codes[labeled]
        rejected = population.candidates & (scores > 0.5)
        rejected[labeled] = spare_last_rows(
            rejected[labeled],
            scores[labeled],
            given,
            np.bincount(given),
            is_right[labeled],
            getattr(est, "min_share_of_class", MIN_SHARE_OF_CLASS),
        )
        hard = getattr(est, "_unpredicted", None)
        if hard is not None:  # such a class is kept whole, whatever its scores
            rejected[hard] = False
        return rejected
