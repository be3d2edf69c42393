"""`ImageScaler`: channels of images on a common scale."""

from __future__ import annotations

from typing import Any

import torch

_WHITE = 1.01
"""Means from here on are of pixels in another unit; white has the mean 1 but for rounding."""


class ImageScaler:
    """Scale ``uint8`` images to [0, 1] and standardise each channel, batch by batch on the device.

    Parameters
    ----------
    mean, std : array-like of shape (n_channels,)
        Of the images that the network is made for, in units of [0, 1]; `std` above 0.

    Raises
    ------
    ValueError
        If they are no numbers of as many channels, finite and in these ranges.

    Examples
    --------
    >>> import torch
    >>> from noisyfit.data import ImageScaler
    >>> images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    >>> scaler = ImageScaler.from_images(images)
    >>> scaler.mean.shape, bool((scaler.mean < 1).all())
    (torch.Size([3]), True)

    For a pretrained network, what it was trained with:

    >>> from noisyfit import MILDSelector
    >>> imagenet = ImageScaler((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    >>> MILDSelector(standardize=imagenet)
    MILDSelector(standardize=ImageScaler((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    """

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = (torch.as_tensor(t, dtype=torch.float32).cpu() for t in (mean, std))
        fits = self.mean.ndim == 1 and self.mean.shape == self.std.shape
        if not (fits and ((self.mean >= 0) & (self.mean < _WHITE)).all()):
            raise ValueError(
                "mean and std of an ImageScaler are one number a channel, in units of [0, 1]: "
                f"those for pixels of 0 to 255 divided by 255. Got mean {mean} and std {std}."
            )
        if not ((self.std > 0) & (self.std < torch.inf)).all():
            raise ValueError(f"std of an ImageScaler must be above 0 and finite. Got {std}.")
        self._on_device: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __repr__(self) -> str:
        mean, std = (tuple(float(f"{v:.6g}") for v in t.tolist()) for t in (self.mean, self.std))
        return f"{type(self).__name__}({mean}, {std})"

    @classmethod
    def from_images(cls, images: torch.Tensor) -> ImageScaler:
        """Take the channels' mean and standard deviation from a sample of images.

        Parameters
        ----------
        images : tensor of shape (n_samples, n_channels, height, width), uint8
            A sample of the training images.

        Returns
        -------
        ImageScaler
        """
        pixels = images.transpose(0, 1).flatten(1).to(torch.float32).div_(255)
        std, mean = torch.std_mean(pixels, dim=1)
        return cls(mean, std.clamp_min(1 / 255))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images as float32, standardised."""
        if x.device not in self._on_device:  # a copy for each batch would wait for the device
            scale, shift = 1 / (255 * self.std), -self.mean / self.std
            scale, shift = (t.view(1, -1, 1, 1).to(x.device) for t in (scale, shift))
            self._on_device[x.device] = scale, shift
        scale, shift = self._on_device[x.device]
        return x.to(torch.float32).mul_(scale).add_(shift)

    def __getstate__(self) -> dict[str, Any]:
        # Tensors of a CUDA device could not be read on a machine without one.
        return {**self.__dict__, "_on_device": {}}
