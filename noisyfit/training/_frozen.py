"""Parts of a network that are frozen, and parameters that are thawed while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import nn


def rest_frozen_parts(module: nn.Module, resting: Iterable[nn.Module]) -> list[nn.Module]:
    """Put the parts whose parameters are all frozen into evaluation mode.

    In training mode batch normalization would go on changing the statistics of a frozen backbone,
    and dropout its features. Callbacks freeze parts, and free them again.

    Parameters
    ----------
    module : torch.nn.Module
        In training mode.
    resting : iterable of torch.nn.Module
        What was returned the last time.

    Returns
    -------
    list of torch.nn.Module
        The largest parts that are frozen.
    """
    for part in resting:
        if any(parameter.requires_grad for parameter in part.parameters()):
            part.train()
    # Not the module itself: that nothing of it learns is an error, and the loop says so.
    frozen = [part for child in module.children() for part in _frozen_parts(child)]
    for part in frozen:
        part.eval()
    return frozen


def _frozen_parts(module: nn.Module) -> list[nn.Module]:
    """List the largest parts that have parameters, all of them frozen."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [part for child in module.children() for part in _frozen_parts(child)]


def take_up_thawed(
    optimizer: torch.optim.Optimizer, module: nn.Module, before: frozenset[int]
) -> frozenset[int]:
    """Give the fused kernel up once a parameter was thawed between two steps.

    It has no momentum yet; fused SGD expects one of all parameters, or of none.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place.
    module : torch.nn.Module
        Its parameters are those of the optimizer.
    before : frozenset of int
        What was returned the last time; empty for a fresh optimizer.

    Returns
    -------
    frozenset of int
        Identities of the parameters that learn.
    """
    learning = frozenset(id(p) for p in module.parameters() if p.requires_grad)
    # An optimizer of a checkpoint has its state from the start, and nothing was thawed.
    if before and optimizer.state and learning - before:
        for group in optimizer.param_groups:
            if group.get("fused"):
                group["fused"] = False
    return learning
