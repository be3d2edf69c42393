"""`SuspiciousImagesDisplay`: the images with the highest noise scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisyfit._pipelines import of_last_step
from noisyfit.base import check_fitted_on
from noisyfit.data import as_numpy
from noisyfit.features import single_pictures

_LARGEST_SIDE = 256  # in pixels; a grid of 8 shows no more of a photograph


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
        est: Any,
        X: Any,
        y: Any = None,
        *,
        images: Any = None,
        n_images: int = 24,
    ) -> SuspiciousImagesDisplay:
        """Draw the most suspicious images of a fit.

        Parameters
        ----------
        est : fitted noisyfit estimator or Pipeline
            Estimator whose noise scores choose the images.
        X : array-like, list of PIL images or of paths, or torch Dataset
            What `est` was fitted on: images (n_samples, n_channels, height, width) with one or
            three channels, or what a pipeline reads as such.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            The labels that `est` was fitted on.
        images : sequence of n_samples images, default=None
            What to draw instead of `X`, of any size: PIL images, paths, a Dataset, or arrays
            (height, width[, 3]).
        n_images : int, default=24
            How many images to draw. No other is read for that.

        Returns
        -------
        SuspiciousImagesDisplay

        Raises
        ------
        ValueError
            If `X` is not what `est` was fitted on, or not images.
        """
        fitted, rows = of_last_step(est, X)
        given = check_fitted_on(fitted, rows, y)
        order = np.argsort(-fitted.noise_scores_, kind="stable")[:n_images]
        suggested = fitted.predicted_labels_[order]
        titles = [f"{given[row]} -> {new}" for row, new in zip(order, suggested, strict=True)]
        single = single_pictures(X if images is None else images, any_scale=True)
        if single is not None:
            shown: Any = single.batch([int(row) for row in order], _LARGEST_SIDE)
        elif images is not None:
            return cls([np.asarray(images[row]) for row in order], titles).plot()
        else:
            shown = np.asarray(X)[order]
        return cls(_drawable([as_numpy(image) for image in shown]), titles).plot()

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


def _drawable(shown: list[np.ndarray]) -> list[np.ndarray]:
    """Return images (n_channels, height, width) as matplotlib draws them, all on one scale."""
    for image in shown:
        if image.ndim != 3 or image.shape[0] not in (1, 3):
            raise ValueError(
                "X must be images of one or three channels, (n_samples, n_channels, height, "
                f"width). Got rows of shape {image.shape}; pass what to draw as images=."
            )
    if shown and shown[0].dtype != np.uint8:
        low, high = min(x.min() for x in shown), max(x.max() for x in shown)
        shown = [(x - low) / max(high - low, 1e-12) for x in shown]
    return [x[0] if len(x) == 1 else x.transpose(1, 2, 0) for x in shown]
