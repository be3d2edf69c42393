"""`TransitionMatrixDisplay`: which class is given which label."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.base import BaseNoisyClassifier
from noisyfit.display._base import Display
from noisyfit.label_quality import estimate_transition_matrix


class TransitionMatrixDisplay(Display):
    """Which class is given which label.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Row: true class; column: given label.
    classes : sequence of shape (n_classes,)
        Names of the classes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from noisyfit.display import TransitionMatrixDisplay
    >>> given, true = ["cat", "dog", "cat", "dog"], ["cat", "cat", "cat", "dog"]
    >>> display = TransitionMatrixDisplay.from_predictions(given, true)
    >>> display.matrix.round(2)
    array([[0.67, 0.33],
           [0.  , 1.  ]])
    """

    def __init__(self, matrix: np.ndarray, classes: Any) -> None:
        self.matrix = matrix
        self.classes = classes

    @classmethod
    def from_estimator(cls, est: BaseNoisyClassifier, *, ax: Any = None) -> TransitionMatrixDisplay:
        """Draw the estimate of a fitted estimator.

        Parameters
        ----------
        est : fitted noisyfit estimator
        ax : matplotlib Axes, default=None

        Returns
        -------
        TransitionMatrixDisplay
        """
        check_is_fitted(est)
        return cls(est.transition_matrix_, est.classes_).plot(ax)

    @classmethod
    def from_predictions(
        cls, given: Any, true: Any, *, noise_scores: Any = None, ax: Any = None
    ) -> TransitionMatrixDisplay:
        """Draw the matrix of two sets of labels.

        Parameters
        ----------
        given, true : array-like of shape (n_samples,)
            Given labels, and true or corrected ones.
        noise_scores : array-like of shape (n_samples,), default=None
            How sure it is that a label is wrong; None: it is where both differ.
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        TransitionMatrixDisplay
        """
        given, true = np.asarray(given), np.asarray(true)
        classes, codes = np.unique(np.concatenate([given, true]), return_inverse=True)
        given_codes, true_codes = codes[: len(given)], codes[len(given) :]
        scores = (given_codes != true_codes).astype(float) if noise_scores is None else noise_scores
        matrix = estimate_transition_matrix(given_codes, true_codes, scores, len(classes))
        return cls(matrix, classes).plot(ax)

    def plot(self, ax: Any = None) -> TransitionMatrixDisplay:
        """Draw the matrix, with figures where there are at most fifteen classes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        TransitionMatrixDisplay
        """
        n_classes = len(self.matrix)
        side = min(9.0, 3 + 0.4 * n_classes)
        ax = self._axes(ax, figsize=(side, side))
        image = ax.imshow(self.matrix, cmap="Blues", vmin=0, vmax=1)
        self.figure_.colorbar(image, ax=ax, shrink=0.7)
        ax.set(xlabel="given label", ylabel="true class, by estimate")
        if n_classes <= 30:
            ax.set_xticks(range(n_classes), [str(c) for c in self.classes], rotation=90)
            ax.set_yticks(range(n_classes), [str(c) for c in self.classes])
        if n_classes <= 15:
            for (i, j), share in np.ndenumerate(self.matrix):
                if share >= 0.005:
                    colour = "white" if share > 0.5 else "black"
                    text = f"{100 * share:.0f}"
                    ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
        return self
