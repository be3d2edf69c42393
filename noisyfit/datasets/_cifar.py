"""CIFAR-10 and CIFAR-100, with the superclasses of the latter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from noisyfit._sklearn import StrOptions, validate_parameter_constraints
from noisyfit.datasets._image_files import need
from noisyfit.datasets._labeled_images import LabeledImages

_SUPERCLASSES = {  # in the order of the file's coarse labels
    "aquatic mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food containers": "bottle bowl can cup plate",
    "fruit and vegetables": "apple mushroom orange pear sweet_pepper",
    "household electrical devices": "clock keyboard lamp telephone television",
    "household furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large carnivores": "bear leopard lion tiger wolf",
    "large man-made outdoor things": "bridge castle house road skyscraper",
    "large natural outdoor scenes": "cloud forest mountain plain sea",
    "large omnivores and herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium-sized mammals": "fox porcupine possum raccoon skunk",
    "non-insect invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles 1": "bicycle bus motorcycle pickup_truck train",
    "vehicles 2": "lawn_mower rocket streetcar tank tractor",
}


def load_cifar10(folder: str | Path) -> LabeledImages:
    """Read CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``cifar-10-batches-py``, as the archive unpacks and torchvision reads it.

    Returns
    -------
    LabeledImages
        Images are ``uint8`` arrays (n, 3, 32, 32), labels those published.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    RuntimeError
        By torchvision, if a file in it is missing or damaged.

    See Also
    --------
    noisyfit.noise.corrupt_labels : Make some of the labels wrong.
    load_cifar10n : Labels that people gave in haste.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Examples
    --------
    >>> from noisyfit.datasets import load_cifar10
    >>> load_cifar10("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: CIFAR-10: photos/cifar-10-batches-py is not there. ...
    """
    from torchvision.datasets import CIFAR10

    return _load(Path(folder), CIFAR10, "CIFAR-10")


def load_cifar100(folder: str | Path) -> LabeledImages:
    """Read CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels in 100 classes.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``cifar-100-python``, as the archive unpacks and torchvision reads it.

    Returns
    -------
    LabeledImages
        Images are ``uint8`` arrays (n, 3, 32, 32), labels those published.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    RuntimeError
        By torchvision, if a file in it is missing or damaged.

    See Also
    --------
    cifar100_circle : The mapping of the usual asymmetric noise.
    load_cifar100n : Labels that people gave in haste.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Examples
    --------
    >>> from noisyfit.datasets import load_cifar100
    >>> load_cifar100("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: CIFAR-100: photos/cifar-100-python is not there. ...
    """
    from torchvision.datasets import CIFAR100

    return _load(Path(folder), CIFAR100, "CIFAR-100")


def _load(folder: Path, reader: Any, name: str) -> LabeledImages:
    need(folder / reader.base_folder, name, f"a folder {reader.base_folder} in {folder}")
    train, test = reader(str(folder), train=True), reader(str(folder), train=False)
    return LabeledImages(
        *(_channels_first(train.data), np.array(train.targets)),
        *(_channels_first(test.data), np.array(test.targets)),
        class_names=tuple(train.classes),
    )


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def cifar100_superclasses() -> np.ndarray:
    """Return the superclass of each of the 100 classes of CIFAR-100.

    Returns
    -------
    ndarray of shape (100,), int
        From 0 to 19, as in the ``coarse_labels`` of the published files.

    Examples
    --------
    >>> from noisyfit.datasets import cifar100_superclasses
    >>> cifar100_superclasses()[:5].tolist()  # apple, aquarium fish, baby, bear, beaver
    [4, 1, 14, 8, 0]
    """
    pairs = [(name, i) for i, names in enumerate(_SUPERCLASSES.values()) for name in names.split()]
    return np.array([i for _, i in sorted(pairs)])  # classes are numbered by their names


def cifar100_circle(within: str = "superclass") -> dict[int, int]:
    """Return the mapping of CIFAR-100's asymmetric noise: to the next class, in circles of five.

    Parameters
    ----------
    within : {"superclass", "number"}, default="superclass"
        What makes a circle: the classes of a superclass, as the papers say, or those of five
        consecutive numbers (0 to 4, 5 to 9, ...), as in the published code of MILD and FINE.

    Returns
    -------
    dict of int to int
        The class that each class is confused with, for ``mapping`` of
        `noisyfit.noise.transition_matrix`.

    Raises
    ------
    ValueError
        For another value of `within`.

    Examples
    --------
    >>> from noisyfit.datasets import cifar100_circle
    >>> from noisyfit.noise import transition_matrix
    >>> circle = cifar100_circle()
    >>> circle[4], circle[95]  # beaver to dolphin, whale to beaver
    (30, 4)
    >>> transition_matrix("asymmetric", 100, 0.4, mapping=circle)[4, [4, 30]].tolist()
    [0.6, 0.4]
    """
    validate_parameter_constraints(
        {"within": [StrOptions({"superclass", "number"})]},
        {"within": within},
        caller_name="cifar100_circle",
    )
    groups = cifar100_superclasses() if within == "superclass" else np.arange(100) // 5
    circle: dict[int, int] = {}
    for group in range(20):
        members = np.flatnonzero(groups == group)
        circle |= dict(zip(members.tolist(), np.roll(members, -1).tolist(), strict=True))
    return circle
