"""Pictures as users pass them: read batch by batch, and known again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import joblib
import numpy as np
import torch
from torch.utils.data import Dataset

from noisyfit._random import seeded
from noisyfit.data import (
    SINGLE_READS,
    as_numpy,
    as_tensor,
    check_channels_first,
    check_pixels,
    listed,
    stacked,
    unwrapped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_READERS = 8
"""Threads that read files, at most: Pillow lets others work while it decodes."""
_ACCEPTED = (
    "an array (n_samples, channels, height, width), a list of PIL pictures, paths, or a "
    "map-style torch Dataset"
)


class Pictures(Protocol):
    """Pictures in an order, from which some are read."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int], size: int | None) -> list[torch.Tensor] | torch.Tensor:
        """Read pictures, ``uint8`` or floats, that will be resized to `size`.

        A tensor (n, channels, height, width), or a list of tensors (channels, height, width).
        """
        ...

    def content(self) -> str:
        """Hash what the features depend on, without the network."""
        ...


def as_pictures(X: Any) -> Pictures:
    """Return what a user passes as pictures.

    Parameters
    ----------
    X : object
        An array, a list of PIL pictures, paths or a torch Dataset.

    Returns
    -------
    Pictures

    Raises
    ------
    TypeError, ValueError
        For anything else, in words that name it.
    """
    pictures = single_pictures(X)
    if pictures is not None:
        return pictures
    X = stacked(as_numpy(X))
    if getattr(X, "ndim", 0) == 3:
        raise ValueError(
            f"X must be {_ACCEPTED}. Got the shape {X.shape}; grey pictures need a channel: "
            "write X[:, None]."
        )
    if not isinstance(X, np.ndarray) or X.ndim != 4:
        shape = f" of shape {tuple(X.shape)}" if hasattr(X, "shape") else ""
        one = "; of a data frame pass the one column of the paths" if hasattr(X, "columns") else ""
        raise ValueError(f"X must be {_ACCEPTED}. Got a {type(X).__name__}{shape} instead{one}.")
    return _Array(X)


def single_pictures(X: Any, name: str = "X", *, any_scale: bool = False) -> Pictures | None:
    """Return pictures that are read one by one, each of a size of its own.

    Parameters
    ----------
    X : object
        What a user passes as pictures.
    name : str, default="X"
        Of the parameter, for messages.
    any_scale : bool, default=False
        Whether numbers of a Dataset may have any type and range, as of pictures to look at.

    Returns
    -------
    Pictures or None
        None for all that is not PIL pictures, paths or a torch Dataset, such as arrays.

    Raises
    ------
    TypeError, ValueError
        For what cannot be rows, and for a list with something else in it.
    """
    values = listed(X)
    if values is not None and len(values):
        if _holds(values, _is_path, name):
            return _Files(values)
        if _holds(values, _is_pil, name):
            return _PILPictures(values, name)
    X = unwrapped(X)
    return _Items(X, any_scale) if isinstance(X, Dataset) else None


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_pil(value: Any) -> bool:
    return hasattr(value, "getbands")


def _holds(values: list[Any], is_one: Callable[[Any], bool], name: str) -> bool:
    """Tell whether a list is of one kind of thing, by its first; refuse one that begins so."""
    if not is_one(values[0]):
        return False
    other = next((i for i, value in enumerate(values) if not is_one(value)), None)
    if other is not None:
        raise TypeError(
            f"{name} must hold one kind of thing. {name}[0] is a {type(values[0]).__name__}, "
            f"{name}[{other}] a {type(values[other]).__name__}; drop the rows without a picture."
        )
    return True


class _Array:
    """An array of pictures of one size."""

    def __init__(self, X: np.ndarray) -> None:
        check_pixels(X.dtype)
        check_channels_first(X.shape)
        if X.dtype != np.uint8:
            if X.dtype.kind != "f":
                raise ValueError(f"Images must be uint8 or float. Got {X.dtype} instead.")
            _check_range(X, "X")
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def batch(self, rows: Sequence[int], size: int | None) -> torch.Tensor:
        wanted = np.uint8 if self.X.dtype == np.uint8 else np.float32
        return torch.from_numpy(np.asarray(self.X[list(rows)], dtype=wanted, order="C"))

    def content(self) -> str:
        return joblib.hash(np.ascontiguousarray(self.X))


class _PILPictures:
    """A list of PIL pictures, of any modes and sizes."""

    def __init__(self, pictures: list[Any], name: str) -> None:
        self.pictures, self.name = pictures, name

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, rows: Sequence[int], size: int | None) -> list[torch.Tensor]:
        return [_pil_tensor(self.pictures[row], f"{self.name}[{row}]") for row in rows]

    def content(self) -> str:
        return joblib.hash([joblib.hash(_pil_tensor(p, "X").numpy()) for p in self.pictures])


class _Files:
    """Pictures in files."""

    def __init__(self, paths: list[Any]) -> None:
        self.paths = [Path(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, rows: Sequence[int], size: int | None) -> list[torch.Tensor]:
        paths = [self.paths[row] for row in rows]
        n_readers = min(_READERS, joblib.cpu_count(), len(paths))
        if n_readers < 2:
            return [_read_file(path, size) for path in paths]
        with ThreadPoolExecutor(n_readers) as readers:
            return list(readers.map(_read_file, paths, [size] * len(paths)))

    def content(self) -> str:
        stats = [(path.resolve(), path.stat()) for path in self.paths]
        return joblib.hash([(str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats])


class _Items:
    """The inputs of a torch ``Dataset``."""

    def __init__(self, dataset: Dataset, any_scale: bool) -> None:
        self.dataset, self.any_scale = dataset, any_scale

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def batch(self, rows: Sequence[int], size: int | None) -> list[torch.Tensor]:
        # By the row, as the content is: whatever is drawn must not depend on the batch.
        return [self._picture(row) for row in rows]

    def _picture(self, row: int) -> torch.Tensor:
        with seeded(SINGLE_READS, "cpu"):
            item = self.dataset[row]
        x, name = item[0] if isinstance(item, (tuple, list)) else item, f"The item {row}"
        if hasattr(x, "getbands"):
            return _pil_tensor(x, name)
        x = as_tensor(x)
        if x.ndim != 3:
            raise ValueError(
                f"{name} must be a PIL picture or (channels, height, width). Got the shape "
                f"{tuple(x.shape)} instead."
            )
        check_channels_first((1, *x.shape))
        if not self.any_scale:
            check_pixels(as_numpy(x).dtype)
            if x.dtype != torch.uint8:
                _check_range(as_numpy(x), name)
        return x

    def content(self) -> str:
        return joblib.hash([joblib.hash(as_numpy(self._picture(i))) for i in range(len(self))])


def _check_range(X: np.ndarray, name: str) -> None:
    """Refuse floats that a network of others would take for another picture."""
    if X.size and not (X.min() >= 0 and X.max() <= 1):  # NaN, too
        raise ValueError(
            f"{name} is float, and pictures of floats must lie in [0, 1]: a pretrained network "
            f"knows no other scale. Got values from {X.min():.4g} to {X.max():.4g}; divide by the "
            "largest possible value, or pass uint8."
        )


def _read_file(path: Path, size: int | None) -> torch.Tensor:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            if size is not None:  # a JPEG is read at a half, a quarter or an eighth
                picture.draft(None, (2 * size, 2 * size))
            return _pil_tensor(ImageOps.exif_transpose(picture), str(path))
    except OSError as error:
        raise type(error)(f"{path} cannot be read as a picture: {error}") from error


def _pil_tensor(picture: Any, name: str) -> torch.Tensor:
    """Return a PIL picture as a tensor (channels, height, width), grey or in colours."""
    mode = picture.mode
    if mode.startswith("I;16"):
        return torch.from_numpy(np.asarray(picture).astype(np.float32) / 65535)[None]
    if mode in ("I", "F"):
        raise ValueError(
            f"{name} is a picture of mode {mode!r}, whose range is not known. Convert it to 'L' or "
            "'RGB' first."
        )
    # Not torchvision's function, which takes longer to import than a hundred pictures to read.
    pixels = np.array(picture.convert("L" if mode in ("1", "L", "LA", "La") else "RGB"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
