"""Readers of the image data sets of the papers, in the layouts in which they are published.

Nothing is downloaded: you name the folder, and a missing file is an error that says what belongs
where.
"""

from noisyfit.datasets._cifar import (
    cifar100_circle,
    cifar100_superclasses,
    load_cifar10,
    load_cifar100,
)
from noisyfit.datasets._clothing import load_clothing1m
from noisyfit.datasets._food import load_food101, load_food101n
from noisyfit.datasets._human_labels import load_cifar10n, load_cifar100n
from noisyfit.datasets._image_files import ImageFiles, central_square
from noisyfit.datasets._labeled_images import LabeledImages
from noisyfit.datasets._photographs import (
    load_caltech256,
    load_cub200,
    load_image_folders,
    load_tiny_imagenet,
)
from noisyfit.datasets._webvision import load_mini_webvision, load_webvision

__all__ = [
    "ImageFiles",
    "LabeledImages",
    "central_square",
    "cifar100_circle",
    "cifar100_superclasses",
    "load_caltech256",
    "load_cifar10",
    "load_cifar10n",
    "load_cifar100",
    "load_cifar100n",
    "load_clothing1m",
    "load_cub200",
    "load_food101",
    "load_food101n",
    "load_image_folders",
    "load_mini_webvision",
    "load_tiny_imagenet",
    "load_webvision",
]
