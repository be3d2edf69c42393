"""Pictures of a fit, after scikit-learn's Display objects; drawing one imports matplotlib.

Each class stores the arrays that it draws, has ``from_estimator`` (and ``from_predictions`` where
no estimator is needed), and ``plot(ax=None)``, which sets ``ax_`` and ``figure_``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from noisyfit._mild_display import MixtureDisplay, RoundsDisplay
from noisyfit._training_display import (
    KEPT,
    LINE,
    REJECTED,
    Display,
    LossThresholdDisplay,
    TrainingDynamicsDisplay,
    as_mask,
)
from noisyfit.base import BaseNoisyClassifier, check_fitted_on
from noisyfit.data import as_tensor
from noisyfit.label_quality import estimate_transition_matrix

__all__ = [
    "LossThresholdDisplay",
    "MixtureDisplay",
    "NoiseScoreDisplay",
    "RoundsDisplay",
    "SuspiciousImagesDisplay",
    "TrainingDynamicsDisplay",
    "TransitionMatrixDisplay",
]


class NoiseScoreDisplay(Display):
    """Histogram of the noise scores of kept and rejected rows.

    Parameters
    ----------
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    clean_mask : ndarray of shape (n_samples,), bool
        Rows that were kept.
    is_noisy : ndarray of shape (n_samples,), bool, default=None
        Where it is known which labels are wrong: the rows are coloured by that instead.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from noisyfit.display import NoiseScoreDisplay
    >>> display = NoiseScoreDisplay.from_predictions([0.1, 0.2, 0.9], [True, True, False])
    >>> display.noise_scores
    array([0.1, 0.2, 0.9])
    """

    def __init__(
        self, noise_scores: np.ndarray, clean_mask: np.ndarray, is_noisy: np.ndarray | None = None
    ) -> None:
        self.noise_scores = noise_scores
        self.clean_mask = clean_mask
        self.is_noisy = is_noisy

    @classmethod
    def from_estimator(
        cls, est: BaseNoisyClassifier, *, is_noisy: Any = None, ax: Any = None
    ) -> NoiseScoreDisplay:
        """Draw the scores of a fitted estimator.

        Parameters
        ----------
        est : fitted noisyfit estimator
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong, where that is known.
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        check_is_fitted(est)
        return cls.from_predictions(est.noise_scores_, est.clean_mask_, is_noisy=is_noisy, ax=ax)

    @classmethod
    def from_predictions(
        cls, noise_scores: Any, clean_mask: Any, *, is_noisy: Any = None, ax: Any = None
    ) -> NoiseScoreDisplay:
        """Draw scores from elsewhere.

        Parameters
        ----------
        noise_scores : array-like of shape (n_samples,)
        clean_mask : array-like of shape (n_samples,), bool
        is_noisy : array-like of shape (n_samples,), bool, default=None
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        scores, mask = np.asarray(noise_scores, dtype=np.float64), as_mask(clean_mask, "clean_mask")
        truth = None if is_noisy is None else as_mask(is_noisy, "is_noisy")
        for name, values in (("clean_mask", mask), ("is_noisy", truth)):
            if values is not None and values.shape != scores.shape:
                raise ValueError(
                    f"{name} has shape {values.shape}, but noise_scores {scores.shape}."
                )
        return cls(scores, mask, truth).plot(ax)

    def plot(self, ax: Any = None) -> NoiseScoreDisplay:
        """Draw the histogram, its counts on a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        ax = self._axes(ax, figsize=(6, 3.5))
        if self.is_noisy is None:
            groups = {"kept": self.clean_mask, "rejected": ~self.clean_mask}
        else:
            groups = {"right": ~self.is_noisy, "wrong": self.is_noisy}
        ax.hist(
            [self.noise_scores[group] for group in groups.values()],
            bins=np.linspace(0, 1, 41),
            stacked=True,
            color=[KEPT, REJECTED],
            label=[f"{name} ({group.sum():,})" for name, group in groups.items()],
        )
        ax.axvline(0.5, color=LINE, linestyle="--", linewidth=1, label="one half")
        ax.set(xlabel="noise score: probability that the label is wrong", ylabel="labels (log)")
        ax.set_yscale("log")
        ax.legend(loc="upper center")  # between the two heaps
        return self


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


class SuspiciousImagesDisplay(Display):
    """The images with the highest noise scores, with their given and suggested labels.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width) or (height, width, 3)
    titles : list of str

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from noisyfit.display import SuspiciousImagesDisplay
    >>> images = load_digits().images[:3]
    >>> display = SuspiciousImagesDisplay(images, ["7 -> 0", "2 -> 1", "3 -> 2"]).plot()
    >>> display.ax_.shape
    (1, 3)
    """

    def __init__(self, images: Any, titles: list[str]) -> None:
        self.images = images
        self.titles = titles

    @classmethod
    def from_estimator(
        cls,
        est: BaseNoisyClassifier,
        X: Any,
        y: Any = None,
        *,
        images: Any = None,
        n_images: int = 24,
    ) -> SuspiciousImagesDisplay:
        """Draw the most suspicious images of a fit.

        Parameters
        ----------
        est : fitted noisyfit estimator
        X : array-like or torch Dataset of shape (n_samples, n_channels, height, width)
            The images that it was fitted on, with one or three channels.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            Their given labels.
        images : sequence of n_samples images, default=None
            What to draw instead of `X`: PIL images or arrays (height, width[, 3]), of any size.
        n_images : int, default=24

        Returns
        -------
        SuspiciousImagesDisplay
        """
        given = check_fitted_on(est, X, y)
        order = np.argsort(-est.noise_scores_, kind="stable")[:n_images]
        suggested = est.classes_[est._predicted_codes[order]]
        titles = [f"{given[row]} -> {new}" for row, new in zip(order, suggested, strict=True)]
        if images is not None:
            return cls([np.asarray(images[row]) for row in order], titles).plot()
        if isinstance(X, Dataset):
            items = (X[int(row)] for row in order)
            shown = np.stack([as_tensor(i[0] if isinstance(i, tuple) else i) for i in items])
        else:
            shown = np.asarray(X)[order]
        if shown.ndim != 4 or shown.shape[1] not in (1, 3):
            raise ValueError(
                "X must be images of one or three channels, (n_samples, n_channels, height, "
                f"width). Got an array of shape {shown.shape}."
            )
        if shown.dtype != np.uint8:
            low, high = shown.min(), shown.max()
            shown = (shown - low) / max(high - low, 1e-12)
        shown = shown.transpose(0, 2, 3, 1)
        return cls(shown[..., 0] if shown.shape[3] == 1 else shown, titles).plot()

    def plot(self, n_columns: int = 8) -> SuspiciousImagesDisplay:
        """Draw the grid: given label -> what the network suggests.

        Parameters
        ----------
        n_columns : int, default=8

        Returns
        -------
        SuspiciousImagesDisplay
        """
        import matplotlib.pyplot as plt

        n_columns = max(1, min(n_columns, len(self.images)))
        n_lines = max(1, -(-len(self.images) // n_columns))
        self.figure_, self.ax_ = plt.subplots(
            n_lines,
            n_columns,
            figsize=(1.15 * n_columns, 1.4 * n_lines),
            layout="constrained",
            squeeze=False,
        )
        for ax in self.ax_.flat:
            ax.set_axis_off()
        for ax, image, title in zip(self.ax_.flat, self.images, self.titles, strict=False):
            ax.imshow(image, cmap="gray" if image.ndim == 2 else None)
            ax.set_title(title.replace(" -> ", "\n-> ") if len(title) > 14 else title, fontsize=8)
        return self
