"""Checks of the parameters of the views and of their inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def float_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype to calculate with: that of `x`, or float32 for integers."""
    return x.dtype if x.is_floating_point() else torch.float32


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a parameter outside of ``[low, high]``."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be in the range [{low}, {high}]. Got {value!r}.")
