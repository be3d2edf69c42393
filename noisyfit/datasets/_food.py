"""Food-101 and Food-101N."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisyfit.datasets._image_files import ImageFiles, need, read_lines, read_pairs
from noisyfit.datasets._labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable


def load_food101(folder: str | Path, *, transform: Callable | None = None) -> LabeledImages:
    """Read Food-101: 75,750 training images, not cleaned on purpose, and 25,250 reviewed ones.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``food-101``, as the archive unpacks and torchvision reads it.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        Nobody has published which of the training labels are wrong.

    Raises
    ------
    FileNotFoundError
        If the folder, or a list in it, is not there.

    References
    ----------
    .. [1] L. Bossard et al., "Food-101: mining discriminative components with random forests",
       ECCV 2014.

    Examples
    --------
    >>> from noisyfit.datasets import load_food101
    >>> load_food101("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: Food-101: photos/food-101/meta/train.json is not there. ...
    """
    train, classes = _split(Path(folder), "train", transform)
    test, _ = _split(Path(folder), "test", transform)
    return LabeledImages(train, train.targets, test, test.targets, classes)


def _split(
    folder: Path, split: str, transform: Callable | None
) -> tuple[ImageFiles, tuple[str, ...]]:
    from torchvision.datasets import Food101

    layout = f"food-101/images and food-101/meta in {folder}"
    need(folder / "food-101" / "meta" / f"{split}.json", "Food-101", layout)
    # A loader that opens nothing gives the lists without reading an image.
    listed = Food101(folder, split, loader=str)
    files, labels = zip(*(listed[i] for i in range(len(listed))), strict=True)
    return ImageFiles(files, labels, transform), tuple(listed.classes)


def load_food101n(
    folder: str | Path, food101: str | Path, *, transform: Callable | None = None
) -> LabeledImages:
    """Read Food-101N: 310,009 images from the web in the classes of Food-101, tested on that.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``images`` and ``meta`` of Food-101N (``Food-101N_release``).
    food101 : str or Path
        Folder that holds ``food-101``, whose test images are those of this data set.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        `is_right` has the published verification of about 60,000 labels. Of one that is wrong the
        right class is not known, so that `true_labels` is -1 there.

    Raises
    ------
    FileNotFoundError
        If a list is not there.
    ValueError
        If its classes are not those of Food-101.

    Notes
    -----
    ``trusted=data.is_right == 1`` in `MetaRelabelClassifier.fit` trusts the verified labels. A
    verification of a file that the list of images has in another class is left out; the published
    lists have one.

    References
    ----------
    .. [1] K.-H. Lee et al., "CleanNet: transfer learning for scalable image classifier training
       with label noise", CVPR 2018.

    Examples
    --------
    >>> from noisyfit.datasets import load_food101n
    >>> load_food101n("photos", "food")
    Traceback (most recent call last):
    ...
    FileNotFoundError: Food-101N: photos/meta/imagelist.tsv is not there. ...
    """
    root = Path(folder)
    layout = f"images and meta (imagelist.tsv, verified_train.tsv, verified_val.tsv) in {root}"
    lists = [
        need(root / "meta" / f"{name}.tsv", "Food-101N", layout)
        for name in ("imagelist", "verified_train", "verified_val")
    ]
    test, classes = _split(Path(food101), "test", transform)
    keys = read_lines(lists[0])[1:]
    numbers = {name: i for i, name in enumerate(classes)}
    names = [key.split("/")[0] for key in keys]
    if set(names) - set(classes):
        raise ValueError(
            f"{lists[0]} has classes that Food-101 has not: {sorted(set(names) - set(classes))}."
        )
    verified = {key: right for file in lists[1:] for key, right in read_pairs(file, 1)}
    is_right = np.array([verified.get(key, -1) for key in keys])
    y = np.array([numbers[name] for name in names])
    X = ImageFiles([root / "images" / key for key in keys], y, transform)
    return LabeledImages(
        *(X, y, test, test.targets, classes),
        true_labels=np.where(is_right == 1, y, -1),
        is_right=is_right,
        noise_rate=0.2,
        noise_rate_source="about a fifth, by the verified labels (Lee et al. 2018)",
    )
