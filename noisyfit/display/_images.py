"""`SuspiciousImagesDisplay`: the images with the highest noise scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from noisyfit.base import BaseNoisyClassifier, check_fitted_on
from noisyfit.data import as_tensor


class SuspiciousImagesDisplay:
    """The images with the highest noise scores, with their given and suggested labels.

    The title ``7 -> 1`` of an image says that its given label is 7 and the network's prediction 1.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width) or (height, width, 3)
        Images to draw, in this order.
    titles : list of str
        What to write above each image.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes
        Grid of axes, one for each image.
    figure_ : matplotlib Figure
        Figure that has them.

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
            Estimator whose noise scores choose the images.
        X : array-like or torch Dataset of shape (n_samples, n_channels, height, width)
            The images that `est` was fitted on, with one or three channels.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            The labels that `est` was fitted on.
        images : sequence of n_samples images, default=None
            What to draw instead of `X`: PIL images or arrays (height, width[, 3]), of any size.
        n_images : int, default=24
            How many images to draw.

        Returns
        -------
        SuspiciousImagesDisplay
        """
        given = check_fitted_on(est, X, y)
        order = np.argsort(-est.noise_scores_, kind="stable")[:n_images]
        suggested = est.predicted_labels_[order]
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
        """Draw the images in a grid, each below its title.

        Parameters
        ----------
        n_columns : int, default=8
            Images side by side, at most.

        Returns
        -------
        SuspiciousImagesDisplay
            The instance itself, with ``ax_`` and ``figure_``.
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
