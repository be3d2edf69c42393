"""Pictures of a batch, brought to what a backbone is used to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from noisyfit.features._backbones import Backbone


def prepare(
    pictures: torch.Tensor | list[torch.Tensor], backbone: Backbone, device: torch.device
) -> torch.Tensor:
    """Crop, resize and standardise the pictures of a batch.

    Parameters
    ----------
    pictures : tensor (n, channels, height, width), or list of tensors (channels, height, width)
        ``uint8``, or floats in [0, 1].
    backbone : Backbone
        What is needed.
    device : torch.device
        Where it is done.

    Returns
    -------
    tensor of shape (n, channels, height, width), float32
        Channels last in memory, where convolutions are fastest.
    """
    if isinstance(pictures, list):
        shapes = {(picture.shape, picture.dtype) for picture in pictures}
        if len(shapes) == 1:
            x = _resized(torch.stack(pictures), backbone, device)
        else:
            parts = [_resized(picture[None], backbone, device) for picture in pictures]
            sizes = sorted({tuple(part.shape[2:]) for part in parts})
            if len(sizes) > 1:
                raise ValueError(
                    f"Pictures have different sizes, such as {sizes[0]} and {sizes[-1]}, and the "
                    "backbone does not say to which to resize them. Pass size=, such as size=224."
                )
            x = torch.cat(parts)
    else:
        x = _resized(pictures, backbone, device)
    mean, std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (backbone.mean, backbone.std)
    )
    return x.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def _resized(x: torch.Tensor, backbone: Backbone, device: torch.device) -> torch.Tensor:
    """Return the middle of pictures as float32 in [0, 1], in the channels of the backbone."""
    size, n_channels = backbone.size, len(backbone.mean)
    if x.shape[1] not in (1, n_channels):
        drop = " Drop the transparency: X[:, :-1]." if x.shape[1] in (2, 4) else ""
        raise ValueError(
            f"The backbone takes pictures of {n_channels} channels, or grey ones. Got "
            f"{x.shape[1]} channels.{drop}"
        )
    height, width = x.shape[2:]
    if size is not None:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        x = x[:, :, top : top + side, left : left + side]
    is_bytes = x.dtype == torch.uint8
    x = x.to(device, torch.float32, copy=True)
    if is_bytes:
        x.div_(255)
    if size is not None and x.shape[2] != size:
        mode = backbone.interpolation
        x = functional.interpolate(x, (size, size), mode=mode, antialias=True)
        x.clamp_(0, 1)  # bicubic goes beyond
    return x.repeat(1, n_channels, 1, 1) if x.shape[1] < n_channels else x


def check_scale(
    backbone: Backbone, mean: Any, std: Any
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation of each channel, the user's or the backbone's.

    Parameters
    ----------
    backbone : Backbone
        What it says itself.
    mean, std : float, sequence of floats or None
        Parameters of the user; a float is for all channels.

    Returns
    -------
    mean, std : tuple of float

    Raises
    ------
    ValueError
        If they do not belong together, or a deviation is not positive.
    """
    n_channels = next((np.size(v) for v in (mean, std) if np.ndim(v) == 1), len(backbone.mean))
    made = []
    for name, value, own in (("mean", mean, backbone.mean), ("std", std, backbone.std)):
        values = np.asarray(own if value is None else value, dtype=float)
        if values.ndim == 0:
            values = np.full(n_channels, float(values))
        if values.shape != (n_channels,) or n_channels not in (1, 3):
            raise ValueError(
                f"mean and std must be a float, or one or three of them, one for each channel. Got "
                f"mean={mean!r} and std={std!r}."
            )
        if not np.isfinite(values).all() or (name == "std" and (values <= 0).any()):
            raise ValueError(f"{name} must be finite, std positive. Got {name}={value!r}.")
        made.append(tuple(values.tolist()))
    return made[0], made[1]
