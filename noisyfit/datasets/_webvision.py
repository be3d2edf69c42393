"""WebVision 1.0, and the part of it that most papers take."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from noisyfit._sklearn import Interval, validate_parameter_constraints
from noisyfit.datasets._image_files import ImageFiles, files_of, need, read_lines, read_pairs
from noisyfit.datasets._labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def load_webvision(
    folder: str | Path,
    *,
    sources: Sequence[str] = ("google", "flickr"),
    n_classes: int = 1000,
    imagenet_val: str | Path | None = None,
    transform: Callable | None = None,
) -> LabeledImages:
    """Read WebVision 1.0: 2.4 million images found by queries for the 1,000 classes of ImageNet.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``info``, ``google`` and ``flickr``, and ``val_images_256`` (or
        ``val_images``).
    sources : sequence of {"google", "flickr"}, default=("google", "flickr")
        Where the training images are from.
    n_classes : int, default=1000
        How many classes are taken, the first ones, in [2, 1000].
    imagenet_val : str or Path, default=None
        Folder of ImageNet's validation images, in a folder for each class such as ``n01440764``.
        They are then the test images, and those of WebVision are `X_val`.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        Tested on WebVision's validation images, whose labels were checked, or on ImageNet's.

    Raises
    ------
    FileNotFoundError
        If a list or a folder is not there.
    ValueError
        If a source or the number of classes is none of these, or a line is malformed.

    See Also
    --------
    load_mini_webvision : 50 classes, from Google.

    References
    ----------
    .. [1] W. Li et al., "WebVision database: visual learning and understanding from web data",
       arXiv:1708.02862, 2017.

    Examples
    --------
    >>> from noisyfit.datasets import load_webvision
    >>> load_webvision("photos", sources=["google", "flickr"], n_classes=50)
    Traceback (most recent call last):
    ...
    FileNotFoundError: WebVision: photos/info/train_filelist_google.txt is not there. ...
    """
    validate_parameter_constraints(
        {"n_classes": [Interval(Integral, 2, 1000, closed="both")]},
        {"n_classes": n_classes},
        caller_name="load_webvision",
    )
    if isinstance(sources, str) or not sources or set(sources) - {"google", "flickr"}:
        raise ValueError(f"sources must be a list of 'google' and 'flickr'. Got {sources!r}.")
    root = Path(folder)
    layout = f"info, {', '.join(sources)} and val_images_256 or val_images in {root}"
    names = [f"train_filelist_{source}.txt" for source in sources]
    lists = [
        need(root / "info" / name, "WebVision", layout)
        for name in [*names, "val_filelist.txt", "synsets.txt"]
    ]
    *train, checked = (
        [pair for pair in read_pairs(path) if pair[1] < n_classes] for path in lists[:-1]
    )
    synsets = [line.split(maxsplit=1) for line in read_lines(lists[-1])][:n_classes]
    X = files_of(root, [pair for part in train for pair in part], transform)
    folders = [root / name for name in ("val_images_256", "val_images")]
    images = folders[0] if folders[0].is_dir() else need(folders[1], "WebVision", layout)
    val = test = files_of(images, checked, transform)
    if imagenet_val is not None:
        numbers = {synset: i for i, (synset, *_) in enumerate(synsets)}
        test = _imagenet(Path(imagenet_val), numbers, transform)
    return LabeledImages(
        *(X, X.targets, test, test.targets, tuple(words[-1] for words in synsets)),
        X_val=None if imagenet_val is None else val,
        y_val=None if imagenet_val is None else val.targets,
        noise_rate=0.2,
        noise_rate_source="about a fifth, as estimated by Li et al. 2017",
    )


def load_mini_webvision(
    folder: str | Path,
    *,
    imagenet_val: str | Path | None = None,
    transform: Callable | None = None,
) -> LabeledImages:
    """Read mini-WebVision: the first 50 classes of WebVision 1.0, with the images from Google.

    Parameters
    ----------
    folder : str or Path
        As in `load_webvision`; ``flickr`` is not needed.
    imagenet_val : str or Path, default=None
        As in `load_webvision`.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        As of `load_webvision`.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `load_webvision`.

    References
    ----------
    .. [1] L. Jiang et al., "MentorNet: learning data-driven curriculum for very deep neural
       networks on corrupted labels", ICML 2018.

    Examples
    --------
    >>> from noisyfit.datasets import load_mini_webvision
    >>> load_mini_webvision("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: WebVision: photos/info/train_filelist_google.txt is not there. ...
    """
    return load_webvision(
        folder,
        sources=("google",),
        n_classes=50,
        imagenet_val=imagenet_val,
        transform=transform,
    )


def _imagenet(folder: Path, numbers: dict[str, int], transform: Callable | None) -> ImageFiles:
    """Return ImageNet's validation images of the classes that are numbered."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    pairs = []
    for synset, number in numbers.items():
        place = need(folder / synset, "ImageNet", f"a folder for each of {len(numbers)} classes")
        found = sorted(p.name for p in place.iterdir() if p.suffix.lower() in IMG_EXTENSIONS)
        pairs += [(f"{synset}/{name}", number) for name in found]
    return files_of(folder, pairs, transform)
