"""Parameter groups: an own learning rate for a part of a network, by the names that users know."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from noisyfit.modules import MeanNetwork, StackedMLP

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import nn

Named = list[tuple[str, "nn.Parameter"]]


def names_of_users(module: nn.Module, named: Iterable[tuple[str, nn.Parameter]]) -> Named:
    """Name parameters as in one network of the user's, also where several are trained as one.

    Parameters
    ----------
    module : torch.nn.Module
        What is trained.
    named : iterable of pairs of a str and a parameter
        Parameters with their names in it.

    Returns
    -------
    list of pairs of a str and a parameter
        In the same order.
    """
    renamed = module.names_in_one() if isinstance(module, (MeanNetwork, StackedMLP)) else {}
    return [(renamed.get(name, name), parameter) for name, parameter in named]


def check_param_groups(groups: Any, named: Named) -> None:
    """Refuse patterns that no parameter is left for; skorch would train on without a word.

    Parameters
    ----------
    groups : list of pairs of a str and a dict
        As ``optimizer__param_groups``: patterns of names, and settings of the optimizer. A
        parameter belongs to the first pattern that its name matches.
    named : list of pairs of a str and a parameter
        As `names_of_users` returns it.

    Raises
    ------
    TypeError
        If these are no pairs of a pattern and a dict.
    ValueError
        If a pattern gets no parameter.
    """
    pairs = groups if isinstance(groups, (list, tuple)) else [groups]
    for pair in pairs:
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not (is_pair and isinstance(pair[0], str) and isinstance(pair[1], dict)):
            raise TypeError(
                "optimizer__param_groups must be a list of pairs of a pattern of names and a dict, "
                f"such as [('head.*', {{'lr': 0.1}})]. Got {pair!r} in it."
            )
    left = [name for name, _ in named]
    for pattern, _ in pairs:
        others = [name for name in left if not fnmatch(name, pattern)]
        if len(others) == len(left):
            parts = dict.fromkeys(name.split(".")[0] for name, _ in named)
            raise ValueError(
                f"The pattern {pattern!r} of optimizer__param_groups gets no parameter. A pattern "
                "is that of a whole name, such as 'head.*', and the first one that matches "
                f"counts. The names begin with {', '.join(map(repr, parts))}; "
                "[name for name, _ in module.named_parameters()] lists them."
            )
        left = others


def check_group_settings(groups: Any, optimizer: torch.optim.Optimizer) -> None:
    """Refuse settings that an optimizer does not know; torch would keep them and do nothing.

    Parameters
    ----------
    groups : list of pairs of a str and a dict
        As ``optimizer__param_groups``.
    optimizer : torch.optim.Optimizer
        Built with them.

    Raises
    ------
    ValueError
        If there are any.
    """
    unknown = sorted({name for _, own in groups for name in own} - set(optimizer.defaults))
    if unknown:
        raise ValueError(
            f"optimizer__param_groups sets {unknown}, which {type(optimizer).__name__} does not "
            f"have. It has {sorted(optimizer.defaults)}."
        )


def lr_share(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> float:
    """Return the learning rate of a group in units of that of parameters without a group.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its last group has the parameters that no pattern takes.
    group : dict
        One of its groups.

    Returns
    -------
    float
        Of the rates at the start of the schedule.
    """
    own, plain = (g.get("initial_lr", g["lr"]) for g in (group, optimizer.param_groups[-1]))
    return 1.0 if own == plain else float(own / plain)
