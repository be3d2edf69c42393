"""Pictures on the review page: found in what was passed, and made small enough for one file."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from torch.utils.data import Dataset

from noisyfit.data import are_picture_paths, as_numpy, first_input, listed
from noisyfit.features import ImageFeatures, single_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_SIDE = 192
"""In pixels. The page shows pictures 104 wide, which are twice as many on a fine screen."""
_EXACT_SIDE = 64
"""Up to this many pixels a picture is kept to the pixel, which costs little."""
_JPEG_QUALITY = 70
_AT_ONCE = 64


def pictures_among(est: Any, X: Any) -> Any:
    """Return the rows of a fit if they are pictures that can be shown, else None.

    Parameters
    ----------
    est : fitted estimator or Pipeline
        Of a pipeline, its first step tells whether strings are paths of pictures.
    X : object
        What `est` was fitted on.

    Returns
    -------
    object or None
        `X`, or None.
    """
    if isinstance(X, Dataset):
        return X if len(X) and _is_picture(first_input(X)) else None  # type: ignore[arg-type]
    values = listed(X)
    if values is None:
        X = as_numpy(X)
        return X if isinstance(X, np.ndarray) and X.ndim == 4 and _is_picture(X[0]) else None
    if not values:
        return None
    is_read = isinstance(est, Pipeline) and isinstance(est[0], ImageFeatures)
    # What steps of one's own make of paths is not known, but whether there is a file.
    is_file = are_picture_paths(values) and Path(values[0]).is_file()
    return X if is_read or is_file or _is_picture(values[0]) else None


def thumbnails(images: Any, rows: np.ndarray) -> Iterator[str]:
    """Make the pictures of some rows small, and files of them as data URIs.

    Parameters
    ----------
    images : object
        Pictures as users pass them: whatever `ImageFeatures` takes, and arrays of any scale,
        without a channel or of different sizes.
    rows : ndarray of int
        Whose pictures are wanted; no other is read.

    Yields
    ------
    str
        A PNG file up to 64 pixels, of larger pictures a JPEG file, 192 high or wide at most.
    """
    single = single_pictures(images, "images", any_scale=True)
    if single is None and hasattr(images, "iloc"):  # whose brackets would look up the index
        images = list(images)
    for start in range(0, len(rows), _AT_ONCE):
        part = [int(row) for row in rows[start : start + _AT_ONCE]]
        read = (images[row] for row in part) if single is None else single.batch(part, LARGEST_SIDE)
        for picture in read:
            yield _data_uri(picture)


def _is_picture(value: Any) -> bool:
    """Tell a PIL picture, or an array (channels, height, width) of one or three channels."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return hasattr(value, "getbands") or (len(shape) == 3 and shape[0] in (1, 3))


def _data_uri(image: Any) -> str:
    """Encode pixels as the data URI of a file."""
    from PIL import Image

    pixels = np.asarray(as_numpy(image))
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ValueError(
            "An image must have the shape (height, width) or (channels, height, width) with "
            f"one or three channels. Got {pixels.shape}."
        )
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    made = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    made.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file, kind = io.BytesIO(), "png" if max(made.size) <= _EXACT_SIDE else "jpeg"
    made.save(file, kind, **({} if kind == "png" else {"quality": _JPEG_QUALITY}))
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode("ascii")
