"""The device to compute on, and the precision to compute in."""

from __future__ import annotations

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device to train on.

    Parameters
    ----------
    device : str or torch.device
        A torch device, or ``"auto"``: CUDA if it is available, otherwise the CPU.

    Returns
    -------
    torch.device
        The device to use.

    Raises
    ------
    ValueError
        If the device is unknown, or CUDA is asked for but not available.

    Examples
    --------
    >>> from noisyfit.training import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<number>'. Got {device!r} instead."
        ) from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={str(device)!r} was asked for, but torch finds no CUDA device. "
            "Use device='auto' or 'cpu'."
        )
    return resolved


def resolve_precision(precision: str, device: torch.device, is_image: bool) -> torch.dtype | None:
    """Return the type that torch's autocast is to use.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``"auto"`` is bfloat16 for images on hardware with bfloat16 units and float32 otherwise: the
        small matrix products of a table do not become faster with bfloat16.
    device : torch.device
        Device to compute on.
    is_image : bool
        Whether the rows are images.

    Returns
    -------
    torch.dtype or None
        None for float32, which needs no autocast.

    Examples
    --------
    >>> import torch
    >>> from noisyfit.training import resolve_precision
    >>> resolve_precision("bfloat16", torch.device("cpu"), is_image=False)
    torch.bfloat16
    """
    if precision == "float32":
        return None
    if precision == "float16":
        return torch.float16
    if precision == "bfloat16" or (is_image and _has_bfloat16_units(device)):
        return torch.bfloat16
    return None


def _has_bfloat16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
