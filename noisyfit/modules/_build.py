"""Build a user's or a default network for given rows, and try it once before training."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import nn

from noisyfit.modules._default import MLP, ConvNet
from noisyfit.modules._outputs import logits_of

# From this side on, in pixels, `ConvNet` reads every second one, for a fifth of the time in
# float32. Smaller images have nothing to spare, and cost little.
_STRIDED_FROM = 24


def build_module(module: Any, params: dict[str, Any], *, example: Any, n_classes: int) -> nn.Module:
    """Build a network for inputs like `example`, initialized from torch's global generator.

    Parameters
    ----------
    module : torch.nn.Module class, instance, callable returning one, or None
        None picks `MLP` for tables and `ConvNet` for images, with a strided first layer where their
        sides have 24 pixels or more. An instance is copied, never changed.
    params : dict
        The user's ``module__*`` parameters. ``n_features``, ``n_channels`` and ``n_classes`` are
        added where the signature has them.
    example : tensor of shape (n_rows, ...), or dict of them
        A small batch of prepared inputs, on the device to train on. Those of a dict are the
        network's arguments of these names.
    n_classes : int
        Number of logits that the network has to return.

    Returns
    -------
    torch.nn.Module
        On the example's device, in training mode.

    Raises
    ------
    ValueError
        If the network fails on the example or returns another shape than (n_rows, n_classes).
    TypeError
        If it cannot be built with these parameters, or is not a torch.nn.Module.
    """
    if isinstance(module, nn.Module):
        if params:
            raise ValueError(
                f"module is an instance of {type(module).__name__}, which cannot take the "
                f"parameters {sorted(params)} any more; pass the class instead."
            )
        built = copy.deepcopy(module)
    else:
        shape = () if isinstance(example, dict) else tuple(example.shape[1:])
        factory, arguments = module_call(module, params, shape, n_classes)
        try:
            built = factory(**arguments)
        except TypeError as error:
            raise TypeError(
                f"The network could not be built with the arguments {arguments}: {error}"
            ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(
            f"module must give a torch.nn.Module. Got {type(built).__name__} from {module!r}."
        )
    parts = example if isinstance(example, dict) else {"x": example}
    built = built.to(next(iter(parts.values())).device)
    _try_out(built, example, n_classes)
    return built.train()


def module_call(
    module: Any, params: dict[str, Any], row_shape: tuple[int, ...], n_classes: int
) -> tuple[Any, dict[str, Any]]:
    """Find the call that builds a network for rows of a shape.

    Parameters
    ----------
    module : torch.nn.Module class, callable returning one, or None
        As in `build_module`.
    params : dict
        The user's ``module__*`` parameters.
    row_shape : tuple of int
        Shape of a row as the network gets it; () for several inputs by name.
    n_classes : int
        Number of logits that the network has to return.

    Returns
    -------
    factory : callable
        What to call.
    arguments : dict
        The arguments to call it with.
    """
    is_image = len(row_shape) == 3
    if module is None and not row_shape:
        raise ValueError("Rows of several inputs by name, dicts, need a network: pass module.")
    factory = module or (ConvNet if is_image else MLP)
    known = {"n_classes": n_classes}
    if row_shape:
        known["n_channels" if is_image else "n_features"] = row_shape[0]
    if module is None and is_image and min(row_shape[1:]) >= _STRIDED_FROM:
        known["stem_stride"] = 2
    accepted = inspect.signature(factory).parameters
    return factory, {k: v for k, v in known.items() if k in accepted} | params


def _try_out(module: nn.Module, example: Any, n_classes: int) -> None:
    named = example if isinstance(example, dict) else {}
    shapes = {name: tuple(part.shape) for name, part in named.items()}
    n_rows = next(iter(shapes.values()))[0] if named else len(example)
    context = (
        f"{type(module).__name__} on a batch of shape {shapes or tuple(example.shape)} "
        f"with {n_classes} classes"
    )
    module.eval()
    try:
        with torch.no_grad():
            logits = logits_of(module(**named) if named else module(example))
    except Exception as error:
        raise ValueError(f"The network failed: {context}. {error}") from error
    expected = (n_rows, n_classes)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(
            f"The network must return logits of shape {expected}. Got {got} instead: {context}. "
            "Return them alone, or an object that has them as .logits."
        )
    if _are_probabilities(logits):
        raise ValueError(
            "The network must return logits, of which the losses take the softmax themselves. Got "
            f"probabilities, rows from 0 on that add up to 1: {context}. Leave out the softmax at "
            "its end; predict_proba returns probabilities all the same."
        )


def _are_probabilities(logits: torch.Tensor) -> bool:
    """Tell whether the outputs went through a softmax; the logarithm of one does no harm."""
    values = logits.double()
    tolerance = 1e-4 if logits.dtype in (torch.float32, torch.float64) else 1e-2
    sums_to_one = bool(((values.sum(1) - 1).abs() < tolerance).all())
    return sums_to_one and bool((values >= 0).all()) and not bool((values == values.round()).all())
