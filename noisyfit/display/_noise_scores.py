"""`NoiseScoreDisplay`: the distribution of the noise scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.base import BaseNoisyClassifier
from noisyfit.display._base import KEPT, LINE, REJECTED, Display, as_mask


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
