"""Inputs of a batch: one tensor, or several by the name of the network's argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


def map_inputs(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply a function to the inputs, or to each of those that have a name.

    Parameters
    ----------
    function : callable
        Takes one tensor.
    x : tensor, or dict of tensors
        The inputs of a batch, or of a row.

    Returns
    -------
    object
        What the function returned, or a dict of it.
    """
    return (
        {name: function(part) for name, part in x.items()} if isinstance(x, dict) else function(x)
    )


def any_input(x: Any) -> torch.Tensor:
    """Return the inputs, or the first of those that have a name: all have as many rows."""
    return next(iter(x.values())) if isinstance(x, dict) else x
