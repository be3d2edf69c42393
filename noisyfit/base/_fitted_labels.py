"""`FittedLabels`: what follows from the scores, masks and codes that a fit leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from noisyfit.label_quality import (
    doubts_about,
    estimate_transition_matrix,
    frequent_confusions,
    summarize,
)


class FittedLabels:
    """Labels, matrix and summary of a fit, derived when they are asked for."""

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
        """The given label where ``clean_mask_`` is true, else the predicted one: (n_samples,)."""
        given, predicted = self.given_labels_, self.predicted_labels_
        return np.where(self.clean_mask_, given, predicted)

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

    def _said_of_unlabeled(self) -> list[str]:
        n_unlabeled = int((~self.labeled_mask_).sum())
        return [f"Without a label: {n_unlabeled:,} more rows."] if n_unlabeled else []

    def _of_labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return given codes, predicted codes and noise scores of the rows that have a label."""
        labeled = self.labeled_mask_
        of_rows = (self._given_codes, self._predicted_codes, self.noise_scores_)
        return tuple(values[labeled] for values in of_rows)

    def summary(self) -> str:
        """Say in a few lines how good the labels are, and what to look at.

        Returns
        -------
        str
            All counts but that of the rejected rows are estimates from the noise scores.
        """
        check_is_fitted(self)
        given, predicted, scores = self._of_labels()
        return summarize(
            type(self).__name__,
            self.classes_,
            scores,
            int((self.labeled_mask_ & ~self.clean_mask_).sum()),
            int(self.trusted_mask_.sum()),
            self.noise_rate_,
            frequent_confusions(given, predicted, scores),
            [
                *self._said_of_unlabeled(),
                *doubts_about(
                    self.classes_,
                    given,
                    given != predicted,
                    ~self.clean_mask_[self.labeled_mask_],
                    self.noise_rate_,
                    self.__dict__.get("_early_agreement"),
                ),
            ],
        )

    @property
    def sample_indices_(self) -> np.ndarray:
        """Numbers of the rows whose label was kept, as imbalanced-learn's samplers have them."""
        if "clean_mask_" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} is not fitted: no sample_indices_ yet.")
        return np.flatnonzero(self.clean_mask_)
