"""`TransitionMatrixDisplay`: how often each class is given each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.data import encode_labels
from noisyfit.display._base import Display
from noisyfit.label_quality import estimate_transition_matrix

if TYPE_CHECKING:
    from noisyfit.base import BaseNoisyClassifier


class TransitionMatrixDisplay(Display):
    """The noise transition matrix: how often each class is given each label.

    Each entry is written as a percentage where there are at most fifteen classes.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Entry (i, j): probability that a row of class i is given the label j.
    classes : sequence of shape (n_classes,)
        Names of the classes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

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
        """Draw the transition matrix that a fitted estimator found.

        Parameters
        ----------
        est : fitted noisyfit estimator
            Estimator whose ``transition_matrix_`` is drawn.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

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
        """Draw the matrix of given labels against true ones.

        Parameters
        ----------
        given, true : array-like of shape (n_samples,)
            Given labels, and true or corrected ones.
        noise_scores : array-like of shape (n_samples,), default=None
            Probability that each given label is wrong. None: 1 where both differ, 0 elsewhere.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        TransitionMatrixDisplay
        """
        given, true = np.asarray(given), np.asarray(true)
        codes, classes = encode_labels(np.concatenate([given, true]))
        given_codes, true_codes = codes[: len(given)], codes[len(given) :]
        scores = (given_codes != true_codes).astype(float) if noise_scores is None else noise_scores
        matrix = estimate_transition_matrix(given_codes, true_codes, scores, len(classes))
        return cls(matrix, classes).plot(ax)

    def _figure_size(self) -> tuple[float, float]:
        side = min(9.0, 3 + 0.4 * len(self.matrix))
        return side, side

    def _draw(self, ax: Any) -> None:
        n_classes = len(self.matrix)
        image = ax.imshow(self.matrix, cmap="Blues", vmin=0, vmax=1)
        self.figure_.colorbar(image, ax=ax, shrink=0.7)
        ax.set(xlabel="given label", ylabel="true class, by estimate")
        if n_classes <= 30:
            ax.set_xticks(range(n_classes), [str(c) for c in self.classes], rotation=90)
            ax.set_yticks(range(n_classes), [str(c) for c in self.classes])
        if n_classes <= 15:
            for (i, j), proportion in np.ndenumerate(self.matrix):
                if proportion >= 0.005:
                    color = "white" if proportion > 0.5 else "black"
                    text = f"{100 * proportion:.0f}"
                    ax.text(j, i, text, ha="center", va="center", color=color, fontsize=8)
