"""From pictures to numbers: features of networks that others have trained."""

from noisyfit.features._image_features import ImageFeatures
from noisyfit.features._pictures import single_pictures

__all__ = ["ImageFeatures"]
