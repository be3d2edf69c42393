"""`FittedLabels`: what follows from the scores, masks and codes that a fit leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from noisyfit.base._decisions import BOTH
from noisyfit.label_quality import (
    count_by_class,
    doubts_about,
    estimate_transition_matrix,
    frequent_confusions,
    summarize,
)

if TYPE_CHECKING:
    import pandas as pd

    from noisyfit.audit import AppliedAudit


class FittedLabels:
    """Labels, matrix, doubts and summary of a fit, derived when they are asked for."""

    classes_: np.ndarray
    clean_mask_: np.ndarray
    noise_scores_: np.ndarray
    noise_rate_: float
    trusted_mask_: np.ndarray
    unlabeled: Any = None
    _given_codes: np.ndarray
    _predicted_codes: np.ndarray

    @property
    def given_labels_(self) -> np.ndarray:
        """Labels that `fit` was given: (n_samples,)."""
        labels, unlabeled = self._decoded("_given_codes"), self.__dict__.get("_unlabeled")
        return labels if unlabeled is None else np.where(unlabeled, self.unlabeled, labels)

    @property
    def labeled_mask_(self) -> np.ndarray:
        """Rows that have a given label: (n_samples,), bool."""
        check_is_fitted(self)
        unlabeled = self.__dict__.get("_unlabeled")
        return np.ones(len(self.clean_mask_), dtype=bool) if unlabeled is None else ~unlabeled

    @property
    def predicted_labels_(self) -> np.ndarray:
        """Labels that the network predicts for the rows of `fit`: (n_samples,)."""
        return self._decoded("_predicted_codes")

    @property
    def corrected_labels_(self) -> np.ndarray:
        """The predicted label where that is the better guess, else the given one: (n_samples,).

        Of rejected labels those are replaced whose replacement raises the expected number of right
        labels even at the lower end of ``noise_rate_interval_``, or, the clearer the losses in
        sample fall into two groups, nearer to ``noise_rate_``; without an interval all of them.
        After an audit that is decided by its scores as they are. Rows without a label get the
        predicted one, rows that an audit verified the right one.
        """
        self._decoded("_given_codes")  # or there are none
        return self.classes_[self._corrected_codes()]

    def _corrected_codes(self) -> np.ndarray:
        codes = np.where(self._is_relabeled(), self._predicted_codes, self._given_codes)
        audit = self._applied_audit()
        if audit is not None:
            known = audit.right_codes >= 0
            codes[audit.rows[known]] = audit.right_codes[known]
        return codes

    def _applied_audit(self) -> AppliedAudit | None:
        return self.__dict__.get("audit_")

    def _is_relabeled(self) -> np.ndarray:
        relabeled = self.__dict__.get("_relabeled")  # files of earlier versions have none
        worth_from = self.__dict__.get("_worth_from")
        if relabeled is None:
            return ~self.clean_mask_
        if self._applied_audit() is not None and worth_from is not None:
            relabeled = self.noise_scores_ > worth_from  # verified rows say how far to believe them
        return (relabeled & ~self.clean_mask_) | ~self.labeled_mask_  # an audit may have kept some

    def _decoded(self, codes: str) -> np.ndarray:
        if codes not in self.__dict__:
            # A ValueError and an AttributeError, for which hasattr looks.
            raise NotFittedError(f"This {type(self).__name__} is not fitted: it has no labels yet.")
        return self.classes_[self.__dict__[codes]]

    @property
    def transition_matrix_(self) -> np.ndarray:
        """Estimated share of the rows of a true class (row) that were given each label (column).

        See `noisyfit.label_quality.estimate_transition_matrix`. Made when asked for: it has the
        size of the classes squared.
        """
        if not hasattr(self, "_given_codes"):
            raise NotFittedError(f"{type(self).__name__} is not fitted: no transition_matrix_ yet.")
        return estimate_transition_matrix(*self._of_labels(), len(self.classes_))

    def _of_labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return given codes, predicted codes and noise scores of the rows that have a label."""
        labeled = self.labeled_mask_
        of_rows = (self._given_codes, self._predicted_codes, self.noise_scores_)
        return tuple(values[labeled] for values in of_rows)

    @property
    def doubts_(self) -> list[str]:
        """What speaks against the numbers of the fit, a sentence each; empty if nothing does.

        Such as a class that was rejected almost whole, labels that the network may have learned by
        heart, rows that tell nothing about the labels, columns that tell all of them, as a copy
        would, or a wide ``noise_rate_interval_``. That
        nothing was found is no proof that the numbers are right.
        """
        check_is_fitted(self)
        given, predicted, _ = self._of_labels()
        of_own_rows = self.__dict__.get("_own_rows")  # files of earlier versions have none
        doubts = [] if of_own_rows is None else [of_own_rows]
        doubts += self.__dict__.get("_leaks", [])
        return doubts + doubts_about(
            self.classes_,
            given,
            given != predicted,
            ~self.clean_mask_[self.labeled_mask_],
            self.noise_rate_,
            self.__dict__.get("_early_agreement"),
            self._rate_interval(),
            self.__dict__.get("held_out_noise_rate_"),
            self._hard_classes(),
            self.__dict__.get("_astray"),
            self._lost_to_plain(),
            audited=self._applied_audit() is not None,
            replaced=self.__dict__.get("_replaced_agreement"),
        )

    def _lost_to_plain(self) -> str | None:
        found = self.__dict__.get("_beside_plain")  # files of earlier versions have none
        return found.sentence() if found is not None and found.plain_is_better else None

    def _hard_classes(self) -> np.ndarray:
        rows = self.__dict__.get("_unpredicted")
        return np.empty(0, np.int64) if rows is None else np.unique(self._given_codes[rows])

    def _rate_interval(self) -> tuple[float, float] | None:
        return getattr(self, "noise_rate_interval_", None)  # not every method has one

    def _class_counts(self) -> dict[str, np.ndarray]:
        given, _, scores = self._of_labels()
        kept = self.clean_mask_[self.labeled_mask_]
        corrected = self._corrected_codes()[self.labeled_mask_]
        return count_by_class(given, ~kept, corrected, scores, len(self.classes_))

    def class_report(self) -> pd.DataFrame:
        """Make a table of what became of the labels of each class.

        Returns
        -------
        pandas.DataFrame of shape (n_classes, 6)
            One line for each class, whose names are the index. The columns are ``given``, the
            number of rows with that label; ``rejected``, how many of these were; ``corrected``, the
            number of rows of which it is the label in ``corrected_labels_``; ``share_given`` and
            ``share_corrected``, the same as shares of all rows, in [0, 1]; ``mean_noise_score`` of
            the rows with that label, in [0, 1]. Rows without a label are not counted.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If pandas is not installed.

        Notes
        -----
        Needs pandas. ``summary()`` shows the same as text, and does not.

        Examples
        --------
        >>> import numpy as np
        >>> from noisyfit import MILDSelector
        >>> X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
        >>> y[:4] = "dog"
        >>> est = MILDSelector(max_epochs=5, judge_epochs=0, random_state=0).fit(X, y)
        >>> est.class_report()[["given", "rejected", "corrected"]]
               given  rejected  corrected
        class
        cat       18         0         20
        dog       22         2         20
        """
        check_is_fitted(self)
        pd = import_pandas("A class report")
        return pd.DataFrame(self._class_counts(), index=pd.Index(self.classes_, name="class"))

    def summary(self) -> str:
        """Say whether to believe the numbers, how good the labels are, and what to look at.

        Returns
        -------
        str
            What speaks against the numbers comes first (``doubts_``), what became of each class
            last: up to twelve classes are shown, of more than that those that lost more than a
            third of their labels; ``class_report`` has all. All counts but
            those of given, rejected and corrected labels are estimates from the noise scores. At
            the end of a notebook's cell it shows as lines; elsewhere `print` it.

        Examples
        --------
        >>> import numpy as np
        >>> from noisyfit import MILDSelector
        >>> X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
        >>> y[:4] = "dog"
        >>> est = MILDSelector(max_epochs=5, judge_epochs=0, random_state=0).fit(X, y)
        >>> est.doubts_
        []
        >>> print(est.summary())
        MILDSelector on 40 labels of 2 classes
        Unchecked: no network judged rows that it did not train on. Hard rows may count as wrong.
        Wrong by estimate: about 2 (5.0 %). Rejected: 2.
        ...
        """
        check_is_fitted(self)
        given, predicted, scores = self._of_labels()
        labeled, audit = self.labeled_mask_, self._applied_audit()
        seen = None if audit is None else np.isin(np.flatnonzero(labeled), audit.rows)
        return summarize(
            type(self).__name__,
            self.classes_,
            scores,
            int((labeled & ~self.clean_mask_).sum()),
            int(self.trusted_mask_.sum()),
            self.noise_rate_,
            frequent_confusions(given, predicted, scores),
            self.doubts_,
            interval=self._rate_interval(),
            n_unlabeled=int((~labeled).sum()),
            counts=self._class_counts(),
            loss_gain=self._gain_of_loss(),
            ranking=self._reason_for_both(),
            n_replaced=int((self._corrected_codes() != self._given_codes)[labeled].sum()),
            n_not_learned=self._n_not_learned(),
            audit=() if audit is None else audit.sentences(),
            unsearched=self.__dict__.get("_unsearched"),  # files of earlier versions have none
            seen=seen,
        )

    def _n_not_learned(self) -> int:
        """Count the kept rows that the network has not learned from, if that is worth saying."""
        return 0

    def _reason_for_both(self) -> str | None:
        both = getattr(self, "recording_", None) == BOTH  # not every method has a choice
        return self.__dict__.get("recording_reason_") if both else None

    def _gain_of_loss(self) -> float | None:
        early = getattr(self, "loss_", None) == "early_learning"  # not every method has a choice
        return self.__dict__.get("_loss_gain") if early else None

    @property
    def sample_indices_(self) -> np.ndarray:
        """Numbers of the rows whose label was kept, as imbalanced-learn's samplers have them."""
        if "clean_mask_" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} is not fitted: no sample_indices_ yet.")
        return np.flatnonzero(self.clean_mask_)


def import_pandas(purpose: str) -> Any:
    """Return the module pandas, or say what needs it and how to get it.

    Parameters
    ----------
    purpose : str
        What needs pandas, as the beginning of a sentence.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs pandas: python -m pip install pandas. noisyfit's extra plot has it, "
            "too."
        ) from error
    return pd
