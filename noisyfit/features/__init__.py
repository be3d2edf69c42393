"""From pictures to numbers: features of networks that others have trained."""

from noisyfit.features._image_features import ImageFeatures

__all__ = ["ImageFeatures"]
