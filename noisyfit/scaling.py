"""Bring inputs to a common scale: channels of images, columns of tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import StandardScaler


class ImageScaler:
    """Scale ``uint8`` images to [0, 1] and standardise each channel, batch by batch on the device.

    Parameters
    ----------
    mean, std : tensor of shape (n_channels,)
        Of the training images, in units of [0, 1].
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.mean, self.std = mean.cpu(), std.cpu()

    @classmethod
    def from_images(cls, images: torch.Tensor) -> ImageScaler:
        """Take the channels' mean and standard deviation from a sample of images.

        Parameters
        ----------
        images : tensor of shape (n_samples, n_channels, height, width), uint8

        Returns
        -------
        ImageScaler
        """
        pixels = images.transpose(0, 1).flatten(1).to(torch.float32).div_(255)
        std, mean = torch.std_mean(pixels, dim=1)
        return cls(mean, std.clamp_min(1 / 255))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images as float32, standardised."""
        scale = (1 / (255 * self.std)).view(1, -1, 1, 1).to(x.device, non_blocking=True)
        shift = (-self.mean / self.std).view(1, -1, 1, 1).to(x.device, non_blocking=True)
        return x.to(torch.float32).mul_(scale).add_(shift)


class TableScaler:
    """Standardise the columns of a table, then shrink its rows to a norm of about `row_norm`.

    Parameters
    ----------
    row_norm : float, default=3.0
        Root mean square of the norm of a scaled row. With ``row_norm**2`` columns or fewer, the
        columns simply have unit variance.

    Notes
    -----
    The step that gradient descent takes in a network's first layer grows with the squared norm of
    a row, so that a wide standardised table is memorised, wrong labels included, within the first
    epochs. The row norm keeps one learning rate right for 10 columns and for 1,000. Sparse tables
    are not centred, which would fill them.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(5, 3, size=(1000, 64)).astype(np.float32)
    >>> Z = TableScaler().fit(X).transform(X)
    >>> round(float(np.sqrt((Z**2).sum(axis=1).mean())), 2)
    3.0
    """

    def __init__(self, row_norm: float = 3.0) -> None:
        self.row_norm = row_norm

    def fit(self, X: Any) -> TableScaler:
        """Learn the columns' mean and standard deviation.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)

        Returns
        -------
        TableScaler
        """
        self.scaler_ = StandardScaler(with_mean=not sparse.issparse(X)).fit(X)
        # A constant column carries nothing and does not count.
        varying = np.count_nonzero(self.scaler_.var_ > 0)
        self.shrink_ = min(1.0, self.row_norm / max(int(varying), 1) ** 0.5)
        return self

    def transform(self, X: Any) -> Any:
        """Scale a table.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray or CSR matrix, float32
        """
        return (self.scaler_.transform(X) * np.float32(self.shrink_)).astype(np.float32)
