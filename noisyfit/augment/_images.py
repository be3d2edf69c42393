"""Random views of batches of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from noisyfit.augment._checks import check_range, float_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

#: What torchvision's policies know of.
POLICY_CHANNELS = (1, 3)


@dataclass(frozen=True)
class RandomCropFlip:
    """Shift every image by a few pixels and mirror half of them, as is usual for CIFAR.

    Parameters
    ----------
    padding : int
        Zeros added on each side, at least 0. The crop back to the image's own size starts at an
        offset drawn uniformly from ``0 .. 2 * padding`` in both directions.
    flip : bool, default=True
        Whether images are mirrored left to right, each with probability 1/2. Not for digits and
        letters, whose mirror images are no digits and letters.

    Notes
    -----
    The scheme of He et al. (CVPR 2016, Section 4.2). Zero is black in ``uint8``, which is
    normalized later, and the mean in standardized floats. A ``uint8`` batch of 128 x 3 x 32 x 32
    takes 0.15 ms on one server core, or 0.5 ms between training steps, with cold caches. Other
    ways took 0.35 to 1.1 ms (gathering pixels), 0.6 ms (``Tensor.unfold``), 1.3 ms (one mask per
    offset) and 2.5 ms (``grid_sample``) where this took 0.15 ms.

    Examples
    --------
    >>> x = torch.ones(128, 3, 32, 32, dtype=torch.uint8)
    >>> RandomCropFlip(padding=4)(x).shape
    torch.Size([128, 3, 32, 32])
    """

    padding: int
    flip: bool = True

    def __post_init__(self) -> None:
        check_range("padding", self.padding, 0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return a random crop of every image of `x`."""
        _check_images(x, self)
        if x.numel() == 0:
            return x
        x = _random_crop(x, self.padding)
        return _random_flip(x) if self.flip else x


@dataclass(frozen=True)
class Cutout:
    """Blank out one square at a random place of every image.

    Parameters
    ----------
    size : int
        Side of the square in pixels, at least 1. Its center is drawn uniformly from the pixels,
        so that a part of it may lie outside the image.

    Notes
    -----
    DeVries and Taylor (arXiv:1708.04552), who take 16 for CIFAR-10 and fill standardized images
    with 0, the mean of the data. Here each image is filled with the means of its own channels,
    which works for ``uint8`` as well as for floating point.

    Examples
    --------
    >>> x = torch.arange(256.0).view(1, 1, 16, 16)
    >>> int((Cutout(size=3)(x) == x.mean()).sum()) in (4, 6, 9)
    True
    """

    size: int

    def __post_init__(self) -> None:
        check_range("size", self.size, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images of `x`, each with one square blanked out."""
        _check_images(x, self)
        covered = []
        for side in x.shape[2:]:
            first = torch.randint(side, (len(x), 1), device=x.device) - self.size // 2
            line = torch.arange(side, device=x.device)
            covered.append((line >= first) & (line < first + self.size))
        hole = covered[0][:, None, :, None] & covered[1][:, None, None, :]
        mean = x.mean((2, 3), keepdim=True, dtype=float_dtype(x))
        return torch.where(hole, _cast(mean, x.dtype), x)


@dataclass(frozen=True)
class BrightnessContrast:
    r"""Change brightness and contrast of every image by its own random factors.

    :math:`x' = c\,(b\,x - b\,m) + b\,m` with :math:`m` the mean of the image and
    :math:`b, c` uniform within 1 plus or minus `brightness` and `contrast`.

    Parameters
    ----------
    brightness, contrast : float, default=0.4
        Largest relative change, in [0, 1].

    Notes
    -----
    Unlike torchvision's ColorJitter it takes the plain mean of an image, not that of a grey copy.
    It clips ``uint8`` values once, at the end, and floats never, as their range is unknown.

    Examples
    --------
    >>> grey = torch.full((8, 3, 4, 4), 100, dtype=torch.uint8)
    >>> bool((BrightnessContrast(brightness=0.2)(grey) >= 80).all())
    True
    """

    brightness: float = 0.4
    contrast: float = 0.4

    def __post_init__(self) -> None:
        check_range("brightness", self.brightness, 0, 1)
        check_range("contrast", self.contrast, 0, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images of `x`, each with its own brightness and contrast."""
        _check_images(x, self)
        dtype = float_dtype(x)
        u = 2 * torch.rand(2, len(x), 1, 1, 1, device=x.device, dtype=dtype) - 1
        b, c = 1 + self.brightness * u[0], 1 + self.contrast * u[1]
        m = x.mean((1, 2, 3), keepdim=True, dtype=dtype)
        return _cast((x * (c * b)).add_((1 - c) * b * m), x.dtype)


@dataclass(frozen=True)
class PerImage:
    """Apply a transform to every image separately, so that each one gets its own draw.

    Parameters
    ----------
    transform : callable
        Takes an image (channels, height, width) and returns one of the same shape and dtype, such
        as those of ``torchvision.transforms.v2``.

    Raises
    ------
    ValueError
        When called with something other than a batch of images, or if `transform` changes shape or
        dtype. For torchvision's policies (AutoAugment, RandAugment, TrivialAugmentWide, AugMix)
        also if the images are not ``uint8`` of 1 or 3 channels.

    Notes
    -----
    torchvision's policies draw from the generator of the CPU, on whatever device the images are.
    Taking images one by one is slow: a ``uint8`` batch of 128 x 3 x 32 x 32 takes 80 times as long
    with RandAugment as with `RandomCropFlip`, and 50 times with AutoAugment (24, 15 and 0.3 ms side
    by side on one server core).

    Examples
    --------
    >>> from torchvision.transforms.v2 import RandAugment
    >>> x = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8).expand(20, 3, 8, 8)
    >>> [len(augment(x).unique(dim=0)) > 1 for augment in (RandAugment(), PerImage(RandAugment()))]
    [False, True]
    """

    transform: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images of `x`, each after a call of the transform."""
        _check_images(x, self)
        _check_policy_images(x, self.transform)
        out = torch.empty_like(x)
        for i, image in enumerate(x):
            made = self.transform(image)
            if (made.shape, made.dtype) != (image.shape, image.dtype):
                raise ValueError(
                    f"{self.transform} must keep an image's shape and dtype. Got {made.dtype} of "
                    f"shape {tuple(made.shape)} for {image.dtype} of shape {tuple(image.shape)}."
                )
            out[i] = made
        return out


def _random_crop(x: Tensor, padding: int) -> Tensor:
    """Crop every zero-padded image at its own offset, by copying whole lines.

    A line of a crop is one run of the padded batch in memory: width * channels numbers in
    channels-last order, else width numbers of one plane. A strided view holds all overlapping
    runs of that length; index_select copies the wanted ones.
    """
    n, channels, height, width = x.shape
    offset = torch.randint(2 * padding + 1, (2, n, 1, 1), device=x.device)
    padded = pad(x, (padding,) * 4)  # dense, in the memory format of x
    channels_last = padded.stride(1) == 1
    planes, pixel = (1, channels) if channels_last else (channels, 1)
    plane = torch.arange(n * planes, device=x.device).view(n, planes, 1)
    line = plane * padded.shape[2] + offset[0] + torch.arange(height, device=x.device)
    start = line * padded.shape[3] + offset[1]
    n_runs = padded.numel() // pixel - width + 1
    runs = padded.as_strided((n_runs, width * pixel), (pixel, 1))
    lines = runs.index_select(0, start.flatten())
    if channels_last:
        return lines.view(n, height, width, channels).permute(0, 3, 1, 2)
    return lines.view(n, channels, height, width)


def _random_flip(x: Tensor) -> Tensor:
    """Mirror every image with probability 1/2."""
    flipped = torch.rand(len(x), device=x.device) < 0.5
    pick = torch.arange(len(x), device=x.device) + len(x) * flipped
    # To copy whole images takes half the time of torch.where with its broadcast mask.
    both = torch.cat((x, x.flip(-1)))
    if x.stride(1) == 1:  # channels-last, which index_select would not keep
        return both.permute(0, 2, 3, 1).index_select(0, pick).permute(0, 3, 1, 2)
    return both.index_select(0, pick)


def _cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert `values` to a dtype, rounded and clipped to its range; `values` is overwritten."""
    if dtype.is_floating_point:
        return values.to(dtype)
    info = torch.iinfo(dtype)
    return values.round_().clamp_(info.min, info.max).to(dtype)


def _check_images(x: Tensor, who: object) -> None:
    if x.ndim != 4:
        raise ValueError(f"{who} needs shape (n, channels, height, width). Got {tuple(x.shape)}.")


def _check_policy_images(x: Tensor, transform: object) -> None:
    """Refuse images that torchvision's policies handle wrongly, or fail on at some draws only."""
    from torchvision.transforms import v2

    policies = (v2.AutoAugment, v2.RandAugment, v2.TrivialAugmentWide, v2.AugMix)
    if not isinstance(transform, policies):
        return
    if x.dtype != torch.uint8 or x.shape[1] not in POLICY_CHANNELS:
        raise ValueError(
            f"{type(transform).__name__} needs uint8 images, 0 to 255, of 1 or 3 channels. Got "
            f"{x.dtype} of shape {tuple(x.shape)}."
        )
