"""Augmentation of batches on the device: the weak and the strong view.

Every transform is a small picklable callable ``x -> x`` on a whole batch of images
``(n, channels, height, width)`` or vectors ``(n, features)``. It draws anew for every row, from
torch's global generator of ``x.device`` (seed it under ``torch.random.fork_rng``), never waits for
the device, and keeps shape, dtype and memory format. ``torchvision.transforms.v2.Compose`` chains
transforms. Those of torchvision can be used, too, but draw once for a *batch*, unless `PerImage`
gives them the images one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noisyfit.augment._images import (
    POLICY_CHANNELS,
    BrightnessContrast,
    Cutout,
    PerImage,
    RandomCropFlip,
)
from noisyfit.augment._vectors import FeatureJitter, FeatureMask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_POLICIES = ("randaugment", "autoaugment")


@dataclass(eq=False)
class Chain:
    """Call transforms one after the other, as torchvision's ``Compose`` does, without importing it.

    Parameters
    ----------
    transforms : list of callables
        Each takes and returns a batch.
    """

    transforms: list[Callable[[Tensor], Tensor]]

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the last transform makes of the batch."""
        for transform in self.transforms:
            x = transform(x)
        return x


def weak_view(
    shape: Sequence[int], feature_std: Tensor | None = None
) -> Callable[[Tensor], Tensor] | None:
    """Return the augmentation of plain training for rows of `shape`.

    Images ``(channels, height, width)`` are shifted by up to an eighth of their shorter side, but
    by at least one pixel if they have several. They are flipped if they have 3 channels: images of
    one channel are often digits, and of other channels nothing is known. Vectors ``(n_features,)``
    get a `FeatureMask` of a tenth and `FeatureJitter` if `feature_std` is given.

    Parameters
    ----------
    shape : sequence of int
        Shape of one row.
    feature_std : Tensor of shape (n_features,), default=None
        For vectors: standard deviation of each feature.

    Returns
    -------
    callable or None
        Takes and returns a batch; None, no augmentation, for all other rows.

    Examples
    --------
    >>> weak_view((3, 32, 32))
    RandomCropFlip(padding=4, flip=True)
    >>> weak_view((1, 8, 8))
    RandomCropFlip(padding=1, flip=False)
    >>> weak_view((20,)) is None
    True
    """
    if len(shape) == 1 and feature_std is not None:
        return Chain([FeatureMask(0.1), FeatureJitter(feature_std)])
    if len(shape) != 3:
        return None
    side = min(shape[1:])
    # A side of one pixel stays where it is: a shift would leave an empty image.
    return RandomCropFlip(padding=max(min(1, side - 1), side // 8), flip=shape[0] == 3)


def strong_view(
    shape: Sequence[int], feature_std: Tensor | None = None, policy: str | None = None
) -> Callable[[Tensor], Tensor]:
    """Return a strong augmentation, the second view of consistency losses.

    Images ``(channels, height, width)`` get the weak view, `BrightnessContrast` and a `Cutout`
    of half their shorter side; vectors ``(n_features,)`` get `FeatureMask` and `FeatureJitter`,
    which needs `feature_std`, the standard deviation of each feature. Both are fast, and milder
    than a `policy`.

    Parameters
    ----------
    shape : sequence of int
        Shape of one row.
    feature_std : Tensor of shape (n_features,), default=None
        For vectors: standard deviation of each feature.
    policy : {"randaugment", "autoaugment"} or None, default=None
        For ``uint8`` images of 1 or 3 channels: `PerImage` with torchvision's RandAugment of two
        operations [1]_ or AutoAugment with its CIFAR-10 policy [2]_, then the weak view and the
        `Cutout`. It takes five to eight times as long, as images are taken one by one.

    Returns
    -------
    callable
        Takes and returns a batch.

    Raises
    ------
    ValueError
        For rows that have no strong view, vectors without `feature_std`, and a `policy` that is
        unknown or does not fit the rows.

    Notes
    -----
    Policy, flip and crop, cutout is the order of Zhang et al. [3]_, Section 5.1, who crop and flip
    the image before the policy, too. In their Section 6, policies drawn at random, as RandAugment
    does, were almost as accurate as the learned ones of AutoAugment.

    References
    ----------
    .. [1] Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search
       space", NeurIPS 2020.
    .. [2] Cubuk et al., "AutoAugment: Learning augmentation policies from data", CVPR 2019.
    .. [3] Zhang et al., "Distilling Effective Supervision from Severe Label Noise", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> strong_view((3, 32, 32)).transforms[2]
    Cutout(size=16)
    >>> strong_view((2,), feature_std=torch.ones(2)).transforms
    [FeatureMask(p=0.3), FeatureJitter(scale=0.1)]
    >>> strong_view((1, 28, 28), policy="randaugment").transforms[1:]
    [RandomCropFlip(padding=3, flip=False), Cutout(size=14)]
    """
    weak = weak_view(shape)
    first = None if policy is None else _policy_transform(policy, shape)
    if weak is not None:
        cutout = Cutout(max(1, min(shape[1:]) // 2))
        return Chain(
            [weak, BrightnessContrast(), cutout] if first is None else [first, weak, cutout]
        )
    if len(shape) != 1 or feature_std is None:
        raise ValueError(
            "strong_view needs shape (channels, height, width), or (n_features,) and feature_std. "
            f"Got shape {tuple(shape)} and feature_std={feature_std}."
        )
    return Chain([FeatureMask(), FeatureJitter(feature_std)])


def _policy_transform(policy: str, shape: Sequence[int]) -> PerImage:
    """Return torchvision's policy of this name for images of `shape`."""
    # Imported here, as it takes as long as importing torch.
    from torchvision.transforms import v2

    if policy not in _POLICIES:
        raise ValueError(f"policy must be one of {_POLICIES}, or None. Got {policy!r}.")
    if len(shape) != 3 or shape[0] not in POLICY_CHANNELS:
        raise ValueError(
            f"policy={policy!r} needs images of 1 or 3 channels, shape (channels, height, width). "
            f"Got shape {tuple(shape)}; leave policy out."
        )
    if policy == "randaugment":
        return PerImage(v2.RandAugment(num_ops=2))
    return PerImage(v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10))
