"""Random views of batches of images and vectors, drawn anew for every row."""

from noisyfit.augment._images import BrightnessContrast, Cutout, PerImage, RandomCropFlip
from noisyfit.augment._vectors import FeatureJitter, FeatureMask
from noisyfit.augment._views import strong_view, weak_view

__all__ = [
    "BrightnessContrast",
    "Cutout",
    "FeatureJitter",
    "FeatureMask",
    "PerImage",
    "RandomCropFlip",
    "strong_view",
    "weak_view",
]
