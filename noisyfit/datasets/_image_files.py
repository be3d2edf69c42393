"""`ImageFiles`, images read from their files one by one, and what reads the lists of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


class ImageFiles(Dataset):
    """Labelled images that lie in files and are read when a row is needed.

    Parameters
    ----------
    files : sequence of str or Path
        A file for each row.
    targets : array-like of shape (n_samples,), int
        The label of each row.
    transform : callable, default=None
        Makes an input from a PIL image in RGB. None: an ``uint8`` tensor (3, 224, 224), of the
        middle of the image whose shorter side was resized to 256.

    Attributes
    ----------
    files : list of str
        The files.
    targets : ndarray of shape (n_samples,), int
        The labels, by which `fit` knows them without reading an image.
    transform : callable
        What makes an input.

    Raises
    ------
    ValueError
        If files and labels differ in number.

    Notes
    -----
    The transform has to give every image the same shape. Random views are better left to `augment`
    of the estimator, which draws them from its own random stream.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from noisyfit.datasets import ImageFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "red.png")
    ...     Image.new("RGB", (40, 30), "red").save(file)
    ...     data = ImageFiles([file], [0])
    ...     image, label = data[0]
    >>> image.shape, image[:, 0, 0].tolist(), label
    (torch.Size([3, 224, 224]), [255, 0, 0], 0)
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        targets: npt.ArrayLike,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.files = [str(file) for file in files]
        self.targets = np.asarray(targets, dtype=np.int64)
        self.transform = central_square(224) if transform is None else transform
        if self.targets.shape != (len(self.files),):
            raise ValueError(
                f"Each file needs one label. Got {len(self.files)} files and labels of shape "
                f"{self.targets.shape}."
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Read one image; return the input and its label."""
        from torchvision.datasets.folder import pil_loader

        return self.transform(pil_loader(self.files[index])), int(self.targets[index])


def central_square(size: int, shorter_side: int | None = None) -> Callable[[Any], Any]:
    """Return the usual transform of test images: resize, take the middle.

    Parameters
    ----------
    size : int
        Width and height that result, in pixels.
    shorter_side : int, default=None
        Length to which the shorter side is resized before. None: 8/7 of `size`, 256 for 224.

    Returns
    -------
    callable
        Makes an ``uint8`` tensor (3, size, size) from a PIL image.

    Examples
    --------
    >>> from PIL import Image
    >>> from noisyfit.datasets import central_square
    >>> central_square(84)(Image.new("RGB", (300, 200))).shape
    torch.Size([3, 84, 84])
    """
    # Imported here, as it takes as long as importing torch.
    from torchvision.transforms.v2 import CenterCrop, Compose, PILToTensor, Resize

    side = round(size * 8 / 7) if shorter_side is None else shorter_side
    return Compose([Resize(side), CenterCrop(size), PILToTensor()])


def need(path: Path, dataset: str, layout: str) -> Path:
    """Return the path of a file or folder, and say what belongs where if it is not there."""
    if not path.exists():
        raise FileNotFoundError(
            f"{dataset}: {path.as_posix()} is not there. Nothing is downloaded; unpack the "
            f"published archives so that there is {layout}."
        )
    return path


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that have something in them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_pairs(path: Path, n_header: int = 0) -> list[tuple[str, int]]:
    """Return file names and integers, two in a line, after some lines of heading."""
    pairs = []
    for line in read_lines(path)[n_header:]:
        parts = line.rsplit(maxsplit=1)
        if len(parts) != 2 or not parts[1].isdecimal():
            raise ValueError(
                f"{path} has to hold a file name and a number in each line. Got {line!r}."
            )
        pairs.append((parts[0], int(parts[1])))
    return pairs


def files_of(
    folder: Path, pairs: Iterable[tuple[str, int]], transform: Callable | None
) -> ImageFiles:
    """Return the images of a list of file names and labels."""
    known = list(pairs)
    return ImageFiles([folder / name for name, _ in known], [y for _, y in known], transform)
