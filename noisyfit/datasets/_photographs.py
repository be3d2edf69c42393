"""Photographs in clean classes, to which noise is added: CUB, Caltech-256, Tiny ImageNet, any."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.datasets._image_files import (
    ImageFiles,
    central_square,
    files_of,
    need,
    read_lines,
    read_pairs,
)
from noisyfit.datasets._labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable


def load_cub200(folder: str | Path, *, transform: Callable | None = None) -> LabeledImages:
    """Read CUB-200-2011: 5,994 training and 5,794 test images of 200 kinds of birds.

    Parameters
    ----------
    folder : str or Path
        Folder ``CUB_200_2011`` of the archive, with ``images`` and the lists in it.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        Labels begin at 0, where the published ones begin at 1.

    Raises
    ------
    FileNotFoundError
        If a list is not there.
    ValueError
        If a line is malformed, or the lists are of different images.

    References
    ----------
    .. [1] C. Wah et al., "The Caltech-UCSD Birds-200-2011 dataset", 2011.

    Examples
    --------
    >>> from noisyfit.datasets import load_cub200
    >>> load_cub200("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: CUB-200-2011: photos/images.txt is not there. ...
    """
    root = Path(folder)
    names = [f"{n}.txt" for n in ("images", "image_class_labels", "train_test_split", "classes")]
    layout = f"images, {', '.join(names)} in {root}"
    files, labels, splits, classes = (need(root / n, "CUB-200-2011", layout) for n in names)
    image_of = dict(line.split(maxsplit=1) for line in read_lines(files))
    label_of, in_train = dict(read_pairs(labels)), dict(read_pairs(splits))
    if not image_of.keys() == label_of.keys() == in_train.keys():
        raise ValueError(f"The numbers of the images in {', '.join(names[:3])} of {root} differ.")
    train, test = (
        files_of(
            root / "images",
            [(image_of[i], label_of[i] - 1) for i in image_of if in_train[i] == part],
            transform,
        )
        for part in (1, 0)
    )
    kinds = tuple(line.split(maxsplit=1)[1] for line in read_lines(classes))
    return LabeledImages(train, train.targets, test, test.targets, kinds)


def load_caltech256(
    folder: str | Path,
    *,
    n_train: int = 60,
    random_state: int = 0,
    transform: Callable | None = None,
) -> LabeledImages:
    """Read Caltech-256: 30,607 images in 256 classes and one of clutter.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``caltech256/256_ObjectCategories``, as torchvision reads it.
    n_train : int, default=60
        Images of each class that are trained on, drawn at random, at least 1. No split is
        published; up to 60 is usual.
    random_state : int, default=0
        Draws them.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        Images that are not drawn are the test images.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If `n_train` is out of range, or leaves a class without test images.

    References
    ----------
    .. [1] G. Griffin et al., "Caltech-256 object category dataset", 2007.

    Examples
    --------
    >>> from noisyfit.datasets import load_caltech256
    >>> load_caltech256("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: Caltech-256: photos/caltech256/256_ObjectCategories is not there. ...
    """
    from torchvision.datasets import Caltech256

    validate_parameter_constraints(
        {"n_train": [Interval(Integral, 1, None, closed="left")]},
        {"n_train": n_train},
        caller_name="load_caltech256",
    )
    place = Path(folder, "caltech256", "256_ObjectCategories")
    need(place, "Caltech-256", f"a folder caltech256 in {folder}")
    listed = Caltech256(str(folder))
    y, numbers = np.array(listed.y), listed.index
    files = [
        place / listed.categories[label] / f"{label + 1:03d}_{number:04d}.jpg"
        for label, number in zip(listed.y, numbers, strict=True)
    ]
    rng, in_train = np.random.default_rng(random_state), np.zeros(len(y), dtype=bool)
    for label, name in enumerate(listed.categories):
        rows = np.flatnonzero(y == label)
        if len(rows) <= n_train:
            raise ValueError(
                f"n_train={n_train} leaves no test images of {name!r}, which has {len(rows)}."
            )
        in_train[rng.choice(rows, n_train, replace=False)] = True
    train, test = (
        ImageFiles([files[row] for row in np.flatnonzero(part)], y[part], transform)
        for part in (in_train, ~in_train)
    )
    names = tuple(name.split(".", 1)[-1] for name in listed.categories)
    return LabeledImages(train, train.targets, test, test.targets, names)


def load_tiny_imagenet(folder: str | Path, *, transform: Callable | None = None) -> LabeledImages:
    """Read Tiny ImageNet: 100,000 training images of 64 x 64 pixels in 200 classes.

    Parameters
    ----------
    folder : str or Path
        Folder ``tiny-imagenet-200`` of the archive, with ``train``, ``val`` and ``words.txt``.
    transform : callable, default=None
        As in `ImageFiles`. None: the image as it is, as ``uint8`` tensor (3, 64, 64).

    Returns
    -------
    LabeledImages
        The test images are those of ``val``, labelled by its ``val_annotations.txt``; the labels
        of the archive's own test images are not published.

    Raises
    ------
    FileNotFoundError
        If a list is not there.
    ValueError
        If a validation image is of a class without training images.

    Examples
    --------
    >>> from noisyfit.datasets import load_tiny_imagenet
    >>> load_tiny_imagenet("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: Tiny ImageNet: photos/val/val_annotations.txt is not there. ...
    """
    root = Path(folder)
    layout = f"train, val and words.txt in {root}"
    annotations = need(root / "val" / "val_annotations.txt", "Tiny ImageNet", layout)
    words = read_lines(need(root / "words.txt", "Tiny ImageNet", layout))
    transform = central_square(64, 64) if transform is None else transform
    train, synsets = _class_folders(need(root / "train", "Tiny ImageNet", layout), transform)
    numbers = {synset: i for i, synset in enumerate(synsets)}
    rows = [line.split()[:2] for line in read_lines(annotations)]
    strange = sorted({synset for _, synset in rows} - set(numbers))
    if strange:
        raise ValueError(f"{annotations} has classes without training images: {strange[:3]}.")
    pairs = [(name, numbers[synset]) for name, synset in rows]
    test = files_of(root / "val" / "images", pairs, transform)
    meaning = dict(line.split(maxsplit=1) for line in words)
    names = tuple(meaning.get(synset, synset) for synset in synsets)
    return LabeledImages(train, train.targets, test, test.targets, names)


def load_image_folders(
    train: str | Path, test: str | Path, *, transform: Callable | None = None
) -> LabeledImages:
    """Read any images that lie in a folder for each class, as torchvision's `ImageFolder` does.

    Parameters
    ----------
    train, test : str or Path
        Folders of the training and of the test images, with the same classes.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        The folders are the given labels. So can be read Mini-ImageNet with its noise from the web,
        once the images are sorted into folders by the lists of Jiang et al. [1]_.

    Raises
    ------
    FileNotFoundError
        If a folder is not there, or one of a class is empty.
    ValueError
        If the classes differ.

    References
    ----------
    .. [1] L. Jiang et al., "Beyond synthetic noise: deep learning on controlled noisy labels",
       ICML 2020.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from noisyfit.datasets import load_image_folders
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for file in ("train/red/1.png", "train/tan/1.png", "test/red/2.png", "test/tan/2.png"):
    ...         Path(root, file).parent.mkdir(parents=True)
    ...         Image.new("RGB", (32, 32), Path(file).parent.name).save(Path(root, file))
    ...     data = load_image_folders(Path(root, "train"), Path(root, "test"))
    >>> data.class_names, data.y.tolist()
    (('red', 'tan'), [0, 1])
    """
    layout = "a folder for each class in it"
    parts = [need(Path(folder), "Image folders", layout) for folder in (train, test)]
    (X, classes), (X_test, others) = (_class_folders(part, transform) for part in parts)
    if classes != others:
        raise ValueError(
            f"{train} and {test} have different classes: {sorted(set(classes) ^ set(others))[:3]}."
        )
    return LabeledImages(X, X.targets, X_test, X_test.targets, classes)


def _class_folders(folder: Path, transform: Callable | None) -> tuple[ImageFiles, tuple[str, ...]]:
    from torchvision.datasets import ImageFolder

    listed = ImageFolder(str(folder))
    files, labels = zip(*listed.samples, strict=True)
    return ImageFiles(files, labels, transform), tuple(listed.classes)
