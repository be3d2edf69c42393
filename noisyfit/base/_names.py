"""Names of networks and optimizers in the place of the classes themselves."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from noisyfit import modules
from noisyfit._sklearn import InvalidParameterError


def refuse_names(owner: str, module: Any, optimizer: Any) -> None:
    """Refuse strings in the place of classes, and name the class that was meant.

    Parameters
    ----------
    owner : str
        Name of the estimator.
    module, optimizer : object
        Its parameters.

    Raises
    ------
    InvalidParameterError
        If one is a string.
    """
    if isinstance(optimizer, str):
        meant = _like(optimizer, torch.optim)
        what = f"torch.optim.{meant}" if meant else "the class itself, such as torch.optim.AdamW"
        raise InvalidParameterError(
            f"The 'optimizer' parameter of {owner} must be a class or another callable. Got the "
            f"name {optimizer!r}; pass {what}."
        )
    if isinstance(module, str):
        meant = _like(module, modules)
        what = f"noisyfit.modules.{meant}" if meant else "torchvision.models.resnet18"
        raise InvalidParameterError(
            f"The 'module' parameter of {owner} must be a class, a function that returns a "
            f"network, or a network. Got the name {module!r}; pass the class, such as {what}."
        )


def _like(name: str, place: Any) -> str | None:
    """Find the class of this name, whatever its case, dashes and underscores."""
    plain = name.rpartition(".")[2].replace("_", "").replace("-", "").lower()
    found = [n for n, cls in vars(place).items() if inspect.isclass(cls) and n.lower() == plain]
    return found[0] if found else None
