"""`NoiseScoreDisplay`: the distribution of the noise scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.data import check_mask
from noisyfit.display._base import LINE, Display, draw_histogram

if TYPE_CHECKING:
    from noisyfit.base import BaseNoisyClassifier


class NoiseScoreDisplay(Display):
    """Histogram of the noise scores of kept and rejected rows, counts on a logarithmic scale.

    Parameters
    ----------
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    clean_mask : ndarray of shape (n_samples,), bool
        Rows that were kept.
    is_noisy : ndarray of shape (n_samples,), bool, default=None
        Whether each label is wrong, where that is known. The histogram then tells right labels from
        wrong ones instead of kept rows from rejected ones.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

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
            Estimator whose scores are drawn.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Whether each label is wrong, where that is known.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

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
        """Draw scores that were not computed by a noisyfit estimator.

        Parameters
        ----------
        noise_scores : array-like of shape (n_samples,)
            Probability that each given label is wrong.
        clean_mask : array-like of shape (n_samples,), bool
            Rows that were kept.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Whether each label is wrong, where that is known.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        scores, mask = (
            np.asarray(noise_scores, dtype=np.float64),
            check_mask(clean_mask, "clean_mask"),
        )
        truth = None if is_noisy is None else check_mask(is_noisy, "is_noisy")
        for name, values in (("clean_mask", mask), ("is_noisy", truth)):
            if values is not None and values.shape != scores.shape:
                raise ValueError(
                    f"{name} has shape {values.shape}, but noise_scores {scores.shape}."
                )
        return cls(scores, mask, truth).plot(ax)

    def _draw(self, ax: Any) -> None:
        if self.is_noisy is None:
            groups = {"kept": self.clean_mask, "rejected": ~self.clean_mask}
        else:
            groups = {"right": ~self.is_noisy, "wrong": self.is_noisy}
        draw_histogram(ax, self.noise_scores, groups, bins=np.linspace(0, 1, 41))
        ax.axvline(0.5, color=LINE, linestyle="--", linewidth=1, label="one half")
        ax.set(xlabel="noise score: probability that the label is wrong", ylabel="labels (log)")
        ax.set_yscale("log")
        ax.legend(loc="upper center")  # between the low scores and the high ones
